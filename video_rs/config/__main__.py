"""Print every option: ``python -m video_rs.config``."""

from video_rs.config.options import OPTIONS
from video_rs.runtime import cli


def print_options() -> None:
    """Print key, default, meaning and allowed values of each option."""
    for option in OPTIONS:
        allowed = f" [{', '.join(map(repr, option.choices))}]" if option.choices else ""
        print(f"{option.key:34} {option.default!r:16} {option.meaning}{allowed}")


if __name__ == "__main__":
    cli.run(print_options)
