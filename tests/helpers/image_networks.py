"""timm's image ResNet-RS with random weights and statistics: what inflated networks are compared with."""

import timm
import torch
from safetensors.torch import save_file

SMALL = {"depths": (1, 2, 1, 1)}


def image_network(depth=50, dtype=torch.float64, **overrides):
    """timm's ``resnetrs{depth}`` in evaluation mode.

    What it computes depends on the picture at any depth, and its branches are weak enough for the numbers to stay of
    order one: squeeze-and-excitation turns the last bit of a large number into a large difference.
    """
    with torch.device("meta"):  # timm's own initial weights would take longer than the test
        network = timm.create_model(f"resnetrs{depth}", **overrides)
    network = network.to(dtype).to_empty(device="cpu")
    draw = {"generator": torch.Generator().manual_seed(depth)}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(depth)
        elif value.dim() > 1:
            value.uniform_(-1, 1, **draw).mul_((6 / value[0].numel()) ** 0.5)
        elif name.endswith("bn3.weight"):
            value.uniform_(0.1, 0.3, **draw)
        elif name.endswith(("running_var", "weight")):
            value.uniform_(0.5, 1.5, **draw)
        else:
            value.uniform_(-0.5, 0.5, **draw)
    return network.eval()


def small_image_network(dtype=torch.float64, **overrides):
    """Five blocks at full width."""
    return image_network(50, dtype, layers=SMALL["depths"], **overrides)


def write_hub(folder):
    """The files that Hugging Face's cache in ``folder`` (HF_HOME) holds once timm has downloaded resnetrs50."""
    commit = 40 * "0"
    repository = folder / "hub" / "models--timm--resnetrs50.tf_in1k"
    for part in ("refs", f"snapshots/{commit}"):
        (repository / part).mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    save_file(image_network(50, torch.float32).state_dict(), repository / "snapshots" / commit / "model.safetensors")
