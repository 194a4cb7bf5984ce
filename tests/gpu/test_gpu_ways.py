"""A network on a GPU, in each way that it can be run, against the plain network in float32 on a CPU."""

import contextlib

import pytest
import torch
from torch.nn import functional

from helpers.benchmarks import like
from helpers.networks import randomized
from video_rs import create_model
from video_rs.benchmarks import network_calls
from video_rs.benchmarks.network_calls import network_on_device, runner
from video_rs.inference.full_precision import without_tf32
from video_rs.inference.judging import ROUNDING
from video_rs.inference.precision import COARSE

pytestmark = pytest.mark.gpu

CLASSES = 7
SHAPE = (2, 3, 8, 64, 64)


def make_network():
    network = create_model("r3d_rs_tiny", CLASSES, depths=(1, 1, 1, 1), width=0.125, dropout=0.0)
    return randomized(network, 0, "branch.5.weight")


def make_clips():
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def subject(device, monkeypatch):
    """``subject(way)``: the small network in a way, on the device."""
    monkeypatch.setattr(network_calls, "make_network", lambda name: make_network())
    return lambda way: like(way=way, device=device.type)


@pytest.fixture(scope="module")
def expected():
    """Logits of the plain network, float32 ``[2, 7]``, from a CPU."""
    with torch.inference_mode():
        return make_network()(make_clips())


@pytest.mark.parametrize(
    ("way", "precision"),
    [
        ("eager", torch.float32),
        ("eager", torch.bfloat16),
        ("plain", torch.float32),
        ("channels-last", torch.float32),
        ("compiled", torch.float32),
        ("CUDA graphs", torch.bfloat16),
    ],
)
def test_every_way_gives_the_logits_of_a_cpu(subject, device, expected, way, precision):
    network = network_on_device(subject(way)).eval()
    run = runner(network, way)
    clips = make_clips().to(device)
    with torch.inference_mode(), without_tf32():
        # Graphs are recorded by the second call and played by the third.
        for _ in range(3):
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                logits = run(clips).float().cpu()
    allowed = ROUNDING if precision == torch.float32 else COARSE
    assert (logits - expected).abs().max() <= allowed * expected.abs().max()


def gradients_of(run, network, device, precision):
    """Return the loss and all gradients of a training step, the latter as one vector on the CPU."""
    labels = torch.arange(SHAPE[0], device=device)
    network.zero_grad()
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        logits = run(make_clips().to(device))
    loss = functional.cross_entropy(logits.float(), labels)
    loss.backward()
    gradients = [weight.grad.detach().cpu().flatten() for weight in network.parameters()]
    return loss.item(), torch.cat(gradients)


def without_chance(network):
    """Make training steps the same again and again: no dropout, no paths that are left out, stored statistics."""
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d) or hasattr(module, "drop_rate"):
            module.eval()
    return network


@pytest.mark.parametrize(
    ("way", "precision"), [("eager", torch.float32), ("eager", torch.bfloat16), ("compiled", torch.bfloat16)]
)
def test_training_gives_the_gradients_of_a_cpu(subject, device, way, precision):
    plain = without_chance(make_network())
    loss, gradients = gradients_of(plain, plain, torch.device("cpu"), torch.float32)

    network = without_chance(network_on_device(subject(way)))
    exact = without_tf32() if precision == torch.float32 else contextlib.nullcontext()
    with exact:
        found_loss, found = gradients_of(runner(network, way), network, device, precision)
    if precision == torch.float32:
        assert found_loss == pytest.approx(loss, rel=1e-4)
        assert (found - gradients).norm() <= 1e-3 * gradients.norm()
    else:
        assert found_loss == pytest.approx(loss, rel=0.02)
        assert functional.cosine_similarity(found, gradients, 0) > 0.99
