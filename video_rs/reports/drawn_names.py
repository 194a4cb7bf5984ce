"""Names that people have given, as a picture can show them: short, and without letters that the font lacks."""

from matplotlib.font_manager import FontProperties, findfont, get_font

NO_GLYPH = "□"  # in the place of a letter that the font lacks


def drawable(name: str) -> str:
    """Return a name with a box for every run of letters that the font lacks, such as emoji or Chinese ones."""
    font = get_font(findfont(FontProperties()))
    letters: list[str] = []
    for letter in name:
        if font.get_char_index(ord(letter)):
            letters.append(letter)
        elif not letters or letters[-1] != NO_GLYPH:
            letters.append(NO_GLYPH)
    return "".join(letters)


def shortened(name: str, longest: int) -> str:
    """Return at most so many letters, cut in the middle: names often differ in their last word only."""
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[:half].rstrip()}…{name[-half:].lstrip()}"
