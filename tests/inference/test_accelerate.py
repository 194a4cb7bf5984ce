"""``accelerate``: every engine against the model itself, and what it refuses."""

import copy
import importlib.util
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from helpers.networks import NARROW, refusal
from video_rs import create_backbone, create_model
from video_rs.inference import accelerate
from video_rs.inference import accelerate as accelerate_function
from video_rs.inference.engines import Task
from video_rs.inference.folding import fold_batch_norm
from video_rs.models.convolution import Conv3d
from video_rs.models.detection import SingleMap
from video_rs.models.fast import FAST_CLASSES, speed_up

module = importlib.import_module("video_rs.inference.accelerate")
SHAPE = (2, 3, 4, 33, 48)


def model_with_statistics(name="r3d_rs_50"):
    """A narrow network whose batch norms do something."""
    torch.manual_seed(0)
    model = create_model(name, 5, **NARROW)
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.uniform_(norm.bias, -0.3, 0.3)
    return model


@pytest.fixture(scope="module", params=["r3d_rs_50", "inflated_rs_50"])
def model(request):
    return model_with_statistics(request.param)


def need(engine):
    for package in module.ENGINES[engine].packages:
        pytest.importorskip(package)


@pytest.mark.parametrize("engine", ["eager", "openvino", "onnxruntime"])
def test_every_engine_gives_the_models_logits(model, engine):
    need(engine)
    fast = accelerate(model, SHAPE, engine)
    assert (fast.engine, fast.clip_shape) == (engine, SHAPE)
    clips = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = copy.deepcopy(model).eval()(clips)
    logits = fast(clips)
    assert logits.dtype == torch.float32
    # float32 sums of some thousand terms in another order; the folded norms round once more.
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
    assert torch.equal(fast(clips), logits)
    # As the last clips of a list come.
    torch.testing.assert_close(fast(clips[:1]), logits[:1], rtol=0, atol=1e-5 * float(expected.abs().max()))
    # Answers do not share memory with one another.
    other = fast(torch.zeros(SHAPE))
    assert not torch.equal(other, logits)
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
    # They are plain numbers whatever the clips are, and what is made of them can be trained.
    of_leaf = fast(clips.clone().requires_grad_())
    assert torch.equal(of_leaf, logits)
    assert not of_leaf.requires_grad
    torch.nn.Linear(5, 2)(of_leaf).sum().backward()


@pytest.mark.parametrize("engine", ["eager", "openvino", "onnxruntime"])
def test_frames_of_any_size_are_answered(engine):
    need(engine)
    model = model_with_statistics().eval()
    fast = accelerate(model, SHAPE, engine, any_size=True)
    for shape in (SHAPE, (2, 3, 4, 65, 48), (1, 3, 4, 33, 144), (2, 3, 4, 96, 80)):
        clips = torch.rand(shape, generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            expected = model(clips)
        assert (fast(clips) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_an_engine_that_answers_larger_frames_wrongly_is_refused(monkeypatch):
    def sees_a_corner(task):
        return lambda clips: task.model(clips[..., : SHAPE[3], : SHAPE[4]])

    model = model_with_statistics()
    engine = module.ENGINES["eager"]
    monkeypatch.setitem(module.ENGINES, "eager", engine._replace(build=sees_a_corner))
    assert "engine 'eager' gives other logits than the model" in refusal(
        accelerate, model, SHAPE, "eager", any_size=True
    )
    # Where no larger ones come it is right.
    accelerate(model, SHAPE, "eager")


def test_torch_compile_is_for_one_size():
    message = (
        "engine 'compile' takes a minute for each size of frames, and whole frames have many; allowed: auto, "
        f"{', '.join(module.candidates(torch.device('cpu')))}; take one of them, or published or adaptive views"
    )
    assert refusal(accelerate, model_with_statistics(), SHAPE, "compile", any_size=True) == message
    assert "allowed: auto, eager; take" in refusal(
        module.require_choice, "compile", "float32", torch.device("cuda"), any_size=True
    )


def test_torch_compile_gives_the_models_logits():
    model = model_with_statistics("r3d_rs_tiny")  # compiling takes seconds for each layer
    fast = accelerate(model, SHAPE, "compile")
    clips = torch.rand(SHAPE)
    with torch.no_grad():
        expected = model.eval()(clips)
    assert (fast(clips) - expected).abs().max() < 1e-5 * expected.abs().max()
    # It is compiled for one batch, and smaller ones are filled up.
    assert torch.equal(fast(clips[:1]), fast(clips[[0, 0]])[:1])


def test_the_model_stays_as_it_is(model):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    accelerate(model, SHAPE, "eager")
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_pytorchs_own_engine_runs_the_sped_up_copy_of_a_plain_model():
    model = model_with_statistics()
    fast = accelerate(model, SHAPE, "eager")
    assert not any(type(part) in FAST_CLASSES.values() for part in model.modules())
    clips = torch.rand(SHAPE)
    sped_up = copy.deepcopy(model).eval()
    fold_batch_norm(sped_up)
    with torch.no_grad():
        expected = speed_up(sped_up).to(memory_format=torch.channels_last_3d)(clips)
    assert torch.equal(fast(clips), expected)


def test_later_training_does_not_reach_the_copy():
    model = model_with_statistics()
    fast = accelerate(model, SHAPE, "eager")
    clips = torch.rand(SHAPE)
    logits = fast(clips)
    with torch.no_grad():
        model.fc.bias += 1
    assert torch.equal(fast(clips), logits)


def test_folding_leaves_no_batch_norm_behind_a_convolution(model):
    folded = copy.deepcopy(model).eval()
    fold_batch_norm(folded)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert all(m.bias is not None for m in folded.modules() if isinstance(m, Conv3d))


def test_auto_takes_the_fastest_of_the_installed_engines(monkeypatch):
    model = model_with_statistics()
    speeds = {"openvino": 3.0, "onnxruntime": 2.0, "eager": 1.0}
    timed = []

    def seconds(run, _clips):
        timed.append(run)
        return list(speeds.values())[len(timed) - 1]

    monkeypatch.setattr(module, "seconds", seconds)
    installed = [name for name in speeds if not module.missing(module.ENGINES[name].packages)]
    assert module.candidates(torch.device("cpu")) == installed
    fast = accelerate(model, SHAPE)
    assert len(timed) == (len(installed) if len(installed) > 1 else 0)
    fastest = len(installed) - 1 if len(installed) == len(speeds) else None
    if fastest is not None:
        assert (fast.engine, fast.run) == ("eager", timed[fastest])


def test_auto_runs_without_any_optional_engine(monkeypatch):
    monkeypatch.setattr(module, "missing", lambda packages: list(packages))
    assert accelerate(model_with_statistics(), SHAPE).engine == "eager"


def test_a_gpu_gets_torch_compile_and_what_runs_without_a_compiler():
    assert module.candidates(torch.device("cuda")) == ["compile", "eager"]
    assert module.candidates(torch.device("mps")) == ["eager"]


def fails(task):
    raise RuntimeError("opset 99\nis not known")


def is_wrong(task):
    return lambda batch: task.model(batch) + 1


SIGNAL_AFTER_TWO_RUNS = """
import os, signal, torch
from video_rs.inference import accelerate

model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24, 2))
first = accelerate(model, (1, 3, 2, 2, 2), "openvino")
second = accelerate(model, (1, 3, 2, 2, 2), "openvino")
del first
del second
signal.signal(signal.SIGUSR1, lambda *_: print("taken"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_are_taken_after_runs_have_gone():
    """With a core of OpenVINO for each, the second's end would leave a stack for signal handlers that is gone."""
    need("openvino")
    done = subprocess.run([sys.executable, "-c", SIGNAL_AFTER_TWO_RUNS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "taken\n"), done.stderr


def test_threads_take_turns_with_a_run():
    need("openvino")
    fast = accelerate(model_with_statistics(), SHAPE, "openvino")
    clips = [torch.full(SHAPE, level / 8) for level in range(8)]
    expected = [fast(each) for each in clips]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(fast, clips * 4), expected * 4, strict=True):
            assert torch.equal(found, wanted)


def only_float32(make):
    return module.ENGINES["eager"]._replace(build=make, precisions=("float32",))


@pytest.mark.parametrize(("make", "why"), [(fails, "RuntimeError: opset 99"), (is_wrong, "engine 'onnxruntime' gives")])
def test_auto_leaves_an_engine_out_that_fails(monkeypatch, caplog, make, why):
    monkeypatch.setattr(module, "ENGINES", {"onnxruntime": only_float32(make), "eager": module.ENGINES["eager"]})
    with caplog.at_level(logging.WARNING):
        assert accelerate(model_with_statistics(), SHAPE).engine == "eager"
    (told,) = caplog.messages
    assert told.startswith(f"engine left out, onnxruntime: {why}")
    assert "\n" not in told


def test_an_engine_that_is_asked_for_and_fails_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(module, "ENGINES", {"onnxruntime": only_float32(fails)})
    assert refusal(accelerate, model_with_statistics(), SHAPE, "onnxruntime") == (
        "onnxruntime does not run this model (RuntimeError: opset 99); allowed: one that it runs; take another engine"
    )


def test_auto_says_why_if_no_engine_is_left(monkeypatch):
    monkeypatch.setattr(module, "ENGINES", {"onnxruntime": only_float32(fails), "eager": only_float32(fails)})
    why = "onnxruntime: RuntimeError: opset 99; eager: RuntimeError: opset 99"
    expected = f"no engine runs this model ({why}); allowed: a model that one of them runs"
    assert refusal(accelerate, model_with_statistics(), SHAPE) == expected


def test_a_precision_that_no_engine_has_of_a_model_is_told_as_such(monkeypatch):
    failing = module.ENGINES["eager"]._replace(build=fails, precisions=("bfloat16",))
    monkeypatch.setattr(module, "ENGINES", {"onnxruntime": failing, "eager": failing})
    monkeypatch.setattr(module, "require_choice", lambda *_: None)
    assert refusal(accelerate, model_with_statistics(), SHAPE, precision="bfloat16") == (
        "no engine answers in bfloat16 as this model does (onnxruntime in bfloat16: RuntimeError: opset 99; eager in "
        "bfloat16: RuntimeError: opset 99); take another precision, or --precision auto"
    )


@pytest.mark.parametrize("names", ["older", "newer"])
def test_logits_are_compared_without_tf32_and_the_settings_stay(monkeypatch, names):
    """With it right logits would differ by more than rounding of float32; there is no GPU here to show that on."""
    conv, products = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    seen = []

    class Watching(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, clips):
            seen.append((conv.fp32_precision, products.fp32_precision))
            return clips.mean((2, 3, 4)) * self.weight

    before = [(part, part.fp32_precision) for part in (products, conv)]
    try:
        if names == "older":
            torch.set_float32_matmul_precision("high")
        else:
            products.fp32_precision = "tf32"
        accelerate(Watching(), SHAPE, "eager")
        assert (conv.fp32_precision, products.fp32_precision) == ("tf32", "tf32")
        assert names == "newer" or torch.get_float32_matmul_precision() == "high"
    finally:
        if names == "older":
            torch.set_float32_matmul_precision("highest")
        for part, value in before:
            part.fp32_precision = value
    assert len(seen) == 3  # the model, and the engine with a whole batch and with one clip
    assert not [precision for call in seen for precision in call if precision == "tf32"]


def test_a_head_of_zeros_is_accelerated():
    """As before training: all logits are 0, and so are the engine's."""
    model = model_with_statistics()
    torch.nn.init.zeros_(model.fc.weight)
    torch.nn.init.zeros_(model.fc.bias)
    assert not accelerate(model, SHAPE, "eager")(torch.rand(SHAPE)).any()


def test_one_map_of_a_backbone_is_accelerated():
    single = SingleMap(create_backbone("r3d_rs_50", ("res4",), **NARROW)).eval()
    clips = torch.rand(SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(accelerate(single, SHAPE, "eager")(clips), single(clips), rtol=1e-5, atol=1e-5)


# -- Refusals


@pytest.mark.parametrize("shape", [(0, 3, 4, 32, 32), (1, 3, -4, 32, 32)])
def test_sizes_below_one_are_refused(shape):
    expected = f"clip_shape is {list(shape)}; allowed: (B, C, T, H, W) of sizes of at least 1"
    assert refusal(accelerate, model_with_statistics(), shape) == expected


def test_clips_elsewhere_are_refused():
    fast = accelerate(model_with_statistics(), SHAPE, "eager")
    expected = "clips are on meta; allowed: cpu, where the model was; move them there"
    assert refusal(fast, torch.rand(SHAPE, device="meta")) == expected


def test_a_backbone_is_refused():
    assert refusal(accelerate, create_backbone("r3d_rs_50", **NARROW), SHAPE) == (
        "the model answers with a dict; allowed: a tensor of logits; take a classifier, or of a backbone one map by "
        "video_rs.models.detection.SingleMap"
    )


def test_logits_that_are_not_finite_are_refused():
    model = model_with_statistics()
    with torch.no_grad():
        model.fc.bias[2] = float("nan")
    assert refusal(accelerate, model, SHAPE) == (
        "the model's logits for clips in [0, 1] are not all finite; allowed: finite ones, which an engine's can be "
        "compared with; check the model's weights"
    )


def test_another_shape_or_dtype_is_refused():
    fast = accelerate(model_with_statistics(), SHAPE, "eager")
    rest = (
        "allowed: torch.float32 [2, 3, 4, 33, 48] or fewer of them, as accelerate was asked for; call it again for "
        "another shape"
    )
    for shape in ([3, 3, 4, 33, 48], [0, 3, 4, 33, 48], [2, 3, 4, 33, 47], [3, 4, 33, 48]):
        assert refusal(fast, torch.rand(shape)) == f"clips are torch.float32 {shape}; {rest}"
    clips = torch.zeros(SHAPE, dtype=torch.uint8)
    assert refusal(fast, clips) == f"clips are torch.uint8 [2, 3, 4, 33, 48]; {rest}"


def test_frames_of_any_size_are_no_smaller_than_clips():
    fast = accelerate(model_with_statistics(), SHAPE, "eager", any_size=True)
    for shape in ([2, 3, 4, 32, 48], [1, 3, 4, 33, 47], [3, 3, 4, 33, 48], [2, 3, 8, 33, 48]):
        assert refusal(fast, torch.rand(shape)) == (
            f"clips are torch.float32 {shape}; allowed: torch.float32 [2, 3, 4, 33, 48] or fewer of them, or of at "
            "least that height and width, as accelerate was asked for; call it again for another shape"
        )


def test_an_unknown_engine_is_refused():
    expected = "engine is 'tensorrt'; allowed: auto, openvino, onnxruntime, compile, eager"
    assert refusal(accelerate, model_with_statistics(), SHAPE, "tensorrt") == expected


def test_an_absent_engine_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    expected = (
        "engine 'onnxruntime' needs onnxruntime, onnx, onnxscript, which is not installed; pip install "
        "'video_rs[accelerate]', or take another engine"
    )
    assert refusal(accelerate, model_with_statistics(), SHAPE, "onnxruntime") == expected


def test_an_engine_of_the_cpu_is_refused_elsewhere():
    expected = "engine 'openvino' runs on the CPU, the model is on meta; allowed there: eager, compile"
    need("openvino")
    assert refusal(module.require_choice, "openvino", "float32", torch.device("meta")) == expected


def test_a_model_of_another_precision_is_refused():
    expected = "the model is in torch.float64; allowed: torch.float32; call model.float() first"
    assert refusal(accelerate, model_with_statistics().double(), SHAPE) == expected


def test_a_shape_that_the_model_does_not_take_is_refused():
    message = refusal(accelerate_function, model_with_statistics(), (1, 4, 2, 8, 8))
    assert message == "clips have shape [1, 4, 2, 8, 8]; allowed: [batch, 3, frames, height, width]"


def test_an_engine_that_computes_something_else_is_refused(monkeypatch):
    wrong = {**module.ENGINES, "eager": only_float32(lambda task: lambda batch: 1.01 * task.model(batch))}
    monkeypatch.setattr(module, "ENGINES", wrong)
    model = model_with_statistics()
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.copy_(torch.tensor([1.0, -2, 0, 1, 0]))
    message = refusal(accelerate, model, SHAPE, "eager")
    assert message == (
        "engine 'eager' gives other logits than the model, by 2.0e-02 where the largest is 2.0e+00; allowed: 1e-04 of "
        "it; take another engine"
    )


@pytest.mark.parametrize("engine", ["eager", "openvino", "onnxruntime"])
def test_an_engine_leaves_the_model_as_the_next_engine_needs_it(engine):
    need(engine)
    model = create_model("r3d_rs_tiny", 3, width=0.125).eval().requires_grad_(False)
    fold_batch_norm(model)

    def state():
        return [(type(part), [weight.stride() for weight in part.parameters(False)]) for part in model.modules()]

    before = state()
    module.ENGINES[engine].build(Task(model, torch.rand(1, 3, 4, 32, 32)))
    assert state() == before
