"""Validation videos of the run, for visitors to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from video_rs.config import Config
from video_rs.data.dataset import VideoSource
from video_rs.inference.predictions import joined_labels
from video_rs.lists.records import VideoRecord
from video_rs.runs.demo_app.upload_folder import EXAMPLES
from video_rs.runs.test import records_to_test
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.video import DecodeError
from video_rs.video.preview import preview


@dataclass(frozen=True)
class Example:
    """A video of the run's own list.

    Attributes:
        record: of the video.
        name: as the page shows it.
        preview: an MP4 in the folder of uploads, which every browser plays.
    """

    record: VideoRecord
    name: str
    preview: Path


def example_records(config: Config, names: Sequence[str], most: int) -> list[VideoRecord]:
    """Return videos of the run's validation list, spread over it; none, with a note, where it cannot be read."""
    if not most or not config.DATA.VAL_LIST:
        return []

    try:
        records = records_to_test(config, "", names, root_given=False).records
    except InputError as error:
        print_line(f"note: no examples: {error}")
        return []

    count = min(most, len(records))
    return [records[number * len(records) // count] for number in range(count)]


def make_examples(
    records: Sequence[VideoRecord], source: VideoSource, names: Sequence[str], folder: Path
) -> list[Example]:
    """Return examples with their previews in a folder; a video that cannot be read is left out with a note."""
    examples = []
    place = folder / EXAMPLES
    place.mkdir()

    for number, record in enumerate(records):
        file = place / f"{number}.mp4"
        try:
            with source.open(record.path) as reader:
                file.write_bytes(preview(reader, record.path, record.start, record.end))
        except DecodeError as error:
            print_line(f"note: no example {record.id}: {error.reason}")
            continue
        label = (joined_labels(record.labels, names) or "no class").replace(";", ", ")
        examples.append(Example(record, f"{label}: {Path(record.id).name}", file))

    return examples
