"""The frontier of published networks, or of one's own runs, from names to files."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from video_rs.benchmarks.machine import describe_machine
from video_rs.benchmarks.measuring import Report
from video_rs.inference.conversion import missing
from video_rs.inference.engines import ENGINES
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.studies.frontier.measured import BEFORE, Cost, Measured, View
from video_rs.studies.frontier.measuring import Setting, measure_views
from video_rs.studies.frontier.own_runs import read_runs
from video_rs.studies.frontier.published import Published, chosen_networks, published_networks
from video_rs.studies.frontier.report import write_report
from video_rs.studies.frontier.result import Frontier
from video_rs.studies.frontier.rows import published_row, run_row, view_of

BATCHES = {"cpu": 2, "cuda": 16}
"""Views at once unless the number is given, by device."""


def compare_networks(folder: Path, names: Sequence[str], setting: Setting, report: Report) -> list[str]:
    """Measure published networks, and write the frontier of all published ones into a folder.

    Args:
        folder: of the files; what was measured there before is kept.
        names: of :func:`published_networks`; empty for all that can be measured.
        setting: how.
        report: takes lines of progress.

    Returns:
        Lines to print.

    Raises:
        InputError: an unknown network, an absent library or engine, or nothing could be measured.
    """
    # Everything that can be refused is refused before anything is measured.
    table = published_networks()
    asked = chosen_networks(names, table)
    require_libraries(asked)
    check_engine(setting)

    views = [view_of(network) for network in asked]
    machine, costs, failed = _measure(folder, views, setting, report)

    rows = [published_row(network, costs.get(network.name)) for network in table]
    return write_report(Frontier(folder, rows, False, len(asked), failed, setting, machine))


def compare_runs(folder: Path, paths: Sequence[str], list_path: str, setting: Setting, report: Report) -> list[str]:
    """Measure the networks of trained runs, and write their frontier into a folder.

    Args:
        folder: as for :func:`compare_networks`.
        paths: of runs.
        list_path: to test all of them on now; "" takes the tests that they have.
        setting: how.
        report: takes lines of progress.

    Returns:
        Lines to print.

    Raises:
        InputError: a path that is no run, a run that has not been tested, an absent engine, or nothing could be
            measured.
    """
    check_engine(setting)

    runs = read_runs(paths, list_path)
    views = list({run.view.name: run.view for run in runs}.values())
    machine, costs, failed = _measure(folder, views, setting, report)

    rows = [run_row(run, costs.get(run.view.name)) for run in runs]
    failed_runs = {run.name: failed[run.view.name] for run in runs if run.view.name in failed}
    return write_report(Frontier(folder, rows, True, len(runs), failed_runs, setting, machine))


def _measure(
    folder: Path, views: Sequence[View], setting: Setting, report: Report
) -> tuple[dict[str, Any], dict[str, Cost], dict[str, str]]:
    """Measure what is left of some views; return the machine, the costs, and why others have none."""
    machine = describe_machine(setting.device)
    measured = Measured(folder / "measured.json", measured_setting(setting, machine))

    if measured.dropped:
        report(
            f"{folder / 'measured.json'} is of another machine or setting: all is measured anew, and it is kept as "
            f"{BEFORE}"
        )
    kept = [view for view in views if measured.has(view)]
    if kept:
        report(
            f"{pluralize(len(kept), 'network')} of {len(views)} measured before; remove measured.json to measure anew"
        )

    failed = measure_views(views, setting, measured, report)
    if len(failed) == len(views):
        name, reason = next(iter(failed.items()))
        raise InputError(f"none of {pluralize(len(views), 'network')} could be measured; {name}: {reason}")
    return machine, measured.costs(views, setting.batch), failed


def measured_setting(setting: Setting, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two measurements must have in common to be compared."""
    return {
        **machine,
        "device": setting.device,
        "precision": setting.precision,
        "engine": setting.engine,
        "same_engine": setting.same_engine,
        "batch": setting.batch,
        "rounds": setting.rounds,
    }


def require_libraries(networks: Sequence[Published]) -> None:
    """Raise InputError where a library is absent that networks are of."""
    for library in ("pytorchvideo", "torchvision"):
        of_library = [network.name for network in networks if network.library == library]
        if of_library and importlib.util.find_spec(library) is None:
            raise InputError(
                f"{library} is not installed, and {', '.join(of_library)} are of it; pip install {library}, or name "
                "other networks with --networks"
            )


def check_engine(setting: Setting) -> None:
    """Raise InputError where an engine is unknown, absent, or not for this device and precision."""
    allowed = ["auto", "eager", "compile"]
    if (setting.device, setting.precision) == ("cpu", "float32"):
        allowed = ["auto", *(name for name, engine in ENGINES.items() if not missing(engine.packages))]
    if setting.engine not in allowed:
        raise InputError(
            f"--engine is {setting.engine!r}; allowed on {setting.device} in {setting.precision}, and installed: "
            f"{', '.join(allowed)}"
        )
