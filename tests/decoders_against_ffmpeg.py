"""Every decoder against the ffmpeg program, frame by frame: a table of the differences in levels of 255.

python tests/decoders_against_ffmpeg.py VIDEO_OR_FOLDER ... --frames 30

For each decoder: the mean of the frame that differs most and the largest difference of a pixel, over the first frames
and over some that are read one by one in random order. The program turns frames by itself. Exits with 1 if a frame
differs by more than 1 level on average, or if a decoder shows another number of frames.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from video_rs.video import DecodeError, open_video
from video_rs.video.index.packet_scan import scan
from video_rs.video.readers.pyav import PyAVReader

ALLOWED = 1.0  # levels, of a frame, on average
LISTS = (".csv", ".txt", ".json", ".md")


class Compared(NamedTuple):
    """What one decoder gives of one file; ``fault`` is what is wrong with it, or ""."""

    text: str
    fault: str = ""


def ffmpeg_frames(program: str, path: Path, stream: int) -> Iterator[np.ndarray]:
    """Yield what the program shows, uint8 [H, W, 3]. PPM is raw RGB behind a header with the size."""
    command = [program, "-nostdin", "-v", "quiet", "-i", f"file:{path}", "-map", f"0:{stream}"]
    command += ["-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while process.stdout.readline() == b"P6\n":
            width, height = map(int, process.stdout.readline().split())
            process.stdout.readline()  # the largest value
            yield np.frombuffer(process.stdout.read(height * width * 3), np.uint8).reshape(height, width, 3)


def reference(program: str, path: Path, count: int, first: int, random: int) -> tuple[dict[int, np.ndarray], int]:
    """Return frames by their number, and how many the program shows.

    Args:
        count: frames that our index counts.
        first: how many from the start on are kept.
        random: how many more are picked.
    """
    stream = scan(path).stream
    chance = np.random.default_rng(0)
    picked = set(chance.integers(0, count, random).tolist()) | {count - 1}
    kept, shown = {}, 0
    for frame in ffmpeg_frames(program, path, stream):
        if shown < first or shown in picked:
            kept[shown] = frame
        shown += 1
    return kept, shown


def compare(path: Path, decoder: str, frames: dict[int, np.ndarray], shown: int, first: int) -> Compared:
    """Return the differences of one decoder; the first frames are read at once, the others one by one."""
    chance = np.random.default_rng(1)
    together = [number for number in sorted(frames) if number < first]
    alone = chance.permutation([number for number in frames if number >= first] + together[::7]).tolist()
    try:
        with open_video(path, decoder) as reader:
            by = "by pyav: " if decoder != "pyav" and isinstance(reader, PyAVReader) else ""
            if reader.num_frames != shown:
                return Compared(f"{by}{reader.num_frames} frames", "count")
            if (reader.height, reader.width) != frames[0].shape[:2]:
                return Compared(f"{by}{reader.width}x{reader.height}", "size")
            worst, largest = 0.0, 0
            for numbers in [together, *([number] for number in alone)]:
                for number, ours in zip(numbers, reader.frames(numbers).numpy(), strict=True):
                    difference = np.abs(ours.astype(np.int16) - frames[number])
                    worst, largest = max(worst, float(difference.mean())), max(largest, int(difference.max()))
    except DecodeError as error:
        return Compared(f"refused: {error.reason}")
    return Compared(f"{by}{worst:.2f} / {largest}", "colour" if worst > ALLOWED else "")


def files(paths: list[Path]) -> list[Path]:
    """Return the videos in the paths, folders recursively."""
    found = []
    for path in paths:
        inside = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        found += [file for file in inside if file.suffix not in LISTS]
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", help="videos, or folders of them")
    parser.add_argument("--frames", type=int, default=30, help="compared from the start on (default: 30)")
    parser.add_argument("--random", type=int, default=5, help="more frames, read one by one (default: 5)")
    parser.add_argument("--decoders", nargs="+", default=["pyav", "torchcodec", "decord"])
    parser.add_argument("--ffmpeg", default="ffmpeg", help="the program (default: the one on the path)")
    args = parser.parse_args()

    faults = 0
    print("| file | ffmpeg |", " | ".join(args.decoders), "|")
    print("|---|---|" + "---|" * len(args.decoders))
    for path in files(args.paths):
        try:
            count = len(scan(path).pts)
        except DecodeError as error:
            print(f"| {path.name} | | refused: {error.reason} |", flush=True)
            continue
        frames, shown = reference(args.ffmpeg, path, count, args.frames, args.random)
        results = [compare(path, decoder, frames, shown, args.frames) for decoder in args.decoders]
        faults += sum(bool(result.fault) for result in results)
        print(f"| {path.name} | {shown} |", " | ".join(result.text for result in results), "|", flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
