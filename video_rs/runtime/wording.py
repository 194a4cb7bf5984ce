"""Words: things in the singular or plural, names that somebody may have meant, and one name in two spellings."""

import difflib
import unicodedata
from collections.abc import Iterable

# Below this similarity (difflib's ratio, 0 to 1) a name is another one and no misspelling.
ALIKE = 0.6


def canonical(name: str) -> str:
    """Return the text by which names are compared: in NFC, and without blanks at its ends.

    "é" is one code point or two (Unicode's NFC and NFD), and looks the same.
    """
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return name.strip()


def pluralize(count: int, thing: str, things: str = "") -> str:
    """Return ``1 frame`` or ``12000 frames``; ``things`` is the plural where it is not ``thing`` with an s."""
    if count == 1:
        return f"1 {thing}"
    return f"{count} {things or thing + 's'}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``name``, whatever its capitals, or None where no name is like it."""
    by_small = {other.casefold(): other for other in known}
    found = difflib.get_close_matches(name.casefold(), by_small, n=1, cutoff=ALIKE)
    if not found:
        return None
    return by_small[found[0]]


def first_names(names: Iterable[str], most: int = 5) -> str:
    """Return the first names with commas between them, and how many more there are."""
    names = list(names)
    text = ", ".join(names[:most])
    if len(names) > most:
        text += f", and {len(names) - most} more"
    return text
