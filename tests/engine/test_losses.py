"""Losses against their formulas, computed in float64 by hand."""

import numpy as np
import pytest
import torch

from video_rs.engine.objectives.losses import SigmoidLoss, SoftmaxLoss, class_weights, cross_entropy, positive_weights


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
    expected = torch.tensor([np.log(2), np.log(4 / 3)], dtype=torch.float64)
    torch.testing.assert_close(cross_entropy(logits, labels), expected)  # float64 stays float64
    torch.testing.assert_close(cross_entropy(logits.float(), labels), expected.float())
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
def test_soft_targets_give_the_loss_of_their_labels(smoothing, classes):
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(5, classes, generator=generator)
    labels = torch.randint(classes, (5,), generator=generator)
    loss = SoftmaxLoss(classes, smoothing)
    targets = loss.soft_targets(labels)
    assert (targets.dtype, targets.shape) == (torch.float32, (5, classes))
    assert targets.tolist() == [[float(k == label) for k in range(classes)] for label in labels.tolist()]
    assert (loss(logits, targets).dtype, loss(logits, targets).shape) == (torch.float32, (5,))
    # The same terms in another order: float32 rounding at sizes of 10.
    torch.testing.assert_close(loss(logits, targets), loss(logits, labels), rtol=1e-5, atol=1e-6)


def test_soft_targets_of_no_clip():
    assert SoftmaxLoss(3, 0.1).soft_targets(torch.zeros(0, dtype=torch.int64)).shape == (0, 3)


def test_smoothing_after_mixing_is_smoothing_before():
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(4))
    loss, labels = SoftmaxLoss(3, 0.3), torch.tensor([0, 2])
    mixed = loss.soft_targets(labels).lerp(loss.soft_targets(labels.flip(0)), 0.25)
    expected = 0.75 * loss(logits, labels) + 0.25 * loss(logits, labels.flip(0))
    torch.testing.assert_close(loss(logits, mixed), expected)


def test_soft_targets_literal_values():
    logits = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.bfloat16).float()
    targets = torch.tensor([[0.25, 0.75]])
    log_p = logits.double().log_softmax(1)[0]
    expected = -(0.25 * log_p[0] + 0.75 * log_p[1]).item()
    assert cross_entropy(logits, targets).item() == pytest.approx(expected, rel=1e-6)
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
def test_softmax_loss_weighs_each_clip_by_its_class(smoothing):
    logits = 3 * torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    loss, plain = SoftmaxLoss(3, smoothing, WEIGHTS), SoftmaxLoss(3, smoothing)
    expected = soft_target_loss(logits, labels, smoothing) * WEIGHTS.double().numpy()[labels]
    np.testing.assert_allclose(loss(logits, labels).numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss(logits, loss.soft_targets(labels)).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(plain(logits, labels), cross_entropy(logits, labels, smoothing))
    # A clip that is mixed of two weighs what its parts do.
    mixed = plain.soft_targets(labels).lerp(plain.soft_targets(labels.roll(1)), 0.25)
    share = 0.75 * WEIGHTS[labels] + 0.25 * WEIGHTS[labels.roll(1)]
    torch.testing.assert_close(loss(logits, mixed), plain(logits, mixed) * share)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_sigmoid_loss_is_the_mean_binary_cross_entropy_over_the_classes(smoothing, weights):
    logits = 3 * torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], dtype=torch.uint8)
    loss = SigmoidLoss(smoothing, weights)
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    truth = labels.double().numpy()
    y = truth * (1 - smoothing) + smoothing / 2
    w = np.ones((4, 3)) if weights is None else np.where(truth, weights.double().numpy(), 1)
    expected = -(w * (y * np.log(p) + (1 - y) * np.log(1 - p))).mean(1)
    got = loss(logits, labels)
    assert (got.dtype, got.shape) == (torch.float32, (4,))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss(logits, loss.soft_targets(labels)).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert loss(logits.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize("counts", [[95, 5], [100, 1], [400, 3, 60]])
def test_weights_never_make_a_rare_class_the_answer_for_others(counts):
    """Each video told apart, the best logits are those of its smoothed target, whatever its class weighs."""
    logits = torch.zeros(len(counts), len(counts), requires_grad=True)
    loss = SoftmaxLoss(len(counts), 0.1, class_weights(counts, 1))
    optimizer = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = (loss(logits, torch.arange(len(counts))) * torch.tensor(counts)).sum()
        value.backward()
        return value

    optimizer.step(closure)
    expected = torch.eye(len(counts)) * 0.9 + 0.1 / len(counts)
    torch.testing.assert_close(logits.detach().softmax(1), expected, rtol=0, atol=2e-3)


def test_positive_weights_leave_the_best_answer_where_a_class_is_absent():
    logits = torch.zeros(2, 1, requires_grad=True)
    loss = SigmoidLoss(0.1, positive_weights([2], 100, 1))
    gradient = torch.autograd.grad(loss(logits, torch.tensor([[1], [0]])).sum(), logits)[0]
    # 49 times (0.5 - 0.95) where it is there, (0.5 - 0.05) where it is not.
    assert gradient.flatten().tolist() == pytest.approx([-49 * 0.45, 0.45])


def test_hits():
    logits = torch.tensor([[0.1, 0.9, 0.0], [3.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
    assert SoftmaxLoss(3).hits(logits, torch.tensor([1, 2, 2])) == 2
    several = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=torch.uint8)
    assert SigmoidLoss().hits(logits, several) == 2
    assert SoftmaxLoss(3).counted(torch.tensor([1, 2, 2])) == 3
    assert SigmoidLoss().counted(torch.tensor([[1, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.uint8)) == 2


def test_class_weights():
    """Counts 6, 3, 1: with power 1 all classes weigh alike in sum, and the mean over the ten videos is 1."""
    assert class_weights([6, 3, 1], 1).tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])  # n / (K * count)
    half = class_weights([4, 1], 0.5).tolist()  # 1/2 and 1, whose mean over the videos is 3/5
    assert half == pytest.approx([5 / 6, 5 / 3])
    assert class_weights([4, 1, 7], 0).tolist() == [1, 1, 1]
    assert class_weights([4, 1, 0], 1).tolist()[:2] == pytest.approx([5 / 8, 5 / 2])


def test_positive_weights_are_the_odds_against_a_class():
    assert positive_weights([2, 5, 8], 10, 1).tolist() == pytest.approx([4, 1, 0.25])
    assert positive_weights([2, 5, 8], 10, 0.5).tolist() == pytest.approx([2, 1, 0.5])
    assert positive_weights([2, 5, 8], 10, 0).tolist() == [1, 1, 1]
    assert positive_weights([0, 10], 10, 1).tolist() == pytest.approx([10, 0.1])
