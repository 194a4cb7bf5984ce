"""The parts of ``kinetics_rs.yaml`` beside what was published: ``python tests/fidelity.py`` prints docs/fidelity.md.

What is published is written here as numbers, or worked out by the published formula in exact fractions or float64;
ours comes out of the objects that the config builds. Nothing of ours is used for the published side.
"""

import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import nn

from video_rs import builders
from video_rs.config import load_config
from video_rs.data.random_boxes import random_box
from video_rs.engine.average import Ema
from video_rs.engine.evaluation import NetworkScorer, view_probabilities
from video_rs.engine.objectives.losses import cross_entropy
from video_rs.engine.optimizer import parameter_groups, set_learning_rate, sgd
from video_rs.models.layers import StochasticDepth
from video_rs.video.segments import whole_video

VIDEOS = 215570
HEAD = """# Fidelity

`kinetics_rs.yaml` beside the published recipe: the Model Garden's `k400_resnet3drs_50_tpu.yaml` and the code that reads
it (Bello et al. 2021, arXiv 2103.07579; Du et al. 2021, arXiv 2109.01696). `python tests/fidelity.py` prints this page,
`tests/models/test_fidelity.py` checks it. The error is the largest absolute difference; 0 is the same number.
The networks themselves are compared with the Model Garden's in `tests/models/test_model_garden.py`.

The whole training step is compared in `tests/engine/test_model_garden_steps.py`; `make test-tensorflow` runs both.
The Model Garden's optimizer factory trains its own 3D ResNet-RS, of five blocks, for five steps: three of the warm-up,
two of the cosine. Ours trains the converted weights on the same clips, without dropout and stochastic depth. The
largest difference after any step, as measured on one CPU:

| after each of five steps | float64, of the largest value of each tensor | float32, norm over norm of all tensors |
|---|---:|---:|
| weights | 7e-16 | 4e-5 |
| momentum | 2e-14 | 8e-2 |
| average of the weights | 6e-16 | 3e-5 |
| batch-norm statistics | 1e-14 | 2e-3 |
| average of the statistics | 9e-15 | 1e-3 |

TensorFlow has no float64 of 3D max-pooling and of fused batch norm on a CPU, so equals stand in for them there, and
scalars that Keras and the Model Garden keep in float32 are made float64. In float32 nothing is replaced. There a ReLU
whose input is 0 to the rounding passes in one precision and not in the other (between our own float32 and float64, one
unit of 73,728 behind the block of res4 and one of 294,912 behind that of res2), and the momenta differ by percents.
The statistics of the first step, which come before any gradient, agree to 4e-6 in every tensor.

| item | published | ours | error |
|---|---|---|---:|
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """One item: the published numbers, ours, and how far they may be apart."""

    item: str
    published: list[float]
    ours: list[float]
    allowed: float = 0.0
    text: str = ""

    @property
    def error(self) -> float:
        """Largest absolute difference; infinite where there are not as many numbers."""
        if len(self.published) != len(self.ours):
            return math.inf
        return max(abs(float(a) - float(b)) for a, b in zip(self.published, self.ours, strict=True))

    def line(self) -> str:
        """Of the table."""
        sides = [self.text or _short(numbers) for numbers in (self.published, self.ours)]
        return f"| {self.item} | {' | '.join(sides)} | {self.error:.0e} |".replace("| 0e+00 |", "| 0 |")


def _short(numbers: list[float]) -> str:
    return "; ".join(f"{int(number):,}" if number == int(number) else f"{number:.6g}" for number in numbers)


def rows() -> Iterator[Row]:
    """All items, in the order of a training run."""
    config = load_config("kinetics_rs")
    yield from clips(config)
    yield from pixels(config)
    yield from model(config)
    yield from steps(config)
    yield from testing(config)


def clips(config) -> Iterator[Row]:
    """Which frames."""
    spec = builders.build_clip_spec(config)
    generator = torch.Generator().manual_seed(0)
    for length, last in ((300, 237), (63, 0), (62, 61), (20, 19)):
        starts = [int(spec.random(whole_video(length, 30.0), generator)[0]) for _ in range(4000)]
        yield Row(f"training clip: first and last start of {length} frames", [0, last], [min(starts), max(starts)])
    clip = spec.random(whole_video(50, 30.0), generator)
    wrapped = [(int(clip[0]) + 2 * i) % 50 for i in range(32)]
    yield Row("training clip: frames of a video of 50, wrapped", wrapped, clip.tolist(), text="(start + 2 i) mod 50")
    offsets = [0, 26, 52, 78, 104, 131, 157, 183, 209, 236]  # int(linspace(0, 300 - 64, 10))
    yield Row("test clips: starts in 300 frames", offsets, spec.uniform(whole_video(300, 30.0), 10)[:, 0].tolist())
    yield Row(
        "test clips: starts in 64 frames or less", [0] * 10, spec.uniform(whole_video(40, 30.0), 10)[:, 0].tolist()
    )


def pixels(config) -> Iterator[Row]:
    """Crop boxes, resizing, flip and the range of values."""
    train, evaluation = builders.build_train_transform(config), builders.build_preprocessing(config).transform
    yield Row("training crop: area and aspect", [0.08, 1, 0.5, 2], [*train.area, *train.aspect])
    generator = torch.Generator().manual_seed(0)
    boxes = [random_box(240, 320, train.area, train.aspect, generator) for _ in range(20000)]
    ratio, covered = [w / h for _, _, h, w in boxes], [h * w / (240 * 320) for _, _, h, w in boxes]
    # Of 20,000 draws the extremes come within a hundredth of the bounds; a side of 40 pixels rounds by a hundredth.
    yield Row("aspects drawn: smallest and largest of 20,000", [0.5, 2.0], [min(ratio), max(ratio)], 0.02)
    # Smaller than a tenth is rejected: min_object_covered 0.1.
    yield Row("areas drawn: smallest of 20,000", [0.1], [min(covered)], 0.001)
    yield Row("share of mirrored clips", [0.5], [train.flip])
    yield Row("crop, pixels: training, testing", [224, 256], [train.crop_size, evaluation.crop_size])
    chance = np.random.default_rng(0)
    frame = chance.integers(0, 256, (1, 48, 64, 3), dtype=np.uint8)
    small = dataclasses.replace(evaluation, short_side=36, crop_size=36)
    expected, near = bilinear(frame[0].astype(np.float64), 36, 48)
    ours = small.resize(torch.from_numpy(frame))[:, 0].permute(1, 2, 0).numpy()
    # Where the exact value is an integer, float32 may fall on either side of it; ours adds a noise's worth.
    sure = ~near
    text = "bilinear, no antialias, truncated"
    yield Row("resizing 48 x 64 to 36 x 48", expected[sure].tolist(), ours[sure].tolist(), text=text)
    shape = list(evaluation.resize(torch.zeros(1, 240, 321, 3, dtype=torch.uint8)).shape[2:])
    yield Row("size of 240 x 321 at a short side of 256", [256, 342], shape)  # floor(342.4)
    ramp = torch.arange(341, dtype=torch.float32).expand(1, 3, 256, 341).permute(1, 0, 2, 3)
    lefts = [int(crop[0, 0, 0, 0]) for crop in evaluation.crops(ramp)]
    yield Row("three crops: offsets in 256 x 341", [0, 42, 85], lefts)  # round(170.5 - 128), half to even
    prepared = builders.build_preprocessing(config).prepare(
        torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 16, 16).expand(1, 3, 1, 16, 16), torch.device("cpu")
    )
    values = [float(np.float32(i) / np.float32(255)) for i in range(256)]
    yield Row("values of 0 to 255 in the network", values, prepared[0, 0].flatten().tolist(), text="value / 255")


def bilinear(frame: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Half-pixel centres, truncated, in float64; and where the value before is so near an integer that it may be it."""

    def taps(size_in: int, size_out: int):
        at = (np.arange(size_out) + 0.5) * size_in / size_out - 0.5
        low = np.floor(at).astype(int)
        return np.clip(low, 0, size_in - 1), np.clip(low + 1, 0, size_in - 1), at - low

    top, bottom, v = taps(frame.shape[0], height)
    left, right, h = taps(frame.shape[1], width)
    v, h = v[:, None, None], h[None, :, None]
    rows_of = [frame[r][:, left] * (1 - h) + frame[r][:, right] * h for r in (top, bottom)]
    exact = rows_of[0] * (1 - v) + rows_of[1] * v
    return np.floor(exact), np.abs(exact - np.round(exact)) < 1e-4


def model(config) -> Iterator[Row]:
    """What the network does in training, and which weights are decayed."""
    network = builders.build_model(config, builders.build_architecture(config), 400, torch.device("cpu"))
    rates = [
        sorted({module.rate for module in stage.modules() if isinstance(module, StochasticDepth)})
        for stage in (getattr(network.backbone, f"res{i}") for i in range(2, 6))
    ]
    published = [0.1 * i / 5 for i in range(2, 6)]
    yield Row("stochastic depth: rates of the four stages", published, [rate for part in rates for rate in part], 1e-12)
    yield Row("dropout before the classifier", [0.5], [m.p for m in network.modules() if isinstance(m, nn.Dropout)])
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm3d)]
    yield Row(
        "batch norm: epsilon, share of the batch (TensorFlow's 1 - momentum)",
        [1e-5, 1.0],
        [*{m.eps for m in norms}, *{m.momentum for m in norms}],
    )
    decayed = next(g for g in builders.build_optimizer(config, network).param_groups if g["weight_decay"])
    yield Row(
        "weight decay: factor, and number of kernels", [4e-5, 88], [decayed["weight_decay"], len(decayed["params"])]
    )
    yield Row("parameters", [48129840], [sum(p.numel() for p in network.parameters())])


def steps(config) -> Iterator[Row]:
    """Schedule, loss, optimizer, average."""
    plan = builders.build_plan(config, VIDEOS)
    schedule = builders.build_schedule(config, plan)
    yield Row(
        "steps: all, warm-up, clips of each",
        [73682, 1050, 1024],
        [plan.total_steps, schedule.warmup_steps, plan.batch_size],
    )
    at = [0, 1, 525, 1049, 1050, 1051, 36841, 60000, 73681]
    ours = [schedule(step) for step in at]
    yield Row(f"learning rate at steps {', '.join(map(str, at))}", [published_rate(step) for step in at], ours, 1e-15)
    logits = torch.linspace(-3, 3, 400, dtype=torch.float64)
    losses = cross_entropy(logits.float().expand(2, 400), torch.tensor([0, 399]), config.SOLVER.LABEL_SMOOTHING)
    yield Row(
        "loss, smoothed by 0.1 over 400 classes",
        [published_loss(logits, label) for label in (0, 399)],
        losses.tolist(),
        2e-6,
    )
    yield Row("SGD: weight after steps at the rates 0.2, 0.4, 0.8", *sgd_steps(config), 1e-6)
    yield Row(
        "decay of the average after steps 1, 2, 100, 100,000",
        [2 / 11, 3 / 12, 101 / 110, 0.9999],
        ema_decays(config),
        1e-6,
    )
    yield Row("average of a weight and of a batch-norm mean after 3 steps", *ema_averages(config), 1e-6)


def published_rate(step: int) -> float:
    """Linear warm-up from 0 to the cosine's value at 1,050; the cosine runs from step 0 to 73,682."""
    cosine = 0.8 * (1 + math.cos(math.pi * max(step, 1050) / 73682)) / 2
    return cosine * min(1.0, step / 1050)


def published_loss(logits: torch.Tensor, label: int) -> float:
    """-sum q log p with q = 0.9 at the label and 0.1 / 400 everywhere."""
    z = logits.tolist()
    top = math.log(sum(math.exp(value) for value in z))
    return sum(-(0.1 / 400 + 0.9 * (i == label)) * (value - top) for i, value in enumerate(z))


def sgd_steps(config) -> tuple[list[float], list[float]]:
    """Keras' Nesterov momentum (m' = 0.9 m - lr g; w' = w + 0.9 m' - lr g), g with the L2 term 4e-5 w, in float64."""
    rates, gradients, w, m, published = [0.2, 0.4, 0.8], [0.5, -0.25, 0.75], 1.5, 0.0, []
    parameter = nn.Parameter(torch.tensor([1.5]))
    holder = nn.Module()
    holder.weight = parameter
    optimizer = sgd(
        parameter_groups(holder, {"weight"}, config.SOLVER.WEIGHT_DECAY), config.SOLVER.MOMENTUM, config.SOLVER.NESTEROV
    )
    ours = []
    for rate, gradient in zip(rates, gradients, strict=True):
        g = gradient + 4e-5 * w
        m = 0.9 * m - rate * g
        w += 0.9 * m - rate * g
        published.append(w)
        parameter.grad = torch.tensor([gradient])
        set_learning_rate(optimizer, rate)
        optimizer.step()
        ours.append(float(parameter.detach()))
    return published, ours


def ema_decays(config) -> list[float]:
    """What remains of an average of 1 when zeros are taken in after that many steps."""
    decays = []
    for count in (1, 2, 100, 100000):
        layer = nn.Linear(1, 1)
        nn.init.zeros_(layer.weight)
        ema = Ema(layer, config.SOLVER.EMA_DECAY)
        ema.state_dict()["weight"].fill_(1)
        ema.update(layer, count)
        decays.append(float(ema.state_dict()["weight"]))
    return decays


def ema_averages(config) -> tuple[list[float], list[float]]:
    """From zeros, with decays 2/11, 3/12, 4/13; the statistics of batch norm as the weights."""
    norm, published = nn.BatchNorm1d(1), [Fraction(0), Fraction(0)]
    ema = Ema(norm, config.SOLVER.EMA_DECAY)
    for count, (weight, mean) in enumerate([(2, 5), (-3, 7), (4, -1)], 1):
        decay = Fraction(1 + count, 10 + count)
        published = [decay * a + (1 - decay) * b for a, b in zip(published, (weight, mean), strict=True)]
        nn.init.constant_(norm.weight, weight)
        norm.running_mean.fill_(mean)
        ema.update(norm, count)
    return [float(value) for value in published], [float(ema.state_dict()[name]) for name in ("weight", "running_mean")]


def testing(config) -> Iterator[Row]:
    """Views and their mean."""
    preprocessing = builders.build_preprocessing(config)
    yield Row("views: clips, crops", [10, 3], [preprocessing.num_clips, preprocessing.transform.num_crops])
    logits = np.random.default_rng(1).normal(0, 4, (30, 5))
    exact = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    table = torch.from_numpy(logits).float()

    class Lookup(nn.Module):
        """Logits of the view whose number is in its pixels."""

        def forward(self, views):
            return table[views[:, 0, 0, 0, 0].long()]

    views = torch.arange(30, dtype=torch.uint8).view(30, 1, 1, 1, 1).expand(30, 3, 1, 1, 1)
    mean, _ = view_probabilities(NetworkScorer(Lookup(), torch.Tensor.float), views.split(8))
    yield Row("mean over 30 views, of probabilities", exact.mean(0).tolist(), mean.tolist(), 1e-6)


def page() -> str:
    """docs/fidelity.md."""
    return HEAD + "".join(row.line() + "\n" for row in rows())


if __name__ == "__main__":
    print(page(), end="")
