"""Colours and orientation against the ffmpeg program itself, by the script that prints the table."""

import runpy
import shutil
import sys

import av
import numpy as np
import pytest

from helpers.tools import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg")

SIZE = 64  # decord refuses sides that are no multiples of 32


def film(path, pixel_format="yuv420p", codec="libx264", degrees=0, hflip=False, options=None):
    """Write coloured blocks, which no two conversions of chroma show alike."""
    blocks = np.random.default_rng(0).integers(0, 256, (4, SIZE // 4, SIZE // 4, 3))
    pictures = np.kron(blocks, np.ones((1, 4, 4, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        stream = container.add_stream(codec, rate=10, options={**quiet, **(options or {})})
        stream.height, stream.width, stream.pix_fmt = SIZE, SIZE, pixel_format
        if degrees or hflip:
            stream.set_display_rotation(degrees, hflip=hflip)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """What the script prints for files of all kinds: its cells by file, and its exit code."""
    folder = tmp_path_factory.mktemp("films")
    film(folder / "plain.mp4")
    film(folder / "fields.mp4", options={"flags": "+ilme+ildct"})
    film(folder / "mirrored.mp4", degrees=90, hflip=True)
    film(folder / "full_range.mp4", "yuvj420p")
    film(folder / "ten_bits.mp4", "yuv420p10le")
    film(folder / "ten_bits_turned.mp4", "yuv420p10le", "libx265", degrees=90)
    film(folder / "four_two_two.mp4", "yuv422p10le", degrees=-90)
    (folder / "notes.txt").write_text("not looked at")
    (folder / "broken.mp4").write_text("no video")

    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr(sys, "argv", ["decoders_against_ffmpeg.py", str(folder), "--frames", "2", "--decoders", "pyav"])
        patch.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(map(str, words))))
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "tests" / "decoders_against_ffmpeg.py"), run_name="__main__")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for name, *rest in cells}, caught.value.code


@pytest.mark.parametrize(
    "name", ["plain", "fields", "mirrored", "full_range", "ten_bits", "ten_bits_turned", "four_two_two"]
)
def test_every_pixel_is_the_program_s(table, name):
    cells, code = table
    assert cells[f"{name}.mp4"] == ["4", "0.00 / 0"]
    assert code == 0


def test_what_is_no_video_is_said(table):
    cells, _ = table
    assert cells["broken.mp4"] == ["", "refused: invalid data found when processing input"]
    assert "notes.txt" not in cells
