"""Labelling on Ray: actors take the shards that are left, and an actor that dies is started again.

A shard is done by one actor from its first video to its file, and no video passes through Ray. The shards are those of
:mod:`video_rs.runs.pseudo_label` on one process, byte for byte: the engines can take turns on one folder.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from video_rs.data.counted_videos import note_counted_videos
from video_rs.inference.pseudo_labels.deaths import read_deaths
from video_rs.inference.pseudo_labels.shards import LabelShards
from video_rs.lists.records import VideoRecord
from video_rs.runs.labelling_actor import ActorWork, FinishedShard, LabellingActor, deaths_file
from video_rs.runs.labelling_work import Labelling
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, videos_with_progress
from video_rs.runtime.ray_cluster import ActorShare, ray_cluster, share_cluster
from video_rs.runtime.wording import pluralize

# Shards that an actor takes at a time: its reading processes stay busy from one to the next.
LARGEST_LOT = 8
# Of an actor, one after the other, without a finished shard and without a video found that kills: whatever else ends
# it, such as a teacher too large for its memory, would end it for ever.
MOST_RESTARTS = 3
# Seconds without a first finished shard after which a person is told where to look.
PATIENCE = 60.0


@dataclass(eq=False)
class _Actor:
    """An actor, and what it does.

    Attributes:
        handle: Ray's.
        lot: numbers of the shards that it was given and has not finished, in their order.
        stream: of what it has finished; None: it has nothing to do.
        restarts: since its last finished shard, or the last video found that kills.
        killers: videos of the first shard of its lot that are known to kill.
    """

    handle: Any
    lot: deque[int] = field(default_factory=deque)
    stream: Any = None
    restarts: int = 0
    killers: int = 0


def label_on_ray(
    asked: Labelling, teacher_sha256: str, records: Sequence[VideoRecord], shards: LabelShards, missing: Sequence[int]
) -> None:
    """Label shards on a cluster.

    Args:
        asked: as the command has it.
        teacher_sha256: of the teacher's files; actors that find others refuse to work.
        records: of the list.
        shards: where the answers go.
        missing: numbers of the shards that are to be made.

    Raises:
        InputError: Ray is not installed, the cluster has no room or sees other files, or no actor stays alive.
    """
    # Whoever stopped the work before has killed its actors: their videos are not to blame.
    for number in missing:
        deaths_file(shards, number).unlink(missing_ok=True)

    with ray_cluster() as ray:
        share = share_cluster(ray.nodes(), asked.actors, with_gpus=asked.device != "cpu")
        if asked.device == "cuda" and not share.gpus:
            raise InputError("--device cuda, and the cluster of Ray has no GPU; leave --device out")
        work = ActorWork(asked, teacher_sha256, shards, os.getcwd(), asked.processes or share.processes)
        pool = _ActorPool(ray, share, work, records)
        count = sum(len(shards.videos_of(number)) for number in missing)
        finished = note_counted_videos(pool.finished_shards(missing))
        try:
            for _ in videos_with_progress(_videos_of(finished, shards), count, "pseudo-labels"):
                pass
        finally:
            pool.close()


def _videos_of(finished: Iterator[FinishedShard], shards: LabelShards) -> Iterator[int]:
    """Yield the places of the videos of finished shards."""
    for shard in finished:
        yield from shards.videos_of(shard.number)


class _ActorPool:
    """Actors, as many as there is room for, each started again when it dies.

    Args:
        ray: Ray's module, connected.
        share: what each actor gets.
        work: what each actor has to know.
        records: of the list.
    """

    def __init__(self, ray: Any, share: ActorShare, work: ActorWork, records: Sequence[VideoRecord]):
        self._ray = ray
        self._work = work
        self._records = records
        # Spread over the machines; this pool restarts actors itself, because it knows what they have left undone.
        self._class = ray.remote(LabellingActor).options(
            num_gpus=share.gpus, num_cpus=share.cpus, max_restarts=0, scheduling_strategy="SPREAD"
        )
        self._actors = [_Actor(self._class.remote(work)) for _ in range(share.actors)]

    def finished_shards(self, missing: Sequence[int]) -> Iterator[FinishedShard]:
        """Yield the shards in the order in which they are finished.

        Raises:
            InputError: no actor stays alive, or one cannot work with what its machine has.
        """
        waiting = deque(missing)
        self._hand_out(waiting)
        ready = self._wait(PATIENCE)
        if not ready:
            print_line(
                f"note: no shard is finished after {PATIENCE:.0f} s; where a cluster is busy, actors wait for room "
                "(ray status shows it)"
            )
        while waiting or any(actor.stream is not None for actor in self._actors):
            for actor in ready:
                shard = self._next_shard(actor, waiting)
                if shard is not None:
                    yield shard
            self._hand_out(waiting)
            ready = self._wait(None)

    def close(self) -> None:
        """End the actors, whatever they are doing."""
        for actor in self._actors:
            self._ray.kill(actor.handle)

    def _hand_out(self, waiting: deque[int]) -> None:
        """Give shards to the actors that have none: many at first, single ones at the end."""
        for actor in self._actors:
            if actor.stream is not None or not waiting:
                continue
            size = min(LARGEST_LOT, max(1, len(waiting) // (2 * len(self._actors))))
            actor.lot = deque(waiting.popleft() for _ in range(min(size, len(waiting))))
            actor.killers = len(self._deaths_of(actor).killers)

            lot = {}
            for number in actor.lot:
                lot[number] = [self._records[place] for place in self._work.shards.videos_of(number)]
            actor.stream = actor.handle.label.options(num_returns="streaming").remote(lot)

    def _wait(self, seconds: float | None) -> list[_Actor]:
        """Return the actors that have something to say, as soon as there are any."""
        streams = {actor.stream: actor for actor in self._actors if actor.stream is not None}
        if not streams:
            return []
        ready, _ = self._ray.wait(list(streams), num_returns=1, timeout=seconds)
        return [streams[stream] for stream in ready]

    def _next_shard(self, actor: _Actor, waiting: deque[int]) -> FinishedShard | None:
        """Return the next finished shard of an actor; None where it is through with its lot, or has died."""
        errors = self._ray.exceptions
        try:
            shard = self._ray.get(next(actor.stream))
        except StopIteration:
            actor.stream = None
            return None
        except errors.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise InputError(str(error.cause)) from None
            raise
        except errors.RayError as error:
            self._replace(actor, waiting, _reason(error))
            return None

        actor.lot.remove(shard.number)
        actor.restarts = 0
        actor.killers = 0
        return shard

    def _replace(self, actor: _Actor, waiting: deque[int], reason: str) -> None:
        """Start an actor again that has died; what it has not finished is done first.

        Raises:
            InputError: it was the last actor, and has died too often.
        """
        actor.restarts += 1
        place = "the end of its shards"
        if actor.lot:
            place = self._work.shards.file(actor.lot[0]).name
            if len(self._deaths_of(actor).killers) > actor.killers:
                actor.restarts = 0
        waiting.extendleft(reversed(actor.lot))
        actor.lot.clear()
        actor.stream = None

        # Ray may only have lost sight of it.
        self._ray.kill(actor.handle)
        if actor.restarts <= MOST_RESTARTS:
            print_line(f"note: a process of Ray died at {place}; it is started again ({reason})")
            actor.handle = self._class.remote(self._work)
            return

        self._actors.remove(actor)
        times = f"{pluralize(actor.restarts, 'time')} without finishing a shard"
        if not self._actors:
            raise InputError(
                f"the processes of Ray died {times}, last at {place} ({reason}); finished shards are kept, give the "
                "command again when the reason is gone"
            )
        print_line(f"note: a process of Ray died {times} and is given up; the others go on ({reason})")

    def _deaths_of(self, actor: _Actor) -> Any:
        """Return what is known of the dead processes of the shard that an actor is at."""
        return read_deaths(deaths_file(self._work.shards, actor.lot[0]))


def _reason(error: Exception) -> str:
    """Return why an actor died, in a line."""
    # In the first moments Ray only sees that nobody answers.
    if type(error).__name__ == "ActorUnavailableError":
        return "its process is gone"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # What follows is the traceback of whatever keeps it from starting.
    if "creation task" in lines[0]:
        return f"it cannot start: {lines[-1]}"
    return lines[0]
