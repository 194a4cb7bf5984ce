"""What the doctor finds, from plain records and probes; each kind once, and what it must not find."""

from dataclasses import replace

import pytest

from video_rs.curation.doctor.data_set import DataSet, DataSetRow
from video_rs.curation.doctor.diagnosis import diagnose
from video_rs.curation.doctor.file_findings import ClipReach
from video_rs.curation.doctor.findings import NOTES, PROBLEMS, Finding
from video_rs.curation.doctor.probing import ProbedFiles
from video_rs.lists.records import VideoRecord
from video_rs.video.probing.probe import Probe

SOUND = Probe(fingerprint="", frames=100, fps=10.0, height=48, width=64, header_frames=100, key_interval=12)
NAMES = ("cat", "dog", "Dog ")


def row(path, label=0, split="train", start=None, end=None):
    labels = (label,) if isinstance(label, int) else label
    return DataSetRow(split, VideoRecord(path, labels, start, end, path))


def findings(rows, clip_reach=1, target_fps=0.0, **probes):
    everything = {r.record.path: replace(SOUND, fingerprint=r.record.path) for r in rows} | probes
    return diagnose(DataSet(rows, NAMES), ProbedFiles(everything, {}, 0), ClipReach(clip_reach, target_fps))


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "unreadable", "damaged", "hung", "crashed"])
def test_what_cannot_be_read_goes_to_quarantine(kind):
    found = findings([row("a"), row("b")], b=Probe(kind, "why"))
    assert found.findings == (Finding(kind, 1, "why"),)
    assert found.quarantined == {1: Finding(kind, 1, "why")}
    assert not found.clean


@pytest.mark.parametrize(
    ("facts", "kind", "detail"),
    [
        ({"frames": 20, "header_frames": 20}, "short", "20 frames, a clip reaches over 64"),
        ({"quarter_turns": 3}, "rotated", "270 degrees counter-clockwise"),
        ({"mirrored": True}, "mirrored", "left to right"),
        ({"mirrored": True, "quarter_turns": 2}, "mirrored", "top to bottom"),
        (
            {"mirrored": True, "quarter_turns": 1},
            "mirrored",
            "left to right, then turned 90 degrees counter-clockwise",
        ),
        (
            {"mirrored": True, "quarter_turns": 3},
            "mirrored",
            "left to right, then turned 270 degrees counter-clockwise",
        ),
        ({"other_angle": -44.9996}, "other_angle", "-45 degrees counter-clockwise"),
        ({"interlaced": True}, "interlaced", "48 lines, 10 frames per second"),
        ({"hdr": "HLG", "pixel_format": "yuv420p10le"}, "hdr", "HLG, yuv420p10le"),
        ({"variable_rate": True}, "variable_rate", "10 frames per second on average"),
        ({"header_frames": 101}, "wrong_count", "stated 101, frames 100"),
        ({"sample_aspect": 4 / 3}, "pixel_aspect", "1.33 times as wide as high"),
    ],
)
def test_what_is_worth_knowing_stays_in_the_list(facts, kind, detail):
    found = findings([row("a"), row("b")], 64, b=replace(SOUND, fingerprint="b", **facts))
    assert found.findings == (Finding(kind, 1, detail),)
    assert found.clean


def test_a_sound_file_has_no_findings():
    found = findings(
        [row("a"), row("b")], 100, b=replace(SOUND, fingerprint="b", header_frames=0, sample_aspect=1.0004)
    )
    assert found.findings == ()
    assert found.clean


def test_segments_are_held_against_their_video():
    rows = [row("a", end=2.0), row("a", start=2.0, end=4.0), row("a", start=10.0), row("a", start=4.0, end=4.3)]
    rows += [row("a", start=8.0, end=11.0), row("a", start=5.0, end=11.1)]
    found = findings(rows, 4)
    assert [f[:2] for f in found.findings] == [("segment", 2), ("short", 3), ("past_end", 5)]
    assert found.findings[2].detail == "to 11.1 s, the video is 10.00 s long"
    assert found.findings[0].detail == (
        "segment 10.0..end s holds no frame: the video has 100 frames at 10 per second, 10.00 s; "
        "correct the list's start and end"
    )


def test_short_counts_frames_of_the_target_rate():
    """Of ten seconds there are 150 at 15 per second, whatever the video's own rate."""
    for fps in (5.0, 10.0, 60.0):
        probe = replace(SOUND, fps=fps, frames=int(10 * fps), header_frames=0)
        assert findings([row("a")], 150, 15.0, a=probe).findings == ()
        (short,) = findings([row("a")], 151, 15.0, a=probe).findings
        assert short == Finding("short", 0, "150 frames at 15 per second, a clip reaches over 151")


def of_rates(*rates, **others):
    rows = [row(f"v{i}") for i in range(len(rates))]
    probes = {f"v{i}": replace(SOUND, fingerprint=str(i), fps=rate) for i, rate in enumerate(rates)}
    return findings(rows, **others, **probes)


def test_rates_that_differ_are_told_with_the_remedy():
    assert of_rates(*[30.0] * 8, 15.0, 60.0).rate_note == (
        "the videos have 15 to 60 frames per second, 2 of 10 far from the middle of 30, and clips count frames; "
        "DATA.TARGET_FPS 30 makes them span the same seconds of each"
    )
    assert of_rates(*[30.0] * 8, 15.0, 60.0, target_fps=30.0).rate_note == ""
    assert of_rates(24.0, 25.0, 29.97, 30.0).rate_note == ""
    assert of_rates(25.0).rate_note == ""
    # One in two hundred is no matter.
    assert of_rates(*[25.0] * 199, 100.0).rate_note == ""


def test_what_has_no_rate_of_its_own_counts_for_none():
    frames = replace(SOUND, fingerprint="f", fps=30.0, container="folder")
    single = replace(SOUND, fingerprint="s", fps=1.0, frames=1, header_frames=1)
    broken = Probe("damaged", "frame 3", fps=90.0, frames=7)
    rows = [row(name) for name in ("a", "f", "s", "b")]
    assert findings(rows, f=frames, s=single, b=broken).rate_note == ""


def same(*names):
    return {name: replace(SOUND, fingerprint="equal") for name in names}


def test_copies_in_one_split_are_noted():
    found = findings([row("a"), row("b"), row("a"), row("c")], **same("a", "b"))
    assert found.findings == (
        Finding("duplicate", 0, "as b"),
        Finding("duplicate", 1, "as a"),
        Finding("duplicate", 2, "as a"),
    )
    assert found.clean


def test_copies_with_other_labels_are_a_conflict():
    found = findings([row("a", 0), row("b", 1)], **same("a", "b"))
    assert found.findings == (Finding("conflict", 0, "as b"), Finding("conflict", 1, "as a"))
    assert set(found.quarantined) == {0, 1}


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_a_copy_in_a_held_out_split_takes_the_training_row_out(held_out):
    found = findings([row("a"), row("b", split=held_out), row("c")], **same("a", "b"))
    assert found.findings == (Finding("leak", 0, f"as b in {held_out}"),)
    assert set(found.quarantined) == {0}


def test_a_copy_in_the_test_rows_takes_the_validation_row_out():
    found = findings([row("a", split="test"), row("b", split="val"), row("c", split="val")], **same("a", "b"))
    assert found.findings == (Finding("leak", 1, "as a in test"),)


def test_splits_of_other_names_say_nothing_of_leaks():
    assert findings([row("a"), row("b", split="extra"), row("c", split="")], **same("a", "b", "c")).findings == ()


def test_the_order_of_labels_is_no_conflict():
    found = findings([row("a", (0, 1)), row("b", (1, 0))], **same("a", "b"))
    assert [f.kind for f in found.findings] == ["duplicate", "duplicate"]
    assert [f.kind for f in findings([row("a", (0, 1)), row("b", (1,))], **same("a", "b")).findings] == ["conflict"] * 2


def test_a_row_without_labels_contradicts_none():
    rows = [row("a", 0), row("b", (), "test")]
    assert findings(rows, **same("a", "b")).findings == (Finding("leak", 0, "as b in test"),)
    assert [f.kind for f in findings([row("a"), row("b", ())], **same("a", "b")).findings] == ["duplicate"] * 2


def test_a_duplicate_names_a_row_of_its_own_split():
    found = findings([row("a"), row("b", split="val"), row("c", split="val")], **same("a", "b", "c"))
    assert found.findings == (
        Finding("leak", 0, "as b in val"),
        Finding("duplicate", 1, "as c"),
        Finding("duplicate", 2, "as b"),
    )


def test_segments_of_one_video_may_be_in_both_splits_if_they_do_not_overlap():
    apart = [row("a", end=5.0), row("a", split="val", start=5.0)]
    assert findings(apart).findings == ()
    assert [f.kind for f in findings([*apart, row("a", start=4.9, end=5.1)]).findings] == ["leak"]


def test_files_that_could_not_be_read_are_no_copies_of_one_another():
    broken = Probe("damaged", "frame 3", fingerprint="equal")
    found = findings([row("a", 0), row("b", 1), row("c", 1)], a=broken, b=broken, c=Probe("missing", "gone"))
    assert [f.kind for f in found.findings] == ["damaged", "damaged", "missing"]


def test_class_notes_and_counts():
    rows = [row("a", 0), row("b", 0), row("c", 1), row("d", 1, "val"), row("e", 2, "val")]
    found = findings(rows)
    assert found.counts == {"train": {0: 2, 1: 1}, "val": {1: 1, 2: 1}}
    assert found.class_notes == (
        "class 'Dog ' has no training rows; add some, or remove this class from the label map or the rows that name it",
        "class 'Dog ' has a single video",
        "class names look alike: 'dog', 'Dog '",
    )


def test_rows_without_labels_are_counted_where_others_have_some():
    unlabelled = "no label: videos of no class with DATA.MULTI_LABEL, else refused; fill them in, or remove them"
    found = findings([row("a", (0, 1, 2)), row("b", (0, 1, 2)), row("c", ())])
    assert found.class_notes[0] == f"1 row has {unlabelled}"
    found = findings([row("a", (0, 1, 2)), row("b", (0, 1, 2)), row("c", ()), row("d", (), "val")])
    assert found.class_notes[0] == f"2 rows have {unlabelled}"
    assert findings([row("a", ()), row("b", ())]).class_notes == ()


def test_classes_without_any_rows_are_told_too():
    found = findings([row("a", 1, ""), row("b", 1, ""), row("c", 0, ""), row("d", 0, "")])
    assert found.class_notes == (
        "class 'Dog ' has no rows; add some, or remove this class from the label map or the rows that name it",
    )


def test_splits_that_nothing_reads_are_told():
    found = findings(
        [row("a", 0), row("b", 0, "validation"), row("c", 0, "Train"), row("d", 0, "test"), row("e", 0, "")]
    )
    assert found.class_notes[:2] == (
        "no tool reads the split 'Train'; call it train, val or test",
        "no tool reads the split 'validation'; call it train, val or test",
    )


def test_kinds_are_told_apart():
    assert not set(PROBLEMS) & set(NOTES)
    found = findings([row("a"), row("b")], a=Probe("hung", "slow"), b=Probe("hung", "slow"))
    assert found.kinds() == {"hung": 2}
