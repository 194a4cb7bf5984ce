"""Check a data set: probe every file once, say what is wrong, and write the list without it."""

import time
from pathlib import Path

from video_rs.curation.doctor.data_set import DataSet, read_data_set
from video_rs.curation.doctor.diagnosis import diagnose
from video_rs.curation.doctor.file_findings import ClipReach
from video_rs.curation.doctor.findings import NOTES, PROBLEMS, Diagnosis
from video_rs.curation.doctor.options import CheckOptions
from video_rs.curation.doctor.output import CheckResult, check_data, write_lists
from video_rs.curation.doctor.page import check_page
from video_rs.curation.doctor.pictures import take_pictures
from video_rs.curation.doctor.probing import ProbedFiles, probe_all
from video_rs.curation.file_workers import FileWorkers
from video_rs.reports.check_page import write_check_page
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.runtime.wording import pluralize
from video_rs.video.probing.cache import ProbeCache
from video_rs.video.probing.probe import DEPTHS

_CLASS_NOTES_SHOWN = 6


def run_check(options: CheckOptions) -> Diagnosis:
    """Probe a data set, print a summary, and write ``clean.csv``, ``quarantine.csv``, ``check.json``, ``check.html``.

    Raises:
        InputError: a value is out of range, a list cannot be read or tells no split, or the folder cannot be written.
    """
    if options.depth not in DEPTHS:
        raise InputError(f"depth: got {options.depth!r}, allowed: {', '.join(DEPTHS)}")
    options.check()
    workers = FileWorkers(options.processes, options.time_limit, options.path_handlers)
    workers.check_limits()
    workers.register_handlers()
    data_set = read_data_set(options.lists, options.root, options.label_map)
    folder = _make_folder(options.output)

    files = _probe(data_set, options, workers)
    reach = ClipReach(options.clip_reach, options.target_fps)
    diagnosis = diagnose(data_set, files, reach)
    result = CheckResult(data_set, files.probes, diagnosis)

    write_lists(folder, result)
    write_json(folder / "check.json", check_data(result))
    pictures = take_pictures(result, options.cache_file, workers)
    title = f"Check of {', '.join(options.lists)}"
    write_check_page(folder / "check.html", check_page(title, result, pictures))

    _summarize(result, folder)
    return diagnosis


def _make_folder(output: str) -> Path:
    """Return the folder for what is written, made where it is missing."""
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; name another with --out") from error
    return folder


def _probe(data_set: DataSet, options: CheckOptions, workers: FileWorkers) -> ProbedFiles:
    """Probe the files of all rows that can be used, and say how many there were."""
    started = time.perf_counter()
    with ProbeCache(options.cache_file) as cache:
        usable = [row.record.path for row in data_set.rows if not row.fault]
        files = probe_all(usable, cache, options.depth, workers)
        if not cache.is_kept:
            print_line(
                f"note: {cache.path} cannot be written to; what was found now is in {Path(options.output)}, but not "
                "kept there"
            )

    seconds = time.perf_counter() - started
    rate = ", none of them anew"
    if files.fresh:
        rate = f", {files.fresh} of them now, {files.fresh / seconds:.1f} files/s"
    print_line(f"{pluralize(len(data_set.rows), 'row')}, {pluralize(len(files.probes), 'file')}{rate}")
    return files


def _summarize(result: CheckResult, folder: Path) -> None:
    """Print what a person reads at the end."""
    diagnosis = result.diagnosis
    kinds = diagnosis.kinds()
    for title, meanings in (("problems", PROBLEMS), ("notes", NOTES)):
        for kind, meaning in meanings.items():
            if kinds[kind]:
                print_line(f"  {title}: {kinds[kind]:>7} {kind:<13} {meaning}")
    if diagnosis.rate_note:
        print_line(f"  rates: {diagnosis.rate_note}")
    for note in diagnosis.class_notes[:_CLASS_NOTES_SHOWN]:
        print_line(f"  classes: {note}")

    verdict = "clean" if diagnosis.clean else "not clean"
    bad = len(diagnosis.quarantined)
    good = len(result.data_set.rows) - bad
    print_line(
        f"{verdict}: {pluralize(good, 'row')} in {folder / 'clean.csv'}, {bad} in {folder / 'quarantine.csv'}; "
        f"page: {folder / 'check.html'}"
    )
