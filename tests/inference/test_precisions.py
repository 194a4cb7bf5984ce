"""``accelerate`` in other precisions than float32: what they change, and when they are left out."""

import dataclasses
import importlib
import logging

import pytest
import torch

from helpers.benchmarks import like
from helpers.networks import NARROW, refusal
from video_rs import create_model
from video_rs.benchmarks import network_calls
from video_rs.engine.probabilities import ClassProbabilities
from video_rs.inference import accelerate, precision, quantization
from video_rs.inference.conversion import AXES, OpenVinoRun, capture, to_open_vino
from video_rs.inference.engines import ENGINES
from video_rs.inference.judging import Judge
from video_rs.inference.precision import Loss, Samples

module = importlib.import_module("video_rs.inference.accelerate")
SHAPE = (4, 3, 4, 32, 32)


def to_float(clips):
    return clips.float() / 255


@pytest.fixture(scope="module")
def model():
    """A narrow network that tells dark clips from bright ones, surely."""
    torch.manual_seed(0)
    model = create_model("r3d_rs_tiny", 2, **NARROW).eval()
    with torch.no_grad():
        ends = torch.stack(
            [model.backbone(torch.full(SHAPE[1:], level)[None])["res5"].mean((2, 3, 4))[0] for level in (0.1, 0.9)]
        )
        across = ends[1] - ends[0]
        model.fc.weight.copy_(torch.stack([-across, across]) * 8 / across.square().sum())
        middle = model.fc.weight @ ends.mean(0)
        model.fc.bias.copy_(-middle)
    return model


@pytest.fixture(scope="module")
def samples():
    """32 clips to calibrate on and 20 to check, dark and bright by turns, under noise."""
    noise = torch.randint(0, 50, (52, *SHAPE[1:]), generator=torch.Generator().manual_seed(1))
    levels = torch.arange(52) % 2 * 200
    clips = (noise + levels[:, None, None, None, None]).to(torch.uint8)
    return Samples(clips[:32], clips[32:], to_float)


@pytest.fixture
def bfloat16(monkeypatch):
    """A processor that has it."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)


def test_int8_answers_as_the_model_does(model, samples):
    fast = accelerate(model, SHAPE, "openvino", "int8", samples)
    assert (fast.engine, fast.precision, fast.loss.views, fast.loss.same_best) == ("openvino", "int8", 20, 1.0)
    clips = to_float(samples.check[:4])
    with torch.no_grad():
        expected = model(clips)
    difference = (fast(clips) - expected).abs().max() / expected.abs().max()
    # 8 bits: coarser than float32 by far, which shows that they were taken, and yet near.
    assert 1e-4 < difference < 0.1
    probabilities = fast(to_float(samples.check)[:4]).softmax(1)
    assert (probabilities - expected.softmax(1)).abs().max() < 0.05
    torch.testing.assert_close(fast(clips[:1]), fast(clips)[:1], rtol=0, atol=1e-5)


def test_int8_answers_whole_frames(model, samples):
    fast = accelerate(model, SHAPE, "openvino", "int8", samples, any_size=True)
    generator = torch.Generator().manual_seed(2)
    for height, width in ((32, 96), (64, 32)):
        clips = torch.rand(2, 3, 4, height, width, generator=generator) * 0.2
        clips[1] += 0.8
        with torch.no_grad():
            expected = model(clips).softmax(1)
        assert expected.argmax(1).tolist() == [0, 1]
        assert (fast(clips).softmax(1) - expected).abs().max() < 0.05


def test_ranges_hold_the_largest_values():
    """Of clips that are dark or bright: ranges by the mean of the largest would cut the bright ones' maps."""
    torch.manual_seed(0)
    model = create_model("r3d_rs_tiny", 2, **NARROW).eval()
    draw = torch.Generator().manual_seed(0)
    brightness = torch.rand(24, 1, 1, 1, 1, generator=draw)
    clips = brightness * torch.rand(24, *SHAPE[1:], generator=draw)
    graph = to_open_vino(capture(model, clips[:2], list(AXES)))
    run = OpenVinoRun(quantization.quantize(graph, clips[:8].split(1), lambda clip: clip))
    with torch.no_grad():
        expected = model(clips[8:])
    # 0.25 with ranges by the mean.
    assert (run(clips[8:]) - expected).abs().max() < 0.05 * expected.abs().max()


def test_the_benchmark_of_networks_computes_in_int8(monkeypatch):
    """Fresh weights, whose best classes nobody asks for."""
    torch.manual_seed(0)
    model = create_model("r3d_rs_tiny", 400, **NARROW)
    monkeypatch.setattr(network_calls, "make_network", lambda name: model)
    exact = network_calls.forward_call(like(way="plain", size=64))()
    found = network_calls.forward_call(like(way="accelerate", engine="openvino", precision="int8", size=64))()
    difference = (found - exact).abs().max() / exact.abs().max()
    assert 1e-4 < difference < 0.1


@pytest.mark.parametrize("engine", ["eager", "openvino"])
@pytest.mark.parametrize("known", [True, False], ids=["real clips", "random clips"])
def test_bfloat16_answers_as_the_model_does(model, samples, bfloat16, engine, known):
    fast = accelerate(model, SHAPE, engine, "bfloat16", samples if known else None)
    assert (fast.engine, fast.precision) == (engine, "bfloat16")
    assert fast.loss is None if not known else fast.loss.same_best == 1.0
    clips = to_float(samples.check[:4])
    with torch.no_grad():
        expected = model(clips)
    logits = fast(clips)
    assert logits.dtype == torch.float32
    assert (logits - expected).abs().max() < 0.05 * expected.abs().max()


def test_eager_bfloat16_computes_in_bfloat16(model, bfloat16):
    clips = torch.rand(SHAPE)
    logits = accelerate(model, SHAPE, "eager", "bfloat16")(clips)
    assert torch.equal(logits, logits.bfloat16().float())
    # The model that it is a copy of stays in float32.
    assert model.fc.weight.dtype == torch.float32


def test_auto_takes_the_fastest_precision(model, samples, bfloat16, monkeypatch):
    times = {("eager", "float32"): 3.0, ("eager", "bfloat16"): 2.0, ("openvino", "int8"): 1.0}
    monkeypatch.setattr(module, "candidates", lambda device: ["openvino", "eager"])
    built = {}

    def build(way, *rest):
        found = module.Built(lambda clips: clips, None)
        built[id(found.run)] = tuple(way)
        return found

    monkeypatch.setattr(module, "build", build)
    monkeypatch.setattr(module, "seconds", lambda run, clips: times.get(built[id(run)], 9.0))
    fast = accelerate(model, SHAPE, "auto", "auto", samples)
    assert sorted(built.values()) == [
        ("eager", "bfloat16"),
        ("eager", "float32"),
        ("openvino", "bfloat16"),
        ("openvino", "float32"),
        ("openvino", "int8"),
    ]
    assert (fast.engine, fast.precision) == ("openvino", "int8")


def test_auto_needs_clips_for_int8(model):
    fast = accelerate(model, SHAPE, "openvino", "auto")
    assert (fast.precision, fast.loss) == ("float32", None)


def is_coarse(task):
    """Build an engine that calls the second clip of a batch dark where it is bright; random clips are neither."""

    def run(clips):
        with torch.no_grad():
            logits = task.model(clips)
        if len(clips) > 1 and clips[1].mean() > 0.8:
            logits[1] = torch.tensor([8.0, -8.0])
        return logits

    return run


def test_a_precision_that_changes_too_much_is_left_out(model, samples, bfloat16, monkeypatch, caplog):
    coarse = ENGINES["eager"]._replace(build=is_coarse, precisions=("bfloat16",))
    exact = ENGINES["eager"]._replace(precisions=("float32",))
    monkeypatch.setattr(module, "ENGINES", {"onnxruntime": coarse, "eager": exact})
    with torch.no_grad():
        second = model(to_float(samples.check[1::4])).softmax(1)[:, 1]
    change = float((second - torch.tensor([8.0, -8.0]).softmax(0)[1]).sum() / 20)
    expected = (
        "precision 'bfloat16' of onnxruntime changes too much: the same best class in 75.0% of 20 views (at least 99%),"
        f" probabilities changed by {change:.4f} in the mean (at most 0.02); take another precision"
    )
    assert refusal(accelerate, model, SHAPE, "onnxruntime", "bfloat16", samples) == expected

    with caplog.at_level(logging.WARNING):
        fast = accelerate(model, SHAPE, "auto", "auto", samples)
    assert (fast.engine, fast.precision) == ("eager", "float32")
    assert f"engine left out, onnxruntime in bfloat16: {expected}" in caplog.messages


def test_a_precision_is_judged_by_wide_frames_where_those_are_answered(model, samples, bfloat16, monkeypatch):
    """Each clip beside its mirror image: the run calls such frames dark if they are bright, and no other clip."""

    def build(task):
        return lambda clips: task.model(clips) * (-1 if clips.shape[4] > SHAPE[4] else 1)

    wrong = ENGINES["eager"]._replace(build=build, precisions=("bfloat16",))
    monkeypatch.setattr(module, "ENGINES", {"eager": wrong})
    assert accelerate(model, SHAPE, "eager", "bfloat16", samples).loss.same_best == 1.0
    message = refusal(accelerate, model, SHAPE, "eager", "bfloat16", samples, any_size=True)
    assert message.startswith("precision 'bfloat16' of eager changes too much: the same best class in 0.0% of 20 views")


def test_bfloat16_is_judged_by_its_logits_where_there_are_no_real_clips(model, bfloat16, monkeypatch):
    wrong = ENGINES["eager"]._replace(
        build=lambda task: lambda clips: 1.05 * task.model(clips), precisions=("bfloat16",)
    )
    monkeypatch.setattr(module, "ENGINES", {"eager": wrong})
    message = refusal(accelerate, model, SHAPE, "eager", "bfloat16")
    assert message.startswith("engine 'eager' gives other logits than the model, by ")
    assert message.endswith("; allowed: 2e-02 of it; take another engine")


def test_logits_that_are_not_finite_are_refused(model, samples, bfloat16, monkeypatch):
    broken = ENGINES["eager"]._replace(
        build=lambda task: lambda clips: task.model(clips) * float("nan"), precisions=("bfloat16",)
    )
    monkeypatch.setattr(module, "ENGINES", {"eager": broken})
    assert refusal(accelerate, model, SHAPE, "eager", "bfloat16", samples) == (
        "engine 'eager' gives logits that are not all finite; allowed: finite ones, as the model's; take another "
        "engine, or another precision"
    )


def test_auto_says_that_int8_is_left_out_without_its_extra(model, samples, monkeypatch, caplog):
    monkeypatch.setattr(quantization, "missing", lambda packages: list(packages))
    with caplog.at_level(logging.WARNING):
        fast = accelerate(model, SHAPE, "openvino", "auto", samples)
    assert fast.precision == "float32"
    assert (
        "precision left out, int8: needs nncf and clips to calibrate on; pip install 'video_rs[quantize]'"
        in caplog.messages
    )
    # An engine that would not compute in it with its extra either.
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        accelerate(model, SHAPE, "onnxruntime", "auto", samples)
    assert not caplog.messages


def test_a_loss_is_said_in_words():
    loss = Loss(200, 0.985, 0.0123)
    assert str(loss) == (
        "the same best class in 98.5% of 200 views (at least 99%), probabilities changed by 0.0123 in the mean (at "
        "most 0.02)"
    )
    assert not loss.is_allowed
    assert Loss(200, 0.99, 0.02).is_allowed
    assert not Loss(200, 0.99, 0.0201).is_allowed
    assert not Loss(200, 1.0, float("nan")).is_allowed


def test_probabilities_are_those_that_answers_have(model, samples, bfloat16):
    """Of a network of several labels: each class has its own."""
    several = dataclasses.replace(samples, probabilities=ClassProbabilities(multi_label=True))
    with torch.no_grad():
        logits = model(to_float(samples.check))
    judge = Judge(model, torch.rand(SHAPE), several)
    loss = judge.require_right("eager", "bfloat16", lambda clips: model(clips).detach() + 0.01)
    change = (logits.sigmoid() - (logits + 0.01).sigmoid()).abs().amax(1).mean()
    assert loss.mean_change == pytest.approx(float(change), rel=1e-3)
    assert loss.same_best == 1.0


# -- Refusals


def test_an_unknown_precision_is_refused(model):
    assert refusal(accelerate, model, SHAPE, "auto", "fp8") == (
        "precision is 'fp8'; allowed: auto, float32, bfloat16, int8"
    )


def test_a_precision_without_instructions_is_refused(model, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    assert refusal(accelerate, model, SHAPE, "auto", "bfloat16") == (
        "precision 'bfloat16' is none that this processor has instructions for; allowed here: float32, int8"
    )


@pytest.mark.parametrize("with_samples", [False, True], ids=["none", "none to calibrate on"])
def test_int8_without_clips_is_refused(model, samples, with_samples):
    given = Samples(samples.check[:0], samples.check, to_float) if with_samples else None
    assert refusal(accelerate, model, SHAPE, "auto", "int8", given) == (
        "precision 'int8' is calibrated on real clips, and there are none; give accelerate samples (commands: "
        "--calibration LIST), or take another precision"
    )


def test_int8_without_its_extra_is_refused(model, samples, monkeypatch):
    monkeypatch.setattr(quantization, "missing", lambda packages: list(packages))
    assert refusal(accelerate, model, SHAPE, "openvino", "int8", samples) == (
        "precision 'int8' needs nncf, which is not installed; pip install 'video_rs[quantize]', or take another "
        "precision"
    )


def test_int8_without_its_engine_is_refused(model, samples, monkeypatch):
    monkeypatch.setattr(module, "missing", lambda packages: list(packages))
    assert refusal(accelerate, model, SHAPE, "auto", "int8", samples) == (
        "precision 'int8' needs an engine that is not installed (openvino); pip install 'video_rs[quantize]', or "
        "take another precision"
    )


def test_an_engine_that_has_not_the_precision_is_refused(model, samples):
    assert refusal(accelerate, model, SHAPE, "eager", "int8", samples) == (
        "engine 'eager' does not compute in int8; allowed with it: auto, float32, bfloat16"
    )
