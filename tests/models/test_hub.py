"""The entry points of hubconf.py, through torch.hub itself."""

import runpy

import pytest
import torch

from helpers.tools import ROOT
from video_rs import create_model, list_models


@pytest.fixture(scope="module")
def entry_points():
    """``{name: function}`` as torch.hub finds them: what can be called and has no underscore before its name."""
    names = runpy.run_path(str(ROOT / "hubconf.py"))
    return {name: value for name, value in names.items() if callable(value) and not name.startswith("_")}


def load(name, *args, **kwargs):
    return torch.hub.load(str(ROOT), name, *args, source="local", **kwargs)


def test_every_model_is_an_entry_point(entry_points):
    assert set(entry_points) == {*list_models(), "create_model", "create_backbone", "from_pretrained", "list_models"}


@pytest.mark.parametrize("by_name", [True, False])
def test_a_model_is_that_of_create_model(by_name):
    torch.manual_seed(3)
    expected = create_model("r3d_rs_tiny", 5, width=0.125)
    torch.manual_seed(3)
    if by_name:
        model = load("r3d_rs_tiny", num_classes=5, width=0.125)
    else:
        model = load("create_model", "r3d_rs_tiny", 5, width=0.125)
    assert model.backbone.architecture == expected.backbone.architecture
    states = (model.state_dict(), expected.state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_backbone_gives_the_features_asked_for():
    backbone = load("create_backbone", "r3d_rs_tiny", ("res3",), width=0.125)
    assert list(backbone(torch.rand(2, 3, 4, 32, 32))) == ["res3"]


def test_the_network_of_the_readme_is_that_of_the_zoo():
    with torch.device("meta"):
        model = load("r3d_rs_50")
    assert sum(weight.numel() for weight in model.parameters()) == 48_129_840


def test_a_saved_network_is_an_entry_point_too(tmp_path):
    model = create_model("r3d_rs_tiny", 5, width=0.125)
    model.save_pretrained(tmp_path)
    assert torch.equal(load("from_pretrained", str(tmp_path)).fc.weight, model.fc.weight)


def test_an_entry_point_says_what_it_is(entry_points):
    assert "create_model('r3d_rs_50', ...)" in entry_points["r3d_rs_50"].__doc__
