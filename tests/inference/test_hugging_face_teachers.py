"""Video classifiers of transformers as teachers: small random ones, saved into folders and loaded from there."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from video_rs.inference.teachers import load_teacher
from video_rs.inference.teachers.hugging_face import HubFolder, _preprocessing
from video_rs.runtime.errors import InputError

transformers = pytest.importorskip("transformers")

NAMES = ("run", "jump", "sit")
SMALL = {
    "num_hidden_layers": 1,
    "hidden_size": 24,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: number for number, name in enumerate(NAMES)},
}
# Name -> class of the network, its configuration, class of the processor, its settings, stride.
KINDS = {
    "videomae": (
        "VideoMAEForVideoClassification",
        transformers.VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, tubelet_size=2, **SMALL),
        "VideoMAEVideoProcessor",
        4,
    ),
    "timesformer": (
        "TimesformerForVideoClassification",
        transformers.TimesformerConfig(image_size=32, patch_size=16, num_frames=4, **SMALL),
        "TimesformerVideoProcessor",
        32,
    ),
    "vivit": (
        "VivitForVideoClassification",
        transformers.VivitConfig(image_size=32, num_frames=4, tubelet_size=[2, 16, 16], **SMALL),
        "VivitVideoProcessor",
        2,
    ),
    "vjepa2": (
        "VJEPA2ForVideoClassification",
        transformers.VJEPA2Config(
            crop_size=32,
            patch_size=16,
            frames_per_clip=4,
            tubelet_size=2,
            num_pooler_layers=1,
            pred_hidden_size=24,
            pred_num_attention_heads=2,
            pred_num_hidden_layers=1,
            mlp_ratio=1.0,
            **SMALL,
        ),
        "VJEPA2VideoProcessor",
        4,
    ),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """``saved(kind)``: folder, network and processor."""
    made = {}

    def save(kind):
        if kind not in made:
            network, config, processor, _ = KINDS[kind]
            folder = tmp_path_factory.mktemp(kind)
            torch.manual_seed(0)
            model = getattr(transformers, network)(config).eval()
            # Answers that differ from video to video.
            with torch.no_grad():
                model.classifier.weight.normal_(std=0.3)
            model.save_pretrained(folder)
            scaling = getattr(transformers, processor)(
                size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
            )
            scaling.save_pretrained(folder)
            made[kind] = folder, model, scaling
        return made[kind]

    return save


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_answers_as_its_network_does_behind_its_own_processor(saved, kind):
    folder, model, processor = saved(kind)
    teacher = load_teacher(str(folder), "cpu")
    assert teacher.label_names == NAMES
    assert not teacher.multi_label
    assert len(teacher.sha256) == 64
    preprocessing = teacher.preprocessing
    assert (preprocessing.clip.num_frames, preprocessing.clip.sampling_rate) == (4, KINDS[kind][3])
    assert preprocessing.clip_shape(2) == (2, 3, 4, 32, 32)

    clips = torch.randint(0, 256, (2, 3, 4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    frames = list(clips.transpose(1, 2))
    # Frames of the crop's size: the processor only scales the values.
    inputs = processor(frames, do_resize=False, do_center_crop=False, return_tensors="pt")
    name = "pixel_values_videos" if kind == "vjepa2" else "pixel_values"
    assert torch.equal(teacher.probabilities.pixels(clips), inputs[name])
    with torch.no_grad():
        expected = model(**inputs).logits.softmax(1)
    found = teacher.probabilities(clips)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert found.dtype == torch.float32
    assert (expected[0] - expected[1]).abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_resized_and_cropped_as_the_processor_does(saved, kind):
    folder, _, processor = saved(kind)
    teacher = load_teacher(str(folder), "cpu")
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 60, 80, 3), dtype=np.uint8))
    (crop,) = teacher.preprocessing.transform(frames)
    found = teacher.probabilities.pixels(crop[None])
    inputs = processor([frames.permute(0, 3, 1, 2)], return_tensors="pt")
    expected = inputs["pixel_values_videos" if kind == "vjepa2" else "pixel_values"]
    # Both are torchvision's bilinear filter with antialiasing, on the same bytes.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_what_is_no_part_of_the_network_makes_no_other_teacher(saved, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(saved("videomae")[0], folder)
    digest = load_teacher(str(folder), "cpu").sha256
    (folder / "README.md").write_text("what it is")
    assert load_teacher(str(folder), "cpu").sha256 == digest

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=0))
    assert load_teacher(str(folder), "cpu").sha256 != digest


def test_a_network_that_does_not_say_how_long_a_clip_is(saved):
    folder, _, processor = saved("videomae")
    without = SimpleNamespace(model_type="videomae")
    with pytest.raises(InputError, match=r"a clip has; add num_frames or frames_per_clip to its config\.json$"):
        _preprocessing(HubFolder("somewhere", folder, ""), without, processor)


def test_a_repository_is_fetched_as_a_folder(saved, monkeypatch):
    import huggingface_hub

    folder, *_ = saved("videomae")
    asked = []

    def fetch(name, allow_patterns):
        asked.append((name, tuple(allow_patterns)))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    teacher = load_teacher("somebody/videomae", "cpu")
    assert (teacher.source, teacher.label_names) == ("somebody/videomae", NAMES)
    assert asked == [("somebody/videomae", ("*.json", "*.safetensors", "pytorch_model*.bin"))]


def test_a_folder_of_an_image_processor_is_read(saved, tmp_path):
    """Older folders have preprocessor_config.json alone."""
    _, model, _ = saved("videomae")
    model.save_pretrained(tmp_path)
    transformers.VideoMAEImageProcessor(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}, image_mean=[0.1, 0.2, 0.3]
    ).save_pretrained(tmp_path)
    assert load_teacher(str(tmp_path), "cpu").preprocessing.mean == (0.1, 0.2, 0.3)


def test_a_network_without_a_trained_classifier_is_refused(tmp_path):
    transformers.VideoMAEModel(KINDS["videomae"][1]).save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match=r"has no weights for classifier.bias, classifier.weight.*not trained to classify"
    ):
        load_teacher(str(tmp_path), "cpu")


def test_folders_that_lack_something_are_refused(saved, tmp_path):
    _, model, _ = saved("videomae")
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"has no processor that can be used.*preprocessor_config.json"):
        load_teacher(str(tmp_path), "cpu")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="holds no video classifier that transformers reads"):
        load_teacher(str(tmp_path), "cpu")
