"""``video-rs timeline`` as its user calls it: what is printed, written and refused."""

import csv
import json
import os
import shutil
import signal
import threading

import pytest

from helpers.streams import as_mpegts, sending
from helpers.timelines import brightness_predictor, write_levels
from video_rs.inference import Predictor
from video_rs.runs import live_timeline
from video_rs.runs import timeline as runs_timeline
from video_rs.video import DecodeError, open_video
from video_rs.video.encoding import write_video

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg")
FILES = {"timeline.json", "segments.csv", "segments.srt", "segments.vtt", "report.html"}


@pytest.fixture
def brightness(monkeypatch):
    """``brightness(**settings)``: checkpoints are predictors of how bright a video is, with these settings."""

    def use(**settings):
        monkeypatch.setattr(Predictor, "from_checkpoint", lambda path, *rest: brightness_predictor(**settings))

    use()
    return use


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two films, and a list of what they show: of the second, nobody says what is after its fifth second."""
    folder = tmp_path_factory.mktemp("films")
    write_levels(folder / "a.mp4", (20, 20), (230, 30), (20, 20))
    write_levels(folder / "b.mp4", (230, 30), (20, 40))
    rows = [
        "path,start,end,label,split,group",
        "a.mp4,0,2,dark,val,one",
        "a.mp4,2,5,light,val,one",
        "a.mp4,5,7,dark,val,one",
        "b.mp4,0,3,light,test,two",
        "b.mp4,3,5,,test,two",
    ]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def timeline(tool, tmp_path):
    """``timeline(*arguments)`` calls the command."""
    return lambda *arguments: tool("timeline", "--checkpoint", tmp_path, *arguments)


def test_segments_are_printed_and_written(timeline, brightness, films, tmp_path):
    out = tmp_path / "out"
    done = timeline(films / "a.mp4", "--out", out, "--stride", 0.2, "--smooth", 0)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == str(films / "a.mp4")
    assert [line.split()[-1] for line in lines[1:4]] == ["dark", "light", "dark"]
    assert lines[1].startswith("  00:00.0 - 00:0")
    assert lines[4].startswith("  32 windows of 0:07 in ")
    assert lines[4].endswith(" times as fast as it plays")
    assert {path.name for path in out.iterdir()} == FILES
    assert all(str(out / name) in lines[5] for name in FILES)
    segments = json.loads((out / "timeline.json").read_text())["segments"]
    assert [segment["label"] for segment in segments] == ["dark", "light", "dark"]
    # The film is where it was, seen from the page.
    assert f'src="{os.path.relpath(films / "a.mp4", out)}"' in (out / "report.html").read_text()


def test_the_network_of_a_checkpoint_gives_the_probabilities(tool, trained, videos):
    """One window of a short video is the test view in its middle, of one clip and one crop."""
    video = videos.parent / "val/light/0.mp4"
    done = tool(
        "timeline", "--checkpoint", trained, video, "--start", 0.2, "--end", 1.0, "--on", 0.01, "--shortest", 0.1
    )
    assert done.code == 0
    predictor = Predictor.from_checkpoint(trained)
    with open_video(video) as reader:
        frames = reader.frames(range(2, 10))
    clip = predictor.preprocessing.transform.resize(frames)[:, ::2, 4:36, 4:36]
    score, best = predictor.scorer(clip[None]).detach()[0].max(0)
    label = predictor.answers.label_names[best]
    assert done.out.splitlines()[1] == f"  00:00.2 - 00:01.0  {float(score):7.2%}  {label}"


def test_several_videos_have_folders_of_their_own(timeline, brightness, films, tmp_path):
    shutil.copytree(films, tmp_path / "more")
    done = timeline(films / "a.mp4", films / "b.mp4", tmp_path / "more" / "a.mp4", "--out", tmp_path / "out")
    assert done.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b", "a_2"}
    assert {path.name for path in (tmp_path / "out" / "a_2").iterdir()} == FILES


def test_a_video_that_is_named_twice_is_one(timeline, brightness, films, tmp_path):
    done = timeline(films / "a.mp4", films / "a.mp4", "--out", tmp_path / "out")
    assert done.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_without_a_copy_the_page_plays_the_video(timeline, brightness, films, tmp_path, monkeypatch):
    def refuse(*_):
        raise DecodeError("x", "frame 7 is damaged")

    monkeypatch.setattr(runs_timeline, "annotate", refuse)
    done = timeline(films / "a.mp4", "--annotate", "--out", tmp_path)
    assert (done.code, "  note: no annotated.mp4: frame 7 is damaged\n" in done.out) == (0, True)
    assert f'src="{os.path.relpath(films / "a.mp4", tmp_path)}"' in (tmp_path / "report.html").read_text()


def test_what_is_unsure_is_said_to_be(timeline, brightness, tmp_path):
    brightness(threshold=0.8)
    write_levels(tmp_path / "x.mp4", (100, 30))
    options = ["--on", 0.5, "--off", 0.4, "--shortest", 0.5, "--crops", 3]
    done = timeline(tmp_path / "x.mp4", "--out", tmp_path / "out", *options)
    assert done.out.splitlines()[1].endswith("unsure (dark)")
    assert (tmp_path / "out" / "segments.srt").read_text().splitlines()[2].startswith("unsure 6")
    # Without --on, a segment begins at the threshold of the checkpoint.
    done = timeline(tmp_path / "x.mp4")
    assert done.out.splitlines()[1] == "  no segment: no class reaches 0.8 for 1 s"


def test_a_part_and_a_device_and_a_decoder(timeline, brightness, films, monkeypatch):
    asked = []
    monkeypatch.setattr(Predictor, "from_checkpoint", lambda *given: asked.append(given) or brightness_predictor())
    done = timeline(films / "a.mp4", "--start", 3, "--end", 4.5, "--device", "cpu", "--decoder", "pyav")
    assert done.out.splitlines()[1].startswith("  00:03.0 - 00:04.5")
    assert asked[0][1:] == ("cpu", "pyav", "published")


def test_timelines_against_a_list(timeline, brightness, films, tmp_path):
    """Of b, 5 to 7 s are not judged; 3 to 5 s are known to show nothing, but the network says dark."""
    options = ["--against", films / "list.csv", "--stride", 0.2, "--smooth", 0]
    done = timeline(*options, "--out", tmp_path / "val")
    assert done.code == 0
    assert (tmp_path / "val" / "timeline.json").exists()  # the val rows are of one video
    metrics = json.loads((tmp_path / "val" / "evaluation.json").read_text())
    assert metrics["map"] == {f"{0.1 * number:.1f}": 1.0 for number in range(1, 8)}
    assert (metrics["mean_map"], metrics["mean_map_interval"]) == (1.0, None)
    assert (metrics["videos"], metrics["true_segments"], metrics["found_segments"]) == (1, 3, 3)
    assert (metrics["frames"], metrics["frames_with_class"]) == (70, 70)
    assert metrics["frame_accuracy"] > 0.9
    assert "annotated 0:00.0 - 0:02.0  dark" in (tmp_path / "val" / "report.html").read_text()
    assert "IoU           0.1    0.2    0.3    0.4    0.5    0.6    0.7   mean\n" in done.out
    assert f"mAP     {'  1.000' * 8}".replace("mAP     ", "mAP       ") in done.out

    done = timeline(films / "b.mp4", *options, "--split", "test", "--out", tmp_path / "test")
    metrics = json.loads((tmp_path / "test" / "evaluation.json").read_text())
    assert metrics["classes"] == {"light": metrics["map"]}
    assert (metrics["frames"], metrics["frames_with_class"]) == (50, 30)
    assert metrics["frame_accuracy"] == pytest.approx(30 / 50, abs=0.05)
    assert metrics["best_class_accuracy"] == pytest.approx(1.0, abs=0.05)


def test_videos_that_cannot_be_read_are_counted_beside_the_numbers(timeline, brightness, films, tmp_path):
    rows = (films / "list.csv").read_text().replace(",test,", ",val,").replace("\nb.mp4", "\ngone.mp4")
    (films / "gone.csv").write_text(rows)
    done = timeline("--against", films / "gone.csv", "--stride", 0.2, "--smooth", 0, "--out", tmp_path)
    assert done.code == 2
    metrics = json.loads((tmp_path / "evaluation.json").read_text())
    assert (metrics["videos"], metrics["failed"], metrics["true_segments"]) == (1, 1, 3)
    assert "note: 1 video could not be read: what follows is without them\n" in done.out


def test_a_video_that_is_named_in_two_ways_is_judged_once(timeline, brightness, films, tmp_path):
    names = (films / "a.mp4", f"{films}/../{films.name}/a.mp4")
    done = timeline(*names, "--against", films / "list.csv", "--stride", 0.2, "--smooth", 0, "--out", tmp_path)
    assert done.code == 0
    metrics = json.loads((tmp_path / "evaluation.json").read_text())
    assert (metrics["videos"], metrics["failed"], metrics["true_segments"], metrics["frames"]) == (1, 0, 3, 70)


def test_an_interval_over_groups(timeline, brightness, films, tmp_path):
    rows = (films / "list.csv").read_text().replace(",test,", ",val,")
    (films / "all.csv").write_text(rows)
    done = timeline("--against", films / "all.csv", "--stride", 0.2, "--smooth", 0, "--out", tmp_path)
    metrics = json.loads((tmp_path / "evaluation.json").read_text())
    low, high = metrics["mean_map_interval"]
    assert 0 < low <= metrics["mean_map"] <= high == 1.0
    assert f"95 % interval of the mean over other videos: {low:.3f} to {high:.3f}\n" in done.out
    assert {path.name for path in tmp_path.iterdir()} >= {"a", "b", "evaluation.json"}


def test_an_annotated_copy(timeline, brightness, films, tmp_path):
    out = tmp_path / "out"
    done = timeline(films / "a.mp4", "--annotate", "--out", out)
    assert done.code == 0
    assert {path.name for path in out.iterdir()} == FILES | {"annotated.mp4"}
    assert 'src="annotated.mp4"' in (out / "report.html").read_text()
    with open_video(out / "annotated.mp4") as copy:
        assert (copy.num_frames, copy.fps, copy.height, copy.width) == (70, 10, 16, 24)


def test_a_video_that_cannot_be_read_is_named_and_the_others_are_done(timeline, brightness, films, tmp_path):
    (tmp_path / "x.mp4").write_text("no video")
    done = timeline(tmp_path / "x.mp4", films / "a.mp4", "--against", films / "list.csv")
    assert (done.code, done.err) == (
        2,
        f"error: {tmp_path / 'x.mp4'} has no row in {films / 'list.csv'}, and cannot be compared with it; name videos "
        "of the list, or none for all of them\n",
    )
    done = timeline(tmp_path / "x.mp4", films / "a.mp4", tmp_path / "none.mp4")
    assert done.code == 2
    assert "x.mp4\n  error: invalid data found when processing input\n" in done.out
    assert "none.mp4\n  error: no such file\n" in done.out
    assert f"{films / 'a.mp4'}\n  00:00.0 - " in done.out
    assert done.err == (
        "error: 2 of 3 videos could not be read; each is named above with its reason, first: "
        f"{tmp_path / 'x.mp4'}: invalid data found when processing input\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no VIDEO; name one, or a list of annotated videos: --against LIST"),
        (["--live", "--against", "x.csv"], "--live needs a VIDEO; name a camera or a stream"),
        (["a.mp4", "--annotate"], "--annotate writes annotated.mp4 into the folder of --out; name one: --out FOLDER"),
        (
            ["a.mp4", "--split", "val"],
            "--split val chooses rows of the list of --against; name one: --against LIST",
        ),
        (["a.mp4", "--stride", "0"], "--stride: got 0, allowed: seconds from 0.001"),
        (["a.mp4", "--stride", "1e-300"], "--stride: got 1e-300, allowed: seconds from 0.001"),
        (["a.mp4", "--lag", "3"], "--lag is for a live video, and none is given; leave it out, or add --live"),
        (
            ["a.mp4", "--stop-after", "3"],
            "--stop-after is for a live video, and none is given; leave it out, or add --live",
        ),
        (["", "a.mp4"], "VIDEO is empty; name a file, a URL or a stream"),
        (
            ["rtsp://me:secret@camera/x", "webcam"],
            "rtsp://me:***@camera/x is live, and one call follows one live video; call it once for each",
        ),
        (
            ["webcam", "--annotate", "--out", "x"],
            "--annotate is for files, and webcam is live; record it (ffmpeg -i URL -c copy FILE) and give the file",
        ),
        (
            ["a.mp4", "--live", "--start", "1"],
            "--start is for files, and a.mp4 is live; record it (ffmpeg -i URL -c copy FILE) and give the file",
        ),
        (["a.mp4", "--on", "2"], "--on: got 2, allowed: a probability above 0, at most 1"),
        (["a.mp4", "--start", "-1"], "--start is -1; allowed: seconds from 0 on"),
        (["a.mp4", "--start", "5", "--end", "4"], "--end is 4; allowed: seconds after the start, 5"),
        (["webcam", "--lag", "-2"], "--lag: got -2, allowed: seconds from 0"),
        (["tcp://127.0.0.1:1"], "cannot decode tcp://127.0.0.1:1: connection refused"),
    ],
)
def test_what_is_refused(arguments, message, timeline, brightness):
    done = timeline(*arguments)
    assert (done.code, done.err) == (2, f"error: {message}\n")


def test_a_split_that_a_list_does_not_have_is_refused(timeline, brightness, films):
    (films / "plain.csv").write_text("path,start,end,label\na.mp4,0,2,dark\n")
    done = timeline("--against", films / "plain.csv", "--split", "val")
    assert done.err == (
        f"error: {films / 'plain.csv'} has no splits, and so no rows of the split 'val'; leave --split out\n"
    )


def test_a_folder_that_cannot_be_written_to_is_refused(timeline, brightness, films, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    message = f"error: --out {out} cannot be written to (Not a directory); take another folder\n"
    for arguments in ([films / "a.mp4"], [films / "a.mp4", "--annotate"], [films / "a.mp4", "--live"]):
        done = timeline(*arguments, "--out", out)
        assert (done.code, done.err) == (2, message)


@needs_ffmpeg
def test_a_live_video_is_told_and_written(timeline, brightness, films, tmp_path):
    with sending(as_mpegts(films / "a.mp4")) as address:
        done = timeline(address, "--out", tmp_path / "out", "--reconnects", 0, "--lag", 1000)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"following {address}; Ctrl-C ends it"
    assert [line.split()[-1] for line in lines[1:4]] == ["dark", "light", "dark"]
    assert lines[4] == "note: the stream has ended"
    assert lines[5] == "  16 windows of 00:06.8, 70 frames, 0 dropped, 0 damaged, reconnected 0 times"
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"segments.jsonl"}
    told = [json.loads(line) for line in (tmp_path / "out" / "segments.jsonl").read_text().splitlines()]
    written = json.loads((tmp_path / "out" / "timeline.json").read_text())
    assert [{key: value for key, value in row.items() if key != "time"} for row in told] == written["segments"]
    assert told[0]["time"].startswith(written["live"]["began"][:19])
    assert written["live"]["ending"] == "the stream has ended"


@needs_ffmpeg
def test_frames_that_are_dropped_are_told(timeline, brightness, films, monkeypatch):
    """The first window is scored when all of the stream has come."""
    predictor = brightness_predictor()
    gone = threading.Event()
    score = predictor.scorer
    predictor.scorer = lambda views: gone.wait(60) and score(views)
    monkeypatch.setattr(Predictor, "from_checkpoint", lambda *_: predictor)
    monkeypatch.setattr(live_timeline, "SAVE_SECONDS", 0.0)
    run = live_timeline.LiveTimeline.__enter__

    def enter(following):
        threading.Thread(target=lambda: (following._reader._thread.join(60), gone.set()), daemon=True).start()
        return run(following)

    monkeypatch.setattr(live_timeline.LiveTimeline, "__enter__", enter)
    with sending(as_mpegts(films / "a.mp4")) as address:
        done = timeline(address, "--reconnects", 0, "--lag", 0.5)
    words = [line.split() for line in done.out.splitlines() if line.startswith("note: dropped")]
    counts = [int(line[2]) for line in words]
    assert " ".join(words[0]) == (
        f"note: dropped {counts[0]} frames that came too fast for the network; {counts[0]} of 70 up to now"
    )
    assert 20 < sum(counts) < 35
    assert f"70 frames, {sum(counts)} dropped" in done.out


@needs_ffmpeg
@pytest.mark.parametrize(
    ("kind", "code", "err"),
    [
        (
            signal.SIGINT,
            0,
            "stopping and writing the files; press Ctrl-C again to stop at once without saving\n",
        ),
        (
            signal.SIGTERM,
            143,
            "stopping and writing the files\nstopped following ADDRESS; all files are whole\n",
        ),
    ],
)
def test_a_stop_leaves_whole_files(kind, code, err, timeline, brightness, films, tmp_path, monkeypatch):
    """The camera goes on for ever; the stop comes when the second segment has ended."""
    told = live_timeline.Output.tell

    def tell(output, segments):
        told(output, segments)
        if [segment.label for segment in segments] == [1]:
            os.kill(os.getpid(), kind)

    monkeypatch.setattr(live_timeline.Output, "tell", tell)
    monkeypatch.setattr(live_timeline, "SAVE_SECONDS", 0.0)
    with sending(as_mpegts(films / "a.mp4"), hold=True) as address:
        done = timeline(address, "--out", tmp_path, "--lag", 1000, "--stop-after", 100)
    assert (done.code, done.err) == (code, err.replace("ADDRESS", address))
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"segments.jsonl"}
    written = json.loads((tmp_path / "timeline.json").read_text())
    assert [segment["label"] for segment in written["segments"]][:2] == ["dark", "light"]
    rows = list(csv.DictReader((tmp_path / "segments.csv").open()))
    assert [row["label"] for row in rows] == [segment["label"] for segment in written["segments"]]
    assert len((tmp_path / "segments.jsonl").read_text().splitlines()) == len(rows)
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")
    assert written["live"]["ending"] == ""


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["a.mp4,0,2,dark", "a.mp4,0,2,dark"],
            "error: {0} has a.mp4:0-2 as 'dark' twice; remove one of the rows\n",
        ),
        (
            ["a.mp4,0,2,", "a.mp4,2,4,"],
            "error: no row of {0} has a label, and so there is nothing to find; fill in the column label\n",
        ),
        (
            ["a.mp4,50,60,dark"],
            "error: no row of {0} lies inside what was looked at of its video; are start and end in seconds, and of "
            "these videos?\n",
        ),
    ],
)
def test_rows_that_would_be_judged_wrongly_are_refused(rows, message, timeline, brightness, films):
    path = films / "wrong.csv"
    path.write_text("path,start,end,label\n" + "\n".join(rows) + "\n")
    done = timeline("--against", path)
    assert (done.code, done.err) == (2, message.format(path))


def test_rows_that_end_after_their_video_are_told(timeline, brightness, films):
    path = films / "frames.csv"
    path.write_text("path,start,end,label\na.mp4,0,2,dark\na.mp4,2,150,light\n")
    done = timeline("--against", path)
    assert done.code == 0, done.err
    assert (
        f"note: rows of {path} that end after their videos do, and count up to there: 1, first a.mp4:2-150 of 7.00 s; "
        "are start and end in seconds?\n"
    ) in done.out
    assert "note: rows of" not in timeline("--against", path, "--end", 5).out


def test_files_of_something_else_stay(timeline, brightness, films, tmp_path):
    (tmp_path / "report.html").write_text("of a training")
    message = (
        f"error: --out {tmp_path} has a report.html of something else, which would be replaced; take another folder\n"
    )
    for arguments in ([], ["--live"]):
        done = timeline(films / "a.mp4", "--out", tmp_path, *arguments)
        assert (done.code, done.err) == (2, message)
    film = shutil.copy(films / "a.mp4", tmp_path / "annotated.mp4")
    done = timeline(film, "--out", tmp_path, "--annotate")
    assert done.err == f"error: --annotate would replace {film}, which is read; take another folder\n"


def test_a_stream_that_ends_at_once_is_no_answer(timeline, brightness, films, tmp_path):
    with open_video(films / "a.mp4") as reader:
        write_video(tmp_path / "one.mp4", reader.frames([0]).numpy(), fps=10)
    done = timeline(tmp_path / "one.mp4", "--live", "--reconnects", 0)
    assert (done.code, done.err) == (
        2,
        f"error: {tmp_path}/one.mp4 gave no window: it ended after 1 frame, and a window takes more; look whether it "
        "plays: ffplay ADDRESS\n",
    )


def test_a_name_that_is_no_text_is_on_the_page(timeline, brightness, films, tmp_path):
    film = shutil.copy(os.fsencode(films / "a.mp4"), os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    done = timeline(os.fsdecode(film), "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "../caf%E9.mp4" in (tmp_path / "out/report.html").read_text()
