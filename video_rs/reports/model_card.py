"""The model card of a published network: a README.md of plain facts, in Markdown as the Hugging Face hub reads it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

SHOWN_CLASSES = 20
HEADER = """---
library_name: video_rs
pipeline_tag: video-classification
tags: [video-classification, 3d-resnet, resnet-rs]
---
"""
USE = """## Use

```python
from video_rs.inference.export import load_program

load_program("FOLDER").predict("video.mp4").top  # [(label, probability), ...]
```

`video-rs predict --model FOLDER video.mp4` does the same. The network alone, clips to logits:
`video_rs.models.VideoClassifier.from_pretrained("FOLDER")`."""


@dataclass(frozen=True)
class ModelCard:
    """What the card says.

    Attributes:
        title: of the network.
        label_names: of the classes.
        data, recipe, input: names and values.
        results: of the evaluation; names and values, empty where there was none.
        evaluated: on what, and how; a sentence.
        mistakes: (video, true class, predicted class, probability), the surest first.
        confused: (true class, predicted class, videos), most first.
        unreadable: (video, reason) of videos that could not be read.
        notes: sentences on what the network does not do.
    """

    title: str
    label_names: Sequence[str]
    data: Mapping[str, str]
    recipe: Mapping[str, str]
    input: Mapping[str, str]
    results: Mapping[str, str]
    evaluated: str
    mistakes: Sequence[tuple[str, str, str, float]] = ()
    confused: Sequence[tuple[str, str, int]] = ()
    unreadable: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()


def card_text(card: ModelCard) -> str:
    """Return the card as Markdown."""
    parts = [f"# {plain(card.title)}", _classes(card.label_names), USE]
    parts.append(f"## Input\n\n{_table(('', ''), card.input.items())}")
    parts.append(f"## Data\n\n{_table(('', ''), card.data.items())}")
    parts.append(f"## Recipe\n\n{_table(('option', 'value'), card.recipe.items())}")
    parts.append(f"## Results\n\n{card.evaluated}")
    if card.results:
        parts.append(_table(("", ""), card.results.items()))

    parts.append("## Failures")
    parts.extend(_failures(card))
    parts.append("## Limits\n\n" + "\n".join(f"- {note}" for note in card.notes))
    return HEADER + "\n" + "\n\n".join(parts) + "\n"


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(plain(name) for name in names[:SHOWN_CLASSES])
    rest = f", and {len(names) - SHOWN_CLASSES} more" if len(names) > SHOWN_CLASSES else ""
    return f"Classifies videos into {len(names)} classes: {shown}{rest}."


def _failures(card: ModelCard) -> Iterator[str]:
    """Yield the tables of what went wrong, or that nothing is known of it."""
    if card.mistakes:
        yield "The surest mistakes:"
        rows = [(video, truth, said, f"{score:.1%}") for video, truth, said, score in card.mistakes]
        yield _table(("video", "is", "was said to be", "probability"), rows)
    if card.confused:
        yield "What is taken for what most often:"
        yield _table(("is", "was said to be", "videos"), [(a, b, str(count)) for a, b, count in card.confused])
    if card.unreadable:
        yield "Videos that could not be read, and count as failed:"
        yield _table(("video", "reason"), card.unreadable)
    if not (card.mistakes or card.confused or card.unreadable):
        yield "None are known." if card.results else "Not looked for: there was no evaluation."


def _table(heads: Sequence[str], rows) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(plain(cell) for cell in line) + " |" for line in lines)


def plain(text: str) -> str:
    """Return a text in one line in which nothing is Markdown or HTML."""
    text = " ".join(str(text).split())
    for mark in ("\\", "`", "*", "_", "|", "[", "]", "<", ">", "#"):
        text = text.replace(mark, "\\" + mark)
    return text
