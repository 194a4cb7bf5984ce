"""Files of pytorchvideo, SlowFast and MMAction2, downloads, and what comes with the weights."""

import logging
import pickle

import numpy as np
import pytest
import torch

from helpers.networks import refusal
from helpers.video_networks import NARROW, NARROW_STEM, as_mmaction, as_slowfast, video_network
from video_rs import create_backbone, create_model
from video_rs.models import architecture
from video_rs.models.pretrained_spec import PretrainedSpec
from video_rs.models.weights import from_mmaction, from_pytorchvideo, from_slowfast, load_pretrained
from video_rs.models.weights.preprocessing import kinetics_label_names

GREY = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
SIZES = {"short_side": 256, "crop_size": 224}
TESTED = {**GREY, **SIZES, "test_crop_size": 256}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# How each project's files look: (names, where in the file, what is known).
FILES = {
    "pytorchvideo": (lambda state, name: state, "model_state", {**TESTED, "num_frames": 8, "sampling_rate": 8}),
    "slowfast": (as_slowfast, "model_state", TESTED),
    "mmaction": (as_mmaction, "state_dict", {**IMAGENET, **SIZES}),
}
CONVERTERS = {"pytorchvideo": from_pytorchvideo, "slowfast": from_slowfast, "mmaction": from_mmaction}


@pytest.fixture(scope="module")
def network():
    """pytorchvideo's c2d_r50, whose stages lie on both sides of the pooling."""
    return video_network("c2d_r50", 400, NARROW_STEM, dtype=torch.float32)


@pytest.fixture(scope="module")
def state(network):
    return network.state_dict()


@pytest.fixture
def write(state, tmp_path):
    """Writes a project's file; returns its path."""

    def write(kind, change=lambda state: None):
        rename, where, _ = FILES[kind]
        renamed = dict(rename(state, "c2d_r50"))
        change(renamed)
        path = tmp_path / f"{kind}.pyth"
        torch.save({where: renamed, "epoch": 196}, path)
        return path

    return write


def answer(model):
    clips = torch.rand(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.eval()(clips)


# -- Files


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_known_by_its_names(network, write, kind, caplog):
    path = write(kind)
    model = create_model("c2d_r50", 400, pretrained=path, **NARROW)
    torch.testing.assert_close(answer(model), answer(network))

    where, known = FILES[kind][1:]
    names = tuple(kinetics_label_names()) if kind == "pytorchvideo" else None
    assert model.pretrained_spec == PretrainedSpec(str(path), label_names=names, **known)
    assert model.pretrained_spec.value_range == (0, 1)
    assert [r.getMessage() for r in caplog.records] == [f"weights of {path}: taken from {where!r}"]


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("features", [("res5",), ("res3", "stem")], ids=str)
def test_a_backbone_takes_its_part_of_a_file(write, kind, features):
    path = write(kind)
    whole = create_model("c2d_r50", 400, pretrained=path, **NARROW).backbone.state_dict()
    backbone = create_backbone("c2d_r50", features, pretrained=path, **NARROW)
    assert all(torch.equal(value, whole[name]) for name, value in backbone.state_dict().items())
    assert backbone.pretrained_spec.mean == FILES[kind][2]["mean"]
    converted = CONVERTERS[kind](FILES[kind][0](torch.load(path)[FILES[kind][1]], "c2d_r50"), backbone)
    assert list(converted) == list(backbone.state_dict())


def test_other_classes_start_afresh_and_are_said_once(write, caplog):
    path = write("mmaction")
    model = create_model("c2d_r50", 7, pretrained=path, **NARROW)
    assert model.fc.weight.shape == (7, 256)
    assert [(r.levelno, r.getMessage()) for r in caplog.records][1:] == [
        (
            logging.WARNING,
            f"the classifier (fc) in {path} has 400 classes, the model 7: it starts afresh, all other weights are "
            "loaded",
        )
    ]


def test_classes_of_kinetics_are_taken_over_by_their_names(write, state):
    model = create_model("c2d_r50", 3, **NARROW)
    _, words = load_pretrained(model, write("pytorchvideo"), label_names=["zumba", "my class", "abseiling"])
    assert words == "other classes: 2 of 3 classes are taken over by their names, and start afresh: 'my class'"
    there = state["blocks.6.proj.weight"]
    assert torch.equal(model.fc.weight[0], there[399])
    assert torch.equal(model.fc.weight[2], there[0])


def test_the_names_of_kinetics_are_alphabetical():
    names = kinetics_label_names()
    assert len(names) == 400
    assert names == sorted(names)


def test_missing_batch_counters_count_from_zero(write):
    def drop(state):
        for name in list(state):
            if name.endswith("num_batches_tracked"):
                del state[name]

    model = create_model("c2d_r50", 400, pretrained=write("slowfast", drop), **NARROW)
    counters = [value for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")]
    assert [value.item() for value in counters] == [0] * len(counters)


def test_a_checkpoint_of_this_project_says_what_it_was_trained_with(tmp_path):
    preprocessing = {"mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0, 1.0], "clip": {"num_frames": 4, "sampling_rate": 2}}
    weights = create_model("r3d_rs_tiny", 2).state_dict()
    torch.save(
        {"model": weights, "preprocessing": preprocessing, "label_names": ["a", "b"]},
        tmp_path / "own.pth",
    )
    model = create_model("r3d_rs_tiny", 2, pretrained=tmp_path / "own.pth")
    known = {"mean": (0.5, 0.5, 0.5), "std": (1.0, 1.0, 1.0), "num_frames": 4, "sampling_rate": 2}
    assert model.pretrained_spec == PretrainedSpec(str(tmp_path / "own.pth"), label_names=("a", "b"), **known)
    torch.save(weights, tmp_path / "plain.pth")
    assert create_model("r3d_rs_tiny", 2, pretrained=tmp_path / "plain.pth").pretrained_spec is None
    assert create_model("r3d_rs_tiny", 2).pretrained_spec is None


# -- Refusals


LOST = {
    "pytorchvideo": ("blocks.3.res_blocks.0.branch1_conv.weight", "blocks.6.proj.bias"),
    "slowfast": ("s3.pathway0_res0.branch1.weight", "head.projection.bias"),
    "mmaction": ("backbone.layer2.0.downsample.conv.weight", "cls_head.fc_cls.bias"),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_does_not_fit_is_listed_from_both_sides_in_the_files_names(write, kind):
    kernel, bias = LOST[kind]

    def change(state):
        del state[kernel], state[bias]
        state["extra.weight"] = torch.ones(1)
        first = next(iter(state))
        state[first] = torch.ones(8, 3, 5, 7, 7)

    path = write(kind, change)
    first = {"pytorchvideo": "blocks.0.conv.weight", "slowfast": "s1.pathway0_stem.conv.weight"}
    first = first.get(kind, "backbone.conv1.conv.weight")
    message = refusal(create_model, "c2d_r50", 400, pretrained=path, **NARROW)
    assert message == (
        f"weights in {path} do not fit the model: 2 missing ({kernel}, {bias}); 1 unknown (extra.weight); "
        f"1 of another shape ({first}: [8, 3, 5, 7, 7] there, [8, 3, 1, 7, 7] here); "
        "build the model that they were made for"
    )


def test_a_network_of_another_family_is_refused_by_its_fields(write):
    path = write("slowfast")
    message = refusal(create_model, "r3d_rs_50", 400, pretrained=path)
    assert message == (
        f"weights in {path} are SlowFast's and do not fit the model: stem 'plain' there, 'deep' here; se_ratio 0.0 "
        "there, 0.25 here; self_gating False there, True here; padding 'symmetric' there, 'same' here; "
        "take slow_r50, c2d_r50 or i3d_r50"
    )
    message = refusal(create_model, "c2d_r50", 400, pretrained=path, norm_eps=1e-3, **NARROW)
    assert "are SlowFast's and do not fit the model: norm_eps 1e-05 there, 0.001 here; take " in message


def test_one_network_of_the_family_is_not_another(write):
    message = refusal(create_model, "slow_r50", 400, pretrained=write("pytorchvideo"), **NARROW)
    assert "do not fit the model: " in message
    assert " missing (blocks." in message
    assert " unknown (blocks." in message


def test_a_pickle_of_caffe2_is_refused_by_name(tmp_path):
    path = tmp_path / "SLOW_8x8_R50.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"conv1_w": np.zeros(3)}}, protocol=2))
    assert refusal(create_model, "slow_r50", 400, pretrained=path) == (
        f"{path} is no file of torch.save but a pickle, as Caffe2 writes them, and reading it could run its code; "
        "take the .pyth file of the same network, or pretrained 'pytorchvideo'"
    )


# -- Downloads


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch.hub, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(url, *args, **kwargs):
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize(
    ("name", "file"),
    [("slow_r50", "SLOW_8x8_R50.pyth"), ("c2d_r50", "C2D_8x8_R50.pyth"), ("i3d_r50", "I3D_8x8_R50.pyth")],
)
def test_without_a_network_the_line_says_which_file_belongs_where(cache, name, file):
    url = f"https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/{file}"
    assert refusal(create_model, name, 400, pretrained="pytorchvideo") == (
        f"cannot download {url} (OSError: no route to {url}); try again with a network, or put the file at "
        f"{cache / file}"
    )


def test_a_file_in_the_cache_is_taken(cache):
    network = video_network("slow_r50", dtype=torch.float32)
    cache.mkdir(parents=True)
    torch.save({"model_state": network.state_dict()}, cache / "SLOW_8x8_R50.pyth")
    model = create_model("slow_r50", pretrained="pytorchvideo")
    assert torch.equal(model.fc.weight, network.blocks[5].proj.weight)
    assert model.pretrained_spec.label_names[290] == "sharpening knives"
    backbone = create_backbone("slow_r50", ["stem"], pretrained="pytorchvideo", res5_dilation=2)
    assert torch.equal(backbone.stem[0].weight, network.blocks[0].conv.weight)


def test_what_is_downloaded_lies_in_the_cache(cache, monkeypatch, write):
    asked = []

    def download(url, target, progress):
        asked.append((url, target, progress))
        write("pytorchvideo").rename(target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    message = refusal(create_model, "c2d_r50", 400, pretrained="pytorchvideo")  # as the file is a narrow one
    target = cache / "C2D_8x8_R50.pyth"
    url = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/C2D_8x8_R50.pyth"
    assert asked == [(url, str(target), False)]
    assert message.startswith(f"weights in {target} do not fit the model: ")


@pytest.mark.parametrize(
    ("name", "overrides", "nearest"),
    [
        ("slow_r50", {"width": 0.5}, "slow_r50: width 1.0 there, 0.5 here; set width=1.0 (in a config: MODEL.WIDTH "
         "1.0), or"),
        ("c2d_r50", {"in_channels": 2, "padding": "same"}, "c2d_r50: in_channels 3 there, 2 here; padding 'symmetric' "
         "there, 'same' here; set in_channels=3, padding='symmetric' (in a config: MODEL.PADDING symmetric), or"),
        ("i3d_r50", {"temporal_strides": (1, 2, 1, 1)}, "i3d_r50: temporal_strides (1, 1, 1, 1) there, (1, 2, 1, 1) "
         "here; set temporal_strides=(1, 1, 1, 1) (in a config: MODEL.TEMPORAL_STRIDES '[1, 1, 1, 1]'), or"),
        ("slow_r50", {"width": 0.5, "dropout": 0.1, "padding": "same", "norm_eps": 1e-3, "in_channels": 2}, "slow_r50: "
         "width 1.0 there, 0.5 here; in_channels 3 there, 2 here; padding 'symmetric' there, 'same' here; norm_eps "
         "1e-05 there, 0.001 here;"),
    ],
)  # fmt: skip
def test_a_network_without_published_weights_is_refused_before_a_download(cache, name, overrides, nearest):
    assert refusal(create_model, name, 400, pretrained="pytorchvideo", **overrides) == (
        f"pytorchvideo has no network like this one; the nearest is {nearest} take slow_r50, c2d_r50, i3d_r50"
    )
    assert architecture("slow_r50", dropout=0.1).dropout == 0.1


# A config that strides in time, for which the weights fit as well.
STRIDED = {"temporal_strides": (1, 2, 1, 1)}


def test_weights_of_pytorchvideo_are_refused_by_a_network_that_strides_in_time(write):
    path = write("pytorchvideo")
    assert refusal(create_model, "c2d_r50", 400, pretrained=path, **NARROW, **STRIDED) == (
        f"weights in {path} are pytorchvideo's and do not fit the model: temporal_strides (1, 1, 1, 1) there, (1, 2, "
        "1, 1) here; set temporal_strides=(1, 1, 1, 1) (in a config: MODEL.TEMPORAL_STRIDES '[1, 1, 1, 1]')"
    )


def test_of_other_projects_nothing_says_how_they_stride_in_time(write, caplog):
    path = write("slowfast")
    with caplog.at_level(logging.WARNING):
        create_model("c2d_r50", 400, pretrained=path, **NARROW, **STRIDED)
    (said,) = [r.getMessage() for r in caplog.records if "strides" in r.getMessage()]
    assert said == (
        f"weights in {path} are SlowFast's and do not say how their network strides in time; they are right here if it "
        "had temporal_strides=(1, 2, 1, 1) (in a config: MODEL.TEMPORAL_STRIDES '[1, 2, 1, 1]')"
    )


def test_torchvisions_weights_that_cannot_be_had_are_refused(cache, monkeypatch):
    def offline(url, *args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    assert refusal(create_model, "slow_r50", 400, pretrained="torchvision") == (
        "torchvision cannot get the weights of resnet50 (OSError: no route to host); try again with a network, or give "
        "the path of a downloaded file"
    )
