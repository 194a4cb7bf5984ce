"""timm's image ResNet-RS with random weights and statistics: what inflated networks are compared with."""

import timm
import torch
from safetensors.torch import save_file

from helpers.networks import randomized

SMALL = {"depths": (1, 2, 1, 1)}


def image_network(depth=50, dtype=torch.float64, **overrides):
    """timm's ``resnetrs{depth}`` in evaluation mode.

    What it computes depends on the picture at any depth, and its branches are weak enough for the numbers to stay of
    order one: squeeze-and-excitation turns the last bit of a large number into a large difference.
    """
    with torch.device("meta"):  # timm's own initial weights would take longer than the test
        network = timm.create_model(f"resnetrs{depth}", **overrides)
    network = network.to(dtype).to_empty(device="cpu")
    return randomized(network, depth, last_norm="bn3.weight")


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
