"""The backbone whose maps lie in channels-last memory format."""

from torch import Tensor

from video_rs.models.fast.layout import CHANNELS_LAST
from video_rs.models.recording import is_recorded
from video_rs.models.resnet3d import ResNet3d


class FastResNet3d(ResNet3d):
    """A ResNet3d that puts the clips into channels-last memory format first, in which all further maps stay.

    Convolutions are faster on such maps, on CPUs and on GPUs, and frames can be seen as images without a copy.
    """

    def forward_stem(self, clips: Tensor) -> Tensor:
        if not is_recorded():
            clips = clips.contiguous(memory_format=CHANNELS_LAST)
        return super().forward_stem(clips)
