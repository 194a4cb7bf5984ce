"""``video-rs pseudo_label`` and ``select_pseudo_labels``: answers beside prediction, however the work was cut up."""

import csv
import errno
import json
import shutil

import numpy as np
import pytest
from pyarrow import parquet

from helpers.jobs import run_job
from video_rs import Predictor
from video_rs.inference.export.formats import FORMATS
from video_rs.inference.export.network import read_network
from video_rs.inference.export.writing import export_network
from video_rs.inference.pseudo_labels.shards import LabelShards
from video_rs.inference.teachers import load_teacher
from video_rs.reports.pseudo_labels_page import ClassCount
from video_rs.runs import pseudo_labels_page, select_pseudo_labels

NAMES = ("dark/0", "light/0", "dark/1", "light/1")
LABELS = ("dark", "light")


@pytest.fixture
def listed(videos, tmp_path):
    """A list in which the third of five videos is broken."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    paths = [f"{videos.parent}/val/{name}.mp4" for name in NAMES]
    paths.insert(2, str(tmp_path / "broken.mp4"))
    path = tmp_path / "unlabelled.csv"
    path.write_text("\n".join(["path", *paths]) + "\n")
    return path


@pytest.fixture
def label(tool, trained, listed, tmp_path):
    """``label("out", *arguments)`` labels the list."""

    def run(out, *arguments, teacher=trained, source=listed, code=0):
        result = tool(
            "pseudo_label", "--teacher", teacher, "--list", source, "--out", tmp_path / out, "--processes", 1,
            "--device", "cpu", *arguments,
        )  # fmt: skip
        assert result.code == code, result.err
        return result.out if code == 0 else result.err

    return run


def rows(folder):
    return [row for path in sorted(folder.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- Labelling


def test_answers_are_those_of_prediction_and_failures_are_rows(label, trained, listed, tmp_path):
    said = label("out", "--shard-videos", 2)
    assert said.endswith(f"5 videos labelled, 1 failed, in 3 shards: {tmp_path}/out\n")
    found = rows(tmp_path / "out")
    paths = listed.read_text().split()[1:]
    assert [row["path"] for row in found] == [row["id"] for row in found] == paths
    predictor = Predictor.from_checkpoint(trained, "cpu")
    for row in found:
        if row["path"].endswith("broken.mp4"):
            assert (row["classes"], row["probabilities"], row["views"]) == ([], [], 0)
            assert row["error"]
            continue
        expected = predictor.predict(row["path"]).probabilities
        np.testing.assert_allclose(row["probabilities"], expected, atol=1e-6)
        assert (row["classes"], row["views"], row["error"]) == ([0, 1], 6, None)
        assert (row["rest"], row["other"]) == (0, pytest.approx(0, abs=1e-6))
    shard = parquet.read_schema(tmp_path / "out" / "000000.parquet")
    assert json.loads(shard.metadata[b"label_names"]) == list(LABELS)


def test_views_top_and_other_options(label, listed, tmp_path):
    label("whole")
    label(
        "few", "--clips", 1, "--crops", 1, "--stride", 1, "--top", 1, "--batch", 2, "--decoder", "pyav",
        "--time-limit", 30,
    )  # fmt: skip
    few = [row for row in rows(tmp_path / "few") if row["error"] is None]
    assert [row["views"] for row in few] == [1] * 4
    for row in few:
        (best,) = row["probabilities"]
        assert best >= 0.5
        assert row["rest"] == pytest.approx(1 - best, abs=1e-6)
    settings = json.loads((tmp_path / "few" / "settings.json").read_text())
    assert (settings["preprocessing"]["clip"]["sampling_rate"], settings["top"]) == (1, 1)


def test_an_exported_file_is_the_same_teacher(label, trained, tmp_path):
    path = tmp_path / "model.safetensors"
    export_network(read_network(trained), FORMATS["safetensors"], path, lambda lines: None)
    label("checkpoint")
    label("exported", teacher=path)
    for one, other in zip(rows(tmp_path / "checkpoint"), rows(tmp_path / "exported"), strict=True):
        np.testing.assert_allclose(one["probabilities"], other["probabilities"], atol=1e-6)
    assert load_teacher(str(path), "cpu").sha256 != load_teacher(str(trained), "cpu").sha256


def test_a_file_that_could_run_code_needs_trust(label, tmp_path):
    (tmp_path / "model.pt2").write_bytes(b"whatever")
    assert "could run code as it is read" in label("out", code=2, teacher=tmp_path / "model.pt2")
    said = label("out", "--trusted", code=2, teacher=tmp_path / "model.pt2")
    assert said.startswith(f"error: {tmp_path}/model.pt2 is damaged, cut short or no .pt2 file (")


def test_classes_are_matched_by_name(label, trained, tmp_path):
    label("own")
    own = [row["probabilities"] for row in rows(tmp_path / "own") if row["error"] is None]
    labels = tmp_path / "classes.txt"
    labels.write_text("light\ndark\n")
    label("turned", "--labels", labels)
    turned = [row["probabilities"] for row in rows(tmp_path / "turned") if row["error"] is None]
    np.testing.assert_allclose(turned, np.array(own)[:, ::-1], atol=1e-7)

    labels.write_text("blue\nlight\n")
    assert label("other", "--labels", labels, code=2) == (
        f"error: {trained} has other classes: it does not know blue; --labels lacks dark; name them alike, or add "
        "--only-common to leave them out\n"
    )
    said = label("common", "--labels", labels, "--only-common")
    assert "note: no pseudo-labels of blue, which the teacher does not know\n" in said
    assert "note: left out of the teacher's classes: dark\n" in said
    common = [row for row in rows(tmp_path / "common") if row["error"] is None]
    for row, (dark, light) in zip(common, own, strict=True):
        assert row["probabilities"] == [0, pytest.approx(light, abs=1e-6)]
        assert row["other"] == pytest.approx(dark, abs=1e-6)

    labels.write_text("blue\n")
    assert "knows none of the 1 class of --labels (it knows dark, light)" in label(
        "none", "--labels", labels, "--only-common", code=2
    )


def test_lists_to_label_may_be_relative_to_a_root(label, videos, tmp_path):
    source = tmp_path / "relative.csv"
    source.write_text(f"path\nval/{NAMES[0]}.mp4\n")
    assert "as --root, or correct the list" in label("out", source=source, code=2)
    label("out", "--root", videos.parent, source=source)
    assert [row["path"] for row in rows(tmp_path / "out")] == [f"{videos.parent}/val/{NAMES[0]}.mp4"]


def test_a_name_that_a_list_takes_for_two_is_refused(label, trained, tmp_path):
    labels = tmp_path / "classes.txt"
    labels.write_text("dark\nlight;bright\n")
    assert label("out", "--labels", labels, "--only-common", code=2) == (
        f"error: {trained} has a class 'light;bright', and in a list ';' stands between the labels of a video; leave "
        "the class out: name the others in --labels, with --only-common\n"
    )


# -- Stopping, going on, many processes


def test_stopped_work_goes_on_and_a_shard_that_was_cut_short_is_done_again(label, tmp_path, monkeypatch):
    label("whole", "--shard-videos", 1)
    write, written = LabelShards.write, []

    def twice(self, number, content):
        if len(written) == 2:
            raise MemoryError("in the middle")
        written.append(number)
        write(self, number, content)

    with monkeypatch.context() as patch:
        patch.setattr(LabelShards, "write", twice)
        with pytest.raises(MemoryError):
            label("stopped", "--shard-videos", 1)
    folder = tmp_path / "stopped"
    assert set(files(folder)) == {"settings.json", "000000.parquet", "000001.parquet"}
    cut = folder / "000001.parquet"
    cut.write_bytes(cut.read_bytes()[:-20])

    written.clear()

    def counted(self, number, content):
        written.append(number)
        write(self, number, content)

    monkeypatch.setattr(LabelShards, "write", counted)
    assert "going on after 1 of 5 shards\n" in label("stopped", "--shard-videos", 1)
    assert written == [1, 2, 3, 4]
    assert files(folder) == files(tmp_path / "whole")

    # Once more there is nothing to do.
    written.clear()
    label("stopped", "--shard-videos", 1)
    assert written == []


@pytest.mark.xdist_group("processes")
def test_two_processes_leave_the_shards_of_one(label, trained, listed, tmp_path):
    label("one", "--shard-videos", 1)
    done = run_job(
        tmp_path, 2, "pseudo_label", "--teacher", trained, "--list", listed, "--out", tmp_path / "two",
        "--shard-videos", 1, "--processes", 1, "--device", "cpu",
    )  # fmt: skip
    assert done.codes == [0, 0], done.err
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [row["path"] for row in one] == [row["path"] for row in two]
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first["probabilities"], second["probabilities"], atol=1e-6)
    assert done.out.count("5 videos labelled, 1 failed") == 1


def test_what_is_there_of_other_work_stays_unless_told(label, tmp_path):
    label("out")
    before = files(tmp_path / "out")
    assert label("out", "--top", 1, code=2) == (
        f"error: {tmp_path}/out holds the answers of other work (other: top); give another --out, or add --overwrite "
        "to replace it\n"
    )
    assert files(tmp_path / "out") == before
    label("out", "--top", 1, "--overwrite")
    assert len(rows(tmp_path / "out")[0]["classes"]) == 1
    (tmp_path / "out" / "settings.json").unlink()
    unexplained = f"nothing in {tmp_path}/out says what its shards or its settings.json are of"
    assert unexplained in label("out", code=2)

    # So do settings that are of another program.
    other = tmp_path / "other"
    other.mkdir()
    (other / "settings.json").write_text("// mine")
    assert "says what its shards or its settings.json are of" in label("other", code=2)
    assert (other / "settings.json").read_text() == "// mine"
    names = ("2024_mine.parquet", ".x.tmp")
    for name in names:
        (other / name).write_text("mine")
    label("other", "--overwrite")
    assert {path.name for path in other.iterdir()} == {*names, "settings.json", "000000.parquet"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--clips", -1), "--clips is -1; allowed: a whole number from 0 on"),
        (("--crops", 2), "--crops is 2; allowed: 1 or 3"),
        (("--shard-videos", 0), "--shard-videos is 0; allowed: a whole number, at least 1"),
        (("--only-common",), "--only-common says nothing without --labels"),
        (("--split", "val"), "has no splits, and so no rows of the split 'val'; leave --split out"),
    ],
)
def test_what_cannot_be_asked_is_refused(label, arguments, words):
    assert words in label("out", *arguments, code=2)


def test_a_list_of_which_nothing_can_be_read(label, tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"no video")
    assert label("out", source=folder, code=2) == (
        f"error: none of 1 video could be read; the shards in {tmp_path}/out say why of each\n"
    )


# -- Choosing


@pytest.fixture
def choose(tool, tmp_path):
    def run(*arguments, folder="answers", out="new.csv", code=0):
        result = tool("select_pseudo_labels", tmp_path / folder, "--out", tmp_path / out, *arguments)
        assert result.code == code, result.err
        return result.out if code == 0 else result.err

    return run


@pytest.fixture
def answers(tmp_path, videos):
    """Answers for four videos, two a shard: a of dark, three of light; and one that failed."""
    shards = LabelShards(tmp_path / "answers", 5, 2, LABELS)
    shards.start({"format": 1, "label_names": LABELS, "videos": 5, "shard_videos": 2})
    from video_rs.inference.pseudo_labels.labelling import LabelRow

    paths = [f"{videos.parent}/val/{name}.mp4" for name in NAMES]
    given = [(0.6, 0.4), (0.1, 0.9), (0.3, 0.7), (0.45, 0.55)]
    content = [
        LabelRow(path, path, None, None, (0, 1), values, 0.0, 0.0, 2) for path, values in zip(paths, given, strict=True)
    ]
    content.append(LabelRow("gone.mp4", "gone.mp4", None, None, error="no such file"))
    for number in range(3):
        shards.write(number, content[2 * number : 2 * number + 2])
    return paths


def chosen(tmp_path):
    with open(tmp_path / "new.csv", newline="") as file:
        return [(row["path"], row["label"]) for row in csv.DictReader(file)]


def test_hard_labels_above_a_threshold(choose, answers, tmp_path):
    said = choose("--soft")
    assert said.endswith(f"results: {tmp_path}/new.csv  {tmp_path}/new.parquet  {tmp_path}/new.html\n")
    assert (tmp_path / "new.parquet").exists()
    said = choose("--threshold", 0.65)
    assert chosen(tmp_path) == [(answers[1], "light"), (answers[2], "light")]
    assert "note: no video of 1 class: dark\n" in said
    assert "note: 1 video could not be read by the teacher\n" in said
    assert said.endswith(f"2 videos of 5 in 2 rows\nresults: {tmp_path}/new.csv  {tmp_path}/new.html\n")
    assert not (tmp_path / "new.parquet").exists()
    page = (tmp_path / "new.html").read_text()
    assert "no video of 1 class: dark" in page
    assert page.count("data:image/png") == 1 + 4
    assert "not taken" in page


def test_soft_labels_balanced_and_repeated(choose, answers, tmp_path):
    choose("--soft", "--threshold", 0.5, "--per-class", 2, "--repeat", 3)
    assert chosen(tmp_path) == [(answers[0], "dark")] * 2 + [(answers[1], "light"), (answers[2], "light")]
    table = parquet.read_table(tmp_path / "new.parquet")
    assert table["path"].to_pylist() == [path for path, _ in chosen(tmp_path)]
    np.testing.assert_allclose(
        table["probabilities"].to_pylist(), [(0.6, 0.4), (0.6, 0.4), (0.1, 0.9), (0.3, 0.7)], atol=1e-7
    )
    assert json.loads(table.schema.metadata[b"label_names"]) == list(LABELS)


def test_known_videos_are_left_out_by_content_and_validation_videos_refused(choose, answers, tmp_path):
    shutil.copy(answers[1], tmp_path / "copy.mp4")
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("path,label,split\ncopy.mp4,light,train\n")
    said = choose("--labelled", labelled, "--threshold", 0.5)
    assert "note: 1 video left out, which the labelled lists hold already\n" in said
    assert [path for path, _ in chosen(tmp_path)] == [answers[0], answers[2], answers[3]]

    val = tmp_path / "val.csv"
    val.write_text("path,label\ncopy.mp4,light\n")
    for arguments in (("--val", val), ("--val", val, "--labelled", labelled)):
        assert "has 1 video of the validation or test rows of" in choose(*arguments, code=2)
    labelled.write_text(f"path,label,split\n{answers[0]},dark,val\n")
    assert f"such as {answers[0]}; label a list without them" in choose("--labelled", labelled, code=2)
    labelled.write_text("path,label,split\n../a.mp4,dark,val\n")
    assert "line 2" in choose("--labelled", labelled, code=2)


def test_classes_of_the_teacher_are_looked_for_in_the_labelled_lists(choose, answers, videos, tmp_path):
    labelled = tmp_path / "labelled.csv"
    labelled.write_text(f"path,label\n{videos.parent}/train/light/0.mp4,fight\n")
    assert choose("--labelled", labelled, code=2) == (
        f"error: none of the teacher's 2 classes has a row in --labelled {labelled}: 'dark', 'light'; take a teacher "
        "of the classes that are there\n"
    )
    labelled.write_text(f"path,label\n{videos.parent}/train/light/0.mp4,light\n")
    assert (
        f"note: 1 of the teacher's 2 classes have no row in {labelled}: 'dark'; training takes their videos where "
        "DATA.LABEL_MAP names them\n"
    ) in choose("--labelled", labelled)
    # Without names there is nothing to compare.
    for text in (f"path,label\n{videos.parent}/train/light/0.mp4,0\n", f"path\n{videos.parent}/train/light/0.mp4\n"):
        labelled.write_text(text)
        assert "classes have" not in choose("--labelled", labelled)


def test_lists_may_be_relative_to_a_root(choose, answers, videos, tmp_path):
    labelled = tmp_path / "labelled.csv"
    labelled.write_text(f"path,label,split\nval/{NAMES[0]}.mp4,dark,val\n")
    said = choose("--labelled", labelled, code=2)
    assert f"{labelled}: none of 1 file looked at is there, such as {tmp_path}/val/{NAMES[0]}.mp4; " in said
    assert said.endswith("give the folder that relative paths start from as --root, or correct the list\n")
    said = choose("--labelled", labelled, "--root", videos.parent, code=2)
    assert f"such as {answers[0]}; label a list without them" in said


def test_files_of_something_else_stay(choose, answers, tmp_path):
    table, page = tmp_path / "new.parquet", tmp_path / "new.html"
    table.write_bytes(b"features")
    for arguments in ((), ("--soft",)):
        assert choose(*arguments, code=2) == (
            f"error: {table} is there, where soft labels of --out {tmp_path}/new.csv would lie, and holds none; it "
            "stays: take another --out\n"
        )
    table.unlink()
    page.write_text("<html>somebody's page</html>")
    assert choose(code=2) == (
        f"error: {page} is there, where the page of --out {tmp_path}/new.csv goes, and is another page; it stays: take "
        "another --out\n"
    )
    shutil.copy(tmp_path / "answers" / "000000.parquet", table)
    page.unlink()
    assert "holds none; it stays" in choose(code=2)
    assert not (tmp_path / "new.csv").exists()

    shard = (tmp_path / "answers" / "000000.parquet").read_bytes()
    said = choose(out="answers/000000.csv", code=2)
    assert f"/answers/000000.csv lies among the teacher's answers in {tmp_path}/answers; take another folder" in said
    assert (tmp_path / "answers" / "000000.parquet").read_bytes() == shard

    new = tmp_path / "new.csv"
    new.write_text("path,label\na.mp4,dark\n")
    assert choose(code=2) == (
        f"error: --out {new} is there, and no earlier selection (no column confidence); take another file\n"
    )
    new.unlink()

    # Those of an earlier selection go.
    table.unlink()
    choose("--soft")
    choose("--soft", "--threshold", 0.65)
    assert len(chosen(tmp_path)) == len(parquet.read_table(table)) == 2


def test_an_earlier_selection_outlives_a_list_that_cannot_be_written(choose, answers, tmp_path, monkeypatch):
    choose("--soft")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("new.*")}

    def full(path, rows, columns, remarks):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(select_pseudo_labels, "write_list", full)
        choose(code=1)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("new.*")} == before
    choose()
    assert not (tmp_path / "new.parquet").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shard_videos": 0}, "/answers/settings.json is damaged: shard_videos is 0; take it from a copy"),
        ({"videos": "5"}, "/answers/settings.json is damaged: videos is 5; take it from a copy"),
        ({"format": 0}, "/answers/settings.json is of the format 0, and this video_rs reads 1; label again with"),
        ({"label_names": ["light", "dark"]}, "/answers/000000.parquet has answers for other classes than"),
    ],
)
def test_settings_that_are_not_those_of_the_shards_are_refused(choose, answers, tmp_path, change, words):
    path = tmp_path / "answers" / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert words in choose(code=2)
    assert not (tmp_path / "new.csv").exists()


def test_a_video_that_was_labelled_twice_is_taken_once(choose, answers, tmp_path):
    shards = LabelShards(tmp_path / "answers", 5, 2, LABELS)
    first = shards.read(0)
    shards.write(0, [first[0], first[0]])
    said = choose("--threshold", 0)
    assert "note: 1 row left out, of videos that the list has before\n" in said
    assert [path for path, _ in chosen(tmp_path)] == [answers[0], answers[2], answers[3]]


def test_a_video_of_no_class_is_left_out(choose, answers, tmp_path):
    shards = LabelShards(tmp_path / "answers", 5, 2, LABELS)
    first = shards.read(0)
    shards.write(0, [first[0]._replace(probabilities=(0.0, 0.0), other=1.0), first[1]])
    said = choose("--threshold", 0, "--soft")
    assert "note: 1 video left out, which the teacher gives to none of the classes\n" in said
    assert "note: 1 video could not be read by the teacher\n" in said
    assert [path for path, _ in chosen(tmp_path)] == answers[1:]


def test_clips_of_many_classes_are_those_of_the_largest_and_the_smallest(choose, answers, tmp_path, monkeypatch):
    monkeypatch.setattr(pseudo_labels_page, "MOST_CLASSES", 2)
    choose()
    assert "clips of" not in (tmp_path / "new.html").read_text()
    monkeypatch.setattr(pseudo_labels_page, "_shown_classes", lambda counts: [1])
    choose()
    assert "clips of 1 of 2 classes: those with the most and the fewest videos" in (tmp_path / "new.html").read_text()


def test_empty_selections_and_unfinished_answers(choose, answers, tmp_path):
    assert "has a confidence of 0.95 or more; the highest is 0.9; take a lower --threshold" in choose(
        "--threshold", 0.95, code=2
    )
    everything = tmp_path / "all.csv"
    everything.write_text("\n".join(["path", *answers]) + "\n")
    assert "nothing is left of" in choose("--labelled", everything, code=2)
    for arguments, words in (
        (("--threshold", 2), "--threshold is 2; allowed: a probability from 0 to 1"),
        (("--per-class", -1), "--per-class is -1; allowed: a whole number"),
        (("--repeat", 0), "--repeat is 0; allowed: a whole number, at least 1"),
    ):
        assert words in choose(*arguments, code=2)
    assert "new.txt; allowed: a file whose name ends with .csv" in choose(out="new.txt", code=2)
    assert not (tmp_path / "new.csv").exists()

    cut = tmp_path / "answers" / "000001.parquet"
    cut.write_bytes(cut.read_bytes()[:40])
    assert "lacks 1 of 3 shards, first 000001.parquet; start the same" in choose(code=2)
    assert "holds no answers of a teacher" in choose(folder="nothing", code=2)


def test_of_many_classes_the_most_frequent_and_the_rarest_are_shown(monkeypatch):
    monkeypatch.setattr(pseudo_labels_page, "MOST_CLASSES", 2)
    counts = [ClassCount(str(videos), videos, 0, 0) for videos in (4, 0, 9, 1, 5)]
    assert pseudo_labels_page._shown_classes(counts) == [2, 3]
    assert pseudo_labels_page._shown_classes(counts[:2]) == [0]
