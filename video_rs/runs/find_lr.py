"""Find a learning rate: the first steps of a run at growing rates, a picture, and a suggestion. No run is left."""

from pathlib import Path
from typing import Any

from video_rs import builders
from video_rs.runtime.atomic import write_json
from video_rs.config import Config
from video_rs.runtime import distributed
from video_rs.runtime.devices import pick_device
from video_rs.engine.rate_finder import Suggestion, Sweep, growing_rates, risen_above, smooth, suggest, sweep
from video_rs.engine.trainer import TooManyFailed
from video_rs.runtime.errors import InputError
from video_rs.runs.changes import refuse_two_starts
from video_rs.runs.memory_fit import is_out_of_memory, no_memory
from video_rs.runtime.progress import rates_with_progress, print_line
from video_rs.runs.run_folder import RunFolder
from video_rs.runs.train import Run, make_demo_clips, without_failures
from video_rs.reports.plots import png
from video_rs.reports.rate_plot import rate_plot

# No part of a run: they make no folder one, and stay when a run is replaced.
RESULTS, PICTURE = "lr_finder.json", "lr_finder.png"


def find_rate(config: Config, *, finetune: str = "") -> dict[str, Any]:
    """Tries growing learning rates from the run's start weights, on its first batches, and says which to take.

    Writes ``lr_finder.json`` and ``lr_finder.png`` to OUTPUT_DIR, and nothing else, whatever is there.

    Args:
        config: as loaded.
        finetune: checkpoint whose weights to start from, as in training.

    Returns:
        What the JSON has: ``rates``, ``losses`` (mean per clip, before the step at that rate) and ``smoothed``, one
        each; ``suggested`` and ``lowest`` (rates; null where the loss does not fall); ``unstable`` (the last rate
        before the loss rose for good or diverged, or null); ``base_lr``, the SOLVER.BASE_LR that makes ``suggested``;
        ``batch_size``; ``config``.

    Raises:
        InputError: bad input.
    """
    refuse_two_starts(config, finetune)
    folder = RunFolder(Path(config.OUTPUT_DIR))
    device = pick_device(config.DEVICE)
    distributed.join_process_group(device)
    config = make_demo_clips(config)
    run = Run(config, folder, device)
    if finetune:
        run.start_from(finetune)
    elif config.MODEL.PRETRAINED:
        run.start_from_weights()
    builders.require_files(run.train_records)
    run.fit_into_memory()
    run.check_convolutions()
    folder.make()
    found = _sweep(run, growing_rates())
    suggestion = suggest(found.rates, found.losses)
    result = _as_json(config, found, suggestion)
    print_line(describe(result, config.SOLVER.LR_FOR_BATCH_SIZE))
    if distributed.rank() == 0:
        write_json(folder.path / RESULTS, result)
        marks = (result["suggested"], result["unstable"])
        (folder.path / PICTURE).write_bytes(png(rate_plot(found.rates, found.losses, result["smoothed"], *marks)))
    distributed.barrier()
    print_line(f"picture: {folder.path / PICTURE}  numbers: {folder.path / RESULTS}")
    return result


def _sweep(run: Run, rates: list[float]) -> Sweep:
    """The steps; a run shorter than the sweep goes on into further epochs."""
    loader = run.loader_from(0, len(rates))
    print_line(
        f"trying {len(rates)} learning rates from {rates[0]:g} to {rates[-1]:g}, each for one step of "
        f"{run.settings.batch_size} clips on {distributed.world_size()} x {run.device.type}"
    )
    named: set[str] = set()

    def report_failure(video: str, reason: str) -> None:
        if video not in named:
            print_line(f"cannot read {video}: {reason}")
        named.add(video)

    try:
        return sweep(run.trainer, loader, rates_with_progress(rates), report_failure)
    except TooManyFailed as error:
        raise InputError(f"{error}; {without_failures(run.config)}") from error
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise InputError(no_memory(run.config, str(error))) from error
        raise


def _as_json(config: Config, found: Sweep, suggestion: Suggestion | None) -> dict[str, Any]:
    batch, meant = config.TRAIN.BATCH_SIZE, config.SOLVER.LR_FOR_BATCH_SIZE
    suggested = suggestion.steepest if suggestion else None
    return {
        "suggested": suggested,
        "lowest": suggestion.lowest if suggestion else None,
        "unstable": risen_above(found.rates, found.losses) or found.unstable,
        "base_lr": suggested * meant / batch if suggested and meant else suggested,
        "batch_size": batch,
        "config": config.dump(),
        "rates": found.rates,
        "losses": found.losses,
        "smoothed": smooth(found.losses),
    }


def describe(result: dict[str, Any], meant: int) -> str:
    """The line about what :func:`find_rate` returned; ``meant`` is SOLVER.LR_FOR_BATCH_SIZE."""
    batch = result["batch_size"]
    scale = meant / batch if meant else 1.0  # from rates to what SOLVER.BASE_LR has to be
    unstable = result["unstable"]
    stability = "no rise up to the last" if unstable is None else f"unstable above {unstable * scale:.2g}"
    if result["suggested"] is None:
        return (
            f"no learning rate to suggest: with batches of {batch} clips the loss never falls by more than its noise; "
            f"{stability}; a larger TRAIN.BATCH_SIZE has less noise"
        )
    scaled = (
        f"; of all these, batches of {batch} clips take {1 / scale:.4g} (SOLVER.LR_FOR_BATCH_SIZE)" if meant else ""
    )
    tenth = result["lowest"] / 10
    safe = (
        f"; on the safe side is {tenth * scale:.2g}, a tenth of where it is lowest"
        if tenth < result["suggested"]
        else ""
    )
    return (
        f"take SOLVER.BASE_LR {result['base_lr']:.2g} at most, where the loss falls fastest with batches of {batch} "
        f"clips{safe}; {stability}{scaled}"
    )
