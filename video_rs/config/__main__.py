"""Print every option: ``python -m video_rs.config``."""

from video_rs.config.printing import option_lines
from video_rs.runtime import cli


def print_options() -> None:
    """Print key, default, meaning and allowed values of each option."""
    for line in option_lines():
        print(line)


if __name__ == "__main__":
    cli.run(print_options)
