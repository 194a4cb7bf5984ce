"""Checkpoints survive interrupted writes, run no code, and refuse foreign files in one clear line."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch

from helpers.checkpoints import state
from video_rs.engine import checkpoint
from video_rs.engine.checkpoint import FORMAT, changed_keys, copy_checkpoint, load_checkpoint, save_checkpoint
from video_rs.runtime.errors import InputError


def refusal(path):
    """The message that refuses ``path``: one line that names it."""
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message.replace(str(path), "PATH")


def test_round_trip(tmp_path):
    path = tmp_path / "new" / "folder" / "last.pth"
    save_checkpoint(path, state(3))
    loaded = load_checkpoint(str(path))
    expected = state(3)
    for part in ("model", "ema"):
        assert list(loaded[part]) == list(expected[part])
        for name, value in expected.pop(part).items():
            assert loaded[part][name].dtype == value.dtype
            assert torch.equal(loaded[part][name], value)
        del loaded[part]
    # What checkpoints did not say before there were videos of several labels.
    assert loaded == {"multi_label": False, **expected}
    assert os.listdir(path.parent) == ["last.pth"]
    save_checkpoint(path, {**state(3), "multi_label": True})
    assert load_checkpoint(path)["multi_label"] is True


def test_a_failing_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pth"
    save_checkpoint(path, state(1))
    before = path.read_bytes()
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        save_checkpoint(path, {**state(2), "config": lambda: None})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.pth"]


@pytest.mark.parametrize("moment", ["write", "replace"])
def test_a_killed_write_leaves_the_old_file(tmp_path, moment):
    path = tmp_path / "last.pth"
    save_checkpoint(path, state(1))
    before = path.read_bytes()
    # The child dies without a chance to clean up: within torch.save, after half of the bytes, or before the rename.
    script = f"""
        import io, os, signal
        from pathlib import Path
        import torch
        from video_rs.engine.checkpoint import save_checkpoint
        whole = torch.save
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        def half(state, file):
            buffer = io.BytesIO()
            whole(state, buffer)
            file.write(buffer.getvalue()[: len(buffer.getvalue()) // 2])
            file.flush()
            die()
        if {moment!r} == "write":
            torch.save = half
        else:
            os.replace = die
        save_checkpoint(Path({str(path)!r}), {{"model": torch.zeros(1000)}})
    """
    repository = Path(checkpoint.__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=repository, timeout=120, check=False)
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / "last.pth.partial").stat().st_size > 0  # it did get that far
    assert path.read_bytes() == before
    save_checkpoint(path, state(2))  # and the next write is not in the way of the remains
    assert load_checkpoint(path)["step"] == 2
    assert os.listdir(tmp_path) == ["last.pth"]


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_file_with_code_is_refused_and_not_run(tmp_path, writer):
    path, trace = tmp_path / "evil.pth", tmp_path / "ran"
    evil = {**state(), "config": Payload(trace)}
    if writer == "torch":
        torch.save(evil, path)
    else:
        path.write_bytes(pickle.dumps(evil, protocol=2))
    assert (
        refusal(path) == "PATH is refused: it holds more than tensors and plain data, and reading it could run its code"
    )
    assert not trace.exists()
    if writer == "torch":  # the payload is live: without weights_only it runs
        torch.load(path, weights_only=False)
        assert trace.exists()


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_file(tmp_path, kept):
    path = tmp_path / "last.pth"
    save_checkpoint(path, state())
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    message = refusal(path)
    assert message.startswith(("PATH is damaged, cut short or no checkpoint at all (", "PATH is refused"))
    assert "weights_only" not in message  # torch's own text advises to switch the protection off
    if kept != 10:
        assert message.startswith("PATH is damaged")


NO_CHECKPOINT = "PATH is no checkpoint; give a file that training or torch.save wrote, e.g. RUN/checkpoints/last.pth"


@pytest.mark.parametrize(
    "content",
    [
        b"hello world\n",
        b"class,label\na,b\n1,2\n",  # to a pickle, "c" names what to import
        b"path,label\n",
        b"\x00\x00\x00 ftypisom\x00\x00\x02\x00isomiso2avc1mp41",
        b"\x1aE\xdf\xa3\x01\x00\x00\x00",  # Matroska
        b"RIFF\x24\x00\x00\x00AVI LIST",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"{}",
    ],
)
def test_a_file_of_another_kind_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "notes.pth"
    path.write_bytes(content)
    assert refusal(path) == NO_CHECKPOINT


def test_an_old_pickle_with_code_is_one(tmp_path):
    """Protocol 0 is text; it has no mark at its start."""
    path, trace = tmp_path / "evil.pth", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Payload(trace), protocol=0))
    assert refusal(path).startswith("PATH is refused: it holds more than tensors and plain data")
    assert not trace.exists()


def test_a_checkpoint_in_torchs_old_format_is_read(tmp_path):
    path = tmp_path / "old.pth"
    torch.save(state(4), path, _use_new_zipfile_serialization=False)
    assert load_checkpoint(path)["step"] == 4
    torch.save({**state(), "config": Payload(tmp_path / "ran")}, path, _use_new_zipfile_serialization=False)
    assert refusal(path).startswith("PATH is refused: ")
    assert not (tmp_path / "ran").exists()


def test_every_changed_byte_of_the_contents_is_noticed(tmp_path):
    """torch.load reads other numbers without a word; the checksums tell."""
    path = tmp_path / "last.pth"
    save_checkpoint(path, state(1))
    whole, expected = path.read_bytes(), state(1)["model"]["fc.weight"]
    with zipfile.ZipFile(path) as file:
        parts = {info.filename: info for info in file.infolist()}
        part = next(name for name in parts if name.endswith("/data/0"))
        contents = file.read(part)
    start = whole.index(contents, parts[part].header_offset)
    for i in range(len(contents)):
        path.write_bytes(whole[: start + i] + bytes([whole[start + i] ^ 4]) + whole[start + i + 1 :])
        assert not torch.equal(
            torch.load(path, weights_only=True)["model"]["fc.weight"], state(1)["model"]["fc.weight"]
        )
        assert refusal(path) == f"PATH is damaged: the checksum of its part {part} differs; take another checkpoint"
    # And none of the rest of the file, headers and all, turns into other numbers.
    for i in range(0, len(whole), 7):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        with contextlib.suppress(InputError):
            loaded = load_checkpoint(path)
            assert loaded["step"] == 1
            assert torch.equal(loaded["model"]["fc.weight"], expected)


def test_a_missing_file_and_a_folder(tmp_path):
    assert refusal(tmp_path / "none.pth") == "no checkpoint at PATH; train first, or give the path of a .pth file"
    assert refusal(tmp_path) == (
        "folder PATH holds no checkpoint (checkpoints/last.pth); train first, or give a .pth file"
    )


def test_other_contents(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"model": {}, "epoch": 3, "step": 1}, path)
    assert refusal(path) == (
        "PATH is not a checkpoint of this project: it has no format, ema, architecture, num_classes, multi_label, "
        "label_names, preprocessing, config; weights alone can start a run with MODEL.PRETRAINED"
    )
    torch.save([torch.zeros(1)], path)
    assert refusal(path) == "PATH is not a checkpoint of this project: it holds a list"


def test_another_format_is_named_even_if_it_has_other_keys(tmp_path):
    path = tmp_path / "future.pth"
    save_checkpoint(path, {**state(), "format": FORMAT + 1})
    expected = f"PATH has checkpoint format {FORMAT + 1}; this version reads {FORMAT}"
    assert refusal(path) == expected
    save_checkpoint(path, {"format": FORMAT + 1, "weights": {}})
    assert refusal(path) == expected


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_survives_its_source(tmp_path, monkeypatch, links):
    if not links:

        def refuse(*_):
            raise OSError("no hard links here")

        monkeypatch.setattr(checkpoint.os, "link", refuse)
    source, target = tmp_path / "last.pth", tmp_path / "best.pth"
    save_checkpoint(source, state(1))
    copy_checkpoint(source, target)
    first = source.read_bytes()
    assert target.read_bytes() == first
    save_checkpoint(source, state(2))
    assert load_checkpoint(source)["step"] == 2
    assert target.read_bytes() == first
    copy_checkpoint(source, target)
    copy_checkpoint(source, target)  # already the same file
    assert target.read_bytes() == source.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["best.pth", "last.pth"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        save_checkpoint(tmp_path / "file" / "last.pth", state())
    assert str(caught.value) == (
        f"cannot write {tmp_path}/file/last.pth: File exists; there is none from before; make room there and go on"
    )


def test_changed_keys():
    before = {"A": 1, "B": "x", "C": [1, 2], "GONE": 0.5, "FREE": 1, "SAME": None}
    now = {"A": 2, "B": "x", "C": [1, 3], "FREE": 2, "SAME": None, "NEW": "y"}
    assert changed_keys(before, now, ignored=("FREE",)) == [
        "A: 1 -> 2",
        "C: [1, 2] -> [1, 3]",
        "GONE: 0.5 -> None",
        "NEW: None -> 'y'",
    ]
    assert changed_keys(before, dict(before), ignored=()) == []
