"""A train and a validation part of labelled videos: by class, seeded, and never through a group."""

import hashlib
from collections import Counter
from collections.abc import Sequence


def choose_validation(labels: Sequence[str], groups: Sequence[str], share: float, seed: int) -> list[bool]:
    """Which videos are for validation.

    Groups are visited in a random order that depends on the seed and their names alone, so that a new video leaves
    most others where they are. One goes to validation if that brings the number of videos of its classes nearer to
    what ``share`` asks for. A class keeps at least one video to train on; one of two groups or more that has got none
    for validation gives its smallest that leaves every class something. With groups of one video this is a plain
    stratified split.

    Args:
        labels: the class of each video, ``[n]``.
        groups: what each video was cut from, ``[n]``; videos of one group stay together.
        share: for validation, in (0, 1), of each class; rounded, at least one.
        seed: of the order.
    """
    sizes = Counter(labels)
    want = {label: _wanted(count, share) for label, count in sizes.items()}
    members: dict[str, Counter[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        members.setdefault(group, Counter())[label] += 1
    order = sorted(members, key=lambda group: _rank(group, seed))
    have: Counter[str] = Counter()
    chosen: set[str] = set()

    def take(group: str) -> None:
        chosen.add(group)
        have.update(members[group])

    def can_go(group: str) -> bool:
        return group not in chosen and all(have[label] + n < sizes[label] for label, n in members[group].items())

    for group in order:
        if can_go(group) and _gain(members[group], have, want) > 0:
            take(group)
    for label in sorted(sizes):
        candidates = [group for group in order if label in members[group] and can_go(group)]
        if have[label] == 0 and candidates:
            take(min(candidates, key=lambda group: members[group].total()))
    return [group in chosen for group in groups]


def _wanted(count: int, share: float) -> int:
    return max(1, min(count - 1, int(count * share + 0.5)))


def _gain(group: Counter[str], have: Counter[str], want: dict[str, int]) -> int:
    """By how many videos the classes get nearer to what is wanted."""
    return sum(abs(want[x] - have[x]) - abs(want[x] - have[x] - n) for x, n in group.items())


def _rank(group: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode("utf-8", "surrogatepass")).digest()
