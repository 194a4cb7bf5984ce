"""Words: counted things in the right number, names that somebody may have meant, and one name in two spellings."""

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
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``name`` whatever its capitals, or None where none is like it."""
    by_small = {other.casefold(): other for other in known}
    found = difflib.get_close_matches(name.casefold(), by_small, n=1, cutoff=ALIKE)
    return by_small[found[0]] if found else None


def first_names(names: Iterable[str], most: int = 5) -> str:
    """Return the first names with commas between them, and how many more there are."""
    names = list(names)
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
