"""The distilled loss against an independent reference in float64, with gradients, and in the training step."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.training import CLASSES, assert_same, make_batch, make_step, norm_network, plain_network, prepare, snapshot
from video_rs.data.mixing import Mixing
from video_rs.engine.memory import measure_step, probe
from video_rs.engine.objectives import Classification, Distillation, Divergence
from video_rs.engine.objectives.losses import SigmoidLoss, SoftmaxLoss
from video_rs.engine.probabilities import at_temperature

TEMPERATURES = [0.5, 1.0, 4.0, 20.0]


def draw(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_probabilities_at_a_temperature_are_those_of_divided_logits(temperature):
    logits = draw(6, 5)
    exact = softmax(logits.numpy() / temperature)
    np.testing.assert_allclose(at_temperature(logits.softmax(1), temperature).numpy(), exact, rtol=1e-12)
    given = logits.softmax(1).float()
    # A float32 probability is off by 6e-8, whose root at 0.5 is twice that.
    np.testing.assert_allclose(at_temperature(given, temperature).numpy(), exact, rtol=1e-5)
    single = at_temperature(logits.sigmoid(), temperature, multi_label=True).numpy()
    np.testing.assert_allclose(single, sigmoid(logits.numpy() / temperature), rtol=1e-9)


def test_probabilities_of_0_and_1_stay_what_they_are():
    hard = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]])
    for temperature in TEMPERATURES:
        assert at_temperature(hard, temperature).tolist() == hard.tolist()
        assert at_temperature(hard, temperature, multi_label=True).tolist() == hard.tolist()
    assert at_temperature(hard, 1.0) is hard


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_divergence_and_gradient_of_softmaxes(temperature):
    """By NumPy, by torch's own kl_div, and the gradient by Hinton's formula: T times the difference."""
    student = draw(6, 5, seed=1).requires_grad_()
    teacher = draw(6, 5, seed=2)
    divergence = Divergence(temperature)
    loss = divergence(student, divergence.soften(teacher.softmax(1)))
    loss.sum().backward()

    p, q = (softmax(logits.detach().numpy() / temperature) for logits in (teacher, student))
    expected = (p * (np.log(p) - np.log(q))).sum(1) * temperature**2
    # Small differences of terms of size 1 are multiplied by up to 400.
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-9, atol=1e-11)
    torchs = functional.kl_div(
        (student.detach() / temperature).log_softmax(1), torch.from_numpy(p), reduction="none"
    ).sum(1)
    np.testing.assert_allclose(loss.detach().numpy(), torchs.numpy() * temperature**2, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(student.grad.numpy(), temperature * (q - p), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_divergence_and_gradient_of_sigmoids(temperature):
    student = draw(6, 5, seed=1).requires_grad_()
    teacher = draw(6, 5, seed=2)
    divergence = Divergence(temperature, multi_label=True)
    loss = divergence(student, divergence.soften(teacher.sigmoid()))
    loss.sum().backward()
    p, q = (sigmoid(logits.detach().numpy() / temperature) for logits in (teacher, student))
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(1) * temperature**2
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(student.grad.numpy(), temperature * (q - p) / 5, rtol=1e-8, atol=1e-12)


def test_a_student_that_says_the_same_has_no_loss_and_a_sure_teacher_is_a_label():
    logits = draw(4, 3)
    for temperature in TEMPERATURES:
        divergence = Divergence(temperature)
        assert divergence(logits, divergence.soften(logits.softmax(1))).abs().max() < 1e-9
    labels = torch.tensor([0, 2, 1, 1])
    sure = functional.one_hot(labels, 3).double()
    expected = functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(Divergence()(logits, sure), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(dtype):
    logits = torch.tensor([[10.0, 1.0, -3.0], [0.5, 0.25, 60.0]], dtype=dtype)
    said = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    loss = Divergence(2.0)(logits, said)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, Divergence(2.0)(logits.float(), said))


# -- The objective


@dataclass
class Batch:
    clips: Tensor
    labels: Tensor
    second_clips: Tensor
    size: int
    failures: list = field(default_factory=list)
    videos: list = field(default_factory=list)


def batch_of(count, seed=0, size=None):
    """Clips of a student, and of a teacher in another form."""
    plain = make_batch(seed, count)
    second = make_batch(seed + 100, count, shape=(3, 4, 8, 8))
    return Batch(plain.clips, plain.labels, second.clips, size or count)


class Teacher(nn.Module):
    """Answers for clips of its own form, in float64 where that is asked for."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.layer = nn.Linear(3, CLASSES).to(dtype)
        self.seen = []

    def forward(self, clips):
        assert clips.dtype == torch.uint8
        self.seen.append(clips)
        values = clips.to(self.layer.weight.dtype) / 255
        return (8 * self.layer(values.mean((2, 3, 4)) ** 2)).softmax(1)


def double(clips):
    return clips.double() / 255


def objective(weight=0.75, temperature=4.0, mix=None, cast=double, teacher=None, has_labels=True, smoothing=0.1):
    loss = SoftmaxLoss(CLASSES, smoothing)
    return Distillation(loss, cast, teacher or Teacher(torch.float64), Divergence(temperature), weight, mix, has_labels)


def reference(logits, said, labels, weight, temperature, smoothing=0.1):
    """Divergences, label losses and their sum of clips, float64; ``labels`` may be soft."""
    student = logits.detach().numpy()
    p = softmax(np.log(said.numpy()) / temperature)
    q = softmax(student / temperature)
    divergence = temperature**2 * (p * np.log(p / q)).sum(1)
    smoothed = labels * (1 - smoothing) + smoothing / CLASSES
    label_losses = -(smoothed * np.log(softmax(student))).sum(1)
    return divergence, label_losses, weight * divergence + (1 - weight) * label_losses


@pytest.mark.parametrize("weight", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_loss_and_what_is_logged_by_hand(weight, temperature):
    model, teacher, batch = plain_network().double(), Teacher(torch.float64), batch_of(5)
    losses = objective(weight, temperature, teacher=teacher)(model, batch, torch.Generator())
    logits, said = model(double(batch.clips)), teacher(batch.second_clips).detach()
    one_hot = np.eye(CLASSES)[batch.labels.numpy()]
    divergence, label_losses, total = reference(logits, said, one_hot, weight, temperature)
    np.testing.assert_allclose(losses.per_clip.detach().numpy(), total, rtol=1e-9)

    ratios = {name: (float(ratio.total), float(ratio.count)) for name, ratio in losses.ratios.items()}
    assert ratios == {
        "distill_loss": (pytest.approx(divergence.sum()), 5),
        "label_loss": (pytest.approx(label_losses.sum()), 5),
        "agreement": ((logits.argmax(1) == said.argmax(1)).sum(), 5),
        "top1": ((logits.argmax(1) == batch.labels).sum(), 5),
        "teacher_top1": ((said.argmax(1) == batch.labels).sum(), 5),
    }
    assert set(ratios) == set(objective().logged)
    assert torch.equal(teacher.seen[0], batch.second_clips)


def test_the_gradient_reaches_the_student_alone():
    """Of the logits it is ``w T (q - p) + (1 - w) (q1 - y)``; the teacher's weights get none."""
    teacher, batch = Teacher(torch.float64), batch_of(4)
    logits = draw(4, CLASSES).requires_grad_()
    losses = objective(0.75, 4.0, teacher=teacher)(lambda _: logits, batch, torch.Generator())
    losses.per_clip.sum().backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())

    said = teacher(batch.second_clips).detach().numpy()
    p, q = softmax(np.log(said) / 4), softmax(logits.detach().numpy() / 4)
    smoothed = np.eye(CLASSES)[batch.labels.numpy()] * 0.9 + 0.1 / CLASSES
    expected = 0.75 * 4 * (q - p) + 0.25 * (softmax(logits.detach().numpy()) - smoothed)
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-6, atol=1e-9)


def halves(clips, targets, generator):
    """A quarter of the clip before."""
    return 0.75 * clips + 0.25 * clips.roll(1, 0), 0.75 * targets + 0.25 * targets.roll(1, 0)


def test_answers_are_mixed_at_their_temperature_as_labels_are():
    model, teacher, batch = plain_network().double(), Teacher(torch.float64), batch_of(4)
    losses = objective(0.75, 4.0, mix=halves, teacher=teacher)(model, batch, torch.Generator())
    clips = double(batch.clips)
    logits = model(0.75 * clips + 0.25 * clips.roll(1, 0)).detach().numpy()
    p = softmax(np.log(teacher(batch.second_clips).detach().numpy()) / 4)
    y = np.eye(CLASSES)[batch.labels.numpy()]
    p, y = (0.75 * rows + 0.25 * np.roll(rows, 1, axis=0) for rows in (p, y))
    q = softmax(logits / 4)
    label_losses = -((0.9 * y + 0.1 / CLASSES) * np.log(softmax(logits))).sum(1)
    expected = 0.75 * 16 * (p * np.log(p / q)).sum(1) + 0.25 * label_losses
    np.testing.assert_allclose(losses.per_clip.detach().numpy(), expected, rtol=1e-9)
    # The teacher itself saw what it was shown.
    assert torch.equal(teacher.seen[0], batch.second_clips)


@pytest.mark.parametrize("mix", [None, Mixing(0.8, 1.0)])
def test_without_labels_nothing_of_them_is_looked_at(mix):
    model, batch = plain_network().double(), batch_of(4)
    unlabelled = replace(batch, labels=torch.full((4,), -1))
    ours = objective(1.0, mix=mix, has_labels=False)
    losses = ours(model, unlabelled, torch.Generator().manual_seed(1))
    expected = objective(1.0, mix=mix)(model, batch, torch.Generator().manual_seed(1))
    torch.testing.assert_close(losses.per_clip, expected.per_clip, rtol=1e-12, atol=0)
    assert set(losses.ratios) == set(ours.logged) == {"distill_loss", "agreement"}
    assert losses.ratios["agreement"] == expected.ratios["agreement"]


def test_several_classes_a_clip():
    batch = replace(batch_of(2), labels=torch.tensor([[1, 0, 1], [0, 0, 0]], dtype=torch.uint8))
    said = torch.tensor([[0.9, 0.2, 0.7], [0.1, 0.6, 0.2]])
    logits = draw(2, CLASSES)
    divergence = Divergence(2.0, multi_label=True)
    loss = SigmoidLoss(0.1)
    losses = Distillation(loss, double, lambda clips: said, divergence, 0.5)(lambda _: logits, batch, None)
    p, q = at_temperature(said.double(), 2.0, True).numpy(), sigmoid(logits.numpy() / 2)
    of_teacher = 4 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(1)
    expected = 0.5 * of_teacher + 0.5 * loss(logits, batch.labels).numpy()
    np.testing.assert_allclose(losses.per_clip.numpy(), expected, rtol=1e-5)
    # The second clip has no class, and no part in accuracies.
    assert (int(losses.ratios["teacher_top1"].total), int(losses.ratios["teacher_top1"].count)) == (1, 1)


# -- In the training step


def step_of(model, teacher=None, **settings):
    step = make_step(model, label_smoothing=0.1)
    step.objective = objective(cast=prepare, teacher=teacher or Teacher(), **settings)
    step.model.train()
    return step


def test_the_teacher_stays_as_it_is_and_out_of_the_state():
    teacher = Teacher()
    before = snapshot(teacher.state_dict())
    step = step_of(norm_network(), teacher)
    own = make_step(norm_network())
    for seed in range(3):
        step([batch_of(4, seed)])
    assert_same(teacher.state_dict(), before)
    for part in ("model", "ema"):
        assert step.state_dict()[part].keys() == own.state_dict()[part].keys()
    assert len(step.optimizer.state_dict()["param_groups"][0]["params"]) == len(
        own.optimizer.state_dict()["param_groups"][0]["params"]
    )


def test_a_teacher_moves_no_random_number_of_its_student():
    """With all weight on the labels, the step is that of classification."""
    distilled, plain = step_of(norm_network(), weight=0.0), make_step(norm_network(), label_smoothing=0.1)
    plain.model.train()
    for seed in range(3):
        batch = batch_of(4, seed)
        assert distilled([batch]).loss == pytest.approx(plain([batch]).loss, rel=1e-6)
    for name, value in distilled.model.state_dict().items():
        # Labels are given as soft targets: float32 rounding.
        torch.testing.assert_close(value, plain.model.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mix", [None, Mixing(0.8, 1.0)])
def test_an_empty_micro_batch_counts_for_nothing(mix):
    full, gaps = step_of(norm_network(), mix=mix), step_of(norm_network(), mix=mix)
    for seed in range(3):
        batch = batch_of(3, seed)
        expected = full([batch])
        assert gaps([replace(batch, size=5), batch_of(0, size=4)]) == replace(expected, failed=6)
    assert_same(gaps.model.state_dict(), full.model.state_dict())


def test_accumulated_micro_batches_equal_one_batch():
    whole, parts = step_of(plain_network()), step_of(plain_network())
    for seed in range(3):
        batch = batch_of(4, seed)
        split = [
            Batch(*(value[a:b] for value in (batch.clips, batch.labels, batch.second_clips)), b - a)
            for a, b in ((0, 1), (1, 4))
        ]
        one, several = whole([batch]), parts(split)
        assert several.loss == pytest.approx(one.loss, rel=1e-5)
        assert several.ratios["agreement"] == one.ratios["agreement"]
    for name, value in parts.model.state_dict().items():
        torch.testing.assert_close(value, whole.model.state_dict()[name], rtol=1e-5, atol=1e-6)


def test_a_resumed_step_is_that_of_a_run_that_never_stopped():
    whole = step_of(norm_network(), mix=Mixing(0.8))
    for seed in range(6):
        whole([batch_of(4, seed)])
    first = step_of(norm_network(), mix=Mixing(0.8))
    for seed in range(3):
        first([batch_of(4, seed)])
    resumed = step_of(norm_network(), mix=Mixing(0.8))
    resumed.load_state_dict(snapshot(first.state_dict()))
    for seed in range(3, 6):
        resumed([batch_of(4, seed)])
    assert_same(resumed.state_dict()["model"], whole.state_dict()["model"])
    assert_same(resumed.state_dict()["ema"], whole.state_dict()["ema"])


def test_what_is_computed_beside_the_network_is_part_of_the_memory_that_is_probed():
    step = make_step(plain_network())
    assert isinstance(step.objective, Classification)
    counts = []
    probe(step, batch_of(3).clips, counts.append)
    probe(step, batch_of(3).clips)
    assert counts == [3]
    measure_step(step, batch_of(2).clips, counts.append)
    assert counts == [3, 2]
