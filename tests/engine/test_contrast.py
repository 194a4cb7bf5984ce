"""The contrastive loss against a reference of loops in float64; gradients; one process and two; batches with gaps."""

import dataclasses
import os

import numpy as np
import pytest
import torch
import torch.multiprocessing
from torch import nn

from helpers.jobs import free_port
from helpers.training import Batch, assert_same, make_batch, make_step, plain_network, snapshot, split
from video_rs.engine.gathering import rows_of_all_processes
from video_rs.engine.memory import measure_step
from video_rs.engine.objectives import Contrast
from video_rs.engine.step import stand_in
from video_rs.runtime import distributed

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = pytest.mark.xdist_group("processes")

WORLD = 2
NOTHING = make_batch(0, 0, 4)


def exact(clips):
    return clips.double() / 255


def numbers(clips, dims=5, seed=0):
    """What some network gives for clips, float64 [n, d]."""
    return torch.randn(clips, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def compare(rows, temperature=0.1):
    """The objective on given numbers of clips."""
    batch = Batch(torch.zeros(len(rows), 1, dtype=torch.uint8), torch.zeros(len(rows)), len(rows))
    return Contrast(lambda clips: clips, temperature)(lambda clips: rows, batch, torch.Generator())


def reference(rows, temperature):
    """Losses and measurements by loops over clips; the paper's equation 1 for each."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    losses, found, positive, negative = [], 0, [], []
    for i, row in enumerate(rows):
        partner = i + 1 if i % 2 == 0 else i - 1
        others = [j for j in range(len(rows)) if j != i]
        similarity = {j: float(row @ rows[j]) for j in others}
        total = sum(np.exp(similarity[j] / temperature) for j in others)
        losses.append(-np.log(np.exp(similarity[partner] / temperature) / total))
        found += max(similarity, key=similarity.get) == partner
        positive.append(similarity[partner])
        negative.append(np.mean([similarity[j] for j in others if j != partner]))
    return losses, found, sum(positive), sum(negative)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("clips", [4, 6, 10])
def test_losses_and_measurements_are_those_of_loops(clips, temperature):
    rows = numbers(clips)
    # Partners are somewhat alike, so that some are found.
    rows[1::2] = rows[1::2] + rows[::2]
    losses = compare(rows, temperature)
    per_clip, found, positive, negative = reference(rows.numpy(), temperature)
    # A loss near 0 is the logarithm of a number near 1.
    np.testing.assert_allclose(losses.per_clip.numpy(), per_clip, rtol=1e-9, atol=1e-14)
    ratios = {name: (float(total), float(count)) for name, (total, count) in losses.ratios.items()}
    assert ratios.keys() == set(Contrast.logged)
    assert ratios["partner_top1"] == (found, clips)
    for name, total in (
        ("contrast_loss", sum(per_clip)),
        ("positive_similarity", positive),
        ("negative_similarity", negative),
    ):
        assert ratios[name] == (pytest.approx(total, rel=1e-9), clips)


def test_the_gradient_is_that_of_small_differences():
    rows = numbers(6).requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: compare(rows).per_clip.sum(), rows)


def test_lengths_do_not_count():
    rows = numbers(6)
    lengths = torch.linspace(0.1, 30, 6, dtype=torch.float64)[:, None]
    torch.testing.assert_close(compare(rows * lengths).per_clip, compare(rows).per_clip)


def test_half_precision_is_compared_in_float32():
    rows = numbers(6).bfloat16()
    losses = compare(rows).per_clip
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, compare(rows.float()).per_clip)


def test_the_clips_of_a_single_video_have_nothing_to_be_told_from():
    rows = numbers(2).requires_grad_()
    losses = compare(rows)
    losses.per_clip.sum().backward()
    assert losses.per_clip.tolist() == [0, 0]
    assert rows.grad.abs().max() == 0
    assert losses.ratios["negative_similarity"] == (0, 0)
    assert [float(value) for value in losses.ratios["partner_top1"]] == [2, 2]


def test_clips_that_stand_in_count_for_nothing():
    batch = stand_in(NOTHING)
    assert (batch.size, len(batch.clips)) == (0, 2)
    network = plain_network().double()
    losses = Contrast(exact)(network, batch, torch.Generator())
    losses.per_clip.sum().backward()
    assert losses.per_clip.tolist() == [0, 0]
    assert all(ratio == (0, 0) for ratio in losses.ratios.values())
    assert all(weight.grad.abs().max() == 0 for weight in network.parameters())


def contrast_step(**changes):
    """A step in float64 on a network whose clips do not depend on each other."""
    step = make_step(plain_network().double(), **changes)
    step.objective = Contrast(exact, 0.1)
    step.model.train()
    return step


def whole(seed, pairs):
    return make_batch(seed, 2 * pairs)


def steps():
    """For each step, the micro-batches of each process: equal shares, unequal ones, none at all, accumulation."""
    a, b, c = whole(1, 4), whole(2, 3), whole(3, 5)
    return [
        (split(a, 4, 4)[:1], split(a, 4, 4)[1:]),
        (split(b, 4, 2)[:1], split(b, 4, 2)[1:]),
        ([b], [NOTHING]),
        ([NOTHING], [NOTHING]),
        ([split(c, 4, 6)[0], NOTHING], [NOTHING, split(c, 4, 6)[1]]),
        ([split(c, 2, 8)[0], split(a, 2, 6)[0]], [split(c, 2, 8)[1], split(a, 2, 6)[1]]),
    ]


def joined(shares):
    """Micro-batch by micro-batch, what all processes have."""
    return [
        Batch(torch.cat([p.clips for p in parts]), torch.cat([p.labels for p in parts]), sum(p.size for p in parts))
        for parts in zip(*shares, strict=True)
    ]


def measured_by(step, batches):
    result = step(batches)
    return {**dataclasses.asdict(result), "ratios": {name: tuple(ratio) for name, ratio in result.ratios.items()}}


def work(rank, port, folder):
    environment = {"RANK": rank, "WORLD_SIZE": WORLD, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1"}
    os.environ.update({key: str(value) for key, value in environment.items()}, MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.join_process_group(torch.device("cpu"))

    rows = numbers(3, seed=rank).requires_grad_()
    everyones, first = rows_of_all_processes(rows, 3 - rank)
    # Each process makes something else of the rows of all of them.
    (everyones.prod(1).sum() * (rank + 1)).backward()

    step = contrast_step()
    found = {
        "rows": (everyones.detach(), first, rows.grad),
        "measured": [measured_by(step, batches[rank]) for batches in steps()],
        "state": step.state_dict(),
    }
    distributed.barrier()
    distributed.leave_process_group()
    torch.save(found, folder / f"{rank}.pth")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process found."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(work, (free_port(), folder), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pth", weights_only=False) for rank in range(WORLD)]


def test_rows_of_two_processes_have_the_gradients_of_both(found):
    """Rows that do not count are left out, and get none."""
    counted = [numbers(3, seed=rank)[: 3 - rank] for rank in range(WORLD)]
    together = torch.cat(counted).requires_grad_()
    (together.prod(1).sum() * (1 + 2)).backward()
    for rank, each in enumerate(found):
        everyones, first, gradient = each["rows"]
        assert torch.equal(everyones, together.detach())
        assert first == [0, 3][rank]
        own = together.grad[first : first + 3 - rank]
        torch.testing.assert_close(gradient, torch.cat([own, torch.zeros(rank, 5).double()]), rtol=1e-12, atol=0)


def test_two_processes_take_the_steps_of_one(found):
    """Also with a process without clips, with none at all, and with micro-batches."""
    alone = contrast_step()
    for number, shares in enumerate(steps()):
        expected = measured_by(alone, joined(shares))
        for each in found:
            measured = each["measured"][number]
            assert (measured["clips"], measured["failed"]) == (expected["clips"], expected["failed"])
            assert measured["ratios"]["partner_top1"] == expected["ratios"]["partner_top1"]
            # Exchanged in float32.
            assert measured["loss"] == pytest.approx(expected["loss"], rel=1e-6)
            # The gradient of each process is in float64.
            assert measured["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-11)
    assert [entry["clips"] for entry in found[0]["measured"]] == [8, 6, 6, 0, 10, 18]
    for each in found:
        for part in ("model", "ema"):
            for name, value in alone.state_dict()[part].items():
                torch.testing.assert_close(each["state"][part][name], value, rtol=1e-10, atol=1e-13)


def test_micro_batches_are_compared_each_by_itself():
    """The sum of both losses over all clips; as one batch, there are more clips to be told from."""
    batch = whole(1, 4)
    rows = plain_network().double()(exact(batch.clips)).detach()
    apart = [float(compare(rows[part]).per_clip.sum()) for part in (slice(0, 4), slice(4, 8))]
    result = contrast_step()(split(batch, 4, 4))
    assert result.loss == pytest.approx(sum(apart), rel=1e-6)
    together = contrast_step()([batch])
    assert together.loss == pytest.approx(float(compare(rows).per_clip.sum()), rel=1e-6)
    assert together.loss > result.loss


def test_failed_videos_change_nothing_but_their_number():
    batch = whole(1, 3)
    gap = dataclasses.replace(batch, size=8)
    one, other = contrast_step(), contrast_step()
    assert (one([batch]).failed, other([gap]).failed) == (0, 2)
    assert_same(one.model.state_dict(), other.model.state_dict())


def test_a_probe_of_memory_leaves_the_step_as_it_was():
    step = contrast_step()
    before = snapshot(step.state_dict())
    # The network is in float64 here, so a clip takes some bytes at least.
    assert measure_step(step, whole(1, 1).clips) is not None
    assert_same(step.state_dict()["model"], before["model"])


def test_a_step_learns_to_find_partners():
    """Pairs of the same clips: their loss falls, and each is found at the end."""
    clips = make_batch(5, 6).clips.repeat_interleave(2, dim=0)
    batch = Batch(clips, torch.zeros(12, dtype=torch.int64), 12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv3d(3, 8, (2, 3, 3)), nn.ReLU(), nn.Flatten(), nn.LazyLinear(8)).double()
        model(exact(clips))
    step = make_step(model, base_lr=0.005, total_steps=30, warmup_steps=0, average=None)
    step.objective = Contrast(exact, 0.1)
    results = [step([batch]) for _ in range(30)]
    assert results[-1].loss < 0.5 * results[0].loss
    assert results[-1].ratios["partner_top1"] == (12, 12)
