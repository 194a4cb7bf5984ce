"""Entry points for ``torch.hub``: every model of the zoo by its name.

    model = torch.hub.load("OWNER/REPOSITORY", "r3d_rs_50", num_classes=400)

Arguments are those of :func:`video_rs.create_model`. PyTorch and torchvision suffice.
"""

# torch.hub lists every callable whose name does not begin with an underscore.
from functools import partial as _partial

from video_rs import create_backbone, create_model, list_models
from video_rs.models import VideoClassifier as _VideoClassifier

dependencies = ["torch", "torchvision"]

__all__ = ["create_backbone", "create_model", "from_pretrained", "list_models"]


def from_pretrained(name, **options):
    """Return VideoClassifier.from_pretrained(name, ...): a folder, a .safetensors file, or OWNER/NAME of the hub."""
    return _VideoClassifier.from_pretrained(name, **options)


for _name in list_models():
    globals()[_name] = _partial(create_model, _name)
    globals()[_name].__doc__ = f"Return create_model({_name!r}, ...); see there for the arguments."
