"""The configurations of the additive study: each is its predecessor and one change."""

import itertools

import pytest

from helpers.tools import ROOT
from video_rs.builders import build_architecture
from video_rs.config import load_config
from video_rs.studies.additive import LADDERS, STEPS, Ladder, row_configs

# What each row changes beside its predecessor: key -> the value before, the value now. Row 4 changes a pair.
KINETICS = {
    "01_dropout": {"MODEL.DROPOUT": (0.0, 0.5)},
    "02_label_smoothing": {"SOLVER.LABEL_SMOOTHING": (0.0, 0.1)},
    "03_stochastic_depth": {"MODEL.STOCHASTIC_DEPTH": (0.0, 0.1)},
    "04_ema": {"MODEL.NORM_MOMENTUM": (0.1, 1.0), "SOLVER.EMA_DECAY": (0.0, 0.9999)},
    "05_weight_decay": {"SOLVER.WEIGHT_DECAY": (1e-4, 4e-5)},
    "06_more_epochs": {"SOLVER.MAX_EPOCH": (200, 350)},
    "07_scale_jittering": {"DATA.TRAIN_JITTER_AREA": ([0.49, 1.0], [0.08, 1.0])},
    "08_squeeze_excitation": {"MODEL.SE_RATIO": (None, 0.25)},
    "09_resnet_d": {"MODEL.STEM": (None, "deep")},
}
SMALL = {
    **KINETICS,
    "04_ema": {"MODEL.NORM_MOMENTUM": (0.1, 1.0), "SOLVER.EMA_DECAY": (0.0, 0.998)},
    "06_more_epochs": {"SOLVER.MAX_EPOCH": (17, 30)},
    "08_squeeze_excitation": {"MODEL.SE_RATIO": (0.0, 0.25)},
    "09_resnet_d": {"MODEL.STEM": ("plain", "deep")},
}


@pytest.mark.parametrize(("ladder", "changes"), [("kinetics", KINETICS), ("small", SMALL)])
def test_each_row_is_the_one_before_and_the_named_change(ladder, changes):
    rows = {name: config.flat() for name, config in row_configs(Ladder(ladder)).items()}
    assert list(rows) == list(STEPS)
    names = list(rows)
    for before, name in itertools.pairwise(names):
        changed = {}
        for key, value in rows[name].items():
            if value != rows[before][key]:
                changed[key] = (rows[before][key], value)
        assert changed == changes[name], name


def test_the_last_row_is_the_published_recipe():
    last = row_configs(Ladder("kinetics"))["09_resnet_d"]
    recipe = load_config("kinetics_rs.yaml")
    assert build_architecture(last) == build_architecture(recipe)
    differing = {key for key, value in last.flat().items() if value != recipe.flat()[key]}
    # The names of the same architecture, and where the run goes.
    assert differing <= {"OUTPUT_DIR", "MODEL.ARCH", "MODEL.STEM", "MODEL.SE_RATIO", "MODEL.NORM_MOMENTUM"}


@pytest.mark.parametrize("ladder", LADDERS)
def test_headers_have_the_published_number_and_how_it_is_known(ladder):
    for name, step in STEPS.items():
        header = (ROOT / "configs" / LADDERS[ladder] / f"{name}.yaml").read_text().split("\nOUTPUT_DIR")[0]
        assert f"{step.published:.1f} %" in header, name
        assert step.source in " ".join(header.replace("#", " ").split()), name
