"""Each decoder that is installed, files whose frames show their numbers, and a folder that a web server serves."""

import functools
import http.server
import tarfile

import av
import pytest

from helpers.numbered_videos import FILES, clock, importable
from helpers.videos import moving_square
from helpers.web import serving
from video_rs.video.encoding import write_video


@pytest.fixture(scope="session", params=["pyav", "torchcodec", "decord"])
def decoder(request) -> str:
    if not importable(request.param):
        pytest.skip(f"{request.param} cannot be imported here")
    return request.param


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    made = {}

    def make(name: str):
        if name not in made:
            codec, options, _ = FILES[name]
            encoder = "libvpx" if codec == "libvpx" else codec
            if encoder not in av.codecs_available:
                pytest.skip(f"this PyAV has no encoder {encoder}")
            made[name] = clock(folder / name, codec, options)
            if name == "unfinished.mkv":
                data = bytearray(made[name].read_bytes())
                size = data.index(bytes.fromhex("18538067")) + 4
                data[size : size + 8] = bytes.fromhex("01ffffffffffffff")
                made[name].write_bytes(data)
        return made[name]

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``a.mp4`` and ``b.mp4`` of 14 frames, and both in ``shard.tar`` behind a text."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "text").write_text("x" * 1000)
    with tarfile.open(folder / "shard.tar", "w") as shard:
        shard.add(folder / "text", "text")
        for seed, name in enumerate("ab"):
            write_video(folder / f"{name}.mp4", moving_square(seed, frames=14), fps=10)
            shard.add(folder / f"{name}.mp4", f"{name}.mp4")
    return folder


@pytest.fixture
def server(folder, monkeypatch, tmp_path):
    """An HTTP server over the folder; iopath caches below the test's own folder."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    with serving(handler) as address:
        yield address
