"""Which frames of a clip a cell of the last map sees: what parts of a long video have to share."""

from typing import NamedTuple

from video_rs.models.architecture import Architecture


class TemporalReach(NamedTuple):
    """What cell i of a map sees of what it is made of: from ``i * stride - before`` to ``i * stride + after``.

    A network's last map is made of the frames of a clip, that of a layer of the cells of the one before. It holds for
    clips of a multiple of ``stride`` frames. Squeeze-and-excitation and gating see all of a clip besides.

    Attributes:
        stride: frames (or cells) from one cell to the next.
        before, after: those that a cell sees ahead of its own, and behind it.
    """

    stride: int
    before: int
    after: int


def temporal_reach(arch: Architecture) -> TemporalReach:
    """Return what cells of the last map of a network see."""
    stride = 1
    before = 0
    after = 0
    for layer in _layers(arch):
        before += layer.before * stride
        after += layer.after * stride
        stride *= layer.stride
    return TemporalReach(stride, before, after)


def _layers(arch: Architecture) -> list[TemporalReach]:
    """Return all layers that reach or stride in time, in their order."""
    layers = [_kernel(arch, arch.stem_temporal_kernel, arch.stem_temporal_stride)]
    if arch.stem_pool != "none" and arch.stem_pool_temporal_stride > 1:
        layers.append(_kernel(arch, 3, arch.stem_pool_temporal_stride))

    for index, kernels in enumerate(arch.kernels_of_stages()):
        layers += [
            _block(arch, kernel, arch.temporal_strides[index] if number == 0 else 1)
            for number, kernel in enumerate(kernels)
        ]
        frames = arch.res2_pool_temporal_stride
        if index == 0 and frames > 1:
            layers.append(TemporalReach(frames, 0, frames - 1))
    return layers


def _kernel(arch: Architecture, size: int, stride: int) -> TemporalReach:
    """Return the layer of a kernel, on maps of a multiple of the stride."""
    before = size // 2
    if arch.padding == "same" and stride > 1:
        # TensorFlow pads as little as it can, the smaller half in front.
        before = max(size - stride, 0) // 2
    return TemporalReach(stride, before, size - 1 - before)


def _block(arch: Architecture, kernel: int, stride: int) -> TemporalReach:
    """Return the layer of a block: its branch, or its shortcut, where that sees more."""
    branch = _kernel(arch, kernel, stride)
    if arch.shortcut == "avgpool":
        return branch._replace(after=max(branch.after, stride - 1))
    return branch
