"""The one way to open a video, whichever decoder reads it."""

import os

from video_rs.runtime.errors import InputError
from video_rs.video.errors import PresentationMismatch
from video_rs.video.fetching import local_path
from video_rs.video.index.frame_index import FrameIndex
from video_rs.video.location import check_file
from video_rs.video.reader import VideoReader

DECODERS = ("auto", "pyav", "decord", "torchcodec", "torchcodec_cuda")
"""Names for :func:`open_video`.

``auto`` is PyAV. It read every sound file of our collection, and it is a dependency of the package and so the same
everywhere. A random clip of 32 frames and stride 2 of 340x256 H.264 takes it 0.5 to 0.9 of the time that TorchCodec
0.17 or decord 0.6 take, because it leaves out frames that nobody asked for or refers to. ``torchcodec_cuda`` decodes on
this rank's NVIDIA GPU, and gives frames in main memory like the others.
"""


def open_video(path: str | os.PathLike, decoder: str = "auto", index: FrameIndex | None = None) -> VideoReader:
    """Open a video.

    Args:
        path: a regular file; a part of a shard (``x.tar#start+size``); a URL of either that iopath fetches; or a folder
            of frames (``img_00001.jpg``, ...), which needs no decoder. An animated WebP is read through Pillow.
        decoder: one of :data:`DECODERS`. ``torchcodec`` hands files in which it would not find the right frames
            (:attr:`FrameIndex.addressable`), or of which it would show other pictures, to PyAV; ``decord`` refuses
            them.
        index: the frame index of the file, where it is known (:mod:`video_rs.video.probing.cache`): it spares a scan
            of all packets.

    Raises:
        InputError: the decoder's name is unknown, or its package cannot be imported.
        DecodeError: the file cannot be read as a video by this decoder.
    """
    # A decoder that cannot be had is refused before a file is looked for: it concerns all files.
    reader_class(decoder)

    # These import PyAV, which importing the package must not: `--help` would wait for it.
    from video_rs.video.index.scan_cache import cached_scan
    from video_rs.video.readers.images import ImageFolderReader
    from video_rs.video.readers.webp import AnimatedWebpReader, is_animated_webp

    path = local_path(os.fspath(path))
    if os.path.isdir(path):
        return ImageFolderReader(path)
    check_file(path)
    if is_animated_webp(path):
        return AnimatedWebpReader(path)

    if index is not None:
        return _open_file(decoder, path, index)
    index = cached_scan(path)
    reader = _open_file(decoder, path, index)
    reader.counted = index.counted
    return reader


def _open_file(decoder: str, path: str, index: FrameIndex) -> VideoReader:
    """Return a decoder's reader of a file, or PyAV's in the place of TorchCodec's."""
    reader = reader_class(decoder)
    if not decoder.startswith("torchcodec"):
        return reader(path, index)

    if index.addressable:
        try:
            return reader(path, index)
        except PresentationMismatch:
            pass  # PyAV shows the file as it is meant
    return reader_class("pyav")(path, index)


def reader_class(decoder: str) -> type[VideoReader]:
    """Return the class of a decoder's readers. The decoder's package is imported here, and nowhere before.

    Raises:
        InputError: the name is unknown, the package is missing or cannot load its libraries, or there is no GPU.
    """
    if decoder not in DECODERS:
        raise InputError(f"unknown decoder {decoder!r}; allowed: {', '.join(DECODERS)}")

    try:
        if decoder == "torchcodec":
            from video_rs.video.readers.torchcodec import TorchCodecReader as Reader
        elif decoder == "torchcodec_cuda":
            from video_rs.video.readers.torchcodec import TorchCodecCudaReader as Reader
        elif decoder == "decord":
            from video_rs.video.readers.decord import DecordReader as Reader
        else:
            from video_rs.video.readers.pyav import PyAVReader as Reader
    except (ImportError, OSError, RuntimeError) as error:
        # TorchCodec raises a RuntimeError where it finds no libraries of FFmpeg.
        raise InputError(_import_failure(decoder, error)) from error

    if decoder == "torchcodec_cuda":
        _require_cuda(decoder)
    return Reader


def _require_cuda(decoder: str) -> None:
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            f"decoder {decoder!r} needs an NVIDIA GPU, and torch finds none; allowed here: {', '.join(DECODERS[:-1])}"
        )


def _import_failure(decoder: str, error: Exception) -> str:
    """Return one line that says why a decoder's package cannot be imported.

    A package that is missing and one that does not find its libraries call for different next steps.
    """
    package = "av" if decoder in ("auto", "pyav") else decoder.removesuffix("_cuda")

    if isinstance(error, ModuleNotFoundError):
        install = f"pip install {package}"
        if package == "torchcodec":
            install = "pip install 'video_rs[torchcodec]'"  # the version that fits our torch
        return f"decoder {decoder!r} needs the package {error.name!r}, which is not installed: {install}"

    first_line = str(error).strip().split("\n")[0]
    failure = f"decoder {decoder!r}: {package} is installed but cannot be imported ({first_line})"
    others = [name for name in DECODERS if name != decoder]
    return f"{failure}; allowed: {', '.join(others)}"
