"""A prepared folder: what is in it, what a second run does with it, and which folders are refused."""

import fcntl
import json
import os
import shutil

import pytest

from helpers.films import film, shown, small_numbers
from helpers.numbered_videos import numbered
from helpers.tables import table
from video_rs.curation.prepare.places import is_same_time
from video_rs.lists.records import read_records
from video_rs.video import open_video


def test_a_data_set_is_prepared_and_then_skipped(prepare_in_workers, prepare, film_list, tmp_path):
    out = tmp_path / "out"
    told = prepare_in_workers(film_list / "list.csv", "--out", out, "--short-side", 24, "--processes", 2)
    assert (told.code, told.err) == (2, f"error: 1 of 5 files could not be prepared; {out}/failures.csv says why\n")
    assert told.out.startswith("4 files prepared, 0 skipped (done before), 1 failed, ")
    assert " files/s; " in told.out
    assert " MB are now " in told.out
    elsewhere = f"outside{tmp_path}/elsewhere/x.mp4"
    assert (out / "list.csv").read_text().splitlines() == [
        "path,label,split,start,end,id",
        "videos/a/x.mp4,walk,train,,,one",
        '"videos/b, c/x.mp4",run;walk,val,0.1,0.3,two',
        f"{elsewhere},run,train,,0.2,three",
        "videos/a/x.mp4,run,train,0.2,,five",
        "videos/a/x.avi.mp4,run,train,,,six",
    ]
    (failed,) = table(out / "failures.csv")
    assert failed == {"path": f"{film_list}/broken.mp4", "reason": "invalid data found when processing input"}
    for record, count in zip(read_records(out / "list.csv", split="train").records, (10, 12, 10, 5), strict=True):
        assert small_numbers(shown(record.path)[1]) == list(range(count))
    assert small_numbers(shown(out / "videos" / "b, c" / "x.mp4")[1]) == list(range(11))
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == [
        "failures.csv",
        "list.csv",
        "outside",
        "prepared.json",
        "videos",
    ]

    made = {path: path.stat().st_ctime_ns for path in out.rglob("*.mp4")}
    film(film_list / "broken.mp4", numbered(3))
    film(film_list / "b, c" / "x.mp4", numbered(7))  # a newer source
    told = prepare(film_list / "list.csv", "--out", out, "--short-side", 24, "--processes", 1)
    assert told.code == 0
    assert told.out.startswith("2 files prepared, 3 skipped (done before), 0 failed, ")
    assert len(table(out / "list.csv")) == 6
    assert table(out / "failures.csv") == []
    changed = {path.name for path, time in made.items() if path.stat().st_ctime_ns != time}
    assert changed == {"x.mp4"}
    assert len(shown(out / "videos" / "b, c" / "x.mp4")[0]) == 7

    shutil.rmtree(film_list / "a")  # the originals may go
    told = prepare(film_list / "list.csv", "--out", out, "--short-side", 24)
    assert told.code == 0
    assert told.out.startswith("0 files prepared, 5 skipped (done before), 0 failed; ")


def test_other_settings_are_refused_unless_all_is_made_again(prepare, film_list, tmp_path):
    out = tmp_path / "out"
    (film_list / "broken.mp4").unlink()
    (film_list / "list.csv").write_text("path,label\na/x.mp4,0\na/x.avi,1\n")
    assert prepare(film_list / "list.csv", "--out", out, "--short-side", 24).code == 0
    told = prepare(film_list / "list.csv", "--out", out, "--short-side", 16, "--crf", 30)
    assert told.code == 2
    assert told.err == (
        f"error: {out} was prepared with short_side 24, now 16; crf 18, now 30: give what it was, another folder, or "
        "--overwrite to make all its videos again\n"
    )
    assert shown(out / "videos" / "a" / "x.mp4")[1].shape[1] == 24
    (film_list / "one.csv").write_text("path,label\na/x.mp4,0\n")
    told = prepare(film_list / "one.csv", "--out", out, "--short-side", 16, "--crf", 30, "--overwrite")
    assert told.code == 0
    assert [path.name for path in out.rglob("*.mp4")] == ["x.mp4"]  # nothing is left of the old settings
    assert shown(out / "videos" / "a" / "x.mp4")[1].shape[1] == 16
    assert json.loads((out / "prepared.json").read_text()) == {
        "list": f"{film_list}/one.csv",
        "root": str(film_list),
        "short_side": 16,
        "keyframe_interval": 12,
        "crf": 30,
        "program": "pyav",
        "stride": 1,
    }
    (out / "prepared.json").write_text("[1]")
    told = prepare(film_list / "one.csv", "--out", out)
    assert told.code == 2
    assert told.err.startswith(f"error: {out}/prepared.json does not hold settings (")
    assert told.err.endswith("; choose another folder\n")


def test_class_folders_and_plain_lists(prepare, videos, tmp_path):
    told = prepare(videos.parent, "--out", tmp_path / "out", "--short-side", 24)
    assert told.code == 0
    rows = table(tmp_path / "out" / "list.csv")
    assert len(rows) == 12
    assert rows[0] == {
        "path": "videos/train/dark/0.mp4",
        "label": "dark",
        "split": "train",
        "id": "train/dark/0.mp4",
    }
    (tmp_path / "plain.txt").write_text("train/dark/0.mp4 3\nval/light/1.mp4 0\n")
    told = prepare(tmp_path / "plain.txt", "--root", videos.parent, "--out", tmp_path / "plain")
    assert told.code == 0
    assert (tmp_path / "plain" / "list.csv").read_text() == (
        "path,label,id\nvideos/train/dark/0.mp4,3,train/dark/0.mp4\nvideos/val/light/1.mp4,0,val/light/1.mp4\n"
    )


def test_videos_keep_the_ids_of_the_source(prepare, film_list, tmp_path):
    (film_list / "list.csv").write_text("path,label,start,end,id\na/x.mp4,0,,,\na/x.mp4,0,0.1,,\na/x.avi,1,,,mine\n")
    assert prepare(film_list / "list.csv", "--out", tmp_path / "out", "--short-side", 24).code == 0
    before, after = (read_records(path).records for path in (film_list / "list.csv", tmp_path / "out" / "list.csv"))
    assert [record.id for record in after] == [record.id for record in before] == ["a/x.mp4", "a/x.mp4:0.1-end", "mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--short-side", "0"], "--short-side: got 0, allowed: even numbers from 2 (pixels)"),
        (["--short-side", "255"], "--short-side: got 255, allowed: even numbers from 2 (pixels)"),
        (["--keyframe-interval", "0"], "--keyframe-interval: got 0, allowed: from 1 (frames)"),
        (
            ["--keyframe-interval", "9", "--stride", "2"],
            "--keyframe-interval: got 9, allowed: multiples of --stride, 2 (frames)",
        ),
        (["--stride", "0"], "--stride: got 0, allowed: 1 to 8 (frames)"),
        (["--stride", "9"], "--stride: got 9, allowed: 1 to 8 (frames)"),
        (["--crf", "52"], "--crf: got 52, allowed: 0 (lossless, large) to 51"),
        (["--processes", "0"], "--processes: got 0, allowed: from 1"),
        (["--time-limit", "0"], "--time-limit: got 0.0, allowed: above 0, to 1000000 (seconds for one file)"),
        (["--time-limit", "inf"], "--time-limit: got inf, allowed: above 0, to 1000000 (seconds for one file)"),
        (["--time-limit", "nan"], "--time-limit: got nan, allowed: above 0, to 1000000 (seconds for one file)"),
        (["--program", "magic"], "--program: got 'magic', allowed: pyav, ffmpeg"),
    ],
)
def test_bad_values_are_one_line(prepare, film_list, tmp_path, arguments, message):
    told = prepare(film_list / "list.csv", "--out", tmp_path / "out", *arguments)
    assert (told.code, told.err) == (2, f"error: {message}\n")
    assert not (tmp_path / "out").exists()


def test_folders_that_are_not_to_be_written_to(prepare, film_list, tmp_path):
    def refusal(*arguments):
        told = prepare(*arguments)
        assert told.code == 2
        return told.err

    here = f"error: {film_list}/list.csv is there, but not of this command; choose another folder\n"
    assert refusal(film_list / "list.csv", "--out", film_list) == here
    (tmp_path / "list.txt").write_text("root/a/x.mp4 0\n")
    inside = f"error: {tmp_path}/list.txt lies in {tmp_path}, which is written to; choose another folder\n"
    assert refusal(tmp_path / "list.txt", "--out", tmp_path) == inside
    (tmp_path / "file").write_text("")
    error = f"error: cannot write to {tmp_path}/file (File exists); mend that and run again\n"
    assert refusal(tmp_path / "list.txt", "--out", tmp_path / "file") == error
    film(film_list / "a" / "x.avi.mp4", numbered(3))
    (tmp_path / "list.txt").write_text("root/a/x.avi 0\nroot/a/x.avi.mp4 1\n")
    two = (
        f"error: {film_list}/a/x.avi and {film_list}/a/x.avi.mp4 would both become "
        f"{tmp_path}/out/videos/root/a/x.avi.mp4; rename one of them\n"
    )
    assert refusal(tmp_path / "list.txt", "--out", tmp_path / "out") == two


@pytest.mark.parametrize("through", ["folder", "file", "output"])
def test_no_link_hides_that_sources_would_be_removed(prepare, tmp_path, through):
    """The videos that an earlier run prepared, prepared again into the same folder."""
    real, link, out = tmp_path / "real", tmp_path / "link", tmp_path / "real" / "out"
    real.mkdir()
    film(real / "a.mp4", numbered(3))
    (real / "list.csv").write_text("path,label\na.mp4,0\n")
    assert prepare(real / "list.csv", "--out", out, "--short-side", 24).code == 0
    if through == "file":
        link.mkdir()
        (link / "b.mp4").symlink_to(out / "videos" / "a.mp4")
        (link / "list.csv").write_text("path,label\nb.mp4,0\n")
        source, inside = link / "list.csv", link / "b.mp4"
    else:
        link.symlink_to(real)
        source = inside = (link if through == "folder" else real) / "out" / "list.csv"
    given = link / "out" if through == "output" else out
    told = prepare(source, "--out", given, "--overwrite")
    assert told.code == 2
    assert told.err == f"error: {inside} lies in {given}, which is written to; choose another folder\n"
    assert small_numbers(shown(out / "videos" / "a.mp4")[1]) == [0, 1, 2]


@pytest.mark.parametrize("inside", ["prepared", "dark/deep", "."])
def test_a_folder_among_the_videos_is_refused(prepare, videos, tmp_path, inside):
    """Whoever walks the videos' folder next would find each video twice."""
    folder = tmp_path / "mine"
    shutil.copytree(videos.parent / "train", folder)
    (tmp_path / "link").symlink_to(folder)
    told = prepare(tmp_path / "link", "--out", folder / inside)
    out = os.path.abspath(folder / inside)
    line = f"error: {out} lies in {tmp_path}/link, whose videos are prepared; choose a folder beside it\n"
    assert (told.code, told.err) == (2, line)
    assert not (folder / "prepared").exists()


def test_an_older_source_is_a_changed_one(prepare, film_list, tmp_path):
    arguments = (film_list / "list.csv", "--out", tmp_path / "out", "--short-side", 24)
    (film_list / "list.csv").write_text("path,label\na/x.mp4,0\na/x.avi,1\n")
    assert prepare(*arguments).code == 0
    copy = tmp_path / "out" / "videos" / "a" / "x.mp4"
    assert copy.stat().st_mtime_ns == (film_list / "a" / "x.mp4").stat().st_mtime_ns
    film(film_list / "a" / "x.mp4", numbered(4))
    os.utime(film_list / "a" / "x.mp4", (1e9, 1e9))
    told = prepare(*arguments)
    assert told.out.startswith("1 file prepared, 1 skipped (done before), 0 failed, ")
    assert small_numbers(shown(copy)[1]) == [0, 1, 2, 3]
    assert prepare(*arguments).out.startswith("0 files prepared, 2 skipped (done before), 0 failed; ")


@pytest.mark.parametrize(
    ("kept", "same"),
    [
        (1_700_000_000_123_456_789, True),
        (1_700_000_000_123_456_000, True),  # a file system of whole microseconds
        (1_700_000_000_000_000_000, True),  # of whole seconds
        (1_700_000_000_123_456_788, False),
        (1_700_000_000_123_457_900, False),
        (1_699_999_999_000_000_000, False),
    ],
)
def test_file_systems_round_times(kept, same):
    assert is_same_time(kept, 1_700_000_000_123_456_789) is same


def test_two_runs_do_not_share_a_folder(prepare, film_list, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = prepare(film_list / "list.csv", "--out", out)
    assert told.code == 2
    assert told.err == f"error: another run is preparing videos in {out}; wait for it, or choose another\n"


def test_the_edge_files(prepare_in_workers, edge_list, tmp_path):
    out = tmp_path / "out"
    told = prepare_in_workers(edge_list, "--out", out, "--short-side", 96, "--processes", 2)
    assert told.code == 2
    listed = table(edge_list)
    sound = {f"{row['file']}": int(row["frames_decoded"]) for row in listed if row["status"] == "ok"}
    failed = {row["path"] for row in table(out / "failures.csv")}
    assert failed == {str(edge_list.parent / row["file"]) for row in listed if row["status"] != "ok"}
    for name, count in sound.items():
        copy = out / "videos" / name
        copy = copy if copy.suffix == ".mp4" else copy.with_name(f"{copy.name}.mp4")
        with open_video(edge_list.parent / name) as before, open_video(copy) as after:
            assert before.num_frames == after.num_frames == count, name
            assert after.fps == pytest.approx(before.fps, rel=1e-6), name
            assert (before.height < before.width) == (after.height < after.width) or before.height == before.width
            middle = [count // 2]
            means = [reader.frames(middle).float().mean((0, 1, 2)) for reader in (before, after)]
        # Whole pictures keep their mean colour within rounding, 10-bit and odd ones within 3 levels.
        assert (means[0] - means[1]).abs().max() < 3, name
