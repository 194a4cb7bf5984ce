"""A train and a validation part of labelled videos: by class, seeded, and never through a group."""

import hashlib
from collections import Counter
from collections.abc import Sequence


def choose_validation(labels: Sequence[str], groups: Sequence[str], share: float, seed: int) -> list[bool]:
    """Return which videos are for validation.

    Groups are visited in a random order that depends on the seed and their names alone: a new video leaves most others
    where they are. A group goes to validation if that brings the number of videos of its classes nearer to what
    ``share`` asks for. A class keeps at least one video to train on; a class of two groups or more that has none for
    validation then gives its smallest group that leaves every class something. With groups of one video this is a plain
    stratified split.

    Args:
        labels: the class of each video, ``[n]``.
        groups: what each video was cut from, ``[n]``; videos of one group stay together.
        share: for validation, in (0, 1), of each class; rounded, at least one video.
        seed: of the order.
    """
    split = _Split(labels, groups, share)
    order = sorted(split.members, key=lambda group: _rank(group, seed))
    for group in order:
        if split.may_take(group) and split.gain(group) > 0:
            split.take(group)

    # A class of few large groups may have got nothing, as any group is more than it wants.
    for label in sorted(split.sizes):
        if split.taken_of[label]:
            continue
        candidates = [group for group in order if label in split.members[group] and split.may_take(group)]
        if candidates:
            smallest = min(candidates, key=lambda group: split.members[group].total())
            split.take(smallest)

    return [group in split.taken for group in groups]


class _Split:
    """The groups that validation has taken so far, and what it still wants.

    Attributes:
        sizes: class -> number of videos.
        members: group -> class -> number of videos.
        taken: groups for validation.
        taken_of: class -> number of videos for validation.
    """

    def __init__(self, labels: Sequence[str], groups: Sequence[str], share: float):
        self.sizes = Counter(labels)
        self.members: dict[str, Counter[str]] = {}
        for label, group in zip(labels, groups, strict=True):
            self.members.setdefault(group, Counter())[label] += 1

        self.taken: set[str] = set()
        self.taken_of: Counter[str] = Counter()
        self._wanted = {label: _wanted(count, share) for label, count in self.sizes.items()}

    def take(self, group: str) -> None:
        """Move a group to validation."""
        self.taken.add(group)
        self.taken_of.update(self.members[group])

    def may_take(self, group: str) -> bool:
        """Return whether every class keeps a video to train on without this group."""
        if group in self.taken:
            return False

        for label, count in self.members[group].items():
            if self.taken_of[label] + count >= self.sizes[label]:
                return False
        return True

    def gain(self, group: str) -> int:
        """Return by how many videos the classes get nearer to what is wanted with this group."""
        gain = 0
        for label, count in self.members[group].items():
            missing = self._wanted[label] - self.taken_of[label]
            gain += abs(missing) - abs(missing - count)
        return gain


def _wanted(count: int, share: float) -> int:
    """Return how many of a class's videos validation should have."""
    rounded = int(count * share + 0.5)
    return max(1, min(count - 1, rounded))


def _rank(group: str, seed: int) -> bytes:
    """Return the place of a group in the random order of a seed, the same on every machine."""
    return hashlib.sha256(f"{seed}:{group}".encode("utf-8", "surrogatepass")).digest()
