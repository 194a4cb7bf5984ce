"""Fine-tuning with the first parts of a backbone frozen."""

from torch import nn

from video_rs.models.resnet3d import FEATURES, MODULES, ResNet3d
from video_rs.runtime.errors import InputError


class Frozen(nn.Sequential):
    """A part that training leaves as it is: no gradients, and evaluation mode whatever ``train`` asks for.

    In evaluation mode batch norm keeps its statistics and stochastic depth is off. The names of the weights stay, and
    so do the hooks on the part, with their handles.
    """

    def __init__(self, part: nn.Sequential):
        assert type(part).forward is nn.Sequential.forward
        super().__init__()
        # The part's children under their names, and its hooks.
        self.__dict__.update(part.__dict__)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)


def freeze_stages(backbone: ResNet3d, count: int) -> None:
    """Freeze the first ``count`` parts: 1 the stem with its pooling, 2 also "res2", ... 5 also "res5" (0: nothing).

    Call this before the optimizer is made, which then does not see their weights. Loading into them works as before.

    Raises:
        InputError: fewer than 0 parts, or more than the backbone has.
    """
    parts = FEATURES[: len(backbone.stages) + 1]
    if not 0 <= count <= len(parts):
        raise InputError(f"{count} parts to freeze; allowed: 0 to {len(parts)} ({', '.join(parts)})")

    for part in parts[:count]:
        for name in MODULES[part]:
            module = getattr(backbone, name)
            if isinstance(module, nn.Sequential):  # a pooling without weights has nothing to freeze
                setattr(backbone, name, Frozen(module))
