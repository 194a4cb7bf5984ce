"""A teacher from whatever holds a trained network: a run, an exported file, a network of the transformers package."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from video_rs.data.teacher import Teacher
from video_rs.inference.loading import load_predictor
from video_rs.inference.teachers.hugging_face import HubFolder, load_hugging_face
from video_rs.models.hub import CONFIG, WEIGHTS, is_repository
from video_rs.runtime.errors import InputError
from video_rs.runtime.file_hash import file_hash
from video_rs.runtime.torch_files import find_checkpoint, first_sentence

# What of a repository is needed: settings and weights.
PATTERNS = ("*.json", "*.safetensors", "pytorch_model*.bin")


def load_teacher(source: str, device: str = "auto", trusted: bool = False) -> Teacher:
    """Return a teacher.

    Args:
        source: a run's folder or a .pth file of one; a file of ``video-rs export``; or a folder, or a repository
            OWNER/NAME of the Hugging Face hub, with a video classifier of the transformers package or of this project.
        device: "auto", "cpu", "cuda" or "mps".
        trusted: whether a .pt2 file, which can run code as it is read, is taken.

    Raises:
        InputError: there is no network at ``source``, it cannot be read, or a package is missing.
    """
    path = Path(source)
    if not path.exists() and not path.suffix and is_repository(source):
        path = _downloaded(source)
    if path.is_dir() and _is_of_transformers(path):
        return load_hugging_face(HubFolder(source, path, files_hash(_needed_files(path))), device)

    predictor = load_predictor(path, device, trusted=trusted)
    answers = predictor.answers
    digest = files_hash(_weight_files(path))
    return Teacher(source, digest, answers.label_names, answers.multi_label, predictor.preprocessing, predictor.scorer)


def _is_of_transformers(folder: Path) -> bool:
    """Return whether a folder holds a network of the transformers package."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config


def _needed_files(folder: Path) -> list[Path]:
    """Return the files of a repository that make the network, in the order of their names."""
    return sorted({path for pattern in PATTERNS for path in folder.glob(pattern)})


def _downloaded(name: str) -> Path:
    """Return the folder of a repository of the hub, from its cache where it is there already."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise InputError(
            f"no folder or file {name}; a repository of the hub needs huggingface_hub: pip install 'video_rs[teachers]'"
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(PATTERNS)))
    except Exception as error:  # the hub, the network and the cache have errors of their own
        raise InputError(
            f"no folder or file {name}, and the hub does not give such a repository ({first_sentence(error)}); give a "
            "folder, a file, or OWNER/NAME"
        ) from error


def _weight_files(path: Path) -> list[Path]:
    """Return the files that hold what a predictor was made of."""
    if path.is_dir() and (path / WEIGHTS).is_file():
        return [path / WEIGHTS]
    if path.is_dir():
        return [find_checkpoint(path)]
    # OpenVINO keeps the weights in a file beside the graph.
    beside = path.with_suffix(".bin")
    if path.suffix == ".xml" and beside.is_file():
        return [path, beside]
    return [path]


def files_hash(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of a file, whatever its name, or that of the names and contents of several.

    Args:
        paths: of the files; folders among them are left out.
    """
    contents = {}
    for path in paths:
        if path.is_file():
            contents[path.name] = file_hash(path)
    if len(contents) == 1:
        return next(iter(contents.values()))

    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name} {content}\n".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()
