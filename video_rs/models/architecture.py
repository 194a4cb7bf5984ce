"""The plain data that describes a network: one frozen dataclass, checked where it is made."""

import dataclasses
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from video_rs.models.convolution import PADDINGS
from video_rs.models.layers import SHORTCUTS
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

STAGES = ("res2", "res3", "res4", "res5")
STAGE_WIDTHS = (64, 128, 256, 512)
# Blocks in each stage of the published networks, by their depth.
DEPTHS = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    270: (4, 29, 53, 4),
    300: (4, 36, 54, 4),
    350: (4, 36, 72, 4),
    420: (4, 44, 87, 4),
}
CHOICES = {
    "block": ("bottleneck", "basic"),
    "stem": ("deep", "plain"),
    "stem_pool": ("max", "conv", "none"),
    "shortcut": tuple(SHORTCUTS),
    "padding": PADDINGS,
    "stochastic_depth_rule": ("stage", "block"),
    "initialization": ("model_garden", "tpu"),
}
# Fields that change neither the names and shapes of the weights nor what they compute in evaluation, so that trained
# weights may go into a network that differs in them: dropout and stochastic depth act in training alone, norm_momentum
# says how fast statistics follow from here on, and initialization how fresh weights start and which ones decay.
TRAINING_ONLY = ("dropout", "stochastic_depth", "stochastic_depth_rule", "norm_momentum", "initialization")

# Fields whose numbers count something.
AT_LEAST_ONE = (
    "in_channels",
    "stem_temporal_stride",
    "stem_pool_temporal_stride",
    "res2_pool_temporal_stride",
    "depths",
    "temporal_strides",
)


@dataclass(frozen=True)
class Architecture:
    """A 3D ResNet; the defaults are the Model Garden's R3D-RS (``k400_resnet3drs_50_tpu.yaml``).

    Attributes:
        depths: blocks in each of the four stages.
        block: "bottleneck" (kt x 1 x 1, 1 x 3 x 3, 1 x 1 x 1; four times the width out) or "basic" (kt x 3 x 3,
            1 x 3 x 3; the width out).
        width: factor on all widths; 1 is 64, 128, 256, 512 and a 32-32-64 stem.
        in_channels: channels of a clip.
        stem: "deep" (ResNet-D: three 3 x 3 convolutions) or "plain" (one 7 x 7).
        stem_temporal_kernel, stem_temporal_stride: of the stem's first convolution, in frames.
        stem_pool: "max" (3 x 3), "conv" (a stride-2 3 x 3 convolution, image ResNet-RS) or "none".
        stem_pool_temporal_stride: above 1, the max-pool is also 3 wide in time.
        res2_pool_temporal_stride: above 1, res2 ends in a max-pool over that many frames, each read once.
        temporal_kernels: per stage one odd int, or one odd int per block.
        temporal_strides: per stage, taken by its first block.
        res5_dilation: 1, or 2: res5 keeps res4's resolution and its 3 x 3 convolutions are dilated by 2, as detection
            wants it (Feichtenhofer et al. 2019, section 5).
        shortcut: "projection" or "avgpool" (ResNet-D).
        se_ratio: hidden width of squeeze-and-excitation over the block's output width; 0 leaves it out.
        self_gating: gate the last block of each stage.
        stochastic_depth: drop rate of the deepest block.
        stochastic_depth_rule: "stage" (rate * stage/5 for stages 2 to 5) or "block" (linear from 0 at the first block).
        dropout: rate before the classifier.
        padding: "same" (TensorFlow) or "symmetric" (PyTorch, and the image networks).
        norm_eps: batch norm's epsilon.
        norm_momentum: torch's meaning; 1 (TensorFlow's 0) keeps the last batch's statistics, which the EMA averages.
        initialization: whose published rules start and decay the weights: "model_garden", or "tpu" (last gamma of a
            block 0, classifier N(0, 0.01), biases decayed).
    """

    depths: tuple[int, ...]
    block: str = "bottleneck"
    width: float = 1.0
    in_channels: int = 3
    stem: str = "deep"
    stem_temporal_kernel: int = 5
    stem_temporal_stride: int = 2
    stem_pool: str = "max"
    stem_pool_temporal_stride: int = 1
    res2_pool_temporal_stride: int = 1
    temporal_kernels: tuple = (1, 1, 3, 3)
    temporal_strides: tuple[int, ...] = (1, 1, 1, 1)
    res5_dilation: int = 1
    shortcut: str = "projection"
    se_ratio: float = 0.25
    self_gating: bool = True
    stochastic_depth: float = 0.1
    stochastic_depth_rule: str = "stage"
    dropout: float = 0.5
    padding: str = "same"
    norm_eps: float = 1e-5
    norm_momentum: float = 1.0
    initialization: str = "model_garden"

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = _of_type(field.name, getattr(self, field.name), field.type)
            object.__setattr__(self, field.name, value)  # the dataclass is frozen

        for name, allowed in CHOICES.items():
            self._require(getattr(self, name) in allowed, name, f"one of {', '.join(allowed)}")
        for name in ("depths", "temporal_kernels", "temporal_strides"):
            self._require(len(getattr(self, name)) == 4, name, "one entry for each of 4 stages")
        self._check_ranges()
        self._check_strides()

    def _check_ranges(self) -> None:
        """Raise InputError where a number is out of its range."""
        for name in AT_LEAST_ONE:
            smallest = min(_flat(getattr(self, name)))
            self._require(smallest >= 1, name, "at least 1")
        for name in ("stem_temporal_kernel", "temporal_kernels"):
            are_odd = all(kernel >= 1 and kernel % 2 for kernel in _flat(getattr(self, name)))
            self._require(are_odd, name, "odd and at least 1")
        for name in ("stochastic_depth", "dropout"):
            self._require(0 <= getattr(self, name) < 1, name, "at least 0 and below 1")
        for name in ("width", "norm_eps"):
            self._require(getattr(self, name) > 0, name, "above 0")

        self._require(self.res5_dilation in (1, 2), "res5_dilation", "1 or 2")
        self._require(self.se_ratio >= 0, "se_ratio", "at least 0")
        self._require(0 < self.norm_momentum <= 1, "norm_momentum", "above 0 and at most 1")

    def _check_strides(self) -> None:
        """Raise InputError where a stride has no kernel, or skips frames that no kernel reads."""
        if self.stem_pool == "none":
            has_no_stride = self.stem_pool_temporal_stride == 1
            self._require(has_no_stride, "stem_pool_temporal_stride", "1 where stem_pool is 'none'")

        strided = [
            ("stem_temporal_stride", self.stem_temporal_kernel, self.stem_temporal_stride),
            ("stem_pool_temporal_stride", 3, self.stem_pool_temporal_stride),
        ]
        for kernels, stride in zip(self.kernels_of_stages(), self.temporal_strides, strict=True):
            strided.append(("temporal_strides", kernels[0], stride))  # a stage's first block strides
        for name, kernel, stride in strided:
            if kernel > 1 and stride > kernel:
                raise _refusal(name, stride, f"at most its kernel's size, {kernel}")

    def _require(self, condition: bool, name: str, allowed: str) -> None:
        """Raise InputError that names a field and what is allowed, unless the condition holds."""
        if not condition:
            raise _refusal(name, getattr(self, name), allowed)

    def replaced(self, overrides: Mapping) -> "Architecture":
        """Return a copy with some fields replaced.

        Raises:
            InputError: an override names no field (the nearest one is named), or its value is not allowed.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in overrides:
            if name in names:
                continue
            near = nearest(name, names)
            hint = f"did you mean {near!r}?" if near else f"allowed: {', '.join(names)}"
            raise InputError(f"unknown architecture override {name!r}; {hint}")
        return dataclasses.replace(self, **overrides)

    def differing_fields(self, other: "Architecture") -> list[str]:
        """Return the names of the fields, but for those of training alone, in which ``other`` is another network."""
        differing = []
        for name, value in vars(self).items():
            if name not in TRAINING_ONLY and value != getattr(other, name):
                differing.append(name)
        return differing

    def channels(self, base: int) -> int:
        """Return ``base`` channels times the width factor, at least 1."""
        return max(1, round(base * self.width))

    def stage_channels(self, index: int) -> int:
        """Return the channels that stage ``index`` (0 to 3) puts out."""
        return self.channels(STAGE_WIDTHS[index]) * self.expansion

    @property
    def expansion(self) -> int:
        """Return the output channels of a block over the stage's width."""
        return 4 if self.block == "bottleneck" else 1

    def spatial_stride(self, index: int) -> int:
        """Return the stride of stage ``index`` (0 to 3) in height and width."""
        is_dilated = index == 3 and self.res5_dilation > 1
        return 1 if index == 0 or is_dilated else 2

    def temporal_stride(self, index: int) -> int:
        """Return the stride of stage ``index`` (0 to 3) in time, with that of the pooling behind res2."""
        if index == 0:
            return self.temporal_strides[0] * self.res2_pool_temporal_stride
        return self.temporal_strides[index]

    def kernels_of_stages(self) -> list[tuple[int, ...]]:
        """Return the temporal kernels as one int per block for each stage."""
        stages = []
        for kernels, depth in zip(self.temporal_kernels, self.depths, strict=True):
            if isinstance(kernels, int):
                kernels = (kernels,) * depth
            if len(kernels) != depth:
                raise _refusal("temporal_kernels", kernels, f"{depth} entries, one per block of its stage")
            stages.append(kernels)
        return stages

    def drop_rates(self) -> list[list[float]]:
        """Return the stochastic-depth rate of each block, by stage."""
        if self.stochastic_depth_rule == "stage":
            return [[self.stochastic_depth * number / 5] * depth for number, depth in enumerate(self.depths, 2)]

        last = max(1, sum(self.depths) - 1)
        rates = []
        first = 0
        for depth in self.depths:
            rates.append([self.stochastic_depth * block / last for block in range(first, first + depth)])
            first += depth
        return rates


def describe_differences(there: Mapping[str, Any], here: Architecture) -> str:
    """Return ``padding 'same' there, 'symmetric' here``, for a refusal."""
    return "; ".join(f"{name} {value!r} there, {getattr(here, name)!r} here" for name, value in there.items())


def describe_overrides(fields: Mapping[str, Any]) -> str:
    """Return fields as arguments and as config keys to copy: ``padding='same' (in a config: MODEL.PADDING same)``."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in fields.items())

    keys = []
    for name, value in fields.items():
        if name == "in_channels":  # 3 in a config
            continue
        text = value if isinstance(value, str) else shlex.quote(json.dumps(value))
        keys.append(f"MODEL.{name.upper()} {text}")
    if not keys:
        return arguments
    return f"{arguments} (in a config: {' '.join(keys)})"


def _flat(value: Any) -> list:
    """Return one number, a tuple of numbers, or a tuple with tuples of numbers as a list of the numbers."""
    if not isinstance(value, tuple):
        return [value]
    numbers = []
    for entry in value:
        numbers += entry if isinstance(entry, tuple) else [entry]
    return numbers


def _refusal(name: str, got: Any, allowed: str) -> InputError:
    return InputError(f"architecture field {name!r} is {got!r}; allowed: {allowed}")


def _of_type(name: str, value: Any, kind: Any) -> Any:
    """Return ``value`` with lists as tuples, and an int as a float where a float is meant.

    Raises:
        InputError: the value has another type than ``kind``.
    """
    if kind in (int, float, str, bool):
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise _refusal(name, value, f"one value of type {kind.__name__}")
        if kind is float and not math.isfinite(value):
            raise _refusal(name, value, "a finite number")
        return value

    if not isinstance(value, (list, tuple)):
        raise _refusal(name, value, "a list")
    value = tuple(value)
    numbers = value
    if name == "temporal_kernels":  # a stage's entry may be a list, too: one kernel for each block
        value = tuple(tuple(entry) if isinstance(entry, list) else entry for entry in value)
        numbers = _flat(value)
    if not all(type(number) is int for number in numbers):
        raise _refusal(name, value, "a list of whole numbers")
    return value
