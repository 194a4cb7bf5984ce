"""The run log: one JSON object a line in ``log.jsonl``, and the same scalars for TensorBoard.

A line is ``{"kind": "train" | "validation", "time": unix seconds, "step": int, "epoch": float, **scalars}`` or
``{"kind": "event", "time", "step", "event": its kind, "message": text, **fields}``. JSON has no NaN or infinity: the
log has the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` for them, and any JSON parser reads the file.
:func:`read_log` gives the floats of train and validation records back.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

from video_rs.runtime.atomic import replace_text
from video_rs.runtime.errors import InputError

RESERVED = frozenset({"kind", "time", "step", "epoch", "event", "message"})
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class RunLog:
    """Appends to ``folder/log.jsonl`` and ``folder/tensorboard``; one process writes (rank 0).

    Args:
        folder: the run's output folder; made where it lacks.
        resume_step: the step of the checkpoint that training continues from. Lines of later steps, left by the run that
            was killed, are dropped: no curve holds a step twice. None starts a new log in place of an older one.
    """

    def __init__(self, folder: str | Path, resume_step: int | None = None):
        folder = Path(folder)
        self.path = folder / "log.jsonl"
        self._step = resume_step or 0

        kept = []
        first_new_step = 0
        if resume_step is not None:
            kept = _lines_up_to(self.path, resume_step)
            first_new_step = resume_step + 1
        replace_text(self.path, "".join(kept))
        self._file = self.path.open("a", encoding="utf-8")
        self._tensorboard = _summary_writer(folder / "tensorboard", first_new_step)

    def train(self, step: int, epoch: float, **scalars: float | None) -> None:
        """Log a training step: ``loss``, ``lr``, ``top1``, ``clips_per_s``, ``data_wait``, … (numbers or None)."""
        self._scalars("train", step, epoch, scalars)

    def validation(self, step: int, epoch: float, **scalars: float | None) -> None:
        """Log a validation: ``loss``, ``top1``, ``topk``, ``k``, ``videos``, ``failed``, … (numbers or None)."""
        self._scalars("validation", step, epoch, scalars)
        self._tensorboard.flush()

    def event(self, kind: str, message: str, **fields: Any) -> None:
        """Log something in words, at the last logged step unless ``fields`` hold another ``step``."""
        step = fields.pop("step", self._step)
        assert not RESERVED & fields.keys(), f"reserved names in {sorted(fields)}"
        self._write("event", {"step": step, "event": kind, "message": message, **fields})

    def close(self) -> None:
        """Flush and close both files; a second call does nothing."""
        self._file.close()
        self._tensorboard.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _scalars(self, kind: str, step: int, epoch: float, scalars: dict[str, Any]) -> None:
        assert not RESERVED & scalars.keys(), f"reserved names in {sorted(scalars)}"
        self._step = step
        numbers = {"epoch": epoch}
        for name, value in scalars.items():
            numbers[name] = _plain(value)

        self._write(kind, {"step": step, **numbers})
        for name, value in numbers.items():
            if value is not None:
                self._tensorboard.add_scalar(f"{kind}/{name}", value, step)

    def _write(self, kind: str, record: dict[str, Any]) -> None:
        self._file.write(_dump({"kind": kind, "time": time.time(), **record}))
        # After every line: a killed run loses nothing.
        self._file.flush()


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Return every record of ``log.jsonl`` in order; a last line torn by a kill is left out.

    Raises:
        InputError: there is no such file, or a line before the last is no JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such run log; give the log.jsonl of a run's output folder")

    lines = path.read_bytes().splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(_parse(line))
        except ValueError as error:
            if number < len(lines):
                problem = "is not a JSON object; remove that line to read the rest"
                raise InputError(f"{path}: line {number} of {len(lines)} {problem}") from error
    return records


def _parse(line: bytes) -> dict[str, Any]:
    """Return the record of a line; ValueError where it is no JSON object."""
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError("not an object")
    # The words of an event stay words.
    if record.get("kind") == "event":
        return record

    for key, value in record.items():
        if isinstance(value, str):
            record[key] = NOT_FINITE.get(value, value)
    return record


def _lines_up_to(path: Path, last_step: int) -> list[str]:
    """Return the lines of a log, if there is one, without those of later steps."""
    if not path.exists():
        return []
    lines = []
    for record in read_log(path):
        step = record.get("step") or 0
        if step <= last_step:
            lines.append(_dump(record))
    return lines


def _dump(record: dict[str, Any]) -> str:
    return json.dumps(_json_safe(record), allow_nan=False) + "\n"


def _json_safe(value: Any) -> Any:
    """Return what JSON can hold in the place of a value."""
    value = _plain(value)
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return "NaN"
        return "Infinity" if value > 0 else "-Infinity"

    if isinstance(value, dict):
        return {str(key): _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _plain(value: Any) -> Any:
    """Return a Python number for a one-element tensor, array or NumPy scalar; anything else as it is."""
    if hasattr(value, "item"):
        return value.item()
    return value


def _summary_writer(folder: Path, first_new_step: int) -> Any:
    """Return TensorBoard's writer; steps from ``first_new_step`` on that older files hold are not shown any more."""
    # Slow to import, and only a run that logs needs it.
    from torch.utils.tensorboard import SummaryWriter

    # TensorBoard reads a folder's files by name: one of the same second may come after the new one.
    if first_new_step == 0:
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
    return SummaryWriter(str(folder), purge_step=first_new_step)
