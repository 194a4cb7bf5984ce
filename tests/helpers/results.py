"""Results of videos that were never read."""

from video_rs.engine.metrics import (
    VideoResult,
)


def failed(index, label):
    return VideoResult(index, f"{index}.mp4", (label,), error="no video stream")


class Video:
    """What :func:`evaluate` needs of a video: float "clips" here, so that logits can be written by hand."""

    def __init__(self, index, clips, labels=(0,), error=None):
        self.index, self.id, self.video = index, f"video {index}", f"{index}.mp4"
        self.labels, self.error, self.clips = labels, error, clips

    @property
    def num_views(self):
        return len(self.clips)

    @property
    def view_size(self):
        return 8, 8

    def views(self, batch):
        assert self.error is None, "a failed video has no views"
        return self.clips.split(batch)


def same(clips):
    return clips
