"""The programs of examples/exported: the numbers of prediction, with nothing of PyTorch and of this project."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

from helpers.exports import ROUNDING
from helpers.tools import ROOT
from video_rs import Predictor
from video_rs.data.eval_transform import EvalTransform
from video_rs.inference.export.network import read_network

EXAMPLES = ROOT / "examples" / "exported"
# As if they were not installed: importing them fails.
FORBID = "import sys; sys.modules.update(torch=None, torchvision=None, video_rs=None)\n"


def label_without_torch(model, video):
    """What the Python example prints, from a process that cannot import torch."""
    code = (
        f"{FORBID}import runpy; sys.argv = {['without_torch.py', str(model), str(video)]}\n"
        f"runpy.run_path({str(EXAMPLES / 'without_torch.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["dark/0.mp4", "light/0.mp4", "light/1.mp4"])
def test_python_without_torch_gives_the_numbers_of_prediction(exported, telling, videos, name):
    video = videos.parent / "val" / name
    answer = Predictor.from_checkpoint(telling, "cpu").predict(video)
    lines = label_without_torch(exported("onnx"), video)
    if answer.unsure:
        assert lines.pop(0) == "unsure"
    said = [(line.split()[1], float(line.split()[0])) for line in lines]
    assert [label for label, _ in said] == [label for label, _ in answer.top]
    assert [score for _, score in said] == pytest.approx([score for _, score in answer.top], abs=ROUNDING)


@pytest.mark.parametrize("shape", [(2, 60, 80), (1, 97, 64), (1, 20, 30)])
def test_python_without_torch_resizes_as_testing_does(shape):
    frames = torch.randint(256, (*shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    example = runpy.run_path(str(EXAMPLES / "without_torch.py"))["resize"]
    # The one sums in double precision, and of the other Pillow has its own filter: few values are rounded otherwise.
    for antialias, share in ((False, 0.001), (True, 0.02)):
        expected = EvalTransform(40, 32, 1, antialias).resize(frames).permute(1, 2, 3, 0).numpy().astype(int)
        difference = np.abs(example(frames.numpy(), 40, antialias) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < share


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_javascript_orders_bytes_and_means_as_prediction_does(tmp_path):
    """With a session that answers with the means of red, green and blue of the first frame, over 255."""
    script = f"""
import {{ classify, rgbOf }} from {json.dumps((EXAMPLES / "onnx_runtime_web.mjs").as_uri())};
class Tensor {{ constructor(type, data, dims) {{ Object.assign(this, {{ type, data, dims }}); }} }}
const seen = [];
const session = {{ run: async ({{ clips }}) => {{
  seen.push([clips.type, clips.dims]);
  const pixels = clips.data.length / 3;
  return {{ probabilities: {{ data: [0, 1, 2].map((channel) => clips.data[channel * pixels] / 255) }} }};
}} }};
const about = {{ num_classes: 3, label_names: ["red", "green", "blue"], threshold: 0.5 }};
const view = (r, g, b) => rgbOf({{ data: Uint8Array.from([r, g, b, 9, 1, 2, 3, 9]), width: 2, height: 1 }});
const views = [view(51, 102, 204), view(0, 51, 102)];
console.log(JSON.stringify([await classify({{ Tensor }}, session, about, views, [1, 1, 2]), seen]));
"""
    (tmp_path / "test.mjs").write_text(script)
    done = subprocess.run(["node", tmp_path / "test.mjs"], capture_output=True, text=True, timeout=60, env=os.environ)
    answer, seen = json.loads(done.stdout)
    assert seen == [["uint8", [1, 3, 1, 1, 2]]] * 2
    assert [best["label"] for best in answer["top"]] == ["blue", "green", "red"]
    assert [best["score"] for best in answer["top"]] == pytest.approx([0.6, 0.3, 0.1])
    assert answer["unsure"] is False


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_cpp_gives_the_numbers_of_prediction(exported, telling, tmp_path):
    package = Path(openvino.__file__).parent
    (library,) = (package / "libs").glob("libopenvino.so.*")
    program = tmp_path / "classify"
    paths = ["-I", package / "include", "-L", package / "libs", f"-l:{library.name}", f"-Wl,-rpath,{package / 'libs'}"]
    subprocess.run(["g++", "-std=c++17", EXAMPLES / "classify.cpp", *paths, "-o", program], check=True, timeout=100)

    clip = torch.randint(256, (1, 3, 4, 32, 31), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rgb = clip[0].permute(1, 2, 3, 0).contiguous().numpy().tobytes()
    expected = read_network(telling).program(clip)[0].tolist()
    call = [program, exported("openvino"), "4", "32", "31"]
    done = subprocess.run(call, input=rgb, capture_output=True, timeout=60, check=True)
    printed = [float(line.split()[1]) for line in done.stdout.decode().splitlines()]
    assert printed == pytest.approx(expected, abs=ROUNDING)
    short = subprocess.run(call, input=rgb[:-1], capture_output=True, timeout=60, check=False)
    assert (short.returncode, short.stderr) == (2, b"the clip has fewer than 11904 bytes\n")
