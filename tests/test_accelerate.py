"""``accelerate``: every engine against the model itself, and what it refuses."""

import copy
import importlib.util

import pytest
import torch
from networks import NARROW, refusal

from video_rs import create_model
from video_rs.inference import accelerate
from video_rs.inference import accelerate as accelerate_function
from video_rs.models.convolution import Conv3d

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
    for package in module.ENGINES[engine][1]:
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
    # Answers do not share memory with one another.
    other = fast(torch.zeros(SHAPE))
    assert not torch.equal(other, logits)
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()


def test_torch_compile_gives_the_models_logits():
    model = model_with_statistics()
    fast = accelerate(model, SHAPE, "compile")
    clips = torch.rand(SHAPE)
    with torch.no_grad():
        expected = model.eval()(clips)
    assert (fast(clips) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_model_stays_as_it_is(model):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    accelerate(model, SHAPE, "eager")
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


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
    module.fold_batch_norm(folded)
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
    installed = [name for name in speeds if not module.missing(module.ENGINES[name][1])]
    assert module.candidates(torch.device("cpu")) == installed
    fast = accelerate(model, SHAPE)
    assert len(timed) == (len(installed) if len(installed) > 1 else 0)
    fastest = len(installed) - 1 if len(installed) == len(speeds) else None
    if fastest is not None:
        assert (fast.engine, fast.run) == ("eager", timed[fastest])


def test_auto_runs_without_any_optional_engine(monkeypatch):
    monkeypatch.setattr(module, "missing", lambda packages: list(packages))
    assert accelerate(model_with_statistics(), SHAPE).engine == "eager"


def test_a_gpu_gets_torch_compile():
    assert module.candidates(torch.device("cuda")) == ["compile"]
    assert module.candidates(torch.device("mps")) == ["eager"]


# -- Refusals


def test_another_shape_or_dtype_is_refused():
    fast = accelerate(model_with_statistics(), SHAPE, "eager")
    rest = "allowed: torch.float32 [2, 3, 4, 33, 48], as accelerate was asked for; call it again for another shape"
    assert refusal(fast, torch.rand(1, 3, 4, 33, 48)) == f"clips are torch.float32 [1, 3, 4, 33, 48]; {rest}"
    clips = torch.zeros(SHAPE, dtype=torch.uint8)
    assert refusal(fast, clips) == f"clips are torch.uint8 [2, 3, 4, 33, 48]; {rest}"


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
    clips = torch.empty(SHAPE, device="meta")
    expected = "engine 'openvino' runs on the CPU, the model is on meta; allowed there: eager, compile"
    need("openvino")
    assert refusal(module.build, "openvino", torch.nn.Identity(), clips, clips) == expected


def test_a_model_of_another_precision_is_refused():
    expected = "the model is in torch.float64; allowed: torch.float32; call model.float() first"
    assert refusal(accelerate, model_with_statistics().double(), SHAPE) == expected


def test_a_shape_that_the_model_does_not_take_is_refused():
    message = refusal(accelerate_function, model_with_statistics(), (1, 4, 2, 8, 8))
    assert message == "clips have shape [1, 4, 2, 8, 8]; allowed: [batch, 3, frames, height, width]"


def test_an_engine_that_computes_something_else_is_refused(monkeypatch):
    wrong = {**module.ENGINES, "eager": (lambda model, clips: lambda batch: 1.01 * model(batch), ())}
    monkeypatch.setattr(module, "ENGINES", wrong)
    message = refusal(accelerate, model_with_statistics(), SHAPE, "eager")
    assert message == (
        "engine 'eager' gives other logits than the model, by 1.0e-02 of the largest; allowed: 1e-04; take another "
        "engine"
    )
