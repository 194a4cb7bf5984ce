"""The public edge files, where they are at hand: each opens with exactly its frames, or raises DecodeError."""

import csv
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from helpers.numbered_videos import importable
from video_rs.video import DecodeError, open_video

VIDEOS = Path(__file__).parents[3] / "shared" / "videos"


def rows() -> list[dict[str, str]]:
    table = VIDEOS / "edge.csv"
    return list(csv.DictReader(table.open())) if table.exists() else []


# AV1, sizes below its alignment, no duration, GIF, 10 bits, and what the index calls not addressable.
DECORD_REFUSES = {
    f"edge/{name}"
    for name in (
        "torchcodec__av1_video.mkv",
        "torchcodec__h265_video.mp4",
        "androidx-media__ts__sample_h265_rps_pred.ts",
        "androidx-media__ts__sample_h262_mpeg_audio.ps",
        "datumaro__3.avi",
        "androidx-media__vp9__roadtrip-vp92-10bit.webm",
        "moviepy__no_duration.webm",
        "moviepy__circle.gif",
        "androidx-media__mp4__iibbibb_editlist_videoonly.mp4",
        "androidx-media__mp4__sample_sef_slow_motion.mp4",
        "mmaction2__test.avi",
        "moviepy__-video-with-dash-.mp4",
        "torchcodec__h264_10bits.mp4",
        "torchcodec__h265_10bits.mp4",
    )
}
READABLE = [row for row in rows() if row["status"] == "ok"]
DAMAGED = [row for row in rows() if row["status"] == "decodes_with_errors"]
REFUSED = [row for row in rows() if row["status"] not in ("ok", "decodes_with_errors")]

pytestmark = pytest.mark.skipif(not rows(), reason=f"the edge files are not in {VIDEOS}")


def each(table):
    return pytest.mark.parametrize("row", table, ids=lambda row: row["file"].removeprefix("edge/"))


def sequential(path: Path, wanted: set[int]) -> tuple[int, dict[int, np.ndarray]]:
    """Frame count and RGB of the ``wanted`` frames of a plain decode of the whole file, turned as its matrix says.

    PyAV's own conversion is another one for more than 8 bits of 4:2:0; tests/test_presentation.py has those.
    """
    kept, count = {}, 0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if count in wanted:
                rgb = frame.to_ndarray(format="rgb24", interpolation="BICUBIC")
                kept[count] = np.rot90(rgb, frame.rotation // 90)
            count += 1
    return count, kept


def allowed_mean(row: dict[str, str], name: str) -> float:
    """Mean difference in levels to PyAV's own RGB.

    8-bit: none, but decord's FFmpeg 4 interpolates the chroma of odd sizes otherwise (0.6 measured). 10-bit: the
    library's own conversion has the chroma half a pixel beside its place (2.4 measured on two files).
    """
    if "10bit" in row["traits"]:
        return 4.0
    return 1.0 if name == "decord" and "odd" in row["traits"] else 0.0


@each(READABLE)
def test_first_middle_last_and_random_frames_are_those_of_a_sequential_decode(row):
    path, count = VIDEOS / row["file"], int(row["frames_decoded"])
    orders = [[0, count // 2, count - 1], np.random.default_rng(0).integers(0, count, 6).tolist()]
    decoded, expected = sequential(path, {i for order in orders for i in order})
    assert decoded == count
    for decoder in filter(importable, ("pyav", "decord", "torchcodec")):
        if decoder == "decord" and row["file"] in DECORD_REFUSES:
            with pytest.raises(DecodeError, match=r"decord"):
                open_video(path, decoder)
            continue

        with open_video(path, decoder) as reader:
            assert reader.num_frames == count
            assert (reader.height, reader.width) == expected[0].shape[:2]
            assert 0 < reader.fps < 1000
            for order in orders:
                want = torch.from_numpy(np.stack([expected[i] for i in order])).float()
                assert (reader.frames(order).float() - want).abs().mean() <= allowed_mean(row, decoder), decoder


@each(DAMAGED)
def test_all_decoders_refuse_the_same_frames_of_a_damaged_file(row):
    path = VIDEOS / row["file"]
    expected = refused_frames(path, "pyav")
    assert expected
    for name in ("torchcodec", "decord"):
        if importable(name):
            assert refused_frames(path, name) == expected


def refused_frames(path: Path, name: str) -> list[str]:
    """Why frames are refused: of each frame that is, or of the file, where the first frame does not decode."""
    reasons = []
    try:
        with open_video(path, name) as reader:
            for index in range(reader.num_frames):
                try:
                    reader.frames([index])
                except DecodeError as error:
                    reasons.append(error.reason)
    except DecodeError as error:
        if error.path != str(path):
            raise
        reasons.append(error.reason)
    return reasons


@each(REFUSED)
def test_files_without_frames_are_refused(row, decoder):
    with pytest.raises(DecodeError, match=r"cannot decode .*: "):
        open_video(VIDEOS / row["file"], decoder)
