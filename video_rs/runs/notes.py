"""What a run says of itself before its first step, and what is doubtful about what it was given."""

from collections.abc import Callable, Iterator

from video_rs.builders import Training
from video_rs.lists.checks import segments
from video_rs.lists.class_notes import alike_names_notes, empty_classes_note
from video_rs.lists.sources.folder import mirrored_names
from video_rs.models.resnet3d import FEATURES
from video_rs.runs.few_label_notes import (
    compared,
    distilled,
    empty_pseudo_classes,
    fewer_negatives,
    labelled_twice,
    other_span,
    pseudo_labelled,
    repeated_in_a_batch,
    statistics_of_partners,
    unused_pseudo_keys,
    unused_temperature,
)
from video_rs.runs.start import Start
from video_rs.runtime import distributed
from video_rs.runtime.devices import has_bfloat16
from video_rs.runtime.wording import pluralize


def summary(start: Start) -> Iterator[str]:
    """Yield lines about the network, the data, the steps, and the options that change what others mean."""
    training = start.training
    config = training.config
    yield _what_is_trained(start)

    if config.DATA.TARGET_FPS:
        seconds = config.DATA.NUM_FRAMES * config.DATA.SAMPLING_RATE / config.DATA.TARGET_FPS
        yield (
            f"clips of {config.DATA.NUM_FRAMES} frames span {seconds:.3g} s of every video, whatever its rate "
            f"(DATA.TARGET_FPS {config.DATA.TARGET_FPS:g})"
        )

    if training.lists.pseudo is not None:
        yield pseudo_labelled(training)
    if training.teacher is not None:
        yield distilled(training)
    if training.is_pretraining:
        yield compared(training)

    solver = config.SOLVER
    if solver.LR_FOR_BATCH_SIZE:
        yield (
            f"learning rate {solver.BASE_LR:.4g} x {training.plan.batch_size} / {solver.LR_FOR_BATCH_SIZE} clips = "
            f"{training.step.schedule.base_lr:.4g} (SOLVER.LR_FOR_BATCH_SIZE)"
        )
    if solver.LAYER_DECAY != 1:
        parts = ("classifier", *reversed(FEATURES))
        rates = [f"{name} {solver.LAYER_DECAY**depth:.2g}" for depth, name in enumerate(parts)]
        yield f"rates over the learning rate: {', '.join(rates)} (SOLVER.LAYER_DECAY)"
    if solver.CLASS_WEIGHTS:
        yield _class_weights(training)


def _what_is_trained(start: Start) -> str:
    """Return the line with network, data, steps and device."""
    training = start.training
    parameters = 0
    trained = 0
    for parameter in training.step.model.parameters():
        parameters += parameter.numel()
        if parameter.requires_grad:
            trained += parameter.numel()
    frozen = ""
    if training.config.MODEL.FROZEN_STAGES:
        # A last layer alone would be 0.00 M.
        count = f"{trained / 1e6:.2f} M" if trained >= 10_000 else f"{trained:,}"
        frozen = f" ({count} of them trained)"

    lists = training.lists
    output = pluralize(len(lists.label_names), "class", "classes")
    if training.is_pretraining:
        output = f"projection to {pluralize(training.config.CONTRAST.PROJECTION_DIM, 'number')}"
    videos = pluralize(len(lists.train), "training video")
    held_out = 0 if lists.val is None else len(lists.val)

    plan = training.plan
    epochs = plan.epoch(plan.total_steps)
    steps = f"{pluralize(plan.total_steps, 'step')} of {pluralize(plan.batch_size, 'clip')} ({epochs:.1f} epochs)"
    return (
        f"{training.config.MODEL.ARCH}, {parameters / 1e6:.2f} M parameters{frozen}, {output}; {videos}, {held_out} "
        f"for validation; {steps} on {distributed.world_size()} x {training.device.type}, output in {start.folder.path}"
    )


def _class_weights(training: Training) -> str:
    """Return the line with the smallest and the largest weight of a class that has videos."""
    weights = training.step.objective.loss.weights
    names = training.lists.label_names
    # Of classes without videos the weights say nothing.
    present = {label for record in training.lists.train.records for label in record.labels}
    pairs = sorted((float(weights[label]), names[label]) for label in present)
    least_weight, least_name = pairs[0]
    most_weight, most_name = pairs[-1]
    return (
        f"weights in the loss: {least_weight:.2g} ({least_name}) to {most_weight:.2g} ({most_name}) "
        "(SOLVER.CLASS_WEIGHTS)"
    )


def doubts(start: Start) -> list[str]:
    """Return a sentence for each thing that may not be meant."""
    asked = DOUBTS
    if not start.training.is_pretraining:
        asked = DOUBTS_ON_CLASSES + DOUBTS
    found = [doubt(start) for doubt in asked]
    return [sentence for sentence in found if sentence]


def unnamed_classes(start: Start) -> str:
    """Return a sentence on a network with more classes than there are names."""
    lists = start.training.lists
    named = len(lists.train.label_names)
    classes = len(lists.label_names)
    if named == classes:
        return ""
    return (
        f"MODEL.NUM_CLASSES is {classes}, but only {named} classes have names; the numbers {named} to {classes - 1} "
        "stand in for the others'"
    )


def empty_classes(start: Start) -> str:
    """Return a sentence on classes without training videos."""
    train = start.training.lists.train
    present = {label for record in train.records for label in record.labels}
    return empty_classes_note(present, train.label_names, "training videos")


def alike_names(start: Start) -> str:
    """Return a sentence on class names that differ little."""
    return "; ".join(alike_names_notes(start.training.lists.train.label_names))


def shared_videos(start: Start) -> str:
    """Return a sentence on validation videos that are trained on."""
    lists = start.training.lists
    shared = segments(lists.train) & segments(lists.val)
    if not shared:
        return ""
    return (
        f"{len(shared)} of {len(lists.val)} validation videos are training videos too, so the accuracy says little "
        "about new ones; give each list rows of its own, or a column split"
    )


def single_class(start: Start) -> str:
    """Return a sentence on a run of one class."""
    if len(start.training.lists.label_names) > 1:
        return ""
    return "there is a single class, so every answer is right; train with two or more"


def single_labels(start: Start) -> str:
    """Return a sentence on a multi-label run whose videos have one label each."""
    training = start.training
    if not training.config.DATA.MULTI_LABEL:
        return ""
    if any(len(record.labels) != 1 for record in training.lists.train.records):
        return ""
    return "DATA.MULTI_LABEL is true, but every training video has one label; without it, classes exclude each other"


def mirrored_classes(start: Start) -> str:
    """Return a sentence on mirroring of clips where a class is another one in the mirror."""
    training = start.training
    if not training.config.DATA.RANDOM_FLIP:
        return ""
    mirrored = mirrored_names(training.lists.label_names)
    if not mirrored:
        return ""
    return (
        f"clips are mirrored, which makes the class {mirrored[0]!r} another; set DATA.RANDOM_FLIP false if that is a "
        "matter of direction"
    )


def frozen_random_weights(start: Start) -> str:
    """Return a sentence on frozen parts that were never trained."""
    frozen = start.training.config.MODEL.FROZEN_STAGES
    if start.has_trained_weights or not frozen:
        return ""
    return (
        f"MODEL.FROZEN_STAGES {frozen} keeps random weights; start from trained ones with --finetune or "
        "MODEL.PRETRAINED"
    )


def unused_statistics(start: Start) -> str:
    """Return a sentence on precise batch-norm statistics that are never computed."""
    training = start.training
    if not training.config.BN.NUM_BATCHES_PRECISE:
        return ""
    if training.config.MODEL.FROZEN_STAGES == 5:
        return "BN.NUM_BATCHES_PRECISE does nothing with MODEL.FROZEN_STAGES 5, which keeps all statistics"
    if training.lists.val is None:
        return (
            "BN.NUM_BATCHES_PRECISE does nothing without a DATA.VAL_LIST: statistics are computed before a validation"
        )
    return ""


def endless_warmup(start: Start) -> str:
    """Return a sentence on a warm-up that is not shorter than the run."""
    schedule = start.training.step.schedule
    if schedule.warmup_steps < schedule.total_steps:
        return ""
    steps = pluralize(schedule.warmup_steps, "step")
    return (
        f"the warm-up ({steps}, SOLVER.WARMUP_EPOCHS) is not shorter than the run, so the learning rate stays at 0 and "
        "nothing is learned; for more than a smoke test set SOLVER.WARMUP_EPOCHS 0"
    )


def slow_precision(start: Start) -> str:
    """Return a sentence on bfloat16 that the device has no instructions for."""
    training = start.training
    kinds = {"cpu": "processor", "cuda": "GPU"}
    kind = kinds.get(training.device.type)
    if kind is None or training.precision != "bfloat16" or has_bfloat16(training.device):
        return ""
    way_out = "set TRAIN.PRECISION float32"
    if start.is_resumed:
        way_out = "TRAIN.PRECISION float32 --allow-changes goes on in that"
    return (
        f"this run computes in bfloat16, for which this {kind} has no instructions: the numbers are "
        f"right, and each step takes longer than in float32; {way_out}"
    )


DOUBTS_ON_CLASSES: tuple[Callable[[Start], str], ...] = (
    unnamed_classes,
    empty_classes,
    alike_names,
    shared_videos,
    labelled_twice,
    empty_pseudo_classes,
    unused_temperature,
    unused_pseudo_keys,
    other_span,
    single_class,
    single_labels,
    mirrored_classes,
)
DOUBTS: tuple[Callable[[Start], str], ...] = (
    fewer_negatives,
    repeated_in_a_batch,
    statistics_of_partners,
    frozen_random_weights,
    unused_statistics,
    endless_warmup,
    slow_precision,
)
