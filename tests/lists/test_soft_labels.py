"""Soft labels beside a list: whose they are, in which order, and what is refused; and lists that share videos."""

import numpy as np
import pyarrow
import pytest

from helpers.few_labels import write_soft_labels
from video_rs.lists.checks import fingerprint, require_apart
from video_rs.lists.records import read_records
from video_rs.lists.soft_labels import read_soft_labels, soft_labels_file
from video_rs.runtime.errors import InputError

NAMES = ("run", "walk", "sit")
ROWS = [[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]]
PATHS = ["a.mp4", "b/b.mp4", "c.mp4"]
LABELS = ["run", "walk", "sit"]


@pytest.fixture
def listed(tmp_path):
    """A list of three videos."""
    return write_list(tmp_path, PATHS, LABELS)


def write_list(folder, paths, labels, columns="path,label", name="pseudo.csv"):
    rows = [f"{path},{label}" for path, label in zip(paths, labels, strict=True)]
    (folder / name).write_text("\n".join([columns, *rows, ""]))
    return folder / name


def records_of(source, **settings):
    return read_records(source, label_names=NAMES, **settings)


def soft_labels(listed, exclusive=True, names=NAMES, root=""):
    file = soft_labels_file(str(listed))
    return read_soft_labels(file, records_of(listed, root=root), names, root, exclusive)


def refusal(listed, **settings):
    with pytest.raises(InputError) as caught:
        soft_labels(listed, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_of_the_lists_name_is_found_beside_it(listed, tmp_path):
    assert soft_labels_file(str(listed)) is None
    file = write_soft_labels(tmp_path / "pseudo.parquet", PATHS, ROWS, NAMES)
    assert soft_labels_file(str(listed)) == file
    assert soft_labels_file("https://host/pseudo.csv") is None
    assert soft_labels_file(str(tmp_path)) is None


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.list_(pyarrow.float32()),
        pyarrow.list_(pyarrow.float32(), 3),
        pyarrow.list_(pyarrow.float64()),
        pyarrow.large_list(pyarrow.float32()),
    ],
)
def test_probabilities_come_in_the_order_of_the_runs_classes(listed, tmp_path, kind):
    """The file has the classes in another order."""
    turned = [[row[2], row[0], row[1]] for row in ROWS]
    write_soft_labels(tmp_path / "pseudo.parquet", PATHS, turned, ("sit", "run", "walk"), kind)
    found = soft_labels(listed)
    assert (found.dtype, found.shape) == (np.float32, (3, 3))
    np.testing.assert_allclose(found, ROWS, rtol=1e-6)


def test_rows_are_found_by_their_paths(listed, tmp_path):
    """In any order, absolute or relative, with more of them than the list has, and one without probabilities."""
    paths = ["unused.mp4", f"{tmp_path}/c.mp4", "b/b.mp4", "a.mp4"]
    write_soft_labels(tmp_path / "pseudo.parquet", paths, [None, ROWS[2], ROWS[1], ROWS[0]], NAMES)
    np.testing.assert_allclose(soft_labels(listed), ROWS, rtol=1e-6)


def test_a_video_that_is_listed_twice_has_its_row_twice(tmp_path):
    listed = write_list(tmp_path, ["a.mp4", "c.mp4", "a.mp4"], ["run", "sit", "run"])
    write_soft_labels(tmp_path / "pseudo.parquet", PATHS, ROWS, NAMES)
    np.testing.assert_allclose(soft_labels(listed), [ROWS[0], ROWS[2], ROWS[0]], rtol=1e-6)


def test_two_segments_of_a_video_have_rows_of_their_own_in_the_order_of_the_list(tmp_path):
    listed = write_list(tmp_path, ["a.mp4,0,1", "a.mp4,1,2"], ["run", "sit"], "path,start,end,label")
    write_soft_labels(tmp_path / "pseudo.parquet", ["a.mp4", "a.mp4"], [ROWS[0], ROWS[2]], NAMES)
    np.testing.assert_allclose(soft_labels(listed), [ROWS[0], ROWS[2]], rtol=1e-6)
    write_soft_labels(tmp_path / "pseudo.parquet", ["a.mp4", "a.mp4", "b.mp4"], ROWS, NAMES)
    assert refusal(listed) == (
        f"{tmp_path}/pseudo.parquet has several rows for {tmp_path}/a.mp4, and other rows than {listed}: which is "
        "meant is not known; write both files anew, as video-rs select_pseudo_labels --soft does"
    )


def test_paths_start_from_the_root(tmp_path):
    (tmp_path / "lists").mkdir()
    listed = write_list(tmp_path / "lists", PATHS, LABELS)
    write_soft_labels(tmp_path / "lists" / "pseudo.parquet", [f"/videos/{path}" for path in PATHS], ROWS, NAMES)
    np.testing.assert_allclose(soft_labels(listed, root="/videos"), ROWS, rtol=1e-6)


def test_what_was_rounded_sums_to_one_again(listed, tmp_path):
    rounded = [[0.333, 0.333, 0.333], [0.995, 0.0, 0.0], [0.3, 0.3, 0.4]]
    write_soft_labels(tmp_path / "pseudo.parquet", PATHS, rounded, NAMES)
    np.testing.assert_allclose(soft_labels(listed), [[1 / 3] * 3, [1, 0, 0], rounded[2]], rtol=1e-6)


def test_probabilities_of_several_classes_need_not_sum_to_one(listed, tmp_path):
    rows = [[0.9, 0.8, 0.1], [0.0, 0.0, 0.0], [1.0, 1.0, 1.005]]
    write_soft_labels(tmp_path / "pseudo.parquet", PATHS, rows, NAMES)
    # What was rounded is no more than 1: the logarithm of the rest would be none.
    expected = [*rows[:2], [1.0, 1.0, 1.0]]
    np.testing.assert_allclose(soft_labels(listed, exclusive=False), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        (("run", "walk", "stand"), "3 classes for the 3 of this run: not of 'sit', but of 'stand', no class here"),
        (("run", "walk"), "2 classes for the 3 of this run: not of 'sit'"),
        (("run", "walk", "sit", "stand"), "4 classes for the 3 of this run: but of 'stand', no class here"),
        (("run", "walk", "sit", "run"), "4 classes for the 3 of this run: with a name that stands there twice"),
    ],
)
def test_other_classes_are_refused(listed, tmp_path, names, difference):
    rows = [[1 / len(names)] * len(names)] * 3
    write_soft_labels(tmp_path / "pseudo.parquet", PATHS, rows, names)
    assert refusal(listed) == (
        f"{tmp_path}/pseudo.parquet has soft labels of {difference}; take the same classes, or give their names as "
        "DATA.LABEL_MAP"
    )


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([[0.7, 0.2, 0.0], *ROWS[1:]], "no numbers from 0 to 1 that sum to 1"),
        ([[1.2, -0.2, 0.0], *ROWS[1:]], "no numbers from 0 to 1 that sum to 1"),
        ([[float("nan"), 0.5, 0.5], *ROWS[1:]], "no numbers from 0 to 1 that sum to 1"),
        ([None, *ROWS[1:]], "no numbers from 0 to 1 that sum to 1"),
    ],
)
def test_rows_that_are_no_probabilities_are_refused(listed, tmp_path, rows, what):
    write_soft_labels(tmp_path / "pseudo.parquet", PATHS, rows, NAMES)
    assert refusal(listed) == (
        f"{tmp_path}/pseudo.parquet: the probabilities of {tmp_path}/a.mp4 are {what}; write both files anew, as "
        f"video-rs select_pseudo_labels --soft does, or remove the row from {listed}"
    )
    if rows[0] and min(rows[0]) == 0 and max(rows[0]) < 1:
        return
    assert " are no numbers from 0 to 1; " in refusal(listed, exclusive=False)


def test_files_that_are_none_of_ours_are_refused(listed, tmp_path):
    file = tmp_path / "pseudo.parquet"
    again = "write both files anew, as video-rs select_pseudo_labels --soft does"
    file.write_bytes(b"not a table at all")
    assert refusal(listed).startswith(f"cannot read the soft labels in {file}: ")
    assert refusal(listed).endswith(f"; {again}")

    write_soft_labels(file, PATHS, ROWS, None)
    assert refusal(listed) == (
        f"{file} does not say which classes its probabilities are of (label_names in its schema); {again}"
    )
    write_soft_labels(file, PATHS, ROWS, {"run": 0})
    assert "does not say which classes" in refusal(listed)
    write_soft_labels(file, PATHS, [ROWS[0], [0.5, 0.5], ROWS[2]], NAMES)
    assert refusal(listed) == f"{file} has a row of 2 probabilities for 3 classes; {again}"
    write_soft_labels(file, PATHS, ["0.1", "0.2", "0.7"], NAMES, pyarrow.string())
    assert refusal(listed) == f"{file}: probabilities are of the type string, expected lists of numbers; {again}"
    write_soft_labels(file, PATHS[:2], ROWS[:2], NAMES)
    assert refusal(listed) == f"{file} has no soft labels for {tmp_path}/c.mp4 of {listed}; {again}"

    pyarrow.parquet.write_table(pyarrow.table({"video": PATHS}), file)
    message = refusal(listed)
    assert message.startswith(f"{file} has no columns path and probabilities (")
    assert message.endswith(f"), which soft labels beside a list have; {again}, or remove it")


def test_a_list_that_shares_videos_with_the_validation_is_refused(tmp_path):
    pseudo = records_of(write_list(tmp_path, PATHS, LABELS))
    apart = records_of(write_list(tmp_path, ["d.mp4", "e.mp4"], ["run", "run"], name="apart.csv"))
    require_apart(pseudo, apart)
    shared = records_of(write_list(tmp_path, ["d.mp4", "c.mp4", "a.mp4"], LABELS, name="val.csv"))
    with pytest.raises(InputError) as caught:
        require_apart(pseudo, shared)
    assert str(caught.value) == (
        f"{tmp_path}/pseudo.csv shares 2 videos with the validation rows of {tmp_path}/val.csv, such as "
        f"{tmp_path}/a.mp4; remove their rows: what a run has trained on says nothing about new videos"
    )


def test_a_link_to_a_validation_video_is_the_video(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"a")
    (tmp_path / "linked").symlink_to(tmp_path / "videos")
    val = records_of(write_list(tmp_path, ["videos/a.mp4"], ["run"], name="val.csv"))
    for path in ("linked/a.mp4", "./videos/a.mp4", f"{tmp_path}/videos/../linked/a.mp4"):
        with pytest.raises(InputError, match=r"shares 1 video with the validation rows of"):
            require_apart(records_of(write_list(tmp_path, [path, "b.mp4"], ["run", "sit"])), val)


@pytest.mark.parametrize(
    ("times", "is_shared"),
    [("0,1", False), ("1,2", True), ("2.5,2.9", True), ("3,4", False), (",", True), ("2.9,", True), (",1", False)],
)
def test_segments_of_one_video_may_lie_side_by_side(tmp_path, times, is_shared):
    """The validation has the seconds from 1 to 3."""
    columns = "path,start,end,label"
    pseudo = records_of(write_list(tmp_path, [f"a.mp4,{times}"], ["run"], columns))
    val = records_of(write_list(tmp_path, ["a.mp4,1,3"], ["run"], columns, name="val.csv"))
    if not is_shared:
        require_apart(pseudo, val)
        return
    with pytest.raises(InputError, match=r"shares 1 video with the validation rows of"):
        require_apart(pseudo, val)


def test_the_fingerprint_follows_the_soft_labels(listed):
    records = records_of(listed)
    found = {fingerprint(records), fingerprint(records, b"soft"), fingerprint(records, b"other")}
    assert len(found) == 3
    assert fingerprint(None) == ""
