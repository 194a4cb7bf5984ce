"""A predictor from an exported network: the same reading, views and answers, with another one's arithmetic."""

import os
from dataclasses import replace
from pathlib import Path

from video_rs.inference.export.formats import ENDINGS, FORMATS, format_by_ending
from video_rs.inference.predictor import Predictor
from video_rs.models.hub import WEIGHTS, download, is_repository
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence


def load_program(
    path: str | os.PathLike, device: str = "auto", decoder: str = "auto", trusted: bool = False, views: str = ""
) -> Predictor:
    """Return a predictor that runs a file of ``video-rs export``.

    Args:
        path: of a ``.onnx``, ``.safetensors``, ``.xml`` (OpenVINO) or ``.pt2`` file, or of a folder with
            ``model.safetensors`` in it; or a repository of the Hugging Face hub with such a file, OWNER/NAME.
        device: "auto", "cpu", "cuda" or "mps"; all but ``.safetensors`` run on the CPU.
        decoder: one of :data:`video_rs.video.DECODERS`.
        trusted: whether a ``.pt2`` file is from somebody trusted: code in it runs as it is read.
        views: one of :data:`video_rs.data.preprocessing.VIEWS`, of which only weights alone answer "dense"; "":
            those of the file.

    Raises:
        InputError: there is no such file, it cannot be read, or a package is missing.
    """
    path = Path(path)
    if path.is_dir():
        path = path / WEIGHTS
    elif not path.exists() and not path.suffix and is_repository(str(path)):
        path = download(str(path))
    kind = format_by_ending(path)
    if kind is None and not path.exists():
        raise InputError(
            f"no model at {path}; allowed: a file that ends with {ENDINGS}, a folder with {WEIGHTS} in it, or a "
            "repository of the hub, OWNER/NAME; make one with video-rs export"
        )
    if kind is None:
        raise InputError(
            f"{path} is no exported network by its ending; allowed: {ENDINGS}; a checkpoint goes with --checkpoint"
        )
    if not path.is_file():
        raise InputError(f"no model at {path}; make one with video-rs export --checkpoint CKPT --out {path}")
    kind.require_for_reading(path)

    # PyTorch unpickles some tensors, and compiles conditions that such a file has as text.
    if kind is FORMATS["torch"] and not trusted:
        raise InputError(
            f"{path} could run code as it is read; take a .onnx or .safetensors file, or for one of your own "
            "load_program(path, trusted=True) in Python (pseudo_label: --trusted)"
        )
    if kind is not FORMATS["safetensors"] and device not in ("auto", "cpu"):
        raise InputError(f"{path} runs on the CPU, not on {device}; take --device cpu, or a .safetensors file")

    try:
        scorer, description = kind.read(path, device)
    except InputError:
        raise
    except Exception as error:  # each runtime raises errors of its own on foreign bytes
        raise unreadable(path, error) from error
    preprocessing = description.preprocessing
    if views:
        preprocessing = replace(preprocessing, views=views)
    stopping = description.calibration.stopping
    return Predictor(scorer, preprocessing, description.answers, decoder, stopping=stopping)


def unreadable(path: Path, error: Exception) -> InputError:
    """Return what is wrong with a file that its runtime refuses."""
    reason = first_sentence(error)
    text = str(error)
    if "opset" in text.lower() or "ir version" in text.lower():
        return InputError(
            f"{path} is of another version of ONNX than the installed onnxruntime reads; update onnxruntime, or export "
            "the checkpoint anew"
        )
    # What C++ says of its own source is no help.
    reason = reason.split("/onnxruntime_src")[0].split("Exception from src")[0].rstrip(" :")
    return InputError(
        f"{path} is damaged, cut short or no {path.suffix} file ({reason}); copy it again, or export it anew"
    )
