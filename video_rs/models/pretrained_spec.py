"""What pretrained weights were trained with, for whoever prepares clips for them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PretrainedSpec:
    """The clips and classes that weights were trained for; what their source does not say is None.

    Attributes:
        source: where the weights are from, for messages.
        mean, std: of each channel, for values in ``value_range``.
        value_range: lowest and highest value of a pixel before normalisation.
        num_frames: frames of a clip.
        sampling_rate: frames of the video per frame of the clip.
        short_side: pixels of the short side that frames are resized to before they are cropped in testing.
        crop_size: pixels of the square that training crops.
        test_crop_size: pixels of the square that testing by several crops takes.
        label_names: of the classifier's classes, in their order.
    """

    source: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    value_range: tuple[float, float] = (0.0, 1.0)
    num_frames: int | None = None
    sampling_rate: int | None = None
    short_side: int | None = None
    crop_size: int | None = None
    test_crop_size: int | None = None
    label_names: tuple[str, ...] | None = None
