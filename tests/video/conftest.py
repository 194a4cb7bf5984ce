"""Each decoder that is installed, and files whose frames show their numbers."""

import av
import pytest

from helpers.numbered_videos import FILES, clock, importable


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
