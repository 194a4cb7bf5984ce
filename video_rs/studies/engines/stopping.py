"""What stops a study on this machine or on Ray: its runs save their states first."""

from video_rs.runtime.errors import Stopped
from video_rs.runtime.signals import StopSignals


class StopRuns(StopSignals):
    """SIGTERM, SIGHUP and the first Ctrl-C."""

    ANSWER = "stopping the runs after their steps and saving"


def stopped() -> Stopped:
    """Return what a study says whose runs have saved their states."""
    return Stopped("stopped with the states of its runs saved", next_step="give the command again to go on")
