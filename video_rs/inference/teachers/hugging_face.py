"""Video classifiers of the transformers package as teachers.

The network and its processor are loaded from a folder. The frames are chosen, resized and cropped as all videos here
are; the values of the pixels are then scaled by the processor's own function.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.data.eval_transform import EvalTransform
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.data.teacher import Teacher
from video_rs.engine.probabilities import ClassProbabilities
from video_rs.inference.conversion import missing
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence
from video_rs.runtime.wording import first_names

# Stride of the frames of a clip, which no folder says: VideoMAE (Tong et al. 2022, 16 x 4 on Kinetics), TimeSformer
# (Bertasius et al. 2021, 8 x 32), ViViT (Arnab et al. 2021, 32 x 2), V-JEPA 2 (Assran et al. 2025, 16 x 4 on Kinetics).
STRIDES = {"videomae": 4, "timesformer": 32, "vivit": 2, "vjepa2": 4}
OTHER_STRIDE = 4
# Clips of a video, spread over it; one crop each.
CLIPS = 4
# Under which names networks have the number of frames of a clip.
FRAMES = ("num_frames", "frames_per_clip")


@dataclass(frozen=True)
class HubFolder:
    """A folder as the transformers package writes it.

    Attributes:
        source: as given, for messages.
        path: where it lies.
        sha256: of its files.
    """

    source: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class TransformersScorer:
    """A network of transformers as testing calls networks.

    Attributes:
        model: of a video classifier.
        processor: that goes with it.
        probabilities: logits -> probabilities.
    """

    model: nn.Module
    processor: Any
    probabilities: ClassProbabilities

    @torch.no_grad()
    def __call__(self, views: Tensor) -> Tensor:
        """Return the probabilities of uint8 views ``[B, 3, T, h, w]``, float32 ``[B, K]``."""
        pixels = self.pixels(views.to(self.model.device))
        return self.probabilities(self.model(**{self.model.main_input_name: pixels}).logits)

    def pixels(self, views: Tensor) -> Tensor:
        """Return what the network sees of uint8 views ``[B, 3, T, h, w]``: float32 ``[B, T, 3, h, w]``."""
        batch, channels, frames, height, width = views.shape
        images = views.transpose(1, 2).reshape(batch * frames, channels, height, width)
        processor = self.processor
        scaled = processor.rescale_and_normalize(
            images,
            processor.do_rescale,
            processor.rescale_factor,
            processor.do_normalize,
            # Tuples, as the processor itself hands them on.
            tuple(processor.image_mean),
            tuple(processor.image_std),
        )
        return scaled.float().reshape(batch, frames, channels, height, width)


def load_hugging_face(folder: HubFolder, device: str) -> Teacher:
    """Return the video classifier of a folder.

    Raises:
        InputError: transformers is not installed, or the folder holds no whole video classifier with its processor.
    """
    if missing(["transformers"]):
        raise InputError(
            f"{folder.source} is a network of transformers, not installed here; pip install 'video_rs[teachers]'"
        )
    picked = pick_device(device)
    model = _load_model(folder)
    processor = _load_processor(folder)
    config = model.config
    multi_label = getattr(config, "problem_type", None) == "multi_label_classification"

    names = tuple(config.id2label[index] for index in range(config.num_labels))
    scorer = TransformersScorer(model.to(picked).eval(), processor, ClassProbabilities(multi_label))
    return Teacher(folder.source, folder.sha256, names, multi_label, _preprocessing(folder, config, processor), scorer)


def _load_model(folder: HubFolder) -> nn.Module:
    """Return the network, whole."""
    from transformers import AutoModelForVideoClassification

    try:
        model, info = AutoModelForVideoClassification.from_pretrained(
            folder.path, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises errors of many kinds on foreign folders
        raise InputError(
            f"{folder.source} holds no video classifier that transformers reads ({first_sentence(error)}); take a "
            "repository or folder of AutoModelForVideoClassification"
        ) from error

    # Transformers would draw random numbers in their place.
    absent = sorted(info["missing_keys"])
    if absent:
        raise InputError(
            f"{folder.source} has no weights for {first_names(absent, 3)}: it was not trained to classify; take a "
            "fine-tuned network"
        )
    return model


def _load_processor(folder: HubFolder) -> Any:
    """Return the video processor, or the image processor of an older folder."""
    from transformers import AutoImageProcessor, AutoVideoProcessor

    reasons = []
    for kind in (AutoVideoProcessor, AutoImageProcessor):
        try:
            processor = kind.from_pretrained(folder.path, local_files_only=True)
        except Exception as error:  # noqa: BLE001 - transformers raises errors of many kinds on foreign folders
            reasons.append(first_sentence(error))
            continue
        if hasattr(processor, "rescale_and_normalize"):
            return processor
        reasons.append(f"{type(processor).__name__} scales no tensors")
    raise InputError(
        f"{folder.source} has no processor that can be used ({'; '.join(reasons)}); add its preprocessor_config.json "
        "or video_preprocessor_config.json"
    )


def _preprocessing(folder: HubFolder, config: Any, processor: Any) -> Preprocessing:
    """Return the clips, and the size and the crops that the processor makes."""
    frames = next((getattr(config, name) for name in FRAMES if hasattr(config, name)), None)
    if frames is None:
        raise InputError(
            f"{folder.source} does not say how many frames a clip has; add {' or '.join(FRAMES)} to its config.json"
        )

    size = _plain(processor.size)
    crop = _plain(processor.crop_size) if processor.do_center_crop else size
    crop_size = crop.get("height") or crop["shortest_edge"]
    # A processor that squeezes frames to a square is followed by a crop of that size.
    short_side = size.get("shortest_edge") or size["height"]
    clip = ClipSpec(frames, STRIDES.get(config.model_type, OTHER_STRIDE), "repeat", "frames")
    # Frames are resized with antialiasing, as the processors do.
    transform = EvalTransform(max(short_side, crop_size), crop_size, 1, antialias=True)
    # The values are scaled by the processor, not by these.
    return Preprocessing(clip, CLIPS, transform, tuple(processor.image_mean), tuple(processor.image_std))


def _plain(size: Any) -> Mapping[str, int]:
    """Return a processor's size as names and numbers."""
    return {name: value for name, value in dict(size).items() if value is not None}
