"""The config: its table, the files it reads, what it refuses (by message), and that nothing changes it afterwards."""

import copy
import dataclasses
import math
import operator
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from video_rs.config import OPTIONS, Config, config_from_text, find_config, load_config
from video_rs.models import Architecture
from video_rs.runtime.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
DEFAULTS = {option.key: option.default for option in OPTIONS}


@pytest.fixture
def write(tmp_path):
    """Writes a YAML file and returns its path as text."""

    def write_file(text, name="own.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write_file


def refusal(*args, call=load_config):
    with pytest.raises(InputError) as refused:
        call(*args)
    message = str(refused.value)
    assert "\n" not in message
    return message


def changed(config):
    return {key: value for key, value in config.flat().items() if value != DEFAULTS[key]}


# -- The table


def test_model_keys_are_the_architectures_fields_and_both_ways():
    fields = {field.name.upper() for field in dataclasses.fields(Architecture)} - {"IN_CHANNELS"}
    keys = {key.removeprefix("MODEL.") for key in DEFAULTS if key.startswith("MODEL.")}
    assert keys == fields | {"ARCH", "NUM_CLASSES", "PRETRAINED", "INFLATION", "FROZEN_STAGES"}
    assert {key: DEFAULTS[f"MODEL.{key}"] for key in fields} == dict.fromkeys(fields)


def test_every_option_is_stated_once_with_a_meaning():
    assert len(DEFAULTS) == len(OPTIONS)
    for option in OPTIONS:
        assert option.meaning.strip() == option.meaning != "", option.key
        assert option.key == option.key.upper()
        assert option.low <= option.high


def test_every_default_is_allowed_by_its_own_option():
    stated = {key: value for key, value in DEFAULTS.items() if value is not None}
    assert load_config("", stated).flat() == DEFAULTS


def test_without_a_file_the_config_is_the_defaults():
    assert load_config().flat() == DEFAULTS
    assert list(load_config().flat()) == list(DEFAULTS)


def test_defaults_are_not_shared_between_configs():
    load_config().flat()["DATA.MEAN"].append(9.0)
    assert load_config().DATA.MEAN == (0.0, 0.0, 0.0)


def test_slowfasts_names_are_kept():
    names = (
        "MODEL.ARCH MODEL.NUM_CLASSES DATA.NUM_FRAMES DATA.SAMPLING_RATE DATA.TRAIN_CROP_SIZE DATA.TEST_CROP_SIZE "
        "TRAIN.BATCH_SIZE TEST.NUM_ENSEMBLE_VIEWS TEST.NUM_SPATIAL_CROPS SOLVER.BASE_LR SOLVER.MAX_EPOCH OUTPUT_DIR "
        "RNG_SEED DATA.TRAIN_LIST DATA.VAL_LIST DATA.ROOT DATA.DECODER DATA.NUM_WORKERS SOLVER.MAX_STEPS "
        "DATA.LABEL_MAP TRAIN.CHECKPOINT_STEPS"
    )
    assert set(names.split()) <= set(DEFAULTS)


def test_the_reference_is_printed_key_by_key():
    command = [sys.executable, "-m", "video_rs", "options"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, cwd=CONFIGS.parent)
    lines = answer.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(DEFAULTS)
    assert all(option.meaning in line for line, option in zip(lines, OPTIONS, strict=True))
    assert all(repr(choice) in line for line, option in zip(lines, OPTIONS, strict=True) for choice in option.choices)
    (limit,) = [line for line in lines if line.startswith("DATA.TIME_LIMIT ")]
    assert limit.endswith(" [at least 0.1, finite]")


# -- Files


def test_kinetics_rs_is_the_published_recipe():
    """Model Garden's k400_resnet3drs_50_tpu.yaml. A key that is not here is no part of the recipe."""
    config = load_config("kinetics_rs.yaml").flat()
    published = {
        "MODEL.ARCH": "r3d_rs_50",
        "MODEL.NUM_CLASSES": 400,
        "MODEL.PRETRAINED": "",
        "MODEL.INFLATION": "centre",  # of nothing
        "MODEL.FROZEN_STAGES": 0,
        "MODEL.STOCHASTIC_DEPTH": 0.1,
        "MODEL.DROPOUT": 0.5,
        "DATA.NUM_FRAMES": 32,
        "DATA.SAMPLING_RATE": 2,
        "DATA.TARGET_FPS": 0.0,
        "DATA.SHORT_VIDEO": "wrap",
        "DATA.CLIP_SAMPLER": "frames",
        "DATA.TRAIN_CROP": "resized",
        "DATA.TRAIN_CROP_SIZE": 224,
        "DATA.TRAIN_JITTER_AREA": [0.08, 1.0],
        "DATA.TRAIN_JITTER_ASPECT": [0.5, 2.0],
        "DATA.RANDOM_FLIP": True,
        "DATA.ANTIALIAS": False,
        "DATA.TRAIN_RESIZE": "exact",
        "DATA.START_MULTIPLE": 1,
        "DATA.TEST_SHORT_SIDE": 256,
        "DATA.TEST_CROP_SIZE": 256,
        "DATA.MEAN": [0.0, 0.0, 0.0],
        "DATA.STD": [1.0, 1.0, 1.0],
        "AUG.COLOR_JITTER": 0.0,
        "AUG.RAND_AUGMENT_LAYERS": 0,
        "AUG.RANDOM_ERASING": 0.0,
        "TRAIN.BATCH_SIZE": 1024,
        "TEST.NUM_ENSEMBLE_VIEWS": 10,
        "TEST.NUM_SPATIAL_CROPS": 3,
        "SOLVER.OPTIMIZING_METHOD": "sgd",
        "SOLVER.BASE_LR": 0.8,
        "SOLVER.WARMUP_EPOCHS": 5.0,
        "SOLVER.MAX_EPOCH": 350,
        "SOLVER.MAX_STEPS": 0,
        "SOLVER.MOMENTUM": 0.9,
        "SOLVER.NESTEROV": True,
        "SOLVER.WEIGHT_DECAY": 4e-5,
        "SOLVER.LABEL_SMOOTHING": 0.1,
        "SOLVER.CLIP_GRAD_L2NORM": 0.0,
        "SOLVER.EMA_DECAY": 0.9999,
    }
    assert {key: config[key] for key in published} == published
    # All other fields of the network are the architecture's own, which test_models.py states in full.
    set_fields = {key for key, value in config.items() if key.startswith("MODEL.") and value is not None}
    assert set_fields == {key for key in published if key.startswith("MODEL.")}


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_loads_by_name_and_documents_its_run(path):
    name = str(path.relative_to(CONFIGS))
    config = load_config(name)
    assert config == load_config(path) == load_config(name.removesuffix(".yaml"))
    comments = [line.lstrip("# ").split(":")[0] for line in path.read_text().splitlines() if line.startswith("#")]
    assert {"Command", "Hardware", "Time", "Expected"} <= set(comments)


def test_an_existing_path_comes_before_a_name(write, tmp_path, monkeypatch):
    own = write("RNG_SEED: 7", "kinetics_rs.yaml")
    assert find_config("kinetics_rs.yaml") == CONFIGS / "kinetics_rs.yaml"
    monkeypatch.chdir(tmp_path)
    assert load_config("kinetics_rs.yaml").RNG_SEED == load_config(own).RNG_SEED == 7
    assert load_config("kinetics_rs").RNG_SEED == 0  # no such file here: the name


def test_unknown_config_names_the_nearest(tmp_path):
    expected = "no config 'kinetics_r': neither a file nor a name under configs/; did you mean 'kinetics_rs.yaml'?"
    assert refusal("kinetics_r") == expected
    folder = str(tmp_path)
    expected = f"folder {folder} has no config.yaml; give a run's folder, a file or a name under configs/"
    assert refusal(folder) == expected
    (tmp_path / "config.yaml").write_text("RNG_SEED: 9")
    assert load_config(folder).RNG_SEED == 9


def test_base_files_are_relative_to_the_file_and_the_nearer_wins(write, tmp_path, monkeypatch):
    write("RNG_SEED: 1\nDATA: {NUM_FRAMES: 16, SAMPLING_RATE: 4}\nTRAIN: {BATCH_SIZE: 2}", "base/root.yaml")
    write("_BASE_: root.yaml\nDATA: {NUM_FRAMES: 8}\nRNG_SEED: 2", "base/middle.yaml")
    leaf = write("RNG_SEED: 3\n_BASE_: ../base/middle.yaml", "runs/leaf.yaml")
    monkeypatch.chdir("/")
    expected = {"RNG_SEED": 3, "DATA.NUM_FRAMES": 8, "DATA.SAMPLING_RATE": 4, "TRAIN.BATCH_SIZE": 2}
    assert changed(load_config(leaf)) == expected
    assert changed(load_config(leaf, ["RNG_SEED", "4"])) == {**expected, "RNG_SEED": 4}


def test_a_base_that_leads_back_is_refused(write, tmp_path):
    one = write("_BASE_: two.yaml", "one.yaml")
    two = write("_BASE_: one.yaml", "two.yaml")
    expected = f"{one}: _BASE_ leads back to the file itself; remove one of: {one}, {two}"
    assert refusal(one) == expected
    alone = write("_BASE_: alone.yaml", "alone.yaml")
    assert refusal(alone) == f"{alone}: _BASE_ leads back to the file itself; remove one of: {alone}"


def test_a_missing_base_names_both_files(write, tmp_path):
    path = write("_BASE_: nowhere.yaml")
    missing = tmp_path / "nowhere.yaml"
    expected = f"cannot read {missing} (the _BASE_ of {path}): [Errno 2] No such file or directory: '{missing}'"
    assert refusal(path) == expected


def test_a_mistake_in_a_base_names_the_base(write, tmp_path):
    base = write("RNG_SEED: -1", "base.yaml")
    leaf = write("_BASE_: base.yaml\nDATA: {NUM_FRAMES: 8}", "leaf.yaml")
    assert refusal(leaf) == f"RNG_SEED is -1 ({base}); allowed: at least 0, finite"


@pytest.mark.parametrize(("text", "kind"), [("- RNG_SEED", "list"), ("[]", "list"), ("RNG_SEED", "str"), ("0", "int")])
def test_a_file_that_is_no_mapping_is_refused(write, text, kind):
    path = write(text)
    assert refusal(path) == f"{path} holds {kind}; allowed: a mapping of keys to values"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "null"])
def test_an_empty_file_is_the_defaults(write, text):
    assert load_config(write(text)).flat() == DEFAULTS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("DATA: [1", "while parsing a flow sequence"),
        ("RNG_SEED: 2020-13-45", "month must be in 1..12"),
        ("a: b: c", "mapping values are not allowed here"),
        ("OUTPUT_DIR: !!python/object/apply:os.system ['echo code ran']", "could not determine a constructor"),
        ("OUTPUT_DIR: !!python/name:os.system ''", "could not determine a constructor"),
    ],
)
def test_broken_and_unsafe_yaml_is_refused(write, capfd, text, reason):
    path = write(text)
    message = refusal(path)
    assert message.startswith(f"cannot read {path}: {reason}")
    assert "ran" not in capfd.readouterr().out


def test_values_may_be_merged_in(write):
    path = write("MODEL:\n  <<: {WIDTH: 0.5, DROPOUT: 0.1}\n  DROPOUT: 0.2\n")
    config = load_config(path)
    assert (config.MODEL.WIDTH, config.MODEL.DROPOUT) == (0.5, 0.2)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "clip.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert refusal(path).startswith(f"cannot read {path}: 'utf-8' codec can't decode byte 0xff")


# -- Keys and values


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("BASE_LR", "; did you mean 'SOLVER.BASE_LR'?"),
        ("SOLVER.NUM_FRAMES", "; did you mean 'DATA.NUM_FRAMES'?"),
        # What all keys of a group share makes none of them near.
        ("DATA.XYZ", "; video-rs options lists all keys"),
        ("SOLVER.FOO", "; video-rs options lists all keys"),
    ],
)
def test_a_key_that_is_not_near_is_not_suggested(key, hint):
    with pytest.raises(InputError) as caught:
        load_config("", [key, "1"])
    assert str(caught.value) == f"unknown config key {key!r} (override){hint}"


def test_unknown_keys_name_the_nearest(write):
    path = write("DATA:\n  NUM_FRAME: 8")
    assert refusal(path) == f"unknown config key 'DATA.NUM_FRAME' ({path}); did you mean 'DATA.NUM_FRAMES'?"
    expected = "unknown config key 'SOLVER.BASELR' (override); did you mean 'SOLVER.BASE_LR'?"
    assert refusal("", ["SOLVER.BASELR", "1"]) == expected
    assert refusal("", {"SOLVER.BASELR": 1}) == expected
    expected = "unknown config key 'data.num_frames' (override); did you mean 'DATA.NUM_FRAMES'?"
    assert refusal("", ["data.num_frames", "8"]) == expected
    expected = "unknown config key '1' (override); video-rs options lists all keys"
    assert refusal("", ["1", "8"]) == expected


@pytest.mark.parametrize("text", ["DATA:", "DATA: 5"])
def test_a_group_is_no_key(write, text):
    path = write(text)
    expected = f"unknown config key 'DATA' ({path}); it is a group: give DATA.NAME, or nested names and values in YAML"
    assert refusal(path) == expected


def test_a_value_without_its_key_is_refused():
    expected = "overrides are KEY VALUE pairs; 'RNG_SEED' at the end has no value"
    assert refusal("", ["DATA.NUM_FRAMES", "8", "RNG_SEED"]) == expected


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("DATA.NUM_FRAMES", "eight", "a whole number"),
        ("DATA.NUM_FRAMES", "8.5", "a whole number"),
        ("DATA.NUM_FRAMES", True, "a whole number"),
        ("DATA.NUM_FRAMES", None, "a whole number"),
        ("DATA.NUM_FRAMES", "[8]", "a whole number"),
        ("DATA.NUM_FRAMES", 0, "at least 1, finite"),
        ("DATA.RANDOM_FLIP", "1", "true or false"),
        ("DATA.RANDOM_FLIP", "", "true or false"),
        ("SOLVER.BASE_LR", "fast", "a number"),
        ("SOLVER.BASE_LR", "true", "a number"),
        ("SOLVER.BASE_LR", 10**400, "a number"),
        ("SOLVER.BASE_LR", -0.1, "at least 0, finite"),
        ("SOLVER.BASE_LR", math.inf, "at least 0, finite"),
        ("SOLVER.MOMENTUM", 1.5, "0 to 1"),
        ("SOLVER.MOMENTUM", math.nan, "0 to 1"),
        ("DATA.MEAN", [0.5, 0.5, math.nan], "finite numbers"),
        ("DATA.STD", [1.0, 0.0, 1.0], "at least 1e-06, finite"),
        ("DATA.MEAN", [0.5, 0.5], "a list of 3 values like [0.0, 0.0, 0.0]"),
        ("DATA.MEAN", 0.5, "a list of 3 values like [0.0, 0.0, 0.0]"),
        ("DATA.TRAIN_JITTER_AREA", "[0.1, 0.2, 0.3]", "a list of 2 values like [0.08, 1.0]"),
        ("DATA.TRAIN_JITTER_AREA", [0.08, 1.5], "0 to 1"),
        ("DATA.TRAIN_JITTER_SCALES", [256, 320.5], "a list of 2 values like [256, 320]"),
        ("DATA.DECODER", "opencv", "'auto', 'pyav', 'decord', 'torchcodec', 'torchcodec_cuda'"),
        ("TEST.NUM_SPATIAL_CROPS", 2, "1, 3"),
        ("DATA.ROOT", ["a"], "text"),
        ("DATA.ROOT", None, "text"),
        ("MODEL.WIDTH", "2020-13-45", "a YAML value"),
        ("SOLVER.BETAS", "[0.9e", "a list of 2 values like [0.9, 0.999]"),
        ("SOLVER.BASE_LR", "{e", "a number"),
    ],
)
def test_values_of_another_type_or_range_are_refused(key, value, allowed):
    assert refusal("", {key: value}) == f"{key} is {value!r} (override); allowed: {allowed}"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("OUTPUT_DIR", "2020", "2020"),
        ("OUTPUT_DIR", 2020, "2020"),
        ("OUTPUT_DIR", "1e5", "1e5"),
        ("OUTPUT_DIR", "[runs]", "[runs]"),
        ("OUTPUT_DIR", Path("a/b"), "a/b"),
        ("SOLVER.BASE_LR", 1, 1.0),
        ("SOLVER.BASE_LR", "1", 1.0),
        ("SOLVER.BASE_LR", "1e-3", 0.001),
        ("SOLVER.BASE_LR", ".5", 0.5),
        ("SOLVER.MAX_EPOCH", "12", 12),
        ("DATA.RANDOM_FLIP", "false", False),
        ("DATA.RANDOM_FLIP", "True", True),
        ("SOLVER.BETAS", "[0, 1e-1]", [0.0, 0.1]),
        ("DATA.MEAN", (0, 1, 2), [0.0, 1.0, 2.0]),
        ("DATA.TRAIN_JITTER_SCALES", "[68, 80]", [68, 80]),
        ("MODEL.STEM_POOL", "none", "none"),
        ("MODEL.STEM", "deep", "deep"),
        ("MODEL.SELF_GATING", "false", False),
        ("MODEL.NORM_EPS", "1e-3", 0.001),
        ("MODEL.TEMPORAL_KERNELS", "[1, [3, 1, 3, 1], 3, 3]", [1, [3, 1, 3, 1], 3, 3]),
        ("MODEL.WIDTH", "null", None),
    ],
)
def test_values_take_the_type_of_their_default(key, value, expected):
    actual = load_config("", {key: value}).flat()[key]
    assert actual == expected
    assert type(actual) is type(expected)
    if isinstance(expected, list):
        assert [type(item) for item in actual] == [type(item) for item in expected]
    if isinstance(value, str):
        assert load_config("", [key, value]).flat()[key] == expected


def test_values_of_a_file_take_the_type_of_their_default(write):
    text = "OUTPUT_DIR: 2020\nSOLVER: {BASE_LR: 1, WEIGHT_DECAY: 1e-3, BETAS: [0, 0]}\nMODEL: {NORM_EPS: 1e-3}"
    config = load_config(write(text))
    assert changed(config) == {
        "OUTPUT_DIR": "2020",
        "SOLVER.BASE_LR": 1.0,
        "SOLVER.WEIGHT_DECAY": 0.001,
        "SOLVER.BETAS": [0.0, 0.0],
        "MODEL.NORM_EPS": 0.001,
    }
    assert type(config.SOLVER.BASE_LR) is float


def test_a_later_override_wins_over_an_earlier_one_and_the_file(write):
    path = write("RNG_SEED: 1")
    assert load_config(path, ["RNG_SEED", "2", "RNG_SEED", "3"]).RNG_SEED == 3
    assert load_config(path, {"RNG_SEED": 4}).RNG_SEED == 4


# -- Frozen


CHANGES = {
    "attribute": lambda config: setattr(config, "RNG_SEED", 1),
    "attribute of a group": lambda config: setattr(config.DATA, "NUM_FRAMES", 1),
    "new attribute": lambda config: setattr(config, "OTHER", 1),
    "deleted attribute": lambda config: delattr(config, "RNG_SEED"),
    "item": lambda config: operator.setitem(config, "RNG_SEED", 1),
    "item of a group": lambda config: operator.setitem(config.DATA, "NUM_FRAMES", 1),
    "deleted item": lambda config: operator.delitem(config, "RNG_SEED"),
    "item of a value": lambda config: operator.setitem(config.DATA.MEAN, 0, 1.0),
    "update": lambda config: config.update(RNG_SEED=1),
    "|=": lambda config: operator.ior(config, {"RNG_SEED": 1}),
    "pop": lambda config: config.pop("RNG_SEED"),
    "clear": lambda config: config.DATA.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_config_is_frozen(change):
    config = load_config("kinetics_rs")
    before = copy.deepcopy(config.flat())
    with pytest.raises((AttributeError, TypeError)):
        CHANGES[change](config)
    assert config.flat() == before


def test_a_frozen_config_says_how_to_make_another():
    with pytest.raises(AttributeError, match=r"^a configuration is frozen; load_config with overrides makes another$"):
        load_config().DATA.NUM_FRAMES = 1


def test_an_option_that_is_not_there_is_named():
    with pytest.raises(AttributeError, match=r"^there is no option or group NUM_FRAME$"):
        _ = load_config().DATA.NUM_FRAME


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_is_equal_and_as_frozen(copied):
    config = load_config("motion_demo")
    twin = copied(config)
    assert type(twin) is Config
    assert twin == config
    assert twin.flat() == config.flat()
    with pytest.raises(AttributeError, match="frozen"):
        twin.DATA.NUM_FRAMES = 1


# -- The text a checkpoint stores


@pytest.mark.parametrize("name", ["", "kinetics_rs", "motion_demo"])
def test_dump_comes_back_equal(name):
    overrides = ["OUTPUT_DIR", "2020", "SOLVER.BASE_LR", "1e-5", "MODEL.TEMPORAL_KERNELS", "[1, [3], 1, 1]"]
    config = load_config(name, overrides)
    text = config.dump()
    assert config_from_text(text) == config
    assert config_from_text(text).OUTPUT_DIR == "2020"
    assert set(yaml.safe_load(text)) == {key.split(".")[0] for key in DEFAULTS}
    assert config_from_text(text, ["RNG_SEED", "9"]).RNG_SEED == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "the checkpoint's config holds list; allowed: a mapping of keys to values"),
        ("OLD_KEY_OF_ANOTHER_TIME: 1", "unknown config key 'OLD_KEY_OF_ANOTHER_TIME' (checkpoint); video-rs options"),
        ("RNG_SEED: x", "RNG_SEED is 'x' (checkpoint); allowed: a whole number"),
        ("[1", "cannot read the checkpoint's config: while parsing a flow sequence"),
    ],
)
def test_a_checkpoints_text_is_checked_like_a_file(text, message):
    assert refusal(text, call=config_from_text).startswith(message)


def test_a_key_given_twice_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("DATA:\n  NUM_FRAMES: 8\nRNG_SEED: 1\nDATA:\n  SAMPLING_RATE: 4\n")
    with pytest.raises(
        InputError, match=r"cannot read .*twice\.yaml: 'DATA' is given twice, again in line 4; join the two"
    ):
        load_config(path)
