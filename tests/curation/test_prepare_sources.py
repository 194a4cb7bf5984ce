"""Preparing what is no plain file on this disk: folders of frames, URLs, handlers of one's own, odd names."""

import json
import os
import tarfile
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from helpers.films import film, shown, small_numbers
from helpers.numbered_videos import numbered, numbers, picture_folder
from helpers.programs import PROGRAMS
from helpers.tables import table
from video_rs.curation.prepare.places import place_of
from video_rs.lists.records import read_records
from video_rs.video import open_video
from video_rs.video.encoding import write_video


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_folder_of_frames_becomes_a_video(prepare, tmp_path, program):
    root = tmp_path / "root"
    folder = picture_folder(root / "clips" / "one", 12)
    picture_folder(root / "small", 1)
    Image.fromarray(numbered(1)[0, :20, :20]).save(picture_folder(root / "sizes", 2) / "img_3.png")
    (root / "none").mkdir()
    (root / "list.csv").write_text("path,label,end\nclips/one,a,0.2\nsmall,b,\nsizes,a,\nnone,a,\n")
    out = tmp_path / "out"
    arguments = (root / "list.csv", "--out", out, "--short-side", 24, "--program", program)
    told = prepare(*arguments)
    assert (told.code, told.err) == (2, f"error: 2 of 4 files could not be prepared; {out}/failures.csv says why\n")
    assert told.out.startswith("2 files prepared, 0 skipped (done before), 2 failed, ")
    assert (out / "list.csv").read_text().splitlines() == [
        "path,label,end,id",
        "videos/clips/one.mp4,a,0.2,clips/one:0-0.2",
        "videos/small.mp4,b,,small",
    ]
    assert [(row["path"], row["reason"]) for row in table(out / "failures.csv")] == [
        (f"{root}/sizes", "frame img_3.png is 20x20, not 48x112 as the first"),
        (f"{root}/none", "a folder without frames (.jpg, .jpeg, .png, .webp)"),
    ]
    copy = out / "videos" / "clips" / "one.mp4"
    seconds, pixels = shown(copy)
    assert small_numbers(pixels) == list(range(12))
    assert seconds == [Fraction(number, 30) for number in range(12)]
    with open_video(folder) as before, open_video(copy) as after:
        assert before.num_frames == after.num_frames == 12
        assert after.fps == pytest.approx(before.fps, rel=1e-9)
        difference = before.frames([3])[0, ::2, ::2].float().mean() - after.frames([3])[0].float().mean()
    assert abs(difference) < 4
    with av.open(str(copy)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert all(packet.pts == packet.dts for packet in packets)  # no B-frames

    assert prepare(*arguments).out.startswith("0 files prepared, 2 skipped (done before), 2 failed, ")
    (folder / "img_12.png").unlink()
    assert prepare(*arguments).out.startswith("1 file prepared, 1 skipped (done before), 2 failed, ")
    assert len(shown(copy)[0]) == 11
    with open(folder / "img_1.png", "r+b") as file:  # the folder itself stays as it was
        file.write((folder / "img_2.png").read_bytes())
        file.truncate()
    assert prepare(*arguments).out.startswith("1 file prepared, 1 skipped (done before), 2 failed, ")
    assert small_numbers(shown(copy)[1])[:2] == [1, 1]


def test_urls_are_fetched_and_prepared(prepare, tmp_path, server):
    """A file, a part of a shard, and one that is not there."""
    web, out = tmp_path / "web", tmp_path / "out"
    film(web / "a.avi", numbered(5), codec="mpeg4")
    film(web / "b.mp4", numbered(7))
    with tarfile.open(web / "all.tar", "w") as shard:
        shard.add(web / "b.mp4", "b.mp4")
    with tarfile.open(web / "all.tar") as shard:
        member = shard.getmember("b.mp4")
    part = f"all.tar#{member.offset_data}+{member.size}"
    source = tmp_path / "list.csv"
    source.write_text(f"path,label\nhttp://{server}/a.avi,0\nhttp://{server}/{part},1\nhttp://{server}/gone.mp4,1\n")
    told = prepare(source, "--out", out, "--short-side", 24)
    assert told.code == 2
    assert told.out.startswith("2 files prepared, 0 skipped (done before), 1 failed, ")
    where = f"outside/http/{server}"
    assert [(row["path"], row["id"]) for row in table(out / "list.csv")] == [
        (f"{where}/a.avi.mp4", f"http://{server}/a.avi"),
        (f"{where}/{part}.mp4", f"http://{server}/{part}"),
    ]
    (failed,) = table(out / "failures.csv")
    assert failed == {
        "path": f"http://{server}/gone.mp4",
        "reason": "cannot be fetched: HTTP Error 404: File not found",
    }
    counts = [len(shown(record.path)[0]) for record in read_records(out / "list.csv").records]
    assert counts == [5, 7]
    told = prepare(source, "--out", out, "--short-side", 24)
    assert told.out.startswith("0 files prepared, 2 skipped (done before), 1 failed, ")


@pytest.mark.parametrize(
    ("path", "root", "place"),
    [
        ("/mine/a/b.avi", "/mine", "videos/a/b.avi.mp4"),
        ("/mine/a", "/", "videos/mine/a.mp4"),
        ("/minery/a.mp4", "/mine", "outside/minery/a.mp4"),
        ("http://host/in/./b/../a.webm", "http://host/in", "videos/a.webm.mp4"),
        ("http://host/a.mp4?key=1", "/mine", "outside/http/host/a.mp4?key=1.mp4"),
        ("http://host/in/../../../a.mp4", "http://host/in", "videos/a.mp4"),
        ("http://../../a.mp4", "/mine", "outside/a.mp4"),
    ],
)
def test_places_inside_the_folder(path, root, place):
    assert place_of(path, root) == place


def test_a_list_may_be_a_url(prepare, tmp_path, server):
    (tmp_path / "web" / "in").mkdir()
    film(tmp_path / "web" / "in" / "a.mp4", numbered(5))
    (tmp_path / "web" / "list.csv").write_text("path,label\nin/a.mp4,0\n")
    out = tmp_path / "out"
    assert prepare(f"http://{server}/list.csv", "--out", out, "--short-side", 24).code == 0
    assert (out / "list.csv").read_text() == "path,label,id\nvideos/in/a.mp4,0,in/a.mp4\n"
    assert json.loads((out / "prepared.json").read_text())["list"] == f"http://{server}/list.csv"


def test_a_handler_of_ones_own_fetches_what_is_prepared(prepare_in_workers, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTIC", str(tmp_path))
    film(tmp_path / "a.mp4", numbered(5))
    source, out = tmp_path / "list.csv", tmp_path / "out"
    source.write_text("path,label\nattic://a.mp4,0\n")
    told = prepare_in_workers(source, "--out", out, "--short-side", 24, "--path-handlers", "helpers.attic:Attic")
    assert (told.code, told.err) == (0, "")
    assert (out / "list.csv").read_text() == "path,label,id\noutside/attic/a.mp4,0,attic://a.mp4\n"
    assert numbers(shown(out / "outside" / "attic" / "a.mp4")[1]) == list(range(5))
    told = prepare_in_workers(source, "--out", out, "--path-handlers", "helpers.attic:Nothing")
    assert told.code == 2
    assert told.err.startswith("error: path handler 'helpers.attic:Nothing' cannot be made (module 'helpers.attic' ")


def test_names_that_a_list_cannot_hold(prepare, tmp_path):
    folder = tmp_path / "mine" / "cat"
    folder.mkdir(parents=True)
    write_video(folder / "a.mp4", numbered(3), fps=25)
    os.rename(folder / "a.mp4", os.fsencode(folder) + b"/\xff.mp4")
    write_video(folder / "b.mp4", numbered(3), fps=25)
    long = "n" * 250 + ".avi"
    film(folder / "c.avi", numbered(3), codec="mpeg4").rename(folder / long)
    told = prepare(tmp_path / "mine", "--out", tmp_path / "out", "--short-side", 24)
    assert told.code == 2
    assert [row["path"] for row in table(tmp_path / "out" / "list.csv")] == ["videos/cat/b.mp4"]
    reasons = {Path(row["path"]).name[:5]: row["reason"] for row in table(tmp_path / "out" / "failures.csv")}
    assert reasons["\\udcf"] == "its path is not UTF-8 text, which a list has to be; rename it"
    assert reasons["nnnnn"].startswith("cannot write ")
    assert reasons["nnnnn"].endswith("File name too long")


def test_a_name_with_a_null_byte(prepare, film_list, tmp_path):
    (film_list / "list.csv").write_text("path,label\na/x.mp4,0\na/\0.mp4,1\n")
    told = prepare(film_list / "list.csv", "--out", tmp_path / "out", "--short-side", 24)
    assert told.code == 2
    assert told.out.startswith("1 file prepared, 0 skipped (done before), 1 failed, ")
    assert ",embedded null byte" in (tmp_path / "out" / "failures.csv").read_text()
