"""Faster engines and lower precisions for a trained network, chosen on the user's own videos."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from video_rs.builders import build_workers
from video_rs.config import config_from_text
from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.evaluation import NetworkScorer
from video_rs.inference.accelerate import Accelerated, accelerate, require_choice
from video_rs.inference.precision import Samples
from video_rs.inference.predictor import Predictor
from video_rs.inference.sample_views import sample_views
from video_rs.inference.video_scoring import largest_clips, require_clips, require_views
from video_rs.lists.records import RecordList, read_records
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.models.fast import make_plain
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.video.fetching import handler_names, register_handlers


@dataclass(frozen=True)
class EngineChoice:
    """What computes a network, as somebody asks for it.

    Attributes:
        engine: of :func:`~video_rs.inference.accelerate.accelerate`; "eager" in float32 is the network itself.
        precision: likewise.
        calibration: list whose videos a precision is chosen by; "": the training rows of the run's own list.
    """

    engine: str = "eager"
    precision: str = "float32"
    calibration: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether the network itself is asked for."""
        return (self.engine, self.precision) == ("eager", "float32")


PLAIN = EngineChoice()


def accelerated(
    scorer: NetworkScorer, choice: EngineChoice, checkpoint: Mapping[str, Any], read: ViewReader, batch: int
) -> NetworkScorer:
    """Return a scorer whose network is computed as asked for, and print what was chosen.

    Args:
        scorer: of the network itself.
        choice: what was asked for.
        checkpoint: of the run.
        read: makes views of videos.
        batch: views per forward pass, at most.

    Raises:
        InputError: an engine or precision that is not to be had, no videos to choose a precision by, or a GPU that
            computes the network's largest convolutions wrongly in bfloat16.
    """
    if choice.is_plain:
        _refuse_useless_calibration(choice)
        return scorer

    require_clips(read.preprocessing)
    device = next(scorer.model.parameters()).device
    any_size = read.preprocessing.views == "full"
    # Before minutes of reading.
    require_choice(choice.engine, choice.precision, device, any_size)
    samples = _samples(choice, scorer, checkpoint, read)

    # What graphs are captured of is the plain network.
    model = make_plain(copy.deepcopy(scorer.model))
    clip_shape = read.preprocessing.clip_shape(batch)

    def make(engine: str, precision: str) -> Accelerated:
        return accelerate(model, clip_shape, engine, precision, samples, any_size)

    fast = _alike(make, choice)
    if fast.precision == "bfloat16":
        # A fault in a small part of large maps hardly moves the logits that a precision is judged by.
        largest = largest_clips(scorer.model, read.preprocessing, batch)
        require_right_convolutions(scorer.model, largest, torch.bfloat16, "take --precision float32")
    print_line(describe(fast))
    return replace(scorer, run=fast)


def _samples(
    choice: EngineChoice, scorer: NetworkScorer, checkpoint: Mapping[str, Any], read: ViewReader
) -> Samples | None:
    """Return the clips that a precision is chosen by; None where none is to be chosen."""
    if choice.precision == "float32":
        _refuse_useless_calibration(choice)
        return None
    records = records_to_choose_by(choice.calibration, checkpoint, "--calibration")
    workers = build_workers(config_from_text(checkpoint["config"]))
    calibration, check = sample_views(records.records, records.source, read, workers)
    return Samples(calibration, check, scorer.prepare, scorer.probabilities)


def _alike(make: Callable[[str, str], Accelerated], choice: EngineChoice) -> Accelerated:
    """Return what is made of a choice: what the first process finds fastest, on every process.

    Raises:
        InputError: the first process, or this one, cannot have it.
    """
    found: Accelerated | InputError | None = None
    if distributed.rank() == 0:
        try:
            found = make(choice.engine, choice.precision)
        except InputError as error:
            found = error
    told = (found.engine, found.precision) if isinstance(found, Accelerated) else found
    told = distributed.gather(told)[0]
    if isinstance(told, InputError):
        raise told
    return make(*told) if found is None else found


def accelerated_predictor(predictor: Predictor, choice: EngineChoice, checkpoint_path: str) -> Predictor:
    """Return the predictor of a checkpoint, computed as asked for; see :func:`accelerated`."""
    if choice.is_plain and not choice.calibration:
        return predictor
    require_views(predictor.preprocessing, predictor.stopping, predictor.answers.multi_label)
    checkpoint = load_checkpoint(checkpoint_path)
    handlers = handler_names(config_from_text(checkpoint["config"]).DATA.PATH_HANDLERS)
    # The list of the videos to choose by may lie behind one, too.
    register_handlers(handlers)
    read = ViewReader(predictor.preprocessing, VideoSource(predictor.decoder, path_handlers=handlers))
    scorer = accelerated(predictor.scorer, choice, checkpoint, read, predictor.batch)
    return Predictor(
        scorer,
        predictor.preprocessing,
        predictor.answers,
        predictor.decoder,
        predictor.batch,
        predictor.stopping,
    )


def facts_of(scorer: NetworkScorer) -> dict[str, Any]:
    """Return what metrics.json says of the arithmetic: engine, precision, and what that changes on real clips."""
    fast = scorer.run
    if not isinstance(fast, Accelerated):
        return {"engine": PLAIN.engine, "precision": PLAIN.precision}
    facts: dict[str, Any] = {"engine": fast.engine, "precision": fast.precision}
    if fast.loss is not None:
        facts["against_float32"] = fast.loss._asdict()
    return facts


def describe(fast: Accelerated) -> str:
    """Return in a line what computes, and what its precision changes."""
    words = f"computed by {fast.engine} in {fast.precision}"
    if fast.loss is None:
        return words
    return f"{words}: against float32 {fast.loss}"


def _refuse_useless_calibration(choice: EngineChoice) -> None:
    """Raise InputError where a list is given that nothing is chosen by."""
    if choice.calibration:
        raise InputError(
            "--calibration says nothing with --precision float32; add --precision auto, bfloat16 or int8, or leave it "
            "out"
        )


def records_to_choose_by(list_path: str, checkpoint: Mapping[str, Any], option: str) -> RecordList:
    """Return the training rows of a list, or of the run's own.

    Args:
        list_path: the list; "": the run's.
        checkpoint: of the run.
        option: that names another list, for messages.

    Raises:
        InputError: it cannot be read.
    """
    if list_path:
        return read_records(list_path, split="train", require_labels=False)

    data = config_from_text(checkpoint["config"]).DATA
    try:
        return read_records(data.TRAIN_LIST, split="train", root=data.ROOT, require_labels=False)
    except InputError as error:
        raise InputError(
            "a precision is chosen by real videos, and those that the run was trained on are not to be had "
            f"({error}); give {option} LIST"
        ) from error
