"""What a run says of itself before its first step, and what it finds doubtful about what it was given."""

from typing import TYPE_CHECKING

from video_rs.lists.class_notes import alike_names_notes, empty_classes_note
from video_rs.lists.sources.folder import mirrored_names
from video_rs.runtime import distributed
from video_rs.runtime.progress import print_line
from video_rs.runtime.wording import pluralize

if TYPE_CHECKING:
    from video_rs.runs.train import Run

PARTS = ("res5", "res4", "res3", "res2", "stem")


def announce(run: "Run") -> None:
    """A line about the network, the data and the steps, and a note for each thing that may not be meant."""
    settings, solver, total = run.settings, run.config.SOLVER, run.settings.total_steps
    sizes = [(p.numel(), p.requires_grad) for p in run.trainer.model.parameters()]
    parameters, trained = sum(n for n, _ in sizes) / 1e6, sum(n for n, learns in sizes if learns) / 1e6
    frozen = f" ({trained:.2f} M of them trained)" if run.config.MODEL.FROZEN_STAGES else ""
    steps = f"{pluralize(total, 'step')} of {pluralize(settings.batch_size, 'clip')} ({settings.epoch(total):.1f} epochs)"
    classes = pluralize(len(run.names), "class", "classes")
    print_line(
        f"{run.config.MODEL.ARCH}, {parameters:.2f} M parameters{frozen}, {classes}; "
        f"{pluralize(len(run.train_records), 'training video')}, {len(run.val_records or ())} for validation; {steps} on "
        f"{distributed.world_size()} x {run.device.type}, output in {run.folder.path}"
    )
    if (data := run.config.DATA).TARGET_FPS:
        seconds = data.NUM_FRAMES * data.SAMPLING_RATE / data.TARGET_FPS
        print_line(
            f"clips of {data.NUM_FRAMES} frames span {seconds:.3g} s of every video, whatever its rate "
            f"(DATA.TARGET_FPS {data.TARGET_FPS:g})"
        )
    if solver.LR_FOR_BATCH_SIZE:
        print_line(
            f"learning rate {solver.BASE_LR:.4g} x {settings.batch_size} / {solver.LR_FOR_BATCH_SIZE} clips = "
            f"{settings.base_lr:.4g} (SOLVER.LR_FOR_BATCH_SIZE)"
        )
    if solver.LAYER_DECAY != 1:
        rates = [f"{name} {solver.LAYER_DECAY**depth:.2g}" for depth, name in enumerate(("classifier", *PARTS))]
        print_line(f"rates over the learning rate: {', '.join(rates)} (SOLVER.LAYER_DECAY)")
    if (weights := run.trainer.loss.weights) is not None:
        there = {label for r in run.train_records.records for label in r.labels}
        least, *_, most = sorted((float(weights[label]), run.names[label]) for label in (*there, *there))
        print_line(f"weights in the loss: {least[0]:.2g} ({least[1]}) to {most[0]:.2g} ({most[1]}) (SOLVER.CLASS_WEIGHTS)")
    for note in filter(None, (doubt(run) for doubt in DOUBTS)):
        print_line(f"note: {note}")


def _of_names(run: "Run") -> str:
    named, classes = len(run.train_records.label_names), len(run.names)
    if named == classes:
        return ""
    return (
        f"MODEL.NUM_CLASSES is {classes}, but only {named} classes have names; the numbers {named} to {classes - 1} "
        "stand in for the others'"
    )


def _of_empty_classes(run: "Run") -> str:
    present = {label for record in run.train_records.records for label in record.labels}
    return empty_classes_note(present, run.train_records.label_names, "training videos")


def _of_alike_names(run: "Run") -> str:
    return "; ".join(alike_names_notes(run.train_records.label_names))


def _of_shared_videos(run: "Run") -> str:
    training, held_out = (
        {(r.path, r.start, r.end) for r in part.records} if part else set()
        for part in (run.train_records, run.val_records)
    )
    if not training & held_out:
        return ""
    return (
        f"{len(training & held_out)} of {len(run.val_records)} validation videos are training videos too, so the "
        "accuracy says little about new ones; give each list rows of its own, or a column split"
    )


def _of_one_class(run: "Run") -> str:
    return "there is a single class, so every answer is right; train with two or more" if len(run.names) == 1 else ""


def _of_mirroring(run: "Run") -> str:
    mirrored = mirrored_names(run.names) if run.config.DATA.RANDOM_FLIP else []
    if not mirrored:
        return ""
    return (
        f"clips are mirrored, which makes the class {mirrored[0]!r} another; set DATA.RANDOM_FLIP false if that is a "
        "matter of direction"
    )


def _of_single_labels(run: "Run") -> str:
    several = any(len(r.labels) != 1 for r in run.train_records.records)
    if several or not run.config.DATA.MULTI_LABEL:
        return ""
    return "DATA.MULTI_LABEL is true, but every training video has one label; without it, classes exclude each other"


def _of_frozen_chance(run: "Run") -> str:
    if run.started_from or run.resumed_step is not None or not run.config.MODEL.FROZEN_STAGES:
        return ""
    return (
        f"MODEL.FROZEN_STAGES {run.config.MODEL.FROZEN_STAGES} keeps random weights; start from trained ones with "
        "--finetune or MODEL.PRETRAINED"
    )


def _of_unused_statistics(run: "Run") -> str:
    if not run.config.BN.NUM_BATCHES_PRECISE:
        return ""
    if run.config.MODEL.FROZEN_STAGES == 5:
        return "BN.NUM_BATCHES_PRECISE does nothing with MODEL.FROZEN_STAGES 5, which keeps all statistics"
    if run.val_records is None:
        return (
            "BN.NUM_BATCHES_PRECISE does nothing without a DATA.VAL_LIST: statistics are computed before a validation"
        )
    return ""


def _of_warmup(run: "Run") -> str:
    if run.settings.warmup_steps < run.settings.total_steps:
        return ""
    return (
        f"the warm-up ({run.settings.warmup_steps} steps, SOLVER.WARMUP_EPOCHS) is not shorter than the run, so the "
        "learning rate stays at 0 and nothing is learned; lower it for more than a smoke test"
    )


DOUBTS = (
    _of_names,
    _of_empty_classes,
    _of_alike_names,
    _of_shared_videos,
    _of_one_class,
    _of_single_labels,
    _of_mirroring,
    _of_frozen_chance,
    _of_unused_statistics,
    _of_warmup,
)
