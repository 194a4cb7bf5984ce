"""What a run with pseudo-labels, a teacher or no labels says of itself, and what is doubtful about them."""

from video_rs.builders import Training
from video_rs.config import OPTIONS
from video_rs.data.clip_pairs import CLIPS_OF_A_PAIR
from video_rs.lists.checks import segments
from video_rs.runs.start import Start
from video_rs.runtime import distributed
from video_rs.runtime.wording import first_names, pluralize

OF_PSEUDO_LIST = ("DATA.PSEUDO_SHARE", "DATA.PSEUDO_TEMPERATURE", "SOLVER.PSEUDO_WEIGHT")
"""Keys that are about DATA.PSEUDO_LIST."""


def pseudo_labelled(training: Training) -> str:
    """Return the line on the clips whose labels a network has given."""
    lists = training.lists
    data = training.config.DATA
    if lists.soft_labels is None:
        labels = "hard labels"
    else:
        labels = f"soft labels at temperature {data.PSEUDO_TEMPERATURE:g}"
    count = training.plan.further_clips
    return (
        f"{count} of the {pluralize(training.plan.batch_size, 'clip')} of a step are pseudo-labelled "
        f"({count / training.plan.batch_size:.1%}): {pluralize(len(lists.pseudo), 'video')} of {lists.pseudo.source}, "
        f"{labels}, with weight {training.config.SOLVER.PSEUDO_WEIGHT:g} in the loss; epochs are those of the others"
    )


def distilled(training: Training) -> str:
    """Return the line on the teacher."""
    teacher = training.teacher
    distill = training.config.DISTILL
    view = teacher.view
    labels = "labels have no part in the loss"
    if distill.WEIGHT < 1:
        labels = f"labels weigh {1 - distill.WEIGHT:.3g}"
    return (
        f"teacher {teacher.source}, which sees each clip as {view.num_frames} x {view.crop_size} x {view.crop_size}; "
        f"its answers weigh {distill.WEIGHT:g} at temperature {distill.TEMPERATURE:g}, {labels}"
    )


def compared(training: Training) -> str:
    """Return the line on clips that are compared with each other."""
    contrast = training.config.CONTRAST
    plan = training.plan
    clips = plan.batch_size // plan.micro_batches
    line = (
        f"pre-training without labels: two clips of each video, each compared with the {clips - 1} others of "
        f"{pluralize(clips // CLIPS_OF_A_PAIR, 'video')} at temperature {contrast.TEMPERATURE:g}"
    )
    memory = training.lists.memory
    if memory is None:
        return f"{line}; no validation"
    voters = f"{contrast.KNN_K} nearest of {pluralize(len(memory), 'labelled video')} of {memory.source}"
    return f"{line}; in validation, the {voters} vote"


def repeated_in_a_batch(start: Start) -> str:
    """Return a sentence on a list that is shorter than the videos whose clips are told apart."""
    training = start.training
    if not training.is_pretraining:
        return ""
    together = training.plan.batch_size // training.plan.micro_batches // CLIPS_OF_A_PAIR
    videos = len(training.lists.train)
    if videos >= together:
        return ""
    return (
        f"each batch has {together} pairs of clips of {pluralize(videos, 'video')}: clips of one video are told apart "
        f"as if they were of two; lower TRAIN.BATCH_SIZE to {videos * CLIPS_OF_A_PAIR * training.plan.micro_batches}"
    )


def fewer_negatives(start: Start) -> str:
    """Return a sentence on a batch whose clips are not all compared with each other."""
    training = start.training
    parts = training.plan.micro_batches
    if not training.is_pretraining or parts == 1:
        return ""
    clips = training.plan.batch_size // parts
    return (
        f"TRAIN.ACCUMULATION_STEPS {parts}: clips are compared within each micro-batch of {clips}, over all processes, "
        f"not within the batch of {training.plan.batch_size}; more processes do that"
    )


def statistics_of_partners(start: Start) -> str:
    """Return a sentence on batch norm that may tell a process's clips from those of others."""
    training = start.training
    if not training.is_pretraining or distributed.world_size() == 1 or training.config.TRAIN.SYNC_BATCH_NORM:
        return ""
    return (
        "batch norm takes the statistics of each process's clips, by which partners can be told from clips of other "
        "processes; set TRAIN.SYNC_BATCH_NORM true"
    )


def labelled_twice(start: Start) -> str:
    """Return a sentence on videos that are in both training lists."""
    lists = start.training.lists
    shared = segments(lists.train) & segments(lists.pseudo)
    if not shared:
        return ""
    return (
        f"{len(shared)} of {len(lists.pseudo)} pseudo-labelled videos have labels of their own in DATA.TRAIN_LIST, and "
        "are trained on with both; leave them out of DATA.PSEUDO_LIST unless that is meant"
    )


def empty_pseudo_classes(start: Start) -> str:
    """Return a sentence on classes that no pseudo-label names."""
    lists = start.training.lists
    if lists.pseudo is None:
        return ""
    present = {label for record in lists.pseudo.records for label in record.labels}
    absent = [repr(name) for index, name in enumerate(lists.train.label_names) if index not in present]
    if not absent:
        return ""
    return (
        f"{len(absent)} of {len(lists.train.label_names)} classes have no pseudo-labelled videos: "
        f"{first_names(absent)}; they come up in DATA.TRAIN_LIST alone"
    )


def unused_temperature(start: Start) -> str:
    """Return a sentence on a temperature of soft labels that there are not."""
    lists = start.training.lists
    temperature = start.training.config.DATA.PSEUDO_TEMPERATURE
    if lists.pseudo is None or lists.soft_labels is not None or temperature == 1:
        return ""
    return (
        f"DATA.PSEUDO_TEMPERATURE {temperature:g} does nothing: no Parquet file with soft labels lies beside "
        f"{lists.pseudo.source}"
    )


def unused_pseudo_keys(start: Start) -> str:
    """Return a sentence on keys about a list of pseudo-labelled videos that there is not."""
    config = start.training.config
    if config.DATA.PSEUDO_LIST:
        return ""
    values = config.flat()
    unused = [option.key for option in OPTIONS if option.key in OF_PSEUDO_LIST and values[option.key] != option.default]
    if not unused:
        return ""
    return f"{', '.join(unused)}: nothing comes of it without DATA.PSEUDO_LIST"


def other_span(start: Start) -> str:
    """Return a sentence on a teacher that is shown another length of time than it was trained on."""
    training = start.training
    if training.teacher is None:
        return ""
    theirs = training.teacher.preprocessing.clip
    ours = training.preprocessing.clip
    before = theirs.num_frames * theirs.sampling_rate
    now = ours.num_frames * ours.sampling_rate
    if before == now or theirs.target_fps != ours.target_fps:
        return ""
    change = "raise" if now < before else "lower"
    return (
        f"the teacher was trained on clips that span {before} frames of a video, and is shown the {now} that its "
        f"student sees; {change} DATA.SAMPLING_RATE or DATA.NUM_FRAMES where it should see what it knows"
    )
