"""Which videos a dead process had before the teacher, and what becomes of them."""

from dataclasses import dataclass

import pytest
import torch

from video_rs.inference.pseudo_labels.deaths import Watch, read_deaths


@dataclass(frozen=True)
class Video:
    """A video of some views, each of which holds its number."""

    number: int
    num_views: int = 1
    view_size: tuple[int, int] = (8, 8)
    frames: None = None
    clips: None = None
    error: str | None = None

    def views(self, batch):
        return torch.full((self.num_views, 1), float(self.number)).split(batch)


class Death(BaseException):
    """Stands for the end of the process."""


def judge(path, killers, packs, videos, batch=4, unreadable=None):
    """Label as a process does that dies with a killer, or as it reads; return the videos as they were passed on."""
    calls = []

    def teacher(views):
        numbers = set(views.flatten().int().tolist())
        calls.append(sorted(numbers))
        if numbers & set(killers):
            raise Death
        return views

    def read():
        for video in videos:
            if video.number == unreadable:
                raise Death
            yield video

    watch = Watch(path, teacher, batch)
    items = watch.videos(read())
    passed = []
    for pack in packs:
        passed += [next(items) for _ in range(pack)]
        readable = [item for item in passed[-pack:] if item.error is None]
        if readable:
            views = torch.cat([part for item in readable for part in item.views(batch)])
            for part in views.split(batch):
                watch.probabilities(part)
    watch.close()
    return passed, calls


def test_a_killer_is_found_alone_and_then_not_read_again(tmp_path):
    path = tmp_path / "deaths"
    videos = [Video(number) for number in range(6)]
    assert read_deaths(path).suspects == frozenset()
    with pytest.raises(Death):
        judge(path, [4], [3, 3], videos)
    assert (read_deaths(path).suspects, read_deaths(path).killers) == ({3, 4, 5}, {})
    # The second process shows each suspect to the teacher alone, and dies with the killer.
    with pytest.raises(Death):
        judge(path, [4], [3, 3], videos)
    assert (read_deaths(path).suspects, read_deaths(path).killers) == ({3, 5}, {4: 2})
    passed, calls = judge(path, [4], [3, 3], videos)
    assert [item.error for item in passed] == [None] * 4 + ["killed its process twice", None]
    assert calls == [[0, 1, 2], [3], [5], [3, 5]]


def test_a_death_by_accident_blames_nobody(tmp_path):
    path = tmp_path / "deaths"
    videos = [Video(0, 6), Video(1, error="no video"), Video(2, 3)]
    with pytest.raises(Death):
        judge(path, [2], [1, 2], videos)
    assert read_deaths(path).suspects == {2}
    passed, calls = judge(path, [], [1, 2], videos)
    assert passed == videos
    assert calls == [[0], [0], [2], [2]]


def test_who_dies_of_reading_does_not_die_of_what_was_judged_before(tmp_path):
    path = tmp_path / "deaths"
    videos = [Video(number) for number in range(3)]
    for _ in range(3):
        with pytest.raises(Death):
            judge(path, [], [2, 1], videos, unreadable=2)
        assert (read_deaths(path).suspects, read_deaths(path).killers) == (frozenset(), {})
    passed, calls = judge(path, [], [2, 1], videos)
    assert passed == videos
    assert calls == [[0, 1], [2]]


def test_videos_that_kill_together_only_are_left_out_in_the_end(tmp_path):
    path = tmp_path / "deaths"
    lines = ["begin", "together 0 1"]
    for deaths in (1, 2):
        path.write_text("\n".join([*lines * deaths, ""]))
        assert (read_deaths(path).suspects, read_deaths(path).killers) == ({0, 1}, {})
    path.write_text("\n".join([*lines * 3, ""]))
    passed, calls = judge(path, [], [2, 1], [Video(0), Video(1), Video(2)])
    assert [item.error for item in passed] == ["killed its process 3 times"] * 2 + [None]
    assert calls == [[2]]


def test_a_line_that_was_cut_short_says_nothing(tmp_path):
    path = tmp_path / "deaths"
    path.write_text("begin\ntogether 0\ntogether 1")
    assert read_deaths(path).suspects == {0}
