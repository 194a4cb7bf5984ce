"""A recorder of what the training loop calls."""

from video_rs.engine.loop import Hooks


class Calls:
    """Records what :func:`fit` calls, in order."""

    def __init__(self, stop_after=None):
        self.events, self.logged, self.failures, self.waited, self.steps = [], [], [], [], 0
        self.stop_after, self.non_finite = stop_after, []

    def hooks(self):
        return Hooks(
            log=self.log,
            failed_video=lambda video, reason: self.failures.append((video, reason)),
            non_finite=lambda step, scalars, videos: self.non_finite.append((step, scalars, videos)),
            validate=lambda step: self.events.append(("validate", step)),
            save=self.save,
            should_stop=self.should_stop,
        )

    def save(self, step, wait):
        self.events.append(("save", step))
        self.waited += [step] * wait

    def log(self, step, scalars):
        self.events.append(("log", step))
        self.logged.append(scalars)

    def should_stop(self):
        self.steps += 1
        return self.steps == self.stop_after

    def of(self, kind):
        return [step for name, step in self.events if name == kind]
