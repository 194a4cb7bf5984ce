"""Testing videos by many views: ours, a loop that decodes for each view, and pytorchvideo; from files, and decoding."""

from collections.abc import Sequence
from typing import Any

from video_rs.benchmarks.eval_ways import OUR_TESTING, PER_VIEW, PYTORCHVIDEO
from video_rs.benchmarks.measuring import Measurement, Report, Row, measure, row_of
from video_rs.benchmarks.networks import forward_gflop
from video_rs.benchmarks.subject import EVAL, MAIN_PEER, OURS, PEER, Subject
from video_rs.benchmarks.table import Column, four_digits, memory_cell, spread_cell
from video_rs.runtime.wording import pluralize

MEANINGS = {
    OUR_TESTING: "each video decoded once, each frame resized once, as video-rs test does",
    PER_VIEW: "the same frames, views and network; the video is opened and decoded for each view",
    PYTORCHVIDEO: "its LabeledVideoDataset with evenly spread clips, PyAV, three crops, torch's DataLoader, "
    f"{MAIN_PEER.split()[1]} as shipped",
}


def eval_subjects(networks: Sequence[str], peers: bool, testing: dict[str, Any]) -> list[Subject]:
    """Return all rows: ours and the loop with each network, the peer with its own, and decoding alone of each way.

    Args:
        networks: names of ours.
        peers: whether pytorchvideo is among them.
        testing: batch, frames, size, clips_per_video, crops, device, videos and workers of :class:`Subject`.
    """
    ways = [(OURS, OUR_TESTING), (OURS, PER_VIEW)]
    pairs = [(side, way, network) for network in networks for side, way in ways]
    if peers:
        ways.append((PEER, PYTORCHVIDEO))
        pairs.append((PEER, PYTORCHVIDEO, MAIN_PEER))

    # What decodes by itself has no network.
    pairs += [(side, way, "") for side, way in ways]
    return [Subject(EVAL, side, way, network=network, decoder="pyav", **testing) for side, way, network in pairs]


def measure_eval(subjects: Sequence[Subject], rounds: int, report: Report) -> list[Row]:
    """Return the rows.

    Raises:
        InputError: a subject that cannot be measured; a network that does not take the views is found before.
    """
    # What the views or an absent library forbid is found before minutes are spent.
    for subject in subjects:
        if subject.network:
            forward_gflop(subject.network, subject.frames, subject.size)

    measured = measure(subjects, rounds, report)

    # Each row also says what decoding takes of its way.
    decoding = {}
    for one in measured:
        if not one.subject.network:
            decoding[one.subject.way] = one

    return [_row(one, decoding[one.subject.way]) for one in measured]


def _row(measured: Measurement, decoding: Measurement) -> Row:
    """Return the medians of a subject.

    Args:
        measured: of the subject.
        decoding: decoding alone of the same way.
    """
    subject = measured.subject
    views = subject.views
    more = {
        "videos_per_s": measured.median("clips_per_s") / views,
        # The median may be that of videos of several lengths.
        "pictures_per_video": decoding.median("pictures"),
        "decode_s": views / decoding.median("clips_per_s"),
    }
    if not subject.network:
        return row_of(measured, None, **more, wait_s=None, compute_s=None)

    gflop = forward_gflop(subject.network, subject.frames, subject.size)
    wait = views * measured.median("wait_s")
    compute = views * measured.median("compute_s")
    return row_of(measured, gflop, **more, wait_s=wait, compute_s=compute)


def eval_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return ours over the loop and over the peer, in videos per second from files to scores, then in decoding.

    The peer's network is another one: its time is first scaled to the arithmetic of ours (:func:`scaled_seconds`).
    """
    ratios = {}
    networks = [row for row in rows if row.subject.network]
    for ours in networks:
        if ours.subject.way != OUR_TESTING:
            continue

        for other in networks:
            name = f"videos/s, {ours.subject.name} / {other.subject.name}"
            if other.subject.way == PER_VIEW and other.subject.network == ours.subject.network:
                ratios[name] = ours.more["videos_per_s"] / other.more["videos_per_s"]

            # The peer has a network of its own.
            if other.subject.side == PEER:
                seconds = scaled_seconds(other, ours.gflop_per_clip)
                ratios[f"{name} at the same GFLOP"] = ours.more["videos_per_s"] * seconds

    alone = {row.subject.way: row for row in rows if not row.subject.network}
    for way, other in alone.items():
        if way != OUR_TESTING:
            name = f"decoding, {OUR_TESTING} / {way}"
            ratios[name] = other.more["decode_s"] / alone[OUR_TESTING].more["decode_s"]
    return ratios


def scaled_seconds(row: Row, gflop: float) -> float:
    """Return the seconds that a video would take with a network of other arithmetic, computed at the same rate.

    Where processes read while the network computes, they would be waited for as soon as it computes less. Then a video
    takes as long at least as they need to decode it, all of them together.

    Args:
        row: of the network as it is.
        gflop: of a view, of the other network.
    """
    seconds = 1 / row.more["videos_per_s"]
    # Only what is computed changes.
    scaled = seconds - row.more["compute_s"] * (1 - gflop / row.gflop_per_clip)

    processes = max(1, row.subject.workers)
    return max(scaled, row.more["decode_s"] / processes)


def _share_cell(name: str) -> Column:
    """Return a column of seconds as a share of the time that a video takes."""

    def cell(row: Row) -> str:
        seconds = row.more[f"{name}_s"]
        if seconds is None or not row.subject.network:
            return ""
        return f"{seconds * row.more['videos_per_s']:.0%}"

    return Column(name, cell)


EVAL_COLUMNS = [
    Column("", lambda row: row.subject.name, is_text=True),
    Column("videos/s", lambda row: four_digits(row.more["videos_per_s"])),
    Column("GFLOP/view", lambda row: four_digits(row.gflop_per_clip)),
    Column("GFLOP/s", lambda row: four_digits(row.gflops_per_s)),
    Column("pictures", lambda row: f"{row.more['pictures_per_video']:.0f}"),
    _share_cell("decode"),
    _share_cell("wait"),
    _share_cell("compute"),
    Column("MiB", memory_cell),
    Column("spread", spread_cell),
]


def eval_lines(rows: Sequence[Row]) -> list[str]:
    """Return what was tested, what each way does, and what the columns are."""
    subject = rows[0].subject
    frames = f"{subject.frames} x {subject.size} x {subject.size}"
    tested = f"{subject.clips_per_video} x {subject.crops} views of {frames}, {subject.batch} at a time"
    processes = pluralize(subject.workers, "reading process", "reading processes")

    lines = ["", f"{tested}, {processes}"]
    for way in dict.fromkeys(row.subject.way for row in rows):
        lines.append(f"{way}: {MEANINGS[way]}")

    lines.append("pictures: decoded for a video; decode: seconds of one thread for it, over those a video takes")
    lines.append("wait: the network waits for views; compute: it computes")
    return lines
