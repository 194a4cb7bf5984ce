"""Whether a device computes a network's convolutions rightly: its largest layers, against sums on the CPU.

Libraries have been wrong without a word: cuDNN 9.8 to 9.14 on 3D convolutions of half-precision maps that are large
(pytorch/pytorch#163539), where small maps came out right; MPS on others (pytorch/pytorch#197114). So the layers are run
as the network will run them: with its weights, precision and layout, on maps of the size of its micro-batches.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from video_rs.models.convolution import FEW_CHANNELS, Conv3d
from video_rs.runtime.errors import InputError

# Values of a layer's map that are computed again. What is wrong in a share s of the map is missed with (1 - s)**4096.
CHECKED = 4096
# Largest error of a value that is rounded to the dtype, over the value.
ROUNDING = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
# Largest error of adding one product in float32, over the sum of the products' sizes: tensor cores truncate.
ADDING = 2.0**-23
# Largest error of a product whose factors TF32 rounds to 11 bits each, over the product.
TF32 = 2.0**-10


class Layer(NamedTuple):
    """A convolution of a network, with the shape ``[B, C, T, H, W]`` of the maps that it gets."""

    name: str
    convolution: Conv3d
    shape: tuple[int, ...]


class Disagreement(NamedTuple):
    """A layer differs from its sums: at ``wrong`` of ``checked`` places, by up to ``worst`` times what rounding can."""

    wrong: int
    checked: int
    worst: float


def require_right_convolutions(
    model: nn.Module,
    clip_shape: Sequence[int],
    precision: torch.dtype = torch.float32,
    advice: str = "set DEVICE cpu",
) -> None:
    """Raise InputError where the model's device computes one of its largest convolutions wrongly; a CPU is trusted.

    Args:
        model: on its device.
        clip_shape: (B, 3, T, H, W) of the clips that it gets at a time.
        precision: dtype that it computes in, by autocast.
        advice: what the user can do, beside taking other versions.
    """
    device = next(model.parameters()).device
    if device.type == "cpu":
        return
    if device.type == "mps":
        precision = torch.float32  # how exact its sums of half precision are is written nowhere
    for layer in largest_layers(model, clip_shape):
        try:
            found = disagreement(layer, device, precision)
        except torch.OutOfMemoryError:
            continue  # the network itself will not fit either, which is told where it runs
        if found.wrong:
            raise InputError(_told(layer, device, precision, found, advice))


def largest_layers(model: nn.Module, clip_shape: Sequence[int]) -> list[Layer]:
    """Return the convolution with the largest maps, and the one of those that run as 3D convolutions."""
    layers: list[Layer] = []
    twin = copy.deepcopy(model).to("meta").eval()

    def note(name: str) -> Callable:
        return lambda module, inputs, _: layers.append(Layer(name, module, tuple(inputs[0].shape)))

    for name, module in twin.named_modules():
        if isinstance(module, Conv3d):
            module.register_forward_hook(note(name))
    clips = torch.empty(tuple(clip_shape), device="meta").to(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        twin(clips)

    largest = [max(layers, key=_values)]
    over_time = [layer for layer in layers if _runs_over_time(layer.convolution)]
    if over_time:
        largest.append(max(over_time, key=_values))
    return [Layer(name, model.get_submodule(name), shape) for name, _, shape in dict.fromkeys(largest)]


def _runs_over_time(convolution: Conv3d) -> bool:
    """Return whether it is a 3D convolution for the library, too: our fast paths run the others as 2D ones."""
    reaches = convolution.kernel_size[0] > 1 or convolution.stride[0] > 1
    return reaches and convolution.in_channels > FEW_CHANNELS


def _values(layer: Layer) -> int:
    """Return how many values the maps have that the layer gets and gives."""
    convolution, (batch, _, *size) = layer.convolution, layer.shape
    strides = convolution.stride[0] * convolution.stride[1] * convolution.stride[2]
    cells = batch * size[0] * size[1] * size[2]
    return cells * convolution.in_channels + cells // strides * convolution.out_channels


@torch.no_grad()
def disagreement(
    layer: Layer, device: torch.device, precision: torch.dtype, run: Callable[[nn.Module, Tensor], Tensor] | None = None
) -> Disagreement:
    """Return how many values of the layer's map are off by more than rounding explains.

    Args:
        layer: of a network on ``device``.
        device: what computes.
        precision: dtype of the maps, by autocast.
        run: computes the layer's map in place of the layer itself, for tests.
    """
    generator = torch.Generator(device).manual_seed(0)
    maps = torch.empty(layer.shape, dtype=precision, device=device, memory_format=torch.channels_last_3d)
    maps.normal_(generator=generator)
    convolution = layer.convolution
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        found = (run or nn.Module.__call__)(convolution, maps)

    places = _places(found.shape)
    batch, time, height, width = places.to(device).unbind(1)
    found = found[batch, :, time, height, width].cpu().double()
    windows = _windows(convolution, maps, places).cpu().double()
    weight = convolution.weight.to(precision).cpu().double().flatten(1)
    expected = windows @ weight.t()
    sizes = windows.abs() @ weight.abs().t()
    if convolution.bias is not None:
        bias = convolution.bias.to(precision).cpu().double()
        expected += bias
        sizes += bias.abs()

    # A result is rounded to the dtype; where a library keeps partial sums in it, too, those are about as large as sums
    # of as many products of random signs.
    terms = weight.shape[1]
    of_rounding = 2 * ROUNDING[precision] * (expected.abs() + sizes / terms**0.5)
    of_sums = ADDING * terms
    if precision == torch.float32 and device.type == "cuda":
        of_sums += TF32  # cuDNN's default; without it the sums are only better
    excess = ((found - expected).abs() / (of_rounding + of_sums * sizes)).nan_to_num(torch.inf)
    return Disagreement(int((excess > 1).any(1).sum()), len(places), float(excess.max()))


def _places(shape: Sequence[int]) -> Tensor:
    """Return int64 ``[N, 4]``: random (b, t, h, w) of a map ``[B, C, T, H, W]``, the first and the last among them."""
    batch, _, *size = shape
    cells = batch * size[0] * size[1] * size[2]
    flat = torch.randint(cells, (CHECKED,), generator=torch.Generator().manual_seed(0))
    flat[0], flat[-1] = 0, cells - 1
    return torch.stack(torch.unravel_index(flat, (batch, *size)), 1)


def _windows(convolution: Conv3d, maps: Tensor, places: Tensor) -> Tensor:
    """Return ``[N, C * t * h * w]``: what the kernel sees at each of ``places``; 0 outside the map."""
    kernel, stride, dilation = convolution.kernel_size, convolution.stride, convolution.dilation
    before = convolution.padding_before(maps.shape[2:])
    batch, *cells = places.unbind(1)
    steps = torch.cartesian_prod(*(torch.arange(size) for size in kernel)).unbind(1)
    inside, index = None, []
    for axis, (cell, step) in enumerate(zip(cells, steps, strict=True)):
        at = cell[:, None] * stride[axis] + step * dilation[axis] - before[axis]
        length = maps.shape[2 + axis]
        there = (at >= 0) & (at < length)
        inside = there if inside is None else inside & there
        index.append(at.clamp(0, length - 1).to(maps.device))
    seen = maps.permute(0, 2, 3, 4, 1)[batch[:, None].to(maps.device), *index]
    seen = seen * inside[..., None].to(maps.device)
    return seen.transpose(1, 2).flatten(1)


def _told(layer: Layer, device: torch.device, precision: torch.dtype, found: Disagreement, advice: str) -> str:
    convolution = layer.convolution
    kernel = " x ".join(map(str, convolution.kernel_size))
    shape = " x ".join(map(str, layer.shape))
    name = str(precision).removeprefix("torch.")
    library = "MPS" if device.type == "mps" else f"cuDNN {cudnn_version() or 'unknown'}"
    return (
        f"{device.type} computes the convolution {layer.name} ({kernel} on {shape}, {name}) wrongly: at {found.wrong} "
        f"of {found.checked} places it differs from the CPU, by up to {found.worst:.3g} times what rounding explains ("
        f"PyTorch {torch.__version__}, {library}); install another PyTorch or cuDNN, or {advice}"
    )


def cudnn_version() -> str:
    """Return the version of cuDNN in words, such as "9.10.2"; "" where there is none."""
    number = torch.backends.cudnn.version()
    if number is None:
        return ""
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"
