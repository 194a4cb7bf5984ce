"""Damaged copies of real videos, for tests and for a larger run by hand:

python tests/damage.py FOLDER OUT --count 2000
"""

import argparse
import random
from pathlib import Path

BLOCK = 512  # bytes that are shuffled as one


def cut(data: bytes, chance: random.Random) -> bytes:
    """The start of a file."""
    return data[: chance.randrange(len(data))]


def cut_out(data: bytes, chance: random.Random) -> bytes:
    """Without a part in the middle."""
    start, end = sorted(chance.randrange(len(data)) for _ in range(2))
    return data[:start] + data[end:]


def flip_bits(data: bytes, chance: random.Random) -> bytes:
    """One to a thousand bits turned over."""
    damaged = bytearray(data)
    for _ in range(10 ** chance.randrange(4)):
        damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def shuffle(data: bytes, chance: random.Random) -> bytes:
    """A stretch of up to forty blocks in random order; the header stays where it is, half of the times."""
    blocks = [data[i : i + BLOCK] for i in range(0, len(data), BLOCK)]
    first = min(chance.choice((0, 4)), len(blocks) - 1)
    start = chance.randrange(first, len(blocks))
    part = blocks[start : start + 40]
    chance.shuffle(part)
    return b"".join([*blocks[:start], *part, *blocks[start + 40 :]])


def zeros(data: bytes, chance: random.Random) -> bytes:
    """A part that was never written."""
    start, end = sorted(chance.randrange(len(data)) for _ in range(2))
    return data[:start] + bytes(end - start) + data[end:]


WAYS = (cut, cut_out, flip_bits, shuffle, zeros)


def write_damaged(videos: list[Path], folder: Path, count: int, seed: int = 0) -> Path:
    """``count`` files in ``folder``, named after the way and the video, and ``list.csv``, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    chance, lines = random.Random(seed), ["path,label"]
    for i in range(count):
        video, way = videos[i % len(videos)], chance.choice(WAYS)
        name = f"{i:05d}_{way.__name__}_{video.stem}{video.suffix}"
        (folder / name).write_bytes(way(video.read_bytes(), chance))
        lines.append(f"{name},{way.__name__}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="a folder with videos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    videos = sorted(path for path in args.source.rglob("*.*") if path.is_file() and path.stat().st_size)
    print(write_damaged(videos, args.out, args.count))


if __name__ == "__main__":
    main()
