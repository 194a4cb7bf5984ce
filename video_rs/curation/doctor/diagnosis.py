"""What is wrong with a data set, from its lists and what probing its files found. No file is opened here."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from video_rs.curation.doctor.copy_findings import copy_findings
from video_rs.curation.doctor.data_set import DataSet, DataSetRow
from video_rs.curation.doctor.file_findings import ClipReach, file_findings
from video_rs.curation.doctor.findings import Diagnosis, Finding
from video_rs.curation.doctor.probing import ProbedFiles
from video_rs.lists.class_notes import alike_names_notes, empty_classes_note
from video_rs.lists.rows import SPLITS
from video_rs.video.probing.probe import Probe

# A rate is far from the middle one by more than this factor: 24, 25 and 30 frames per second count as alike.
OTHER_RATE = 1.4
# Up to this share of the videos may have such a rate without a word.
FEW_RATES = 0.01


def diagnose(data_set: DataSet, files: ProbedFiles, reach: ClipReach) -> Diagnosis:
    """Return all findings on a data set.

    Args:
        data_set: the lists.
        files: what is known of each file of a row without a fault.
        reach: of a training clip; a video with fewer frames is "short".
    """
    findings = []
    for index, row in enumerate(data_set.rows):
        if row.fault:
            continue
        path = row.record.path
        findings += file_findings(index, row.record, files.probes[path], files.times.get(path), reach)
    for index, row in enumerate(data_set.rows):
        if row.fault:
            findings.append(Finding("row", index, row.fault))
    findings += copy_findings(data_set.rows, files.probes)
    # Sorting is stable: a row's findings stay in the order in which they came.
    findings.sort(key=lambda finding: finding.row)

    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for row in data_set.rows:
        counts[row.split].update(row.record.labels)
    class_notes = filter(None, _class_notes(counts, data_set))

    rate_note = ""
    if not reach.target_fps:  # clips of one rate span the same seconds of each video
        rate_note = _rate_note(files.probes)
    return Diagnosis(tuple(findings), (*data_set.notes, *class_notes), dict(counts), rate_note)


def _class_notes(counts: Mapping[str, Counter[int]], data_set: DataSet) -> Iterator[str]:
    """Give sentences on splits, labels and classes; some may be empty."""
    names = data_set.names
    for split in sorted(set(counts) - {"", *SPLITS}):
        yield f"no tool reads the split {split!r}; call it {', '.join(SPLITS[:-1])} or {SPLITS[-1]}"

    total: Counter[int] = Counter()
    for of_split in counts.values():
        total.update(of_split)
    if "train" in counts:
        yield empty_classes_note(counts["train"], names, "training rows")
    else:
        yield empty_classes_note(total, names, "rows")

    unlabelled = _count_unlabelled(data_set.rows)
    if unlabelled and total:
        rows_have = "rows have" if unlabelled > 1 else "row has"
        yield (
            f"{unlabelled} {rows_have} no label: videos of no class with DATA.MULTI_LABEL, else refused; fill them in, "
            "or remove them"
        )
    for label in sorted(total):
        if total[label] == 1:
            yield f"class {names[label]!r} has a single video"
    yield from alike_names_notes([names[label] for label in sorted(total)])


def _count_unlabelled(rows: Sequence[DataSetRow]) -> int:
    """Return how many rows that can be used have no label."""
    count = 0
    for row in rows:
        if not row.fault and not row.record.labels:
            count += 1
    return count


def _rate_note(probes: Mapping[str, Probe]) -> str:
    """Return a sentence where some videos are considerably faster or slower than the middle one."""
    rates = []
    for probe in probes.values():
        # Neither a folder of pictures nor a single frame has a rate of its own.
        has_rate = probe.container != "folder" and probe.frames > 1
        if probe.kind == "ok" and has_rate:
            rates.append(probe.fps)
    if not rates:
        return ""

    rates.sort()
    middle = rates[len(rates) // 2]
    far = [rate for rate in rates if max(rate / middle, middle / rate) > OTHER_RATE]
    if len(far) <= FEW_RATES * len(rates):
        return ""
    return (
        f"the videos have {rates[0]:.3g} to {rates[-1]:.3g} frames per second, {len(far)} of {len(rates)} far from "
        f"the middle of {middle:.3g}, and clips count frames; DATA.TARGET_FPS {middle:.3g} makes them span the same "
        "seconds of each"
    )
