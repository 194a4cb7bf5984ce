"""The page of predictions, and two networks compared."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from video_rs.engine.metrics import VideoResult, summarize
from video_rs.inference.predictions import About, Predictions
from video_rs.lists.records import VideoRecord
from video_rs.runs.comparison import against
from video_rs.runs.report import page_of
from video_rs.runtime.errors import InputError

NAMES = ("jump", "run", "sit")
# Ten videos of five speakers, two of each; the last one could not be read.
TRUE = (0, 0, 0, 1, 1, 1, 1, 2, 2, 2)
SCORES = (
    (0.9, 0.05, 0.05),
    (0.8, 0.1, 0.1),
    (0.2, 0.7, 0.1),
    (0.1, 0.8, 0.1),
    (0.3, 0.6, 0.1),
    (0.45, 0.4, 0.15),
    (0.1, 0.9, 0.0),
    (0.1, 0.3, 0.6),
    (0.95, 0.04, 0.01),
    None,
)


def predictions(scores=SCORES, true=TRUE, names=NAMES, **about):
    """Predictions of videos that are nowhere."""
    records = []
    results = []
    for index, (row, label) in enumerate(zip(scores, true, strict=True)):
        video = f"/gone/{index}.mp4"
        labels = () if label is None else (label,)
        records.append(VideoRecord(video, labels, None, None, f"v{index}", f"speaker {index // 2}"))
        known = VideoResult(index, video, labels, id=f"v{index}")
        if row is None:
            results.append(VideoResult(index, video, labels, error="truncated file", id=f"v{index}"))
            continue
        views = torch.tensor([row, row])
        results.append(VideoResult(index, video, labels, torch.tensor(row), None, 2, known.id, views))
    about = {"checkpoint": "runs/a/checkpoints/last.pth", "list": "list.csv", "clips": 2, **about}
    return Predictions(names, tuple(records), tuple(results), About(**about))


class Text(HTMLParser):
    """What a reader sees: the text of the page without its script."""

    def __init__(self, html):
        super().__init__()
        self.words = []
        self.hidden = 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.hidden and data.strip():
            self.words.append(data.strip())


def written(folder, given):
    given.write(folder / "predictions.parquet")
    return folder


def test_the_numbers_of_the_page(tool, tmp_path):
    result = tool("report", written(tmp_path, predictions()))
    assert result.code == 0, result.err
    words = Text((tmp_path / "predictions.html").read_text()).words

    def after(name):
        return words[words.index(name) + 1]

    # Six of nine are right; with the failed one as wrong, six of ten.
    assert after("Top-1") == "66.7 %"
    assert after("Top-1, failed count as wrong") == "60.0 %"
    assert after("Failed videos") == "1"
    losses = -np.log([0.9, 0.8, 0.2, 0.8, 0.6, 0.4, 0.9, 0.6, 0.01])
    assert after("Cross-entropy (nats)") == f"{losses.mean():.3f}"
    # Precision 2/4, 3/4, 1/1 and recall 2/3, 3/4, 1/2.
    f1 = np.array([2 * 2 / (4 + 3), 2 * 3 / (4 + 4), 2 * 1 / (1 + 2)])
    assert after("Mean F1 of the classes") == f"{100 * f1.mean():.1f} %"
    row = words.index("sit", words.index("Classes"))
    assert words[row : row + 6] == ["sit", "2", "1", "100.0 %", "50.0 %", "66.7 %"]
    assert "intervals are of 95 %, by drawing 5 groups of videos (the list's column group) again" in words
    assert "12 of" not in " ".join(words)
    assert "3 of 3 pictures of mistakes left out: no such video" in words
    assert (words[-2], words[-1]) == ("/gone/9.mp4", "truncated file")
    # On the screen, the same numbers.
    assert re.search(r"^Top-1 +66\.7 % +\d+\.\d % to \d+\.\d %$", result.out, re.M)
    assert result.out.endswith(f"report: {tmp_path / 'predictions.html'}\n")


def test_the_matrix_and_the_wrong_videos_are_in_the_page(tool, tmp_path):
    tool("report", written(tmp_path, predictions()), "--out", tmp_path / "page.html")
    script = re.search(r"^const data = (.*);$", (tmp_path / "page.html").read_text(), re.M)[1]
    data = json.loads(script)
    assert data["names"] == list(NAMES)
    assert sorted(data["cells"]) == [[0, 0, 2], [0, 1, 1], [1, 0, 1], [1, 1, 3], [2, 0, 1], [2, 2, 1]]
    assert sorted(data["order"]) == [0, 1, 2]
    assert [(video, true, said, round(score, 4)) for video, true, said, score in data["wrong"]] == [
        ("v8", 2, 0, 0.95),
        ("v2", 0, 1, 0.7),
        ("v5", 1, 0, 0.45),
    ]


def test_names_are_text_and_not_page(tool, tmp_path):
    names = ("</script><b>", "run & jump", "sit")
    tool("report", written(tmp_path, predictions(names=names)))
    html = (tmp_path / "predictions.html").read_text()
    assert "<b>" not in html
    assert json.loads(re.search(r"^const data = (.*);$", html, re.M)[1])["names"] == list(names)
    assert "run & jump" in Text(html).words


def test_views_and_thresholds_are_told():
    page = page_of(predictions(threshold=0.65, temperature=1.5), "t")
    # Both views of each video are the same: the second one changes nothing.
    assert page.by_views == pytest.approx({1: 6 / 9, 2: 6 / 9})
    assert ("Temperature", "1.5") in page.facts
    assert ("Unsure below", "65.0 %") in page.facts
    assert "6 of 9 videos are sure, and 66.7 % of these are right (best probability from 0.650 on)" in page.notes
    assert sum(each.videos for each in page.bins) == 9


def test_a_video_of_none_of_several_classes_is_a_negative_of_each():
    """The page has the numbers of metrics.json; accuracies are those of the videos with a class."""
    scores = [(0.9, 0.1), (0.2, 0.8), (0.95, 0.9), (0.6, 0.3)]
    given = predictions(scores, [None] * 4, names=("jump", "run"), multi_label=True)
    labels = [(0,), (1,), (), (0, 1)]
    given = replace(
        given, results=tuple(replace(result, labels=of) for result, of in zip(given.results, labels, strict=True))
    )
    page = page_of(given, "t")
    numbers = {number.name: number.value for number in page.numbers}
    # jump: found at the second and the third place; run: at the second and the third.
    expected = (1 / 2 + 2 / 3) / 2
    assert summarize(given.results, 2, multi_label=True)["map"] == pytest.approx(expected)
    assert numbers["Mean average precision"] == f"{100 * expected:.1f} %"
    assert numbers["Top-1"] == "100.0 %"
    losses = -np.log([[0.9, 0.9], [0.8, 0.8], [0.05, 0.1], [0.6, 0.3]])
    assert numbers["Cross-entropy (nats)"] == f"{losses.mean():.3f}"
    # Said of three and of two videos, the one without a class among both.
    assert [(row.name, row.predicted, round(row.precision, 6)) for row in page.classes] == [
        ("run", 2, 0.5),
        ("jump", 3, round(2 / 3, 6)),
    ]
    assert page.mistakes == []


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_network_of_one_class_has_a_page(multi_label):
    page = page_of(
        predictions([(0.9,), (0.4,), None], [0, None if multi_label else 0, 0], ("jump",), multi_label=multi_label), "t"
    )
    names = [number.name for number in page.numbers]
    assert names.count("Top-1") == 1
    ((name, videos, predicted, *_),) = page.classes
    assert (name, videos, predicted) == ("jump", 1, 1) if multi_label else ("jump", 2, 2)


def test_without_classes_there_is_nothing_to_judge():
    page = page_of(predictions(true=[None] * 10), "t")
    assert [number.name for number in page.numbers] == ["Videos", "Failed videos"]
    assert page.confusion is None
    assert page.classes == ()


def test_two_networks_are_compared_video_by_video(tool, tmp_path):
    better = list(SCORES)
    better[2] = (0.7, 0.2, 0.1)
    better[5] = (0.2, 0.7, 0.1)
    better[7] = (0.8, 0.1, 0.1)
    new = written(tmp_path / "new", predictions(better))
    old = written(tmp_path / "old", predictions())
    result = tool("report", new, "--against", old)
    assert result.code == 0, result.err
    assert "On 9 videos, top-1 is 77.8 % here and 66.7 % there." in result.out
    assert (
        "3 videos changed: 2 are right here only, 1 there only (McNemar's exact test, p = 1: no difference is shown)."
        in result.out
    )
    assert re.search(
        r"Difference of top-1: \+11\.11 points \([-+][\d.]+ to [-+][\d.]+\); of the cross-entropy: ", result.out
    )
    words = Text((new / "predictions.html").read_text()).words
    at = words.index("2 videos that only this one has right")
    assert words[at + 6 : at + 11] == ["v2", "jump", "run", "jump", "20.0 % → 70.0 %"]
    at = words.index("Classes whose recall changed most")
    assert words[at + 5 : at + 9] == ["sit", "50.0 %", "0.0 %", "-50.0"]


def test_only_videos_that_one_of_the_two_has_are_left_out():
    """Of v0 to v5 and v4 to v9, two are in both, one of them without a class; one of the others could not be read."""
    row = (0.8, 0.1, 0.1)
    here = predictions([row] * 6, [0] * 5 + [None])
    there = predictions([row] * 5 + [None], [0, None, 0, 0, 0, 0])
    results = [replace(result, id=f"v{result.index + 4}") for result in there.results]
    found = against(here, replace(there, results=tuple(results)))
    assert found.sentences[0].startswith("On 1 video, ")
    assert found.sentences[-1] == "7 videos that only one of the two has read do not count."


def test_intervals_draw_what_is_asked_for(tool, tmp_path):
    """The nine videos are files of their own in one folder, which alone has no interval."""
    given = written(tmp_path, predictions())

    def note(*options):
        assert tool("report", given, *options).code == 0
        return [word for word in Text((tmp_path / "predictions.html").read_text()).words if "by drawing" in word]

    assert note("--group", "list") == [
        "intervals are of 95 %, by drawing 5 groups of videos (the list's column group) again"
    ]
    assert note("--group", "file") == ["intervals are of 95 %, by drawing 9 videos again"]
    assert note("--group", "folder") == []

    whole = predictions()
    paths = [f"/gone/{place % 3}/{place}.mp4" for place in range(len(whole))]
    records = [replace(record, path=path) for record, path in zip(whole.records, paths, strict=True)]
    results = [replace(result, video=path) for result, path in zip(whole.results, paths, strict=True)]
    written(tmp_path, replace(whole, records=tuple(records), results=tuple(results)))
    assert note("--group", "folder") == ["intervals are of 95 %, by drawing 3 folders of videos again"]


def test_the_groups_of_many_videos_are_found_once():
    many = predictions()
    assert many.groups is many.groups


def test_a_clear_difference_is_named(tool, tmp_path):
    count = 30
    labels = [0] * count
    right = predictions([(0.8, 0.1, 0.1)] * count, labels)
    wrong = predictions([(0.1, 0.8, 0.1)] * count, labels)
    arguments = (written(tmp_path / "a", right), "--against", written(tmp_path / "b", wrong))
    assert "p = 1.86e-09: this one is better)" in tool("report", *arguments).out
    assert "p = 1.86e-09: this one is worse)" in tool("report", arguments[2], "--against", arguments[0]).out


def test_predictions_are_written_as_text_too(tool, tmp_path):
    result = tool(
        "report", written(tmp_path, predictions()), "--csv", tmp_path / "p.csv", "--jsonl", tmp_path / "p.jsonl"
    )
    assert result.code == 0, result.err
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert [row["predicted"] for row in rows] == ["jump", "jump", "run", "run", "run", "jump", "run", "sit", "jump", ""]
    assert rows[0]["group"] == "speaker 0"
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 10


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (
            {"names": ("jump", "run", "walk")},
            "the classes are others; only one of them has sit, walk; compare networks of the same classes",
        ),
        (
            {"names": ("run", "jump", "sit")},
            "the classes are others, in another order; compare networks of the same classes",
        ),
        ({"multi_label": True}, "videos of several classes are not compared; leave --against out"),
        ({"true": (1, *TRUE[1:])}, "v0 has another class in each of the two; test both on the same list"),
        ({"scores": [None] * 10}, "no video with a known class could be read in both; test both on the same list"),
    ],
)
def test_what_cannot_be_compared_is_refused(tool, tmp_path, other, reason):
    result = tool(
        "report", written(tmp_path, predictions()), "--against", written(tmp_path / "b", predictions(**other))
    )
    assert (result.code, result.err) == (2, f"error: --against: {reason}\n")


def test_other_videos_are_not_compared(tool, tmp_path):
    one = written(tmp_path, predictions())
    results = tuple(VideoResult(0, "x.mp4", (0,), torch.tensor(SCORES[0])) for _ in range(1))
    other = Predictions(NAMES, (VideoRecord("x.mp4", (0,), None, None, "x"),), results, About())
    result = tool("report", one, "--against", written(tmp_path / "b", other))
    assert result.err == "error: --against: the two have no video in common, by id; test both on the same list\n"


def test_nothing_that_is_read_is_written_over(tool, tmp_path):
    file = tmp_path / "predictions.parquet"
    predictions().write(file)
    before = file.read_bytes()
    for option in ("--out", "--csv", "--jsonl"):
        result = tool("report", file, option, file)
        assert (result.code, result.out) == (2, "")
        assert result.err == f"error: {option} {file} is what is read, and would be lost; take another file\n"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_where_nothing_could_be_read_the_page_says_it_and_the_command_too(tool, tmp_path):
    predictions([None, None], [0, 1]).write(tmp_path / "predictions.parquet")
    result = tool("report", tmp_path)
    assert result.code == 2
    assert result.err.startswith("error: none of 2 videos could be read; first: /gone/0.mp4: ")
    assert (tmp_path / "predictions.html").exists()


def test_an_id_that_stands_twice_is_not_compared():
    once = predictions(SCORES[:3], TRUE[:3])
    results = (*once.results[:2], replace(once.results[0], index=2))
    twice = replace(once, results=results)
    message = (
        r"^--against: v0 stands 2 times in one of the two, and ids tell videos apart; give the list's rows .*again$"
    )
    for pair in ((once, twice), (twice, once)):
        with pytest.raises(InputError, match=message):
            against(*pair)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({}, "10 clips x 3 crops"),
        ({"views": "full"}, "10 clips of whole frames"),
        ({"views": "dense", "views_per_video": 7.25}, "one pass, 7.2 windows"),
        ({"views": "adaptive", "views_per_video": 4.0}, "4.0 of 10 clips x 3 crops"),
    ],
)
def test_the_page_says_which_views_answered(about, words):
    page = page_of(predictions(clips=10, crops=3, **about), "t")
    assert ("Views of a video", words) in page.facts
