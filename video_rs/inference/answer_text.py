"""Answers as a person reads them: one video in some lines, several as a table."""

from collections.abc import Sequence

from video_rs.inference.prediction import Prediction
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

WIDEST_VIDEO = 60
WIDEST_LABEL = 28


def unread(failed: Sequence[tuple[str, str]], total: int) -> InputError:
    """Return the error that ends a command some of whose videos could not be read.

    Args:
        failed: (video, reason), at least one; each was printed when its turn came.
        total: number of videos.
    """
    name, reason = failed[0]
    count = f"{len(failed)} of {pluralize(total, 'video')} could not be read"
    if len(failed) == 1:
        return InputError(f"{count}: {shown(name)}: {reason}")
    return InputError(f"{count}; each is named above with its reason, first: {shown(name)}: {reason}")


def shown(name: str) -> str:
    """Return a name as it is printed: in one line, and without what a terminal would obey."""
    letters = []
    for letter in name:
        # Bytes that are no UTF-8, which stdout writes as they are kept.
        is_byte = "\udc80" <= letter <= "\udcff"
        letters.append(letter if letter.isprintable() or is_byte else repr(letter)[1:-1])
    return "".join(letters)


class AnswerPrinter:
    """Turns answers into lines, as they come.

    Args:
        videos: names of all videos that will be answered.
        label_names: of the classes.
    """

    def __init__(self, videos: Sequence[str], label_names: Sequence[str]):
        self._is_table = len(videos) > 1
        self._video_width = min(WIDEST_VIDEO, max(map(len, [*map(shown, videos), "video"])))
        self._label_width = min(WIDEST_LABEL, max(map(len, [*label_names, "best"])))
        self._has_head = False

    def lines(self, answer: Prediction) -> list[str]:
        """Return the lines of an answer; those of the first one of a table begin with its head."""
        if not self._is_table:
            return _block(answer)
        lines = []
        if not self._has_head:
            self._has_head = True
            best = "best".ljust(self._label_width + 9)
            lines.append(f"{'video'.ljust(self._video_width)}  {best}  second")
        return [*lines, self._row(answer)]

    def _row(self, answer: Prediction) -> str:
        """Return the line of a video."""
        name = shown(answer.id or answer.video)
        if answer.error is not None:
            return f"{name.ljust(self._video_width)}  error: {answer.error}"

        # The end of a path tells videos apart.
        if len(name) > self._video_width:
            name = "..." + name[-(self._video_width - 3) :]
        cells = [name.ljust(self._video_width)]
        for label, score in answer.top[:2]:
            cells.append(f"{score:7.2%}  {_cut(label, self._label_width).ljust(self._label_width)}")
        if answer.unsure:
            cells.append("unsure")
        return "  ".join(cells).rstrip()


def _block(answer: Prediction) -> list[str]:
    """Return the name of a video, and below it the best classes or the reason why it could not be read."""
    name = shown(answer.id or answer.video)
    if answer.error is not None:
        return [name, f"  error: {answer.error}"]
    lines = [name]
    if answer.unsure:
        lines.append("  unsure")
    for label, score in answer.top:
        lines.append(f"  {score:7.2%}  {label}")
    return lines


def _cut(text: str, width: int) -> str:
    """Return a text of at most so many letters."""
    if len(text) <= width:
        return text
    return text[: width - 3] + "..."
