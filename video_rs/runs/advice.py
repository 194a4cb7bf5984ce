"""What somebody can do about an error of training, in the options and flags of the command."""

import shlex

from video_rs.config import Config
from video_rs.engine.guards import NonFiniteStep, TooManyFailed


def about_failures(error: TooManyFailed, config: Config) -> str:
    """Return what to do where too many videos could not be read."""
    lists = [path for path in (config.DATA.TRAIN_LIST, config.DATA.VAL_LIST) if path]
    root = ["--root", config.DATA.ROOT] if config.DATA.ROOT else []
    doctor = ["video-rs", "check_dataset", *dict.fromkeys(lists), *root, "--out", "check"]
    pseudo = ""
    if config.DATA.PSEUDO_LIST:
        # Its rows are of no split, so it is checked by itself.
        further = ["video-rs", "check_dataset", config.DATA.PSEUDO_LIST, *root, "--out", "check_pseudo"]
        pseudo = f", {shlex.join(further)!r} those of DATA.PSEUDO_LIST in check_pseudo/clean.csv"
    return (
        f"{error} (DATA.MAX_FAILED_SHARE); each is named above; {shlex.join(doctor)!r} lists the others in "
        f"check/clean.csv, for DATA.TRAIN_LIST and DATA.VAL_LIST{pseudo}, or allow more with DATA.MAX_FAILED_SHARE"
    )


def about_non_finite(error: NonFiniteStep, rate: float, skips: bool) -> str:
    """Return what to do about a step whose loss or gradient is not finite.

    Args:
        error: of the step.
        rate: its learning rate.
        skips: whether such steps are left out (TRAIN.NON_FINITE skip), of which there were too many in a row.
    """
    in_a_row = f"; {error.skipped} steps in a row were skipped" if skips else ""
    or_skip = "" if skips else ", or TRAIN.NON_FINITE skip"
    return (
        f"{error} (learning rate {rate:.4g}; its clips are in log.jsonl){in_a_row}; the last checkpoint is from "
        "before: lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_EPOCHS or set "
        f"SOLVER.CLIP_GRAD_L2NORM{or_skip}, and go on with --resume --allow-changes"
    )
