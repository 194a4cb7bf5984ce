"""The options as lines that people read."""

from collections.abc import Iterator

from video_rs.config.options import OPTIONS


def option_lines(part: str = "") -> Iterator[str]:
    """Yield key, default, meaning and allowed values of each option whose key holds ``part``, in any capitals."""
    for option in OPTIONS:
        if part.upper() not in option.key:
            continue
        allowed = ""
        if option.choices:
            allowed = f" [{', '.join(map(repr, option.choices))}]"
        elif option.is_bounded:
            allowed = f" [{option.bounds}]"
        yield f"{option.key:34} {option.default!r:16} {option.meaning}{allowed}"
