"""The loss of labelled and pseudo-labelled clips against formulas in float64, and in the training step."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.training import CLASSES, assert_same, make_batch, make_step, norm_network, plain_network, prepare
from video_rs.data.mixing import Mixing
from video_rs.engine.objectives import Classification, PseudoLabelled, PseudoLabels, Ratio
from video_rs.engine.objectives.losses import SigmoidLoss, SoftmaxLoss

FIRST = 10
SOFT = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]])


@dataclass
class Batch:
    clips: Tensor
    labels: Tensor
    records: Tensor
    size: int
    failures: list = field(default_factory=list)
    videos: list = field(default_factory=list)


def batch_of(records, seed=0, size=None):
    plain = make_batch(seed, len(records))
    return Batch(plain.clips, plain.labels, torch.tensor(records, dtype=torch.int64), size or len(records))


def double(clips):
    return clips.double() / 255


def objective(pseudo, smoothing=0.1, mix=None, cast=double, loss=None):
    return PseudoLabelled(loss or SoftmaxLoss(CLASSES, smoothing), cast, pseudo, mix)


def step_of(model, pseudo, mix=None, **settings):
    step = make_step(model, label_smoothing=0.1, **settings)
    step.objective = objective(pseudo, mix=mix, cast=prepare)
    step.model.train()
    return step


def log_softmax(logits):
    logits = logits.detach().double().numpy()
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def cross_entropies(logits, targets, smoothing):
    smoothed = np.asarray(targets, dtype=np.float64) * (1 - smoothing) + smoothing / CLASSES
    return -(smoothed * log_softmax(logits)).sum(1)


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_losses_and_what_is_logged_by_hand(soft, weight):
    batch = batch_of([3, FIRST + 2, FIRST, 9, FIRST + 1])
    model = plain_network().double()
    pseudo = PseudoLabels(FIRST, SOFT if soft else None, weight)
    losses = objective(pseudo)(model, batch, torch.Generator())

    logits = model(double(batch.clips))
    targets = np.eye(CLASSES)[batch.labels.numpy()]
    if soft:
        targets[[1, 2, 4]] = SOFT.double().numpy()[[2, 0, 1]]
    expected = cross_entropies(logits, targets, 0.1)
    weights = np.array([1, weight, weight, 1, weight])
    # The soft labels are float32.
    np.testing.assert_allclose(losses.per_clip.detach().numpy(), expected * weights, rtol=1e-6)

    hits = (logits.argmax(1) == batch.labels).numpy()
    ratios = {name: (float(ratio.total), float(ratio.count)) for name, ratio in losses.ratios.items()}
    assert set(ratios) == set(PseudoLabelled.logged)
    assert ratios["top1"] == (hits[[0, 3]].sum(), 2)
    assert ratios["agreement"] == (hits[[1, 2, 4]].sum(), 3)
    assert ratios["labelled_loss"] == (pytest.approx(expected[[0, 3]].sum(), rel=1e-6), 2)
    assert ratios["pseudo_loss"] == (pytest.approx(expected[[1, 2, 4]].sum(), rel=1e-6), 3)
    assert ratios["pseudo_share"] == (3, 5)


def test_the_gradient_is_weighted_too():
    """Of a softmax it is the probability less the smoothed target, times the clip's weight."""
    logits = torch.randn(3, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    batch = batch_of([0, FIRST, FIRST + 2])
    pseudo = PseudoLabels(FIRST, SOFT, 0.25)
    objective(pseudo)(lambda _: logits, batch, torch.Generator()).per_clip.sum().backward()
    targets = torch.stack([torch.eye(CLASSES)[batch.labels[0]], SOFT[0], SOFT[2]]).double() * 0.9 + 0.1 / CLASSES
    expected = (logits.detach().softmax(1) - targets) * torch.tensor([[1.0], [0.25], [0.25]])
    torch.testing.assert_close(logits.grad, expected, rtol=1e-6, atol=1e-8)


def halves(clips, targets, generator):
    """A quarter of the clip before."""
    return 0.75 * clips + 0.25 * clips.roll(1, 0), 0.75 * targets + 0.25 * targets.roll(1, 0)


def test_targets_and_weights_are_mixed_as_the_clips_are():
    batch = batch_of([0, FIRST, 5, FIRST + 1])
    model = plain_network().double()
    losses = objective(PseudoLabels(FIRST, SOFT, 0.5), mix=halves)(model, batch, torch.Generator())

    own = np.eye(CLASSES)[batch.labels.numpy()]
    own[[1, 3]] = SOFT.double().numpy()[[0, 1]]
    targets = 0.75 * own + 0.25 * np.roll(own, 1, axis=0)
    clips = double(batch.clips)
    logits = model(0.75 * clips + 0.25 * clips.roll(1, 0))
    # Each labelled clip has a pseudo-labelled one before it, and the other way round.
    weights = np.array([0.875, 0.625, 0.875, 0.625])
    expected = cross_entropies(logits, targets, 0.1) * weights
    np.testing.assert_allclose(losses.per_clip.detach().numpy(), expected, rtol=1e-6)
    assert float(losses.ratios["top1"].total) == (logits.argmax(1) == batch.labels)[[0, 2]].sum()


@pytest.mark.parametrize("mix", [None, Mixing(0.8), Mixing(cutmix_alpha=1.0), Mixing(0.8, 1.0, 0.7)])
def test_with_weight_1_and_hard_labels_it_is_classification(mix):
    batch = batch_of([0, FIRST, 5, FIRST + 1])
    model = plain_network().double()
    generator = [torch.Generator().manual_seed(3) for _ in range(2)]
    ours = objective(PseudoLabels(FIRST), mix=mix)(model, batch, generator[0])
    plain = Classification(SoftmaxLoss(CLASSES, 0.1), double, mix)(model, batch, generator[1])
    # The targets are float32 of 0 and 1, and mixed in float32.
    torch.testing.assert_close(ours.per_clip, plain.per_clip, rtol=1e-6, atol=1e-7)
    assert torch.equal(generator[0].get_state(), generator[1].get_state())
    total = ours.ratios["top1"].total + ours.ratios["agreement"].total
    assert total == plain.ratios["top1"].total


@pytest.mark.parametrize("records", [[0, 1, 2], [FIRST, FIRST + 1, FIRST + 2]])
def test_a_batch_of_one_kind_logs_nothing_of_the_other(records):
    losses = objective(PseudoLabels(FIRST, SOFT))(plain_network().double(), batch_of(records), torch.Generator())
    ratios = {name: (float(ratio.total), float(ratio.count)) for name, ratio in losses.ratios.items()}
    absent = ("labelled_loss", "top1") if records[0] else ("pseudo_loss", "agreement")
    assert [ratios[name] for name in absent] == [(0, 0)] * 2
    assert ratios["pseudo_share"] == (3 if records[0] else 0, 3)


def test_several_classes_a_clip():
    """Soft labels of sigmoids need not sum to one; a clip agrees where the top class is one of its own."""
    soft = torch.tensor([[0.9, 0.8, 0.1]])
    labels = torch.tensor([[1, 0, 0], [1, 1, 0]], dtype=torch.uint8)
    batch = replace(batch_of([0, FIRST]), labels=labels)
    logits = torch.tensor([[0.1, 2.0, -1.0], [0.3, 1.0, 0.2]], dtype=torch.float64)
    losses = objective(PseudoLabels(FIRST, soft, 2.0), loss=SigmoidLoss(0.2))(
        lambda _: logits, batch, torch.Generator()
    )
    targets = np.array([[1.0, 0, 0], [0.9, 0.8, 0.1]]) * 0.8 + 0.1
    p = 1 / (1 + np.exp(-logits.numpy()))
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean(1) * [1, 2]
    np.testing.assert_allclose(losses.per_clip.numpy(), expected, rtol=1e-5)
    assert (losses.ratios["top1"].total, losses.ratios["agreement"].total) == (0, 1)


def test_a_step_adds_both_kinds_over_its_micro_batches():
    pseudo = PseudoLabels(FIRST, SOFT, 0.5)
    whole, parts = step_of(plain_network(), pseudo), step_of(plain_network(), pseudo)
    for seed in range(3):
        batch = batch_of([0, FIRST, 4, FIRST + 2], seed)
        split = [
            Batch(*(value[a:b] for value in (batch.clips, batch.labels, batch.records)), b - a)
            for a, b in ((0, 1), (1, 4))
        ]
        one, several = whole([batch]), parts(split)
        assert several.loss == pytest.approx(one.loss, rel=1e-5)
        assert several.ratios["pseudo_share"] == one.ratios["pseudo_share"] == Ratio(2, 4)
        for name in ("top1", "agreement"):
            assert several.ratios[name] == one.ratios[name]
        losses = {name: one.ratios[name].total for name in ("labelled_loss", "pseudo_loss")}
        assert one.loss == pytest.approx(losses["labelled_loss"] + 0.5 * losses["pseudo_loss"], rel=1e-6)
    for name, value in parts.model.state_dict().items():
        # The same sums of gradients in another order: float32 rounding.
        torch.testing.assert_close(value, whole.model.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mix", [None, Mixing(0.8, 1.0)])
def test_an_empty_micro_batch_counts_for_nothing(mix):
    pseudo = PseudoLabels(FIRST, SOFT)
    full, gaps = step_of(norm_network(), pseudo, mix), step_of(norm_network(), pseudo, mix)
    for seed in range(3):
        batch = batch_of([0, FIRST, FIRST + 1], seed)
        expected = full([batch])
        assert gaps([replace(batch, size=5), batch_of([], size=4)]) == replace(expected, failed=6)
    assert_same(gaps.model.state_dict(), full.model.state_dict())


def test_soft_labels_of_clips_that_are_weighted_by_class():
    """The weight of a soft target is the mean of the classes' weights under it."""
    weights = torch.tensor([1.0, 2.0, 4.0])
    logits = torch.zeros(1, CLASSES, dtype=torch.float64)
    loss = SoftmaxLoss(CLASSES, 0.0, weights)
    losses = objective(PseudoLabels(FIRST, SOFT, 0.5), loss=loss)(lambda _: logits, batch_of([FIRST + 2]), None)
    assert losses.per_clip.item() == pytest.approx(0.5 * np.log(3) * (0.3 + 0.6 + 1.6), rel=1e-6)


def test_the_network_sees_what_it_would_without_pseudo_labels():
    """Dropout draws the same, and the clips are the same."""
    seen = []
    for pseudo in (PseudoLabels(FIRST), PseudoLabels(FIRST, SOFT, 0.1)):
        model = nn.Sequential(norm_network())
        model[0][5].register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
        step_of(model, pseudo)([batch_of([0, FIRST, 4, FIRST + 2])])
    assert torch.equal(*seen)
