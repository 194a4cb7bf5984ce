"""Checkpoints: written whole or not at all, read without running code and checked bit for bit, compared before use."""

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import find_checkpoint, read_torch_file, verify_checksums
from video_rs.runtime.unfinished import unfinished

FORMAT = 1
REQUIRED = (
    "format",
    "model",
    "ema",
    "architecture",
    "num_classes",
    "multi_label",
    "label_names",
    "preprocessing",
    "config",
    "step",
)


def save_checkpoint(path: Path, state: Mapping[str, Any], then: str = "go on") -> None:
    """Write a state beside ``path``, flush it to the disk, then rename it into place.

    A process killed at any moment leaves the previous file or the new one, never a part of one.

    Args:
        path: of the checkpoint; its folder is made.
        state: tensors and plain data.
        then: what to do after making room on the disk, for the message.

    Raises:
        InputError: the disk is full, or cannot be written to.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished(partial):
            with open(partial, "wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        raise _unwritable(path, partial, error, then) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _unwritable(path: Path, partial: Path, error: Exception, then: str) -> InputError:
    """Return the reason behind an error of torch.save, which says of some that its stream failed, and no more."""
    cause = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__

    reason = str(error).split("\n")[0]
    if cause is not None and cause.strerror:
        reason = cause.strerror
    if cause is not None and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        reason += f" after {_size(partial) / 2**20:.1f} MiB"
    before = "the one from before is whole" if path.is_file() else "there is none from before"
    return InputError(f"cannot write {path}: {reason}; {before}; make room there and {then}")


def _size(path: Path) -> int:
    """Return the bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def copy_checkpoint(source: Path, target: Path) -> None:
    """Make ``target`` the file that ``source`` is now, without writing it again where the file system can link."""
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        # Some network and FAT file systems have no hard links.
        shutil.copyfile(source, partial)

    os.replace(partial, target)
    # Renaming one link of a file onto another does nothing (POSIX): the target was the source already.
    partial.unlink(missing_ok=True)


def load_checkpoint(path: str | Path, needs_classes: bool = True) -> dict[str, Any]:
    """Return a checkpoint of this project, on the CPU.

    A file that carries code is refused, not run; so is a file of which a bit has changed since it was written.

    Args:
        path: a .pth file, or a run's folder for the checkpoint in it.
        needs_classes: refuse the checkpoint of a pre-training run, which has no classifier.

    Raises:
        InputError: no such file, not a checkpoint, or not one of this project.
    """
    path = find_checkpoint(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; train first, or give the path of a .pth file")
    checkpoint = read_torch_file(path)
    verify_checksums(path)

    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} is not a checkpoint of this project: it holds a {type(checkpoint).__name__}")
    # Before the keys: another format may well have others.
    if "format" in checkpoint and checkpoint["format"] != FORMAT:
        raise InputError(f"{path} has checkpoint format {checkpoint['format']}; this version reads {FORMAT}")
    missing = [key for key in REQUIRED if key not in checkpoint]
    if missing:
        raise InputError(
            f"{path} is not a checkpoint of this project: it has no {', '.join(missing)}; "
            "weights alone can start a run with MODEL.PRETRAINED"
        )
    if is_of_pretraining(checkpoint):
        if needs_classes:
            raise InputError(
                f"{path} is of a pre-training run, which has no classifier; fine-tune it: video-rs train --cfg CFG "
                f"--finetune {path}, or test its features: video-rs knn --checkpoint {path}"
            )
        return checkpoint
    names = checkpoint["label_names"]
    if not names or len(names) != checkpoint["num_classes"]:
        raise InputError(
            f"{path} is no whole checkpoint: {len(names)} class names for {checkpoint['num_classes']} classes; take "
            "another one of the run"
        )

    return checkpoint


def is_of_pretraining(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint is of a pre-training run: its network has a projection head, and no classes."""
    return "projection" in checkpoint


def changed_keys(before: Mapping[str, Any], now: Mapping[str, Any], ignored: tuple[str, ...]) -> list[str]:
    """Return ``KEY: old -> new`` for each key whose value differs, but for the ignored ones."""
    changes = []
    for key in {**before, **now}:
        old = before.get(key)
        new = now.get(key)
        if key not in ignored and old != new:
            changes.append(f"{key}: {old!r} -> {new!r}")
    return changes
