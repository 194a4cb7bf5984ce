"""Two gloo processes against one: the same step, the same statistics, the same results.

Both processes run :func:`work` once and leave what they found in files; the tests compare it with one process.
"""

import os

import pytest
import torch
import torch.multiprocessing
from torch import nn

from helpers.jobs import free_port
from helpers.results import Video, failed, same
from helpers.training import Batch, assert_close, make_batch, make_step, norm_network, plain_network, prepare, split
from video_rs.engine.batch_norm import SyncBatchNorm3d, is_synchronized, synchronize
from video_rs.engine.evaluation import NetworkScorer, evaluate, gather_results
from video_rs.engine.memory import probe
from video_rs.engine.precise_bn import recompute_statistics
from video_rs.models.checkpointing import recomputed
from video_rs.runtime import devices, distributed
from video_rs.runtime.errors import InputError

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = pytest.mark.xdist_group("processes")

WORLD = 2
NOTHING = make_batch(0, 0, 2)


def steps():
    """For each step, the micro-batches of each process."""
    a, b, c = make_batch(1, 4), make_batch(2, 3), make_batch(3, 5)
    c_parts = split(c, 2, 1, 2)
    return [
        ([split(a, 2, 2)[0]], [split(a, 2, 2)[1]]),
        ([Batch(b.clips, b.labels, 4)], [NOTHING]),
        ([c_parts[0], NOTHING], [c_parts[1], c_parts[2]]),
        ([NOTHING], [NOTHING]),
        ([NOTHING], [split(a, 2, 2)[1]]),
        ([split(b, 2, 1)[0], NOTHING], [split(b, 2, 1)[1], NOTHING]),
    ]


def videos():
    return [
        Video(i, torch.randn(3, 4, generator=torch.Generator().manual_seed(i)), i % 4, "broken" if i == 2 else None)
        for i in range(5)
    ]


def sync_network(synced):
    """Batch norm that learns, one that is computed again in the backward pass, and a frozen one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SyncedNetwork()
    return synchronize(model) if synced else model


class SyncedNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(3, 5, 3, padding=1, bias=False), nn.BatchNorm3d(5), nn.ReLU())
        self.second = nn.Sequential(nn.Conv3d(5, 4, 1, bias=False), nn.BatchNorm3d(4, momentum=0.3), nn.ReLU())
        self.third = nn.Sequential(nn.Conv3d(4, 4, 1, bias=False), nn.BatchNorm3d(4))
        nn.init.normal_(self.second[1].weight)
        self.head = nn.Linear(4, 4)

    def train(self, mode=True):
        super().train(mode)
        self.third[1].eval()
        return self

    def forward(self, x):
        x = recomputed(self, self.second, self.first(x))
        return self.head(self.third(x).mean((2, 3, 4)))


def measured_by(step, batches):
    """A step's measurements as plain data, which crosses processes in a file of tensors."""
    result = step(batches)
    return {**vars(result), "ratios": {name: tuple(ratio) for name, ratio in result.ratios.items()}}


def train(step, rank):
    step.model.train()
    measured = [measured_by(step, batches[rank]) for batches in steps()]
    return {**step.state_dict(), "measured": measured}


def statistics_after_a_step(rank):
    step = make_step(norm_network(), label_smoothing=0.1)
    step.model.train()
    step([make_batch(10 + rank, 4)])
    return step.state_dict()


def precise(synced, rank=None):
    """Statistics anew over the clips of all steps: a process's own, or for one process all of them together."""
    model = sync_network(synced)
    shares = [joined(step) if rank is None else step[rank] for step in steps()]
    recompute_statistics(model, [batch for share in shares for batch in share], prepare)
    return model.state_dict()


def scores(rank, world):
    results = gather_results(list(evaluate(NetworkScorer(nn.Identity(), same), videos()[rank::world], 2)))
    return [(r.index, r.video, r.labels, r.error, r.views, r.probabilities) for r in results]


def work(rank, port, folder):
    environment = {"RANK": rank, "WORLD_SIZE": WORLD, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1"}
    os.environ.update({key: str(value) for key, value in environment.items()}, MASTER_PORT=str(port))
    torch.set_num_threads(1)
    distributed.join_process_group(torch.device("cpu"))
    means = [torch.tensor([[1.0, 2.0]]) * (rank + 1), torch.full((3,), float(rank))]
    distributed.mean_over_ranks(means)
    found = {
        "rank": distributed.rank(),
        "world_size": distributed.world_size(),
        "sum": distributed.sum_over_ranks(torch.tensor([rank, 10])),
        "stack": distributed.stack_over_ranks(torch.tensor([rank, 10])),
        "means": means,
        "gathered": distributed.gather({"rank": rank, "odd": [None] * rank}),
        "train": train(make_step(plain_network()), rank),
        "norm": statistics_after_a_step(rank),
        "synced": train(make_step(sync_network(True)), rank),
        "precise": [precise(synced, rank) for synced in (False, True)],
        "scores": scores(rank, WORLD),
    }
    distributed.barrier()
    distributed.leave_process_group()
    found["after"] = (distributed.rank(), distributed.world_size())
    torch.save(found, folder / f"{rank}.pth")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each process found."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.start_processes(work, (free_port(), folder), nprocs=WORLD, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pth", weights_only=True) for rank in range(WORLD)]


def test_collectives(found):
    for rank, each in enumerate(found):
        assert (each["rank"], each["world_size"], each["after"]) == (rank, 2, (0, 1))
        assert each["sum"].tolist() == [1, 20]
        assert each["stack"].tolist() == [[0, 10], [1, 10]]
        assert [mean.tolist() for mean in each["means"]] == [[[1.5, 3.0]], [0.5, 0.5, 0.5]]
        assert each["gathered"] == [{"rank": 0, "odd": []}, {"rank": 1, "odd": [None]}]


def test_a_single_process_needs_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    distributed.join_process_group(torch.device("cpu"))
    assert not torch.distributed.is_initialized()
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    values = torch.tensor([3.0, 4.0])
    assert distributed.sum_over_ranks(values).tolist() == [3.0, 4.0]
    distributed.mean_over_ranks([values])
    assert values.tolist() == [3.0, 4.0]
    assert distributed.stack_over_ranks(values).tolist() == [[3.0, 4.0]]
    assert distributed.gather("x") == ["x"]
    distributed.barrier()
    distributed.leave_process_group()


def test_pick_device_by_name():
    assert devices.pick_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"^device 'cuda' is not there; this machine has cpu"):
            devices.pick_device("cuda")


def test_a_device_that_convolves_wrongly_is_refused(monkeypatch, caplog):
    """There is no MPS here: what it would say is put in its place."""
    assert devices.convolutions_agree(torch.device("cpu"))
    right = torch.nn.Conv3d.forward
    monkeypatch.setattr(torch.nn.Conv3d, "to", lambda self, _: lambda clips: right(self, clips) * 1.01)
    assert not devices.convolutions_agree(torch.device("cpu"))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(devices, "convolutions_agree", lambda device: device.type != "mps")
    with pytest.raises(InputError) as caught:
        devices.pick_device("mps")
    assert str(caught.value) == (
        "Conv3d on this machine's MPS gives other numbers than on its CPU (pytorch/pytorch#197114); take another "
        "PyTorch, or set DEVICE cpu (predict: --device cpu)"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.pick_device("auto") == torch.device("cpu")
    assert "(pytorch/pytorch#197114); DEVICE auto takes the CPU" in caplog.text
    monkeypatch.setattr(devices, "convolutions_agree", lambda device: True)
    assert devices.pick_device("auto") == devices.pick_device("mps") == torch.device("mps")


def test_two_processes_take_the_steps_of_one(found):
    """With one process empty, with unequal counts and accumulation, and with no valid clip at all."""
    alone = make_step(plain_network())
    alone.model.train()
    for step, shares in enumerate(steps()):
        batches = [batch for share in shares for batch in share]
        expected = measured_by(alone, batches)
        for each in found:
            measured = each["train"]["measured"][step]
            for key in ("ratios", "clips", "failed"):
                assert measured[key] == expected[key]
            # The same sums in another order: float32 rounding.
            assert measured["loss"] == pytest.approx(expected["loss"], rel=1e-5)
            assert measured["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-5)
    assert [e["clips"] for e in found[0]["train"]["measured"]] == [4, 3, 5, 0, 2, 3]
    for each in found:
        for part in ("model", "ema"):
            for name, value in alone.state_dict()[part].items():
                # Float32 rounding, carried through six steps.
                torch.testing.assert_close(each["train"][part][name], value, rtol=1e-4, atol=1e-6)


def test_all_processes_hold_one_model(found):
    first, second = found
    for run in ("train", "norm"):
        for part in ("model", "ema"):
            for name, value in first[run][part].items():
                assert torch.equal(second[run][part][name], value), (run, part, name)


def test_batch_norm_statistics_are_the_mean_over_the_processes(found):
    running = []
    for rank in range(WORLD):
        model = norm_network().train()
        model(make_batch(10 + rank, 4).clips.float() / 255)
        running.append(model.state_dict())
    for name in ("1.running_mean", "1.running_var"):
        expected = (running[0][name] + running[1][name]) / 2
        assert not torch.equal(running[0][name], running[1][name])
        torch.testing.assert_close(found[0]["norm"]["model"][name], expected)
        # The average starts from zeros with a first decay of 2/11.
        torch.testing.assert_close(found[0]["norm"]["ema"][name], expected * 9 / 11)


def joined(shares):
    """Micro-batch by micro-batch, what all processes have."""
    return [
        Batch(torch.cat([p.clips for p in parts]), torch.cat([p.labels for p in parts]), sum(p.size for p in parts))
        for parts in zip(*shares, strict=True)
    ]


def test_synchronized_batch_norm_on_two_processes_is_batch_norm_on_one(found):
    """Also with a process without clips, and with none at all; the statistics of the frozen one stay."""
    alone = make_step(sync_network(False))
    alone.model.train()
    for step, shares in enumerate(steps()):
        expected = measured_by(alone, joined(shares))
        for each in found:
            measured = each["synced"]["measured"][step]
            assert (measured["ratios"], measured["clips"]) == (expected["ratios"], expected["clips"])
            # The same sums in another order: float32 rounding.
            assert measured["loss"] == pytest.approx(expected["loss"], rel=1e-5)
            assert measured["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
    state = alone.state_dict()
    assert state["model"]["first.1.num_batches_tracked"] == 6
    for each in found:
        for part in ("model", "ema"):
            for name, value in state[part].items():
                torch.testing.assert_close(each["synced"][part][name], value, rtol=1e-4, atol=1e-5)
    for name, value in found[0]["synced"]["model"].items():
        assert torch.equal(found[1]["synced"]["model"][name], value)
    kept = sync_network(False).state_dict()
    assert torch.equal(state["model"]["third.1.running_mean"], kept["third.1.running_mean"])


def test_synchronized_batch_norm_on_one_process_is_batch_norm():
    ours, theirs = make_step(sync_network(True)), make_step(sync_network(False))
    assert is_synchronized(ours.model)
    assert not is_synchronized(theirs.model)
    assert [type(m) for m in ours.model.modules()].count(SyncBatchNorm3d) == 3
    for step in (ours, theirs):
        step.model.train()
        step([make_batch(0, 4)])
    assert_close(ours.model.state_dict(), theirs.model.state_dict())


def test_one_process_computes_batch_norm_to_the_rounding():
    """PyTorch's own in float64 is the reference; in float32 its gradients are the ones that are off."""
    generator = torch.Generator().manual_seed(0)
    clips = 3 + torch.randn(4, 6, 4, 40, 40, generator=generator)
    gradient = torch.randn(clips.shape, generator=generator)
    results = []
    for norm, dtype in ((SyncBatchNorm3d(6), torch.float32), (nn.BatchNorm3d(6), torch.float64)):
        norm = norm.to(dtype)
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 2, 6))
        x = clips.clone().to(dtype).requires_grad_()
        y = norm(x)
        y.backward(gradient.to(dtype))
        results.append([y.detach(), x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var])
    for ours, exact in zip(*results, strict=True):
        # A few roundings of 6e-8 of each value, in the sums over clips of all of them; PyTorch's is at 6e-6 and 1e-4.
        assert (ours.double() - exact).norm() < 2e-6 * exact.norm()


def test_statistics_recomputed_by_two_processes_are_those_of_one(found):
    """Synchronized, everything; else the first layer, before which nothing is normalised."""
    alone = precise(False)
    first, second = found
    for plain, synced in zip(first["precise"], second["precise"], strict=True):
        assert all(torch.equal(value, synced[name]) for name, value in plain.items())
    plain, synced = first["precise"]
    for name, value in alone.items():
        torch.testing.assert_close(synced[name], value, rtol=1e-4, atol=1e-6)
        if name.startswith("first"):
            torch.testing.assert_close(plain[name], value, rtol=1e-4, atol=1e-6)


def test_a_probe_of_a_synchronized_network_exchanges_nothing(monkeypatch):
    """Nor does what is computed again in its backward pass."""

    def exchange(values):
        raise AssertionError("other processes need not be here")

    monkeypatch.setattr(distributed, "stack_over_ranks", exchange)
    monkeypatch.setattr(distributed, "sum_over_ranks", exchange)
    step, start = make_step(sync_network(True)), sync_network(True).state_dict()
    probe(step, make_batch(0, 3).clips)
    assert all(torch.equal(value, start[name]) for name, value in step.model.state_dict().items())
    with pytest.raises(AssertionError, match="need not be here"):
        step.model.train()(prepare(make_batch(0, 3).clips))


def test_a_frozen_parameter_stays_frozen_when_synchronized():
    model = sync_network(False).requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in synchronize(model).parameters())


def test_evaluation_is_shared_out_and_gathered_in_order(found):
    alone = scores(0, 1)
    assert [row[0] for row in alone] == [0, 1, 2, 3, 4]
    assert alone[2][1:5] == (failed(2, 2).video, 2, "broken", 0)
    for each in found:
        assert [row[:5] for row in each["scores"]] == [row[:5] for row in alone]
        for ours, theirs in zip(each["scores"], alone, strict=True):
            # Each video is scored by one process, by the same operations.
            assert ours[5] is theirs[5] is None or torch.equal(ours[5], theirs[5])
