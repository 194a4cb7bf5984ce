"""The note on videos that had to be decoded as a whole before they could be read."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from video_rs.runtime.progress import print_line


class HasCountedVideos(Protocol):
    """A batch of clips, or the views of a video."""

    counted_videos: list[str]


T = TypeVar("T", bound=HasCountedVideos)


def note_counted_videos(items: Iterable[T]) -> Iterator[T]:
    """Pass ``items`` on, and print a note at the first that holds a video whose frames were counted by decoding it."""
    is_noted = False
    for item in items:
        if item.counted_videos and not is_noted:
            is_noted = True
            print_line(
                f"note: {item.counted_videos[0]} does not say which frames it shows and was decoded once to count "
                "them, as each worker does with videos of its kind; video-rs check_dataset LIST counts them once for "
                "all (set DATA.CACHE to its probes.sqlite), and files of video-rs prepare_videos need no counting"
            )
        yield item
