"""Weights from a file or from timm into a model: one reader for all kinds, image weights inflated on the way."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from video_rs.errors import InputError
from video_rs.models.architecture import DEPTHS, Architecture
from video_rs.models.inflate import image_name, inflate_image_weights, is_image_state
from video_rs.models.strict import keep_classifier_of_other_classes, load_strictly, warn
from video_rs.torch_files import first_sentence, read_torch_file

__all__ = ["load_pretrained", "load_strictly", "read_weights"]

TIMM_NAMES = {DEPTHS[depth]: f"resnetrs{depth}" for depth in (50, 101, 152, 200, 270, 350, 420)}
# What DistributedDataParallel and Lightning put before all names; none of ours, and none of timm's, starts so.
WRAPPERS = ("module.", "model.")
# What all of timm's resnetrs* have in common; fields of time and of training are free.
TIMM_FIELDS = {
    "block": "bottleneck",
    "width": 1.0,
    "stem": "deep",
    "stem_pool": "conv",
    "shortcut": "avgpool",
    "se_ratio": 0.25,
    "self_gating": False,
}


def load_pretrained(
    module: nn.Module, source: str | Path, inflation: str = "centre", skip: tuple[str, ...] = ()
) -> None:
    """Loads weights into ``module``, strictly but for a classifier of another number of classes, which is said.

    Args:
        module: a VideoClassifier, or a module with a ``backbone`` alone.
        source: "timm" (the ``resnetrs*`` of the same depth, downloaded or from timm's cache), or a file that
            :func:`read_weights` reads. Image weights are known by their names and inflated.
        inflation: "centre" or "mean", for image weights; see :func:`inflate_image_weights`.
        skip: weights whose names (ours) start so are left out; all others must be in ``module``.

    Raises:
        InputError: the weights cannot be had or read, or they do not fit.
    """
    if str(source) == "timm":
        name = timm_name(module.backbone.architecture)
        state, source = _timm_weights(name), f"timm's {name}"
    else:
        state = read_weights(source)
    is_image = is_image_state(state)
    left_out = tuple(map(image_name, skip)) if is_image else skip
    state = {name: value for name, value in state.items() if not name.startswith(left_out)}
    if is_image:
        state = inflate_image_weights(state, module, inflation, str(source))
    state, note = keep_classifier_of_other_classes(state, module, str(source))
    load_strictly(module, state, str(source))
    warn(note)


def require_source(pretrained: str | Path) -> None:
    """Raises InputError unless ``pretrained`` can name weights."""
    if not isinstance(pretrained, (str, Path)):
        raise InputError(
            f"pretrained is {pretrained!r}; allowed: the path of a .pth, .pt or .safetensors file, None, or 'timm' for "
            "the image weights of an inflated_rs_* network"
        )


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file, on the CPU, read without running code.

    Args:
        path: a checkpoint of this project (its "ema", or "model" where there is none), a state dict that torch.save
            wrote, plain or under "state_dict", or a ``.safetensors`` file. "module." or "model." before all names is
            taken away. A warning says what was not plain.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no weights at {path}; give a .pth, .pt or .safetensors file, or 'timm'")
    if path.suffix == ".safetensors":
        return _without_prefix(_read_safetensors(path), path)
    content, where = read_torch_file(path), ""
    if isinstance(content, dict) and ("model" in content or "ema" in content):
        content = content.get("ema") or content.get("model")
    elif isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content, where = content["state_dict"], "those under 'state_dict'"
    is_state = isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )
    if not is_state or not content:
        raise InputError(
            f"no weights in {path}; allowed: a state dict, plain or under 'state_dict', or a dict of state dicts "
            "'model' and 'ema'"
        )
    return _without_prefix(content, path, where)


def _without_prefix(state: Mapping[str, Tensor], path: Path, where: str = "") -> dict[str, Tensor]:
    """``state`` without what a wrapper put before all names; one line says so, and ``where`` the weights were."""
    prefix = next((prefix for prefix in WRAPPERS if state and all(name.startswith(prefix) for name in state)), "")
    changes = [where] * bool(where) + [f"without {prefix!r} before their names"] * bool(prefix)
    warn(f"weights of {path}: taken are {', '.join(changes)}" if changes else "")
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"{path} needs a package: pip install safetensors; or give a .pth file") from error
    try:
        return load_file(path)
    except Exception as error:  # its own error type for foreign bytes, OSError and others for the rest
        raise InputError(f"{path} is damaged, cut short or no safetensors file ({first_sentence(error)})") from error


def timm_name(architecture: Architecture) -> str:
    """timm's image network of the same depth and layers.

    Raises:
        InputError: there is none.
    """
    others = [
        f"{field} {getattr(architecture, field)!r} (timm: {value!r})"
        for field, value in TIMM_FIELDS.items()
        if getattr(architecture, field) != value
    ]
    if architecture.depths not in TIMM_NAMES:
        others.insert(0, f"depths {architecture.depths} (timm: those of {', '.join(TIMM_NAMES.values())})")
    if others:
        raise InputError(f"timm has no image network like this one: {'; '.join(others)}; take an inflated_rs_* model")
    return TIMM_NAMES[architecture.depths]


def _timm_weights(name: str) -> dict[str, Tensor]:
    try:
        import timm
    except ImportError as error:
        raise InputError("pretrained 'timm' needs a package: pip install timm; or give a weights file") from error
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # offline, refused or interrupted downloads raise types of several packages
        raise InputError(
            f"timm cannot get the weights of {name} ({first_sentence(error)}); "
            "try again with a network, or give the path of a downloaded file"
        ) from error
