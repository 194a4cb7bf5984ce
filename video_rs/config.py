"""Configuration: every default once, with its unit and meaning; YAML and KEY VALUE overrides merged strictly; frozen.

Only this module, the builders and ``tools/`` see a config. ``python -m video_rs.config`` prints the reference.
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from video_rs.errors import InputError


@dataclass(frozen=True)
class Option:
    """One key: its default, its meaning with unit, and the values allowed (choices, or bounds of each number)."""

    key: str
    default: Any
    meaning: str
    choices: tuple = ()
    low: float = -math.inf
    high: float = math.inf


OPTIONS = (
    Option("OUTPUT_DIR", "runs/default", "folder of the run, made if missing"),
    Option("RNG_SEED", 0, "seed of weights, sampling and augmentation", low=0),
    Option("DEVICE", "auto", "auto takes CUDA, then Apple's MPS, then the CPU", ("auto", "cpu", "cuda", "mps")),
    # -- Model. None means the architecture's own value; see video_rs.models.Architecture for each field.
    Option("MODEL.ARCH", "r3d_rs_50", "one of video_rs.list_models()"),
    Option("MODEL.NUM_CLASSES", 0, "classes; 0 counts the names of the label map or the training list", low=0),
    Option("MODEL.DEPTHS", None, "blocks of each stage"),
    Option("MODEL.BLOCK", None, "bottleneck or basic"),
    Option("MODEL.WIDTH", None, "factor on all widths"),
    Option("MODEL.STEM", None, "deep (ResNet-D) or plain"),
    Option("MODEL.STEM_TEMPORAL_KERNEL", None, "frames"),
    Option("MODEL.STEM_TEMPORAL_STRIDE", None, "frames"),
    Option("MODEL.STEM_POOL", None, "max, conv or none"),
    Option("MODEL.STEM_POOL_TEMPORAL_STRIDE", None, "frames; above 1 the max-pool is 3 wide in time"),
    Option("MODEL.TEMPORAL_KERNELS", None, "per stage one odd int, or one per block"),
    Option("MODEL.TEMPORAL_STRIDES", None, "per stage"),
    Option("MODEL.SHORTCUT", None, "projection or avgpool (ResNet-D)"),
    Option("MODEL.SE_RATIO", None, "hidden width of squeeze-and-excitation over the block's; 0 leaves it out"),
    Option("MODEL.SELF_GATING", None, "gate the last block of each stage"),
    Option("MODEL.STOCHASTIC_DEPTH", None, "drop rate of the deepest block"),
    Option("MODEL.STOCHASTIC_DEPTH_RULE", None, "stage (published) or block (linear)"),
    Option("MODEL.DROPOUT", None, "rate before the classifier"),
    Option("MODEL.PADDING", None, "same (TensorFlow) or symmetric"),
    Option("MODEL.NORM_EPS", None, "batch norm's epsilon"),
    Option("MODEL.NORM_MOMENTUM", None, "torch's meaning: TensorFlow's 0.0 is 1.0"),
    Option("MODEL.INITIALIZATION", None, "model_garden or tpu"),
    # -- Data
    Option("DATA.TRAIN_LIST", "", "CSV, 'path label' lines, or a folder of class folders"),
    Option("DATA.VAL_LIST", "", "the same; empty trains without validation"),
    Option("DATA.ROOT", "", "folder that relative paths start from; empty: the list's own"),
    Option("DATA.LABEL_MAP", "", "file with one class name a line; empty: sorted names of the training list"),
    Option("DATA.DEMO", "", "motion: write the demo clips beside TRAIN_LIST where they are missing", ("", "motion")),
    Option("DATA.DECODER", "auto", "what reads video", ("auto", "pyav", "decord", "torchcodec")),
    Option("DATA.NUM_WORKERS", -1, "reading processes per training process; -1 its share of the cores, 0 none", low=-1),
    Option("DATA.NUM_FRAMES", 32, "frames of a clip", low=1),
    Option("DATA.SAMPLING_RATE", 2, "stride between the frames of a clip, in frames", low=1),
    Option(
        "DATA.CLIP_SAMPLER", "frames", "frames: exact; pytorchvideo: its samplers by time", ("frames", "pytorchvideo")
    ),
    Option(
        "DATA.SHORT_VIDEO", "wrap", "a video shorter than its clip starts over or holds its last", ("wrap", "repeat")
    ),
    Option(
        "DATA.TRAIN_CROP", "resized", "resized: area and aspect; short_side: scale jitter", ("resized", "short_side")
    ),
    Option("DATA.TRAIN_CROP_SIZE", 224, "pixels", low=1),
    Option("DATA.TRAIN_JITTER_AREA", [0.08, 1.0], "share of the frame's area, for resized", low=0, high=1),
    Option("DATA.TRAIN_JITTER_ASPECT", [0.5, 2.0], "width over height, for resized", low=0),
    Option("DATA.TRAIN_JITTER_SCALES", [256, 320], "short side in pixels, for short_side", low=1),
    Option("DATA.RANDOM_FLIP", True, "mirror half of the training clips; off where left and right are labels"),
    Option("DATA.ANTIALIAS", False, "antialiased resizing; the published protocol has none"),
    Option("DATA.TEST_SHORT_SIDE", 256, "pixels of the short side in validation and testing", low=1),
    Option("DATA.TEST_CROP_SIZE", 256, "pixels of a square view", low=1),
    Option("DATA.MEAN", [0.0, 0.0, 0.0], "subtracted per channel, after scaling to [0, 1]"),
    Option("DATA.STD", [1.0, 1.0, 1.0], "divided by per channel, after the mean", low=1e-6),
    Option("DATA.MAX_FAILED_SHARE", 0.05, "training stops when more of its samples cannot be read", low=0, high=1),
    # -- Augmentation beyond cropping and flipping; each draw is the same for all frames of a clip.
    Option("AUG.COLOR_JITTER", 0.0, "strength of brightness, contrast and saturation changes", low=0),
    Option("AUG.RAND_AUGMENT_LAYERS", 0, "operations per clip (RandAugment's N); 0 is off", low=0),
    Option("AUG.RAND_AUGMENT_MAGNITUDE", 10, "RandAugment's M", low=0, high=30),
    Option("AUG.RANDOM_ERASING", 0.0, "probability", low=0, high=1),
    # -- Training
    Option("TRAIN.BATCH_SIZE", 1024, "clips per optimizer step, over all machines and accumulation", low=1),
    Option("TRAIN.ACCUMULATION_STEPS", 1, "forward-backward passes per optimizer step", low=1),
    Option("TRAIN.EVAL_PERIOD", 5, "epochs between validations; the end is always validated", low=1),
    Option("TRAIN.CHECKPOINT_STEPS", 0, "optimizer steps between checkpoints; 0 saves at each epoch's end", low=0),
    Option("TRAIN.LOG_PERIOD", 10, "optimizer steps between log lines", low=1),
    Option(
        "TRAIN.PRECISION", "auto", "auto: bfloat16 on CUDA, else float32", ("auto", "float32", "bfloat16", "float16")
    ),
    Option("TRAIN.CHANNELS_LAST", True, "keep maps in channels_last_3d layout (faster convolutions)"),
    # -- Testing
    Option("TEST.NUM_ENSEMBLE_VIEWS", 10, "clips per video", low=1),
    Option("TEST.NUM_SPATIAL_CROPS", 3, "views per clip, along the longer side", (1, 3)),
    Option("TEST.BATCH_SIZE", 8, "views per forward pass", low=1),
    # -- Optimisation
    Option("SOLVER.OPTIMIZING_METHOD", "sgd", "optimizer", ("sgd", "adamw")),
    Option("SOLVER.BASE_LR", 0.8, "learning rate at the top of the cosine", low=0),
    Option("SOLVER.WARMUP_EPOCHS", 5.0, "epochs of linear warm-up from 0", low=0),
    Option("SOLVER.MAX_EPOCH", 350, "epochs", low=1),
    Option("SOLVER.MAX_STEPS", 0, "optimizer steps; above 0 it overrides MAX_EPOCH", low=0),
    Option("SOLVER.MOMENTUM", 0.9, "of SGD", low=0, high=1),
    Option("SOLVER.NESTEROV", True, "Nesterov's momentum"),
    Option("SOLVER.BETAS", [0.9, 0.999], "of AdamW", low=0, high=1),
    Option("SOLVER.WEIGHT_DECAY", 4e-5, "L2 on kernels of convolutions and linear layers only", low=0),
    Option("SOLVER.LABEL_SMOOTHING", 0.1, "share of the target spread over all classes", low=0, high=1),
    Option("SOLVER.CLIP_GRAD_L2NORM", 0.0, "largest norm of the gradient; 0 is off", low=0),
    Option("SOLVER.EMA_DECAY", 0.9999, "of the averaged weights; 0 is off", low=0, high=1),
)
Item = tuple[str, Any, str]  # full key, value, where it was given

BY_KEY = {option.key: option for option in OPTIONS}
BUNDLED = (Path(__file__).parent / "configs", Path(__file__).parent.parent / "configs")


class Config(CfgNode):
    """fvcore's ``CfgNode``, whose ``freeze`` also stops what a dict can do to itself, and with it ``merge_from_*``."""

    def __reduce__(self):
        # Copied and pickled whole: item by item, a frozen copy would refuse its own items.
        return _rebuilt, (dict(self), dict(self.__dict__))


def _rebuilt(items: dict, attributes: dict) -> Config:
    config = Config()
    dict.update(config, items)
    config.__dict__.update(attributes)
    return config


def _unless_frozen(name: str):
    inherited = getattr(CfgNode, name)

    @wraps(inherited)
    def method(self, *args, **kwargs):
        if self.is_frozen():
            raise AttributeError("the configuration is frozen; load_config with overrides makes another")
        return inherited(self, *args, **kwargs)

    return method


for _name in ("__setitem__", "__delitem__", "__ior__", "update", "setdefault", "pop", "popitem", "clear"):
    setattr(Config, _name, _unless_frozen(_name))


def load_config(name_or_path: str | Path = "", overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """The defaults, then a YAML file and its ``_BASE_`` files, then overrides.

    Args:
        name_or_path: a path, or a name looked up under ``configs/``; empty for the defaults alone.
        overrides: bare KEY VALUE pairs as typed on a command line, or a mapping of full keys.

    Returns:
        A frozen config.

    Raises:
        InputError: an unknown file or key (the nearest is named), or a value of another type or range.
    """
    items = _read_yaml(find_config(str(name_or_path)), ()) if name_or_path else []
    return _checked([*items, *_override_items(overrides)])


def config_from_text(text: str, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Config:
    """A config from the YAML text that a checkpoint stores, with overrides; errors as :func:`load_config`."""
    items = _items(_parsed_mapping(text, "the checkpoint's config"), "checkpoint")
    return _checked([*items, *_override_items(overrides)])


def flat(config: Config) -> dict[str, Any]:
    """``{full key: value}`` in the order of :data:`OPTIONS`."""
    return {key: _get(config, key) for key in BY_KEY}


def find_config(name_or_path: str) -> Path:
    """The file behind ``--cfg``: an existing path, else ``configs/NAME`` or ``configs/NAME.yaml``."""
    # The first only: beside an installed package, the second would be anybody's.
    folders = [folder for folder in BUNDLED if folder.is_dir()][:1]
    candidates = [Path(name_or_path), *(f / (name_or_path + end) for f in folders for end in ("", ".yaml"))]
    for path in candidates:
        if path.is_file():
            return path
    known = sorted(str(p.relative_to(f)) for f in folders for p in f.rglob("*.yaml"))
    raise InputError(
        f"no config {name_or_path!r}: neither a file nor a name under configs/{_near(name_or_path, known)}"
    )


def _read_yaml(path: Path, seen: tuple[Path, ...]) -> list[Item]:
    """Items of a file after those of its ``_BASE_``, which is relative to the file."""
    path = path.resolve()
    if path in seen:
        raise InputError(f"{path}: _BASE_ leads back to the file itself; remove one of: {', '.join(map(str, seen))}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        wanted_by = f" (the _BASE_ of {seen[-1]})" if seen else ""
        raise InputError(f"cannot read {path}{wanted_by}: {error}") from error
    tree = _parsed_mapping(text, str(path))
    base = tree.pop("_BASE_", None)
    inherited = [] if base is None else _read_yaml(path.parent / str(base), (*seen, path))
    return [*inherited, *_items(tree, str(path))]


def _parsed_mapping(text: str, source: str) -> dict:
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date of month 13, a number of 5000 digits
        raise InputError(f"cannot read {source}: {' '.join(str(error).split())}") from error
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise InputError(f"{source} holds {type(tree).__name__}; allowed: a mapping of keys to values")
    return tree


def _items(tree: Mapping, source: str, prefix: str = "") -> list[Item]:
    items = []
    for key, value in tree.items():
        full = f"{prefix}{key}"
        items += _items(value, source, full + ".") if isinstance(value, dict) else [(full, value, source)]
    return items


def _override_items(overrides: Sequence[str] | Mapping[str, Any]) -> list[Item]:
    if isinstance(overrides, Mapping):
        return [(key, value, "override") for key, value in overrides.items()]
    if len(overrides) % 2:
        raise InputError(f"overrides are KEY VALUE pairs; {overrides[-1]!r} at the end has no value")
    return [(k, v, "override") for k, v in zip(overrides[::2], overrides[1::2], strict=True)]


def _checked(items: Iterable[Item]) -> Config:
    config = Config()
    for option in OPTIONS:
        _set(config, option.key, option.default)
    for key, value, source in items:
        if key not in BY_KEY:
            hint = _near(str(key), list(BY_KEY)) or "; python -m video_rs.config lists all keys"
            if any(known.startswith(f"{key}.") for known in BY_KEY):
                hint = f"; it is a group: give {key}.NAME, or nested names and values in YAML"
            raise InputError(f"unknown config key {key!r} ({source}){hint}")
        _set(config, key, _valid(BY_KEY[key], value, source))
    config.freeze()
    return config


def _set(config: Config, key: str, value) -> None:
    *groups, leaf = key.split(".")
    for group in groups:
        config = config.setdefault(group, Config())
    config[leaf] = list(value) if isinstance(value, list) else value


def _get(config: Config, key: str):
    for part in key.split("."):
        config = config[part]
    return config


def _valid(option: Option, value, source: str):
    """``value`` in the type of the option's default, within what is allowed."""
    try:
        value = _coerced(value, option.default)
    except (TypeError, ValueError, OverflowError):
        kind = _describe(option.default)
        raise InputError(f"{option.key} is {value!r} ({source}); allowed: {kind}") from None
    if option.choices and value not in option.choices:
        allowed = ", ".join(repr(choice) for choice in option.choices)
        raise InputError(f"{option.key} is {value!r} ({source}); allowed: {allowed}")
    numbers = value if isinstance(value, list) else [value]
    numbers = [x for x in numbers if isinstance(x, (int, float))]
    if not all(math.isfinite(x) and option.low <= x <= option.high for x in numbers):
        raise InputError(f"{option.key} is {value!r} ({source}); allowed: {_describe_bounds(option)}")
    return value


def _coerced(value, default):
    """``value``, parsed where it is text, in the type of ``default``; raises ValueError or TypeError."""
    if isinstance(default, str):
        if isinstance(value, (dict, list)) or value is None:
            raise TypeError
        return str(value)
    if isinstance(value, str):
        value = _parsed(value)
    if default is None:
        return value
    if isinstance(default, list):
        if not isinstance(value, (list, tuple)) or len(value) != len(default):
            raise TypeError
        return [_coerced(item, default[0]) for item in value]
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise TypeError
    return value


def _parsed(text: str):
    """A scalar or list from text; YAML 1.1 alone would read ``1e-3`` as a string."""
    try:
        return float(text) if "e" in text.lower() and "," not in text else yaml.safe_load(text)
    except ValueError:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _describe(default) -> str:
    if isinstance(default, list):
        return f"a list of {len(default)} values like {default}"
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return kinds.get(type(default), "a YAML value")


def _describe_bounds(option: Option) -> str:
    if option.high < math.inf:
        return f"{option.low:g} to {option.high:g}"
    return f"at least {option.low:g}, finite" if option.low > -math.inf else "finite numbers"


def _near(name: str, known: list[str]) -> str:
    """A hint at the nearest known name, or nothing where none is near."""
    near = difflib.get_close_matches(name, known, 1, 0.5) or difflib.get_close_matches(name.upper(), known, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


if __name__ == "__main__":
    for row in OPTIONS:
        print(f"{row.key:34} {row.default!r:16} {row.meaning}")
