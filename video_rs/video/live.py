"""Live video: a camera of this machine, or a stream from the network, frame after frame as they come."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Self

import av
import torch

from video_rs.video.container import ffmpeg_reason, read_packets, video_streams
from video_rs.video.errors import DecodeError
from video_rs.video.filter_graph import FilterGraph, rgb_filters, rgb_pixels
from video_rs.video.orientation import frame_orientation
from video_rs.video.stream_state import StreamDamage, StreamTimes

PROTOCOLS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt")
"""Protocols of addresses that are live whatever else is said."""
WEBCAM = re.compile(r"webcam(?::(?P<name>.+))?|(?P<device>/dev/video\d+)")
SILENCE = 10.0
"""Seconds after which a stream that says nothing counts as dropped."""
HIGHEST_RATE = 240.0
"""Frames per second; a header that states more states the unit of its times."""
USUAL_RATE = 25.0


def is_live(address: str) -> bool:
    """Return whether an address is that of a camera or of a stream that has no end."""
    protocol, separator, _ = address.partition("://")
    is_stream = separator != "" and protocol in PROTOCOLS
    return is_stream or WEBCAM.fullmatch(address) is not None


def without_password(address: str) -> str:
    """Return an address for people to read: the password of ``rtsp://name:password@camera`` is left out."""
    return re.sub(r"(://[^:@/]*):[^@/]*@", r"\1:***@", address)


@dataclass(frozen=True)
class LiveFrame:
    """A frame that has come.

    Attributes:
        seconds: from the first frame of the connection.
    """

    seconds: float
    _frame: av.VideoFrame
    _to_rgb: FilterGraph

    def picture(self) -> torch.Tensor:
        """Return the frame as shown, uint8 ``[H, W, 3]``: all frames have the size of the first."""
        return rgb_pixels(self._to_rgb(self._frame))


class LiveVideo:
    """A connection to a camera or a stream, to be used as a context manager, and iterated over once.

    Over a network, packets get lost. What is damaged is left out, with what is decoded from it, up to the next key
    frame.

    Args:
        address: ``webcam``, ``webcam:1``, ``/dev/video0``, a URL such as ``rtsp://...``, or a file, which is read as
            fast as it can be.
        silence: seconds to wait for the connection, and for each packet.

    Attributes:
        fps: frames per second as the stream says, or 25 where it says nothing that can be.
        damaged: how many frames were left out.

    Raises:
        DecodeError: there is nothing at the address, or no video.
    """

    def __init__(self, address: str, silence: float = SILENCE):
        self._address = without_password(address)
        self._silence = silence
        self._container = _open(address, silence)
        try:
            self._stream = video_streams(self._container, self._address)[0]
        except BaseException:
            self._container.close()
            raise
        # One thread: with several, each frame would come as many frames late.
        self._stream.codec_context.thread_count = 1

        self.fps = _rate_of(self._stream)
        self.damaged = 0
        self._damage = StreamDamage()
        self._to_rgb: FilterGraph | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def close(self) -> None:
        """Free the connection; a second call does nothing."""
        self._container.close()

    def __iter__(self) -> Iterator[LiveFrame]:
        """Yield the frames as they come.

        Raises:
            DecodeError: the connection is gone; the iterator just ends where the other side has ended the stream.
        """
        times = StreamTimes(self.fps)
        for frame in self._decoded():
            # All pictures get the size and the orientation of the first one.
            if self._to_rgb is None:
                orientation = frame_orientation(frame)
                size = orientation.shown_size(frame.height, frame.width)
                self._to_rgb = FilterGraph(partial(rgb_filters, orientation, *size))
            yield LiveFrame(times.of(frame), frame, self._to_rgb)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Yield the sound frames."""
        packets = read_packets(self._container, self._stream)
        try:
            for packet in packets:
                yield from self._frames_of(packet)

            # What the decoder has held back.
            yield from self._frames_of(None)
        except (av.FFmpegError, OSError) as error:
            raise DecodeError(self._address, _reason(error, self._silence)) from error
        finally:
            packets.close()

    def _frames_of(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        """Yield the sound frames that the decoder has ready after a packet."""
        if packet is not None:
            self._damage.packet_came(packet)

        try:
            frames = self._stream.codec_context.decode(packet)
        except av.FFmpegError:
            self._damage.packet_refused()
            return

        for frame in frames:
            if self._damage.spoils(frame):
                self.damaged += 1
            else:
                yield frame


def _rate_of(stream: av.VideoStream) -> float:
    """Return the frames per second that a stream states, or the usual ones where it states none that can be."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if 0 < rate <= HIGHEST_RATE:
        return rate
    return USUAL_RATE


def _open(address: str, silence: float) -> av.container.InputContainer:
    """Return the open container of a camera or a stream.

    Raises:
        DecodeError: there is none at the address.
    """
    camera = WEBCAM.fullmatch(address)
    try:
        if camera:
            file, format_name = camera_file(camera["device"] or camera["name"] or "")
            return av.open(file, format=format_name, timeout=(silence, silence))

        # A colon in the name of a file is no protocol.
        if "://" not in address:
            return av.open(f"file:{os.path.abspath(address)}", timeout=(silence, silence))
        return av.open(address, options=stream_options(address), timeout=(silence, silence))
    except (av.FFmpegError, ValueError, OSError) as error:
        raise DecodeError(without_password(address), _reason(error, silence), "missing") from error


def _reason(error: Exception, silence: float) -> str:
    """Return why a stream cannot be read; PyAV ends a wait that is too long by an exit that it asks for itself."""
    if isinstance(error, av.error.ExitError):
        return f"nothing came for {silence:g} s"
    return ffmpeg_reason(error)


def stream_options(address: str) -> dict[str, str]:
    """Return FFmpeg's options for a stream: RTSP over TCP, which loses no packets and passes firewalls."""
    if address.startswith(("rtsp://", "rtsps://")):
        return {"rtsp_transport": "tcp"}
    return {}


def camera_file(name: str, system: str = sys.platform) -> tuple[str, str]:
    """Return the file and the format by which FFmpeg opens a camera.

    Args:
        name: number or name of the camera, or its device; "": the first.
        system: Python's name of the operating system.

    Raises:
        DecodeError: Windows has no first camera; FFmpeg knows cameras there by their names.
    """
    if system == "darwin":
        return name or "0", "avfoundation"
    if system == "win32":
        if not name:
            raise DecodeError("webcam", "on Windows, name the camera: webcam:NAME", "missing")
        return f"video={name}", "dshow"

    if not name.startswith("/dev/"):
        name = f"/dev/video{name or 0}"
    return name, "v4l2"
