"""Losses against their formulas, computed in float64 by hand."""

import numpy as np
import pytest
import torch

from video_rs.engine.losses import (
    SigmoidLoss,
    SoftmaxLoss,
    class_weights,
    cross_entropy,
    positive_weights,
    soft_targets,
)


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


WEIGHTS = torch.tensor([0.5, 2.0, 1.25])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softmax_loss_weighs_each_class_of_the_target(smoothing):
    logits = 3 * torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    loss = SoftmaxLoss(3, smoothing, WEIGHTS)
    log_p = logits.double().log_softmax(1).numpy()
    q = np.full((6, 3), smoothing / 3)
    q[np.arange(6), labels] += 1 - smoothing
    expected = -(q * WEIGHTS.double().numpy() * log_p).sum(1)
    np.testing.assert_allclose(loss(logits, labels).numpy(), expected, rtol=1e-5, atol=1e-6)
    # Mixing works on the soft targets: the same loss.
    np.testing.assert_allclose(loss(logits, loss.soft(labels)).numpy(), expected, rtol=1e-5, atol=1e-6)
    unweighted = SoftmaxLoss(3, smoothing)
    assert torch.equal(unweighted(logits, labels), cross_entropy(logits, labels, smoothing))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_sigmoid_loss_is_the_mean_binary_cross_entropy_over_the_classes(smoothing, weights):
    logits = 3 * torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], dtype=torch.uint8)
    loss = SigmoidLoss(smoothing, weights)
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    y = labels.double().numpy() * (1 - smoothing) + smoothing / 2
    w = np.ones(3) if weights is None else weights.double().numpy()
    expected = -(w * y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1)
    got = loss(logits, labels)
    assert (got.dtype, got.shape) == (torch.float32, (4,))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss(logits, loss.soft(labels)).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert loss(logits.bfloat16(), labels).dtype == torch.float32


def test_hits():
    logits = torch.tensor([[0.1, 0.9, 0.0], [3.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
    assert SoftmaxLoss(3).hits(logits, torch.tensor([1, 2, 2])) == 2
    several = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=torch.uint8)
    assert SigmoidLoss().hits(logits, several) == 2


def test_class_weights():
    """Counts 6, 3, 1: with power 1 all classes weigh alike in sum, and the mean over the ten videos is 1."""
    assert class_weights([6, 3, 1], 1).tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])  # n / (K * count)
    half = class_weights([4, 1], 0.5).tolist()  # 1/2 and 1, whose mean over the videos is 3/5
    assert half == pytest.approx([5 / 6, 5 / 3])
    assert class_weights([4, 1, 7], 0).tolist() == [1, 1, 1]
    assert class_weights([4, 1, 0], 1).tolist() == pytest.approx([5 / 8, 5 / 2, 5 / 2])


def test_positive_weights_are_the_odds_against_a_class():
    assert positive_weights([2, 5, 8], 10, 1).tolist() == pytest.approx([4, 1, 0.25])
    assert positive_weights([2, 5, 8], 10, 0.5).tolist() == pytest.approx([2, 1, 0.5])
    assert positive_weights([2, 5, 8], 10, 0).tolist() == [1, 1, 1]
    assert positive_weights([0, 10], 10, 1).tolist() == pytest.approx([10, 0.1])
