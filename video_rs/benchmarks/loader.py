"""Our training clips, read as training reads them."""

from functools import partial

from video_rs.benchmarks.published import published_clips, published_transform
from video_rs.benchmarks.subject import Subject
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.lists.records import VideoRecord

# More steps than anybody reads.
ENDLESS = 100_000


def training_loader(subject: Subject, batch: int, workers: int, steps: int = ENDLESS) -> ClipLoader:
    """Return a loader of the clips that training would read.

    Args:
        subject: its videos, their cache, its decoder, the clips of a video, their frames and size.
        batch: clips of a batch.
        workers: reading processes.
        steps: batches after which the loader ends.
    """
    records = [VideoRecord(video, (0,), None, None, video) for video in subject.videos]
    clips = subject.clips_per_video
    source = VideoSource(subject.decoder, subject.cache)
    spec = published_clips(subject.frames, subject.start_multiple)
    read = ClipReader(spec, published_transform(subject.size, subject.quick), source, 0, clips)

    # One process reads the whole order, in batches that are a step each.
    epoch_order = partial(permutation, seed=0, num_samples=len(records))
    order = ClipOrder(epoch_order, len(records), batch, 1, Partition(), 0, steps, clips)
    return ClipLoader(records, read, order, Workers(workers))
