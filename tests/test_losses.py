"""Cross-entropy against the soft-target formula, computed in float64 by hand."""

import numpy as np
import pytest
import torch

from video_rs.engine.losses import cross_entropy, soft_targets


def soft_target_loss(logits, labels, smoothing):
    """``-sum(q * log softmax)`` with q = (1 - s) * one-hot + s / K, in float64."""
    logits = logits.double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    classes = logits.shape[1]
    q = np.full_like(log_p, smoothing / classes)
    q[np.arange(len(q)), labels.numpy()] += 1 - smoothing
    return -(q * log_p).sum(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_equals_the_soft_target_formula(smoothing, classes):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, classes, generator=generator)
    labels = torch.randint(classes, (5,), generator=generator)
    loss = cross_entropy(logits, labels, smoothing)
    assert loss.shape == (5,)
    assert loss.dtype == torch.float32
    # float32 rounding of terms of size 10.
    np.testing.assert_allclose(loss.numpy(), soft_target_loss(logits, labels, smoothing), rtol=1e-5, atol=1e-6)


def test_literal_values():
    logits = torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]])
    labels = torch.tensor([1, 0])
    expected = torch.tensor([np.log(2), np.log(4 / 3)], dtype=torch.float32)
    torch.testing.assert_close(cross_entropy(logits, labels), expected)
    # Smoothed by 0.5: targets 3/4 and 1/4.
    smoothed = 0.75 * np.log(4 / 3) + 0.25 * np.log(4)
    assert cross_entropy(logits, labels, 0.5)[1].item() == pytest.approx(smoothed, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(dtype):
    logits = torch.tensor([[10.0, 1.0, -3.0], [0.5, 0.25, 60.0]], dtype=dtype)
    labels = torch.tensor([1, 0])
    loss = cross_entropy(logits, labels, 0.1)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, cross_entropy(logits.float(), labels, 0.1))
    # Half precision itself would be off by its own step, 4e-3 and more at these sizes.
    np.testing.assert_allclose(loss.numpy(), soft_target_loss(logits, labels, 0.1), rtol=1e-6)


def test_gradient_is_probability_minus_target():
    logits = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    cross_entropy(logits, torch.tensor([2]), 0.3).sum().backward()
    expected = logits.detach().softmax(1) - torch.tensor([[0.1, 0.1, 0.8]])
    # The loss passes through float32.
    torch.testing.assert_close(logits.grad, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_soft_targets_are_those_of_the_formula(smoothing, classes):
    labels = torch.arange(5) % classes
    targets = soft_targets(labels, classes, smoothing)
    assert (targets.dtype, targets.shape) == (torch.float32, (5, classes))
    for i, label in enumerate(labels.tolist()):
        for k in range(classes):
            expected = smoothing / classes + (1 - smoothing if k == label else 0)
            assert targets[i, k].item() == pytest.approx(expected, abs=1e-7)  # float32 rounding


def test_soft_targets_of_no_clip():
    assert soft_targets(torch.zeros(0, dtype=torch.int64), 3, 0.1).shape == (0, 3)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_soft_targets_give_the_loss_of_their_labels(smoothing, classes):
    """Smoothed once: the smoothing that is handed to the loss as well must not count again."""
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(5, classes, generator=generator)
    labels = torch.randint(classes, (5,), generator=generator)
    targets = soft_targets(labels, classes, smoothing)
    loss = cross_entropy(logits, targets, smoothing)
    assert (loss.dtype, loss.shape) == (torch.float32, (5,))
    assert torch.equal(loss, cross_entropy(logits, targets))
    # The same terms in another order: float32 rounding at sizes of 10.
    torch.testing.assert_close(loss, cross_entropy(logits, labels, smoothing), rtol=1e-5, atol=1e-6)


def test_soft_targets_literal_values():
    logits = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.bfloat16).float()
    targets = torch.tensor([[0.25, 0.75]])
    log_p = logits.double().log_softmax(1)[0]
    expected = -(0.25 * log_p[0] + 0.75 * log_p[1]).item()
    assert cross_entropy(logits, targets, 0.3).item() == pytest.approx(expected, rel=1e-6)
    half = cross_entropy(logits.bfloat16(), targets.double())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(expected, rel=1e-6)


def test_gradient_towards_soft_targets_is_probability_minus_target():
    logits = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[0.5, 0.2, 0.3]])
    cross_entropy(logits, targets).sum().backward()
    # The loss passes through float32.
    torch.testing.assert_close(logits.grad, logits.detach().softmax(1) - targets, rtol=1e-6, atol=1e-6)
