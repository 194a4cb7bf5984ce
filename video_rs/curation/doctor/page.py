"""What the doctor's page shows of a check."""

from collections.abc import Mapping, Sequence

from video_rs.curation.doctor.findings import NOTES, PROBLEMS
from video_rs.curation.doctor.output import CheckResult, class_counts
from video_rs.reports.check_page import CheckPage, FindingKind, Picture, Spread
from video_rs.video.probing.probe import Probe


def check_page(title: str, result: CheckResult, pictures: Mapping[str, Sequence[Picture]]) -> CheckPage:
    """Return the content of the page.

    Args:
        title: headline.
        result: of the check.
        pictures: kind of finding -> pictures of a few rows; "" for rows without a finding.
    """
    # A data set without labels has counts too, but no classes to count.
    classes = {}
    if result.data_set.names:
        classes = class_counts(result)
    sound = [probe for probe in result.probes.values() if probe.kind == "ok"]

    return CheckPage(
        title=title,
        clean=result.diagnosis.clean,
        rows=len(result.data_set.rows),
        quarantined=len(result.diagnosis.quarantined),
        problems=_kinds(PROBLEMS, result, pictures),
        notes=_kinds(NOTES, result, pictures),
        class_notes=result.diagnosis.class_notes,
        rate_note=result.diagnosis.rate_note,
        classes=classes,
        spreads=_spreads(sound),
        sound=pictures.get("", []),
    )


def _kinds(
    meanings: Mapping[str, str], result: CheckResult, pictures: Mapping[str, Sequence[Picture]]
) -> list[FindingKind]:
    """Return each kind of finding with its number of rows."""
    counts = result.diagnosis.kinds()
    kinds = []
    for kind, meaning in meanings.items():
        kinds.append(FindingKind(kind, meaning, counts[kind], pictures.get(kind, [])))
    return kinds


def _spreads(sound: Sequence[Probe]) -> list[Spread]:
    """Return the numbers of the videos that can be read, for histograms."""
    length = Spread("Length", "seconds", [])
    frames = Spread("Frames", "frames", [])
    rate = Spread("Rate", "frames per second", [])
    size = Spread("Size", "short side in pixels", [])
    interval = Spread("Longest way between key frames", "frames", [])

    for probe in sound:
        length.values.append(probe.frames / probe.fps)
        frames.values.append(probe.frames)
        # Rates that differ in a rounding of their fraction are one rate.
        rate.values.append(round(probe.fps, 2))
        size.values.append(min(probe.height, probe.width))
        interval.values.append(probe.key_interval)
    return [length, frames, rate, size, interval]
