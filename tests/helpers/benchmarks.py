"""Benchmarks without processes: starting Python and PyTorch anew for each subject is what takes the time."""

from video_rs.benchmarks.network_calls import NetworkRounds
from video_rs.benchmarks.worker import ROUNDS


class InThisProcess:
    """Measures a subject here, in the place of :class:`video_rs.benchmarks.process.Process`."""

    def __init__(self, subject, name):
        self.subject = subject
        self.warm_memory_mb = None

    def wait_until_warm(self):
        self.rounds = ROUNDS.get(self.subject.kind, NetworkRounds)(self.subject)
        self.rounds.warm_up()
        self.warm_memory_mb = 100.0 * self.subject.batch

    def measure(self):
        return self.rounds.measure()

    def end(self):
        return {"peak_memory_mb": self.warm_memory_mb, **self.rounds.end()}

    def close(self):
        pass
