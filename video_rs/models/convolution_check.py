"""Whether a device computes a network's convolutions rightly: its largest layers, against sums on the CPU.

Libraries have been wrong without a word: cuDNN 9.8 to 9.14 on 3D convolutions of half-precision maps that are large
(pytorch/pytorch#163539), where small maps came out right; MPS on others (pytorch/pytorch#197114). The layers are
therefore run as the network will run them: with its weights, precision and layout, on maps of the size of its
micro-batches.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from video_rs.models.convolution import Conv3d
from video_rs.models.fast.convolution import runs_in_3d
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
    """A convolution of a network.

    Attributes:
        name: of the module in the network.
        convolution: the module.
        shape: ``[B, C, T, H, W]`` of the maps that it gets.
    """

    name: str
    convolution: Conv3d
    shape: tuple[int, ...]


class Disagreement(NamedTuple):
    """How a layer differs from its sums on the CPU.

    Attributes:
        wrong: places of the map that are off by more than rounding explains.
        checked: places that were compared.
        worst: the largest difference, over what rounding can explain.
    """

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
            # The network itself will not fit either, and says so where it runs.
            continue
        if found.wrong:
            raise InputError(_refusal(layer, device, precision, found, advice))


def largest_layers(model: nn.Module, clip_shape: Sequence[int]) -> list[Layer]:
    """Return the convolution with the largest maps, and the one of those that run as 3D convolutions."""
    layers = _layers(model, clip_shape)
    largest = [max(layers, key=_values)]
    in_3d = [layer for layer in layers if runs_in_3d(layer.convolution)]
    if in_3d:
        largest.append(max(in_3d, key=_values))

    # The two may be one. The shapes were found on a copy: the layers to return are the model's own.
    shapes = {layer.name: layer.shape for layer in largest}
    return [Layer(name, model.get_submodule(name), shape) for name, shape in shapes.items()]


def _layers(model: nn.Module, clip_shape: Sequence[int]) -> list[Layer]:
    """Return all convolutions of a copy of the model without memory, with the shapes of their maps."""
    layers: list[Layer] = []
    shadow = copy.deepcopy(model).to("meta").eval()

    def recorder(name: str) -> Callable:
        def record(module: Conv3d, inputs: tuple[Tensor], _: Tensor) -> None:
            layers.append(Layer(name, module, tuple(inputs[0].shape)))

        return record

    for name, module in shadow.named_modules():
        if isinstance(module, Conv3d):
            module.register_forward_hook(recorder(name))
    clips = torch.empty(tuple(clip_shape), device="meta").to(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        shadow(clips)
    return layers


def _values(layer: Layer) -> int:
    """Return how many values the maps have that the layer gets and gives."""
    convolution = layer.convolution
    batch, _, frames, height, width = layer.shape
    cells = batch * frames * height * width
    temporal_stride, vertical_stride, horizontal_stride = convolution.stride
    cells_out = cells // (temporal_stride * vertical_stride * horizontal_stride)
    return cells * convolution.in_channels + cells_out * convolution.out_channels


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
    run = run or nn.Module.__call__
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        found = run(convolution, maps)

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
    from_rounding = 2 * ROUNDING[precision] * (expected.abs() + sizes / terms**0.5)
    from_adding = ADDING * terms
    if precision == torch.float32 and device.type == "cuda":
        from_adding += TF32  # cuDNN's default; without it the sums are only better
    excess = ((found - expected).abs() / (from_rounding + from_adding * sizes)).nan_to_num(torch.inf)
    return Disagreement(int((excess > 1).any(1).sum()), len(places), float(excess.max()))


def _places(shape: Sequence[int]) -> Tensor:
    """Return int64 ``[N, 4]``: random (b, t, h, w) of a map ``[B, C, T, H, W]``, the first and the last among them."""
    batch, _, frames, height, width = shape
    cells = batch * frames * height * width
    flat = torch.randint(cells, (CHECKED,), generator=torch.Generator().manual_seed(0))
    flat[0] = 0
    flat[-1] = cells - 1
    return torch.stack(torch.unravel_index(flat, (batch, frames, height, width)), 1)


def _windows(convolution: Conv3d, maps: Tensor, places: Tensor) -> Tensor:
    """Return ``[N, C * t * h * w]``: what the kernel sees at each of ``places``; 0 outside the map."""
    before = convolution.padding_before(maps.shape[2:])
    batch, *cells = places.unbind(1)
    steps = torch.cartesian_prod(*(torch.arange(size) for size in convolution.kernel_size)).unbind(1)

    inside = torch.ones(len(places), len(steps[0]), dtype=torch.bool)
    index = []
    for axis, (cell, step) in enumerate(zip(cells, steps, strict=True)):
        first = cell[:, None] * convolution.stride[axis] - before[axis]
        position = first + step * convolution.dilation[axis]  # [N, t * h * w]
        length = maps.shape[2 + axis]
        inside &= (position >= 0) & (position < length)
        index.append(position.clamp(0, length - 1).to(maps.device))

    cells_last = maps.permute(0, 2, 3, 4, 1)  # [B, C, T, H, W] -> [B, T, H, W, C]
    seen = cells_last[batch[:, None].to(maps.device), *index]  # [N, t * h * w, C]
    seen = seen * inside[..., None].to(maps.device)
    return seen.transpose(1, 2).flatten(1)


def _refusal(layer: Layer, device: torch.device, precision: torch.dtype, found: Disagreement, advice: str) -> str:
    """Return the line that names the layer, how wrong it is, and what to do."""
    kernel = " x ".join(map(str, layer.convolution.kernel_size))
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
