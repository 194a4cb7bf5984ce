"""The data benchmark: each way reads what it says, and rows, ratios and table from literal numbers."""

import json
import os

import pytest
import torch

from helpers.videos import moving_square
from video_rs.benchmarks import data_benchmark, data_calls, recordings
from video_rs.benchmarks.data_benchmark import DATA_COLUMNS, WAYS, data_subject, data_subjects, measure_data
from video_rs.benchmarks.data_calls import DataRounds
from video_rs.benchmarks.data_files import Files, data_files, size_lines
from video_rs.benchmarks.data_ratios import data_ratios
from video_rs.benchmarks.decoding import decode_decord, decode_pyav, decode_torchcodec, needed_frames
from video_rs.benchmarks.endurance import check_clips, endurance_lines, endure
from video_rs.benchmarks.loader import training_loader
from video_rs.benchmarks.measuring import Row
from video_rs.benchmarks.probing_rates import probing_lines, probing_rates
from video_rs.benchmarks.recordings import container_lines
from video_rs.benchmarks.table import table
from video_rs.runtime.errors import InputError
from video_rs.video import open_video
from video_rs.video.encoding import write_video
from video_rs.video.probing.cache import ProbeCache


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two videos of 60 frames, 64 x 64, and a list of them and a missing one."""
    folder = tmp_path_factory.mktemp("benchmark")
    for seed in range(2):
        write_video(folder / f"{seed}.mp4", moving_square(seed, frames=60, size=64), fps=30, keyframe_interval=60)
    (folder / "list.csv").write_text("path\n0.mp4\n1.mp4\n")
    return folder


NOTHING = Files("originals", (), "")
BY_METHOD = {data_subject(way, NOTHING, 8, 32).method: way for way in WAYS}


def subject(folder, method, frames=8, videos=None):
    videos = videos or tuple(str(folder / f"{i}.mp4") for i in range(2))
    return data_subject(BY_METHOD[method], Files("originals", videos, ""), frames, 32)


def skip_unless_there(method):
    if method not in {s.method for s in data_subjects(NOTHING, 8, 32, True)}:
        pytest.skip(f"the library of {method!r} is not installed")


@pytest.mark.parametrize(
    "method",
    [
        "decode pyav",
        "decode torchcodec",
        "decode decord",
        "ours pyav",
        "ours torchcodec",
        "ours, DataLoader",
        "ours, threads",
        "ours, quick resize",
        "ours, 2 clips a video",
        "ours, 4 clips a video, quick",
        "pytorchvideo pyav",
        "plain PyAV loop",
    ],
)
def test_every_way_reads_on(folder, method, monkeypatch):
    skip_unless_there(method)
    monkeypatch.setattr(data_calls, "ROUND_SECONDS", 0.0)
    rounds = DataRounds(subject(folder, method))
    assert rounds.end()["first_clip_s"] > 0
    [rate] = rounds.measure()["clips_per_s"]
    assert rate > 0
    rounds.stream.counts.close()


def test_videos_that_cannot_be_read_end_the_benchmark(folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    rounds = DataRounds(subject(folder, "ours pyav", videos=(str(tmp_path / "broken.mp4"),)))
    with pytest.raises(InputError, match="no clip in 50 batches: the videos cannot be read this way"):
        rounds.measure()
    rounds.stream.counts.close()


@pytest.mark.parametrize("decode", [decode_pyav, decode_torchcodec, decode_decord])
def test_decoding_alone_decodes_the_frames_of_training(folder, decode):
    skip_unless_there(decode.__name__.replace("_", " "))
    draws = needed_frames(subject(folder, "decode pyav"))
    for _ in range(4):
        decode(*next(draws))
    first = [next(needed_frames(subject(folder, "decode pyav"))) for _ in range(2)]
    assert first[0][0] == first[1][0]
    assert first[0][1].tolist() == first[1][1].tolist()
    assert len(first[0][1]) == 8


def test_ours_is_the_training_pipeline(folder):
    skip_unless_there("ours torchcodec")
    loader = training_loader(subject(folder, "ours torchcodec"), batch=4, workers=1)
    assert (loader.read.source.decoder, loader.read.clips, loader.workers.processes) == ("torchcodec", 1, 1)
    assert training_loader(subject(folder, "ours, 4 clips a video"), batch=4, workers=1).read.clips == 4
    assert training_loader(subject(folder, "ours, DataLoader"), batch=4, workers=1).read.source.decoder == "auto"


def test_original_and_prepared_files_have_their_caches(folder, tmp_path):
    files = data_files(str(folder / "list.csv"), tmp_path, 32)
    assert [(some.kind, some.start_multiple) for some in files] == [
        ("originals", 1),
        ("prepared", 1),
        ("for stride 2", 2),
    ]
    for some in files:
        assert len(some.videos) == 2
        with ProbeCache(some.cache, read_only=True) as cache:
            assert all(len(cache.index(video).pts) == 60 for video in some.videos), some.kind
    assert files[0].videos == tuple(str(folder / f"{i}.mp4") for i in range(2))

    sizes = [sum(os.path.getsize(video) for video in some.videos) for some in files]
    assert [some.bytes() for some in files] == sizes
    assert size_lines(files)[2:] == [
        f"  {sizes[1] / 1e6:.2f} MB, prepared (1.000 of prepared)",
        f"  {sizes[2] / 1e6:.2f} MB, for stride 2 ({sizes[2] / sizes[1]:.3f} of prepared)",
    ]

    # The files for a stride are read by limits and by ours, from even frames on.
    subjects = data_subjects(files[2], 8, 32, peers=True)
    assert {"decode pyav", "ours pyav", "ours, quick resize"} <= {some.method for some in subjects}
    assert {some.side for some in subjects} == {"limit", "ours"}
    draws = needed_frames(subjects[0])
    assert all(int(next(draws)[1][0]) % 2 == 0 for _ in range(10))
    quick, _ = [some for some in subjects if some.quick]
    read = training_loader(quick, batch=4, workers=1).read
    assert (read.clip.start_multiple, read.transform.quick) == (2, True)


def test_rows_of_real_processes(folder, monkeypatch):
    monkeypatch.setattr(data_benchmark, "data_subjects", lambda *_: [subject(folder, "ours pyav")])
    said = []
    (row,) = measure_data([NOTHING], [8], 32, False, 1, said.append)
    name = "ours pyav, originals, 8 frames"
    assert said == [f"building {name}", "round 1 of 1"]
    assert row.subject.name == name
    assert (row.clips_per_s > 0, row.more["first_clip_s"] > 0, row.calls) == (True, True, 1)
    assert row.peak_memory_mb > 50
    json.dumps(row.to_json())


def test_many_clips_leave_nothing_behind(folder, monkeypatch):
    monkeypatch.setattr("video_rs.benchmarks.endurance.SETTLED", 16)
    files = Files("prepared", tuple(str(folder / f"{i}.mp4") for i in range(2)), "")
    said = []
    many = endure(files, clips=40, frames=4, size=16, report=said.append)
    assert (many["clips"], many["files_left"], many["processes_left"]) == (40, 0, 0)
    assert 0 < many["settled_mb"] <= many["most_mb"] * 1.5
    assert many["growth"] == pytest.approx(many["end_mb"] / many["settled_mb"] - 1)
    assert len(said) == 5
    assert os.path.exists(folder / "0.mp4")


def test_the_doctor_is_measured_with_each_number_of_processes(folder):
    said = []
    rows = probing_rates([str(folder / f"{i}.mp4") for i in range(2)], 1, said.append)
    assert [(row["processes"], row["files"], row["spread"]) for row in rows] == [(1, 2, 0), (2, 2, 0), (4, 2, 0)]
    assert all(0 < row["files_per_s"] < 1000 for row in rows)
    assert said == ["checking 2 files, round 1 of 1"]


def test_a_recording_is_measured_in_both_containers(monkeypatch):
    monkeypatch.setattr(recordings, "SECONDS", 2)
    monkeypatch.setattr(recordings, "CLIPS", 2)
    said = []
    rows = recordings.container_rates(0.1, 4, 16, 1, said.append)
    assert [(row["container"], row["minutes"], row["spread"]) for row in rows] == [("mp4", 0.1, 0), ("ts", 0.1, 0)]
    assert rows[0]["ratio"] == 1
    assert rows[1]["ratio"] == pytest.approx(rows[1]["clips_per_s"] / rows[0]["clips_per_s"])
    assert said == ["clips of 0.1 minutes in mp4 and ts, round 1 of 1"]


def test_the_recordings_show_the_same_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "SECONDS", 2)
    paths = recordings.write_recordings(tmp_path, 0.1)
    with open_video(paths["mp4"]) as one, open_video(paths["ts"]) as other:
        assert one.num_frames == other.num_frames == 150
        assert torch.equal(one.frames([149, 3, 77]), other.frames([149, 3, 77]))


def row(method, files, speed):
    subject = data_subject(BY_METHOD[method], Files(files, (), ""), 8, 32)
    return Row(subject, speed, None, None, 1000.4, 0.031, 5, {"first_clip_s": 0.5})


ROWS = [
    row("decode pyav", "originals", 8.0),
    row("decode decord", "originals", 10.0),
    row("ours pyav", "originals", 9.0),
    row("ours, DataLoader", "originals", 6.0),
    row("pytorchvideo pyav", "originals", 3.0),
    row("plain PyAV loop", "originals", 2.0),
    row("decode pyav", "prepared", 30.0),
    row("ours pyav", "prepared", 18.0),
    row("ours, 2 clips a video", "prepared", 27.0),
    row("decode pyav", "for stride 2", 32.0),
    row("ours pyav", "for stride 2", 36.0),
    row("ours, quick resize", "for stride 2", 45.0),
    row("ours, 4 clips a video, quick", "for stride 2", 54.0),
]


def test_ratios_are_against_the_fastest_decoding_and_the_fastest_peer():
    assert data_ratios(ROWS) == pytest.approx(
        {
            "ours pyav / decode decord, originals, 8 frames": 0.9,
            "ours pyav / pytorchvideo pyav, originals, 8 frames": 3.0,
            "ours, DataLoader / ours pyav, originals, 8 frames": 2 / 3,
            "ours pyav / decode pyav, prepared, 8 frames": 0.6,
            "ours, 2 clips a video / ours pyav, prepared, 8 frames": 1.5,
            "ours pyav on prepared / pytorchvideo pyav on originals, 8 frames": 6.0,
            "ours, 2 clips a video on prepared / pytorchvideo pyav on originals, 8 frames": 9.0,
            "ours pyav / decode pyav, for stride 2, 8 frames": 36 / 32,
            "ours, quick resize / decode pyav, for stride 2, 8 frames": 45 / 32,
            "ours pyav on for stride 2 / pytorchvideo pyav on originals, 8 frames": 12.0,
            "ours, quick resize on for stride 2 / pytorchvideo pyav on originals, 8 frames": 15.0,
            "ours, 4 clips a video, quick / ours pyav, for stride 2, 8 frames": 1.5,
            "ours, 4 clips a video, quick on for stride 2 / pytorchvideo pyav on originals, 8 frames": 18.0,
            "ours, 4 clips a video, quick on for stride 2 / ours pyav on prepared, 8 frames": 3.0,
            "ours pyav on for stride 2 / ours pyav on prepared, 8 frames": 2.0,
            "ours, quick resize on for stride 2 / ours pyav on prepared, 8 frames": 2.5,
        }
    )


def test_the_table_is_text():
    many = {"clips": 40, "settled_mb": 900.0, "end_mb": 909.0, "most_mb": 910.0, "growth": 0.01}
    endurance = {**many, "clips_per_s": 77.7, "files_left": 0, "processes_left": 0}
    doctor = [{"processes": 2, "files": 300, "files_per_s": 67.25, "spread": 0.1}]
    containers = [
        {"container": "mp4", "minutes": 10, "clips_per_s": 20.0, "ratio": 1.0, "open_s": 0.5},
        {"container": "ts", "minutes": 10, "clips_per_s": 19.0, "ratio": 0.95, "open_s": 0.75},
    ]
    lines = [*endurance_lines(endurance), *probing_lines(doctor), *container_lines(containers)]
    machine = {"gpu": None, "processor": "AMD EPYC", "cores": 2, "capability": "AVX", "torch": "2.14.1"}
    text = table(ROWS[2:3], DATA_COLUMNS, {"a / b": 0.9}, lines, machine)
    assert text.splitlines() == [
        "           files      frames  clips/s  first clip s   MiB  spread",
        "ours pyav  originals       8     9.00          0.50  1000      3%",
        "",
        " 0.900  a / b",
        "",
        "40 clips, 2 workers: 900 MiB after the first thousand, 909 at the end (+1.0%), at most 910; 78 clips/s; "
        "left behind: 0 files, 0 processes",
        "",
        "checking 300 files, first and last frame decoded:",
        "  67.2 files/s, 2 processes",
        "",
        "random clips of one stream of 10 minutes:",
        "  20.0 clips/s, mp4 (1.000 of mp4), 0.50 s for the first clip",
        "  19.0 clips/s, ts  (0.950 of mp4), 0.75 s for the first clip",
        "",
        "AMD EPYC, 2 cores, AVX, torch 2.14.1",
    ]


def test_bad_input_is_refused(tool, folder, tmp_path):
    told = tool("benchmark", "data")
    assert told.code == 2
    assert told.err.startswith("error: the following arguments are required: --list; ")
    listed = ("--list", folder / "list.csv", "--prepared", tmp_path / "made")
    for option, value in (("--rounds", 0), ("--frames", 0), ("--size", -1)):
        told = tool("benchmark", "data", *listed, option, value)
        assert (told.code, told.err) == (2, f"error: {option} is {value}; allowed: 1 or more\n")
    told = tool("benchmark", "data", *listed, "--clips", 999)
    assert (told.code, told.err) == (2, "error: --clips is 999; allowed: 0, or 1000 or more: memory settles first\n")
    assert not (tmp_path / "made").exists()

    (tmp_path / "a.csv").write_text("path\nnone.mp4\n")
    with pytest.raises(InputError) as caught:
        data_files(str(tmp_path / "a.csv"), tmp_path / "out", 32)
    assert str(caught.value) == (
        f"none of 1 files of {tmp_path}/a.csv can be read: {tmp_path}/out/failures.csv says why"
    )


def test_endurance_without_the_memory_of_other_processes_is_refused(monkeypatch):
    monkeypatch.setattr("video_rs.benchmarks.endurance.family_memory_mb", lambda: None)
    with pytest.raises(InputError, match=r"--clips needs the memory of all processes, which this system does not tell"):
        check_clips("--clips", 5000)
