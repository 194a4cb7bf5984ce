"""Find a learning rate: the first steps of a run at growing rates, a picture, and a suggestion. No run is left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from video_rs.builders import Training, build_failure_limit
from video_rs.config import Config
from video_rs.engine.guards import TooManyFailed
from video_rs.engine.rate_finder import NonFiniteStart, Suggestion, Sweep, growing_rates, risen_above, smooth, suggest
from video_rs.engine.rate_finder import sweep as sweep_rates
from video_rs.lists.checks import require_files
from video_rs.reports.plots import png
from video_rs.reports.rate_plot import rate_plot
from video_rs.runs import advice
from video_rs.runs.changes import refuse_two_starts
from video_rs.runs.memory import fit_into_memory, is_out_of_memory, no_memory
from video_rs.runs.precision import choose_precision
from video_rs.runs.run_folder import RunFolder
from video_rs.runs.start_weights import load_trained_weights
from video_rs.runs.train import build_run, check_convolutions
from video_rs.runtime import distributed
from video_rs.runtime.atomic import replace_bytes, write_json
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, rates_with_progress

# No part of a run: these files make no folder a run's, and stay when a run is replaced.
RESULTS = "lr_finder.json"
PICTURE = "lr_finder.png"


def find_rate(config: Config, *, finetune: str = "") -> dict[str, Any]:
    """Try growing learning rates from a run's start weights, on its first batches, and say which to take.

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

    training = build_run(config, device)
    training = load_trained_weights(training, finetune)
    for records in training.lists.trained():
        require_files(records)
    training = fit_into_memory(training, is_resumed=False, may_change=True)
    choose_precision(training)
    check_convolutions(training)
    folder.make()

    # Every process takes part in the steps; one draws and writes.
    found = _sweep(training, growing_rates())
    result = _as_json(config, found, suggest(found.rates, found.losses))
    print_line(describe(result, config.SOLVER.LR_FOR_BATCH_SIZE))
    if distributed.rank() == 0:
        write_json(folder.path / RESULTS, result)
        picture = rate_plot(found.rates, found.losses, result["smoothed"], result["suggested"], result["unstable"])
        replace_bytes(folder.path / PICTURE, png(picture))
    distributed.barrier()
    print_line(f"picture: {folder.path / PICTURE}  numbers: {folder.path / RESULTS}")
    return result


def _sweep(training: Training, rates: list[float]) -> Sweep:
    """Take the steps; a run shorter than the sweep goes on into further epochs."""
    config = training.config
    print_line(
        f"trying {len(rates)} learning rates from {rates[0]:g} to {rates[-1]:g}, each for one step of "
        f"{training.plan.batch_size} clips on {distributed.world_size()} x {training.device.type}"
    )
    failures = build_failure_limit(config, training.plan)
    loader = training.loader(0, len(rates))
    micro_batches = training.plan.micro_batches
    try:
        return sweep_rates(
            training.step, loader, micro_batches, rates_with_progress(rates), failures, _failure_printer()
        )
    except TooManyFailed as error:
        raise InputError(advice.about_failures(error, config)) from error
    except NonFiniteStart as error:
        raise InputError(f"{error}; check the weights, DATA.MEAN and DATA.STD") from error
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise InputError(no_memory(config, str(error))) from error
        raise


def _failure_printer() -> Callable[[str, str], None]:
    """Return a function that names each video that could not be read, once."""
    named: set[str] = set()

    def failed_video(video: str, reason: str) -> None:
        if video not in named:
            print_line(f"cannot read {video}: {reason}")
        named.add(video)

    return failed_video


def _as_json(config: Config, found: Sweep, suggestion: Suggestion | None) -> dict[str, Any]:
    """Return what :func:`find_rate` returns."""
    batch = config.TRAIN.BATCH_SIZE
    meant_for = config.SOLVER.LR_FOR_BATCH_SIZE
    suggested = suggestion.steepest if suggestion else None
    # What a config has to say is another number where its rate is meant for another batch.
    base_lr = suggested
    if suggested and meant_for:
        base_lr = suggested * meant_for / batch
    return {
        "suggested": suggested,
        "lowest": suggestion.lowest if suggestion else None,
        "unstable": risen_above(found.rates, found.losses) or found.unstable,
        "base_lr": base_lr,
        "batch_size": batch,
        "config": config.dump(),
        "rates": found.rates,
        "losses": found.losses,
        "smoothed": smooth(found.losses),
    }


def describe(result: dict[str, Any], meant_for: int) -> str:
    """Return the line about what :func:`find_rate` found.

    Args:
        result: as returned.
        meant_for: SOLVER.LR_FOR_BATCH_SIZE, the clips that SOLVER.BASE_LR is meant for; 0 for this very batch.
    """
    batch = result["batch_size"]
    # From rates to what SOLVER.BASE_LR has to be.
    scale = meant_for / batch if meant_for else 1.0

    stability = "no rise up to the last"
    if result["unstable"] is not None:
        stability = f"unstable above {result['unstable'] * scale:.2g}"
    if result["suggested"] is None:
        return (
            f"no learning rate to suggest: with batches of {batch} clips the loss never falls by more than its noise; "
            f"{stability}; a larger TRAIN.BATCH_SIZE has less noise"
        )

    tenth = result["lowest"] / 10
    safe = ""
    if tenth < result["suggested"]:
        safe = f"; on the safe side is {tenth * scale:.2g}, a tenth of where it is lowest"
    scaled = ""
    if meant_for:
        scaled = f"; of all these, batches of {batch} clips take {1 / scale:.4g} (SOLVER.LR_FOR_BATCH_SIZE)"
    return (
        f"take SOLVER.BASE_LR {result['base_lr']:.2g} at most, where the loss falls fastest with batches of {batch} "
        f"clips{safe}; {stability}{scaled}"
    )
