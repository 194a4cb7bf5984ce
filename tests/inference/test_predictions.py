"""Predictions as files: written, read back, and refused."""

import csv
import json
import math
import tracemalloc

import pyarrow
import pytest
import torch
from pyarrow import parquet

from video_rs.engine.metrics import VideoResult
from video_rs.inference.predictions import About, Predictions
from video_rs.inference.predictions.text import TEXT_FORMATS
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError

NAMES = ("jump", "run;fast", "sit")
ABOUT = About(True, "runs/a/checkpoints/last.pth", 7, "r3d_rs_tiny", "list.csv", 2, 1, 1.5, 0.25)
# No number of these has a short decimal form: what comes back equal has lost no bit.
VIEWS = torch.tensor([[1 / 3, 1 / 7, 11 / 21], [math.pi / 10, 1e-9, 1 - math.pi / 10]])


@pytest.fixture
def predictions():
    """A whole video, a segment without labels, and a video that could not be read."""
    records = (
        VideoRecord("/v/a.mp4", (0, 2), None, None, "a", "anna"),
        VideoRecord("/v/b\udcff.mp4", (), 1.5, 2.25, "b.mp4 1.5-2.25"),
        VideoRecord("/v/c.mp4", (1,), None, None, "c"),
    )
    results = (
        VideoResult(0, "/v/a.mp4", (0, 2), VIEWS.mean(0), None, 2, "a", VIEWS),
        VideoResult(1, "/v/b\udcff.mp4", (), VIEWS[1], None, 1, "b.mp4 1.5-2.25", VIEWS[1:]),
        VideoResult(2, "/v/c.mp4", (1,), None, "truncated file", 0, "c"),
    )
    return Predictions(NAMES, records, results, ABOUT)


def test_all_comes_back_to_the_bit(predictions, tmp_path):
    predictions.write(tmp_path / "new" / "predictions.parquet")
    found = Predictions.read(tmp_path / "new" / "predictions.parquet")
    assert found.label_names == NAMES
    assert found.about == ABOUT
    # Bytes that are no UTF-8 are in no Parquet file.
    assert [record.path for record in found.records] == ["/v/a.mp4", "/v/b\\udcff.mp4", "/v/c.mp4"]
    assert [(r.labels, r.start, r.end, r.id, r.group) for r in found.records] == [
        ((0, 2), None, None, "a", "anna"),
        ((), 1.5, 2.25, "b.mp4 1.5-2.25", ""),
        ((1,), None, None, "c", ""),
    ]
    for before, after in zip(predictions.results, found.results, strict=True):
        assert (after.index, after.labels, after.error, after.views, after.id) == (
            before.index,
            before.labels,
            before.error,
            before.views,
            before.id,
        )
        for name in ("probabilities", "view_probabilities"):
            stored = getattr(before, name)
            assert (stored is None) == (getattr(after, name) is None)
            assert stored is None or torch.equal(getattr(after, name), stored)


def test_reading_many_views_takes_a_few_times_their_memory(tmp_path):
    generator = torch.Generator().manual_seed(0)
    records, results = [], []
    for index in range(40):
        views = torch.rand(30, 400, generator=generator)
        records.append(VideoRecord(f"/v/{index}", (index,), None, None, str(index)))
        # Every eighth one could not be read.
        if index % 8 == 7:
            results.append(VideoResult(index, f"/v/{index}", (index,), None, "gone", 0, str(index)))
        else:
            results.append(VideoResult(index, f"/v/{index}", (index,), views.mean(0), None, 30, str(index), views))
    names = tuple(f"class {number}" for number in range(400))
    Predictions(names, tuple(records), tuple(results), About()).write(tmp_path / "predictions.parquet")

    tracemalloc.start()
    found = Predictions.read(tmp_path / "predictions.parquet")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # What NumPy and Python hold: one copy of the views and the rest, where a list of Python's numbers would be eight.
    assert peak < 2 * 35 * 30 * 400 * 4
    for before, after in zip(results, found.results, strict=True):
        assert (before.probabilities is None) == (after.probabilities is None)
        if before.probabilities is not None:
            assert torch.equal(after.probabilities, before.probabilities)
            assert torch.equal(after.view_probabilities, before.view_probabilities)


def test_any_reader_of_parquet_finds_names_and_numbers(predictions, tmp_path):
    predictions.write(tmp_path / "predictions.parquet")
    table = parquet.read_table(tmp_path / "predictions.parquet")
    assert table.column("label").to_pylist() == ["jump;sit", None, "run;fast"]
    assert table.column("predicted").to_pylist() == ["sit", "sit", None]
    assert table.column("score").to_pylist() == [float(VIEWS.mean(0)[2]), float(VIEWS[1, 2]), None]
    assert table.schema.field("probabilities").type == pyarrow.list_(pyarrow.float32(), 3)
    assert json.loads(table.schema.metadata[b"video_rs"])["label_names"] == list(NAMES)


def test_a_run_stands_for_its_test_before_its_last_validation(predictions, tmp_path):
    predictions.write(tmp_path / "predictions.parquet")
    assert len(Predictions.read(tmp_path)) == 3
    Predictions(NAMES, predictions.records[:1], predictions.results[:1], ABOUT).write(
        tmp_path / "test" / "predictions.parquet"
    )
    assert len(Predictions.read(tmp_path)) == 1
    assert len(Predictions.read(tmp_path / "test")) == 1


def test_arrays_are_of_the_videos_that_could_be_read(predictions):
    assert predictions.probabilities.shape == (2, 3)
    assert predictions.truth.tolist() == [[True, False, True], [False, False, False]]
    # A video without a group is one by itself, which no group's name can be.
    assert predictions.groups == ["anna", "\n/v/b\udcff.mp4"]
    assert [result.video for result in predictions.failures] == ["/v/c.mp4"]

    nothing = Predictions(NAMES, predictions.records[2:], predictions.results[2:], ABOUT)
    assert nothing.probabilities.shape == (0, 3)


def test_segments_of_a_file_are_no_independent_ones():
    rows = [("/v/a.mp4", 0.0, ""), ("/v/a.mp4", 1.0, ""), ("/v/b.mp4", 0.0, ""), ("/v/b.mp4", 1.0, "bert")]
    records = [VideoRecord(path, (0,), start, start + 1, f"{path}:{start}", group) for path, start, group in rows]
    results = [VideoResult(index, record.path, (0,), VIEWS[0]) for index, record in enumerate(records)]
    found = Predictions(NAMES, tuple(records), tuple(results), ABOUT).groups
    assert [found.index(group) for group in found] == [0, 0, 2, 3]
    by_file = Predictions(NAMES, tuple(records), tuple(results), ABOUT, grouping="file").groups
    assert by_file == ["/v/a.mp4", "/v/a.mp4", "/v/b.mp4", "/v/b.mp4"]
    by_folder = Predictions(NAMES, tuple(records), tuple(results), ABOUT, grouping="folder").groups
    assert by_folder == ["/v"] * 4


def test_csv_and_json_lines(predictions, tmp_path):
    TEXT_FORMATS["csv"](predictions, tmp_path / "p.csv")
    head, first, _, failed = csv.reader((tmp_path / "p.csv").read_text().splitlines())
    assert head == ["video", "id", "group", "label", "predicted", "score", "error", "p(jump)", "p(run;fast)", "p(sit)"]
    assert first[:7] == ["/v/a.mp4", "a", "anna", "jump;sit", "sit", "0.6048251", ""]
    assert [float(value) for value in first[7:]] == pytest.approx(VIEWS.mean(0).tolist(), rel=1e-6)
    assert failed == ["/v/c.mp4", "c", "", "run;fast", "", "", "truncated file", "", "", ""]

    TEXT_FORMATS["jsonl"](predictions, tmp_path / "p.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert lines[0]["probabilities"] == [round(value, 7) for value in VIEWS.mean(0).tolist()]
    assert lines[2] == {
        "video": "/v/c.mp4",
        "id": "c",
        "label": "run;fast",
        "top": [],
        "probabilities": None,
        "error": "truncated file",
    }


def test_what_is_no_file_of_predictions_is_refused(predictions, tmp_path):
    def refusal(path):
        with pytest.raises(InputError) as caught:
            Predictions.read(path)
        return str(caught.value)

    missing = tmp_path / "gone.parquet"
    assert refusal(missing) == f"there is no file {missing}; give a run's folder, or a predictions.parquet"
    assert refusal(tmp_path) == (
        f"{tmp_path} has no predictions.parquet, and none in its folder test; make it with video-rs test --checkpoint "
        f"{tmp_path}"
    )

    listed = tmp_path / "list.csv"
    listed.write_text("path,label\na.mp4,dark\n")
    assert refusal(listed) == f"{listed} is no Parquet file; give a run's folder, or a predictions.parquet"

    file = tmp_path / "some.parquet"
    parquet.write_table(pyarrow.table({"a": [1]}), file)
    assert refusal(file) == f"{file} holds no predictions; give a file that video-rs test has written"

    predictions.write(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert refusal(file).startswith(f"cannot read {file}: ")
    assert refusal(file).endswith("; test again, or take it from a copy")

    later = {b"video_rs": json.dumps({"format": 2}).encode()}
    parquet.write_table(pyarrow.table({"a": [1]}).replace_schema_metadata(later), file)
    assert refusal(file) == f"{file} has the format 2; this version reads 1: test again"


LABELS = pyarrow.list_(pyarrow.int32())
SCORES = pyarrow.list_(pyarrow.float32(), 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"probabilities": None}}, 'Field "probabilities" does not exist in schema'),
        ({"columns": {"labels": None}}, "KeyError: 'labels'"),
        ({"columns": {"labels": pyarrow.array([[7]] * 3, LABELS)}}, "video 1 has the classes [7] of 3"),
        ({"columns": {"labels": pyarrow.array([[-1]] * 3, LABELS)}}, "video 1 has the classes [-1] of 3"),
        ({"columns": {"labels": pyarrow.array([["a"]] * 3)}}, "TypeError: 'str' object cannot be interpreted"),
        ({"columns": {"labels": pyarrow.nulls(3, LABELS)}}, "TypeError: 'NoneType' object is not iterable"),
        ({"columns": {"probabilities": pyarrow.nulls(3, SCORES)}}, "video 1 has to have either probabilities or an"),
        (
            {"columns": {"probabilities": pyarrow.array([[math.nan] * 3] * 3, SCORES)}},
            "video 1 are not between 0 and 1",
        ),
        ({"columns": {"probabilities": pyarrow.array([[1, 2, 3]] * 3, SCORES)}}, "video 1 are not between 0 and 1"),
        ({"columns": {"probabilities": pyarrow.array(["a"] * 3)}}, "TypeError: probabilities is of string"),
        ({"label_names": ["a", "b"]}, "video 1 has the classes [0, 2] of 2"),
        ({"label_names": ["a", "b", "c", "d"]}, "video 1 has 3 probabilities for 4 classes"),
        ({"label_names": "abc"}, "ValueError: label_names is no list of names"),
        ({"label_names": None}, "KeyError: 'label_names'"),
        ({"later": 1}, "unexpected keyword argument 'later'"),
        ({"clips": "many"}, "TypeError: clips is 'many'"),
        ({"temperature": -1.0}, "ValueError: temperature is -1.0"),
        ({"threshold": math.nan}, "ValueError: threshold is nan"),
        ({"rows": 0}, "ValueError: no video in it"),
    ],
)
def test_predictions_that_cannot_be_are_refused(predictions, tmp_path, changes, message):
    file = tmp_path / "predictions.parquet"
    predictions.write(file)
    table = parquet.read_table(file)
    about = {**json.loads(table.schema.metadata[b"video_rs"]), **changes}
    for name in ("columns", "rows"):
        about.pop(name, None)
    if about["label_names"] is None:
        del about["label_names"]
    for name, column in changes.get("columns", {}).items():
        place = table.schema.get_field_index(name)
        table = table.remove_column(place) if column is None else table.set_column(place, name, column)
    table = table.slice(0, changes.get("rows", 3))
    parquet.write_table(table.replace_schema_metadata({b"video_rs": json.dumps(about)}), file)
    with pytest.raises(InputError) as caught:
        Predictions.read(file)
    assert str(caught.value).startswith(f"{file} holds no whole predictions (")
    assert message in str(caught.value)
    assert str(caught.value).endswith("); test again")


@pytest.mark.parametrize("metadata", ["[1]", '{"later": 1}'])
def test_metadata_of_something_else_are_refused(predictions, tmp_path, metadata):
    file = tmp_path / "predictions.parquet"
    predictions.write(file)
    parquet.write_table(parquet.read_table(file).replace_schema_metadata({b"video_rs": metadata}), file)
    with pytest.raises(InputError, match=r" holds no predictions; give a file that video-rs test has written$"):
        Predictions.read(file)
