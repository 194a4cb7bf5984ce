"""How much of an official list was found, in lines for people."""

from collections import Counter

from video_rs.lists.rows import SPLITS
from video_rs.lists.sources.matching import MatchedList
from video_rs.runtime.wording import first_names

# How many classes and files a line names.
_CLASSES_NAMED = 5
_FILES_NAMED = 3


def report_lines(matched: MatchedList) -> list[str]:
    """Return lines on what was found of each split, the classes that miss most, and the files that are left over."""
    total = Counter(video.split for video in matched.listed)
    found = Counter(row.split for row in matched.rows)

    lines = []
    for split in SPLITS:
        if total[split]:
            percent = _percent(found[split], total[split])
            lines.append(f"{split}: {found[split]:,} of {total[split]:,} listed videos found ({percent} %)")

    lines += _incomplete_classes(matched)
    if total[""]:
        lines.append(f"not used by this split: {total['']:,} listed videos")
    if matched.shared:
        lines.append(f"left out: {matched.shared:,} listed videos whose only file is another one's too")
    if matched.copies:
        lines.append(f"left out: {matched.copies:,} further files of listed videos")
    if matched.unlisted:
        files = "file" if len(matched.unlisted) == 1 else "files"
        examples = first_names(matched.unlisted, _FILES_NAMED)
        lines.append(f"found but not listed: {len(matched.unlisted):,} {files} ({examples})")
    return lines


def _percent(found: int, total: int) -> str:
    """Return a share in percent, rounded down: 100.0 means all."""
    tenths = 1000 * found // total
    return f"{tenths / 10:.1f}"


def _incomplete_classes(matched: MatchedList) -> list[str]:
    """Return a line on the classes of which the largest shares are missing, if some are."""
    total: Counter[str] = Counter()
    for video in matched.listed:
        if video.split:
            total[video.label] += 1
    missing = Counter(video.label for video in matched.missing)
    del missing[""]  # videos without a label

    # Of classes that miss equal shares, the first in the alphabet comes first.
    worst = sorted(missing, key=lambda label: (-missing[label] / total[label], label))
    if not worst:
        return []

    named = [f"{label} ({missing[label]:,} of {total[label]:,})" for label in worst[:_CLASSES_NAMED]]
    return ["missing most: " + ", ".join(named)]
