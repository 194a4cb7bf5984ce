"""What a person sees while a job runs: a bar on a terminal, a line now and then in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from tqdm import tqdm

from video_rs.runtime import distributed

# Seconds between lines about a long pass over videos where there is no terminal.
QUIET_SECONDS = 30.0


def print_line(text: str) -> None:
    """Print a line, once however many processes there are, without breaking a bar."""
    if distributed.rank() == 0:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


def print_notes(notes: Iterable[str]) -> None:
    """Print each note once, in a line of its own."""
    for note in dict.fromkeys(notes):
        print_line(f"note: {note}")


def format_duration(seconds: float) -> str:
    """Return ``1:02:03``, or ``2:03`` where it is less than an hour."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"


def has_bar() -> bool:
    """Return whether this process draws bars: rank 0 does on a terminal, and prints lines now and then elsewhere."""
    return distributed.rank() == 0 and sys.stderr.isatty()


class TrainProgress:
    """A bar over steps with loss, learning rate, data wait and ETA; lines where there is no terminal.

    Args:
        first_step, total_steps: where the run begins and ends.
        names: of further measurements to show, such as ``top1``.
    """

    def __init__(self, first_step: int, total_steps: int, names: Sequence[str]):
        self.names = names
        self.first_step = first_step
        self.total_steps = total_steps
        self.started = time.perf_counter()
        self.bar = tqdm(
            total=total_steps, initial=first_step, disable=not has_bar(), unit="step", desc="train", smoothing=0.05
        )

    def update(self, step: int, epoch: float, scalars: dict[str, float]) -> None:
        """Show the measurements up to ``step``."""
        measured = [f"{name} {scalars[name]:.3f}" for name in ("loss", *self.names)]
        text = f"{'  '.join(measured)}  lr {scalars['lr']:.2g}  data wait {scalars['data_wait']:.0%}"
        if not self.bar.disable:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(step - self.bar.n)
            return

        seconds_per_step = (time.perf_counter() - self.started) / max(1, step - self.first_step)
        left = format_duration(seconds_per_step * (self.total_steps - step))
        rate = scalars["clips_per_s"]
        print_line(f"step {step}/{self.total_steps}  epoch {epoch:.1f}  {text}  {rate:.1f} clips/s  ETA {left}")

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


def videos_with_progress(items: Iterable, total: int, name: str) -> Iterator:
    """Pass ``items`` on, and show how many of ``total`` videos are done, the rate and the ETA."""
    return _with_progress(items, total, name, "video")


def windows_with_progress(items: Iterable, total: int) -> Iterator:
    """Pass ``items`` on, and show how many of ``total`` windows of a video are done, the rate and the ETA."""
    return _with_progress(items, total, "timeline", "window")


def frames_with_progress(items: Iterable, total: int) -> Iterator:
    """Pass ``items`` on, and show how many of ``total`` frames of a video are drawn, the rate and the ETA."""
    return _with_progress(items, total, "annotated", "frame")


def rates_with_progress(rates: Sequence[float]) -> Iterator[float]:
    """Pass learning rates on, and show how many are tried, and the ETA."""
    return _with_progress(rates, len(rates), "learning rates", "step")


def _with_progress(items: Iterable, total: int, name: str, unit: str) -> Iterator:
    is_quiet = not has_bar()
    started = time.perf_counter()
    last_line = started
    bar = tqdm(items, total=total, desc=name, unit=unit, disable=is_quiet, leave=False)
    for done, item in enumerate(bar, 1):
        yield item

        # Not after the last one: the result is printed then.
        now = time.perf_counter()
        if is_quiet and now - last_line > QUIET_SECONDS and done < total:
            last_line = now
            left = format_duration((now - started) / done * (total - done))
            print_line(f"{name} {done}/{total} {unit}s  ETA {left}")
