"""What an exported network says of itself: all that lies between a video file and an answer, as texts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.probabilities import ClassProbabilities
from video_rs.inference.calibration import Calibration, stored_rule
from video_rs.inference.prediction import Answers
from video_rs.models.architecture import Architecture
from video_rs.models.weights.pretrained import stored_architecture
from video_rs.runtime.errors import InputError

FORMAT = "video_rs/1"
INPUT_CONTRACT = {
    "name": "clips",
    "dtype": "uint8",
    "layout": "[batch, channel, frame, height, width]",
    "channels": "RGB",
    "range": [0, 255],
}
OUTPUT_CONTRACT = {"name": "probabilities", "dtype": "float32", "layout": "[batch, class]"}

NAMES = (
    "format",
    "label_names",
    "multi_label",
    "temperature",
    "threshold",
    "stopping",
    "preprocessing",
    "architecture",
    "checkpoint",
    "versions",
    "smallest_sizes",
)
"""Of the texts that a description is read from; the others repeat what they say for other readers."""


@dataclass(frozen=True)
class Description:
    """What goes with the weights of an exported network.

    Attributes:
        label_names: of the classes, in the order of the probabilities.
        preprocessing: from a video to views.
        architecture: of the network.
        multi_label: whether each class has a probability of its own.
        calibration: temperature, which is inside the program, threshold and rule to stop by, which are not.
        checkpoint: ``sha256`` of its file, and ``step``.
        versions: of the packages that made the file.
        smallest: the smallest batch, frames, height and width that the program takes; empty for weights alone.
    """

    label_names: tuple[str, ...]
    preprocessing: Preprocessing
    architecture: Architecture
    multi_label: bool = False
    calibration: Calibration = field(default_factory=Calibration)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    smallest: Mapping[str, int] = field(default_factory=dict)

    @property
    def probabilities(self) -> ClassProbabilities:
        """What makes probabilities of logits."""
        return ClassProbabilities(self.multi_label, self.calibration.temperature)

    @property
    def answers(self) -> Answers:
        """What makes answers of probabilities."""
        return Answers(self.label_names, self.multi_label, self.calibration.threshold)

    def to_plain_data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "format": FORMAT,
            "input": INPUT_CONTRACT,
            "output": OUTPUT_CONTRACT,
            "label_names": list(self.label_names),
            "multi_label": self.multi_label,
            "temperature": self.calibration.temperature,
            "threshold": self.calibration.threshold,
            "stopping": None if self.calibration.stopping is None else self.calibration.stopping._asdict(),
            "preprocessing": self.preprocessing.to_dict(),
            "architecture": vars(self.architecture),
            "num_classes": len(self.label_names),
            "checkpoint": dict(self.checkpoint),
            "versions": dict(self.versions),
            "smallest_sizes": dict(self.smallest),
        }

    def to_texts(self) -> dict[str, str]:
        """Return names and JSON texts, which every file format can hold."""
        content = self.to_plain_data()
        return {name: json.dumps(value, ensure_ascii=False) for name, value in content.items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str], source: str) -> "Description":
        """Return what :meth:`to_texts` was called on.

        Raises:
            InputError: the texts are of something else, or of another format; ``source`` is named.
        """
        # Other projects have a "format", too.
        if "preprocessing" not in texts:
            raise InputError(
                f"{source} says nothing of classes and preprocessing; allowed: a file that video-rs export has written"
            )

        try:
            content = {name: json.loads(text) for name, text in texts.items() if name in NAMES}
            require_format(content["format"], source)
            calibration = Calibration(content["temperature"], content["threshold"], stored_rule(content))
            calibration.require_sound()
            return cls(
                require_names(content["label_names"]),
                Preprocessing.from_dict(content["preprocessing"]),
                stored_architecture(content["architecture"], source),
                bool(content["multi_label"]),
                calibration,
                content["checkpoint"],
                content["versions"],
                content["smallest_sizes"],
            )
        except InputError:
            # It is a ValueError as well, and says already what is wrong.
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"what {source} says of itself cannot be read ({error!r}); export it anew") from error


def require_names(names: Any) -> tuple[str, ...]:
    """Return the names of classes; raise ValueError where they are none."""
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"label_names is {names!r}")
    return tuple(names)


def require_format(found: Any, source: str) -> None:
    """Raise InputError unless a file's texts are of the format that this version reads."""
    if found != FORMAT:
        raise InputError(f"{source} has format {found!r}; this version reads {FORMAT!r}; export it anew")
