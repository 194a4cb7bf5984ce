"""``pseudo_label --engine ray`` on a cluster of this machine: the shards of the local engine, whatever dies."""

import os
import re
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from helpers.jobs import start_job
from helpers.videos import moving_square
from video_rs.inference.pseudo_labels.shards import LabelShards
from video_rs.inference.teachers import load_teacher
from video_rs.lists.records import read_records
from video_rs.runs import labelling_on_ray
from video_rs.runs.labelling_actor import ActorWork, LabellingActor
from video_rs.runs.labelling_work import Labelling
from video_rs.runtime import ray_cluster
from video_rs.runtime.errors import InputError
from video_rs.video.encoding import write_video

ray = pytest.importorskip("ray")
NAMES = ("dark/0", "light/0", "dark/1", "light/1")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two cores, whose processes find the package where this one does."""
    # They do not find this module, whose classes travel whole.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # As a cluster of the command's own.
        ray_cluster._silence_messages(ray)
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def listed(videos, tmp_path_factory):
    """A list of seven videos: the third is broken, the sixth is nearly white."""
    folder = tmp_path_factory.mktemp("listed")
    (folder / "broken.mp4").write_bytes(b"no video")
    write_video(folder / "white.mp4", moving_square(0) // 20 + 243, fps=10)
    paths = [f"{videos.parent}/val/{name}.mp4" for name in NAMES]
    paths.insert(2, str(folder / "broken.mp4"))
    paths += [str(folder / "white.mp4"), f"{videos.parent}/train/dark/0.mp4"]
    path = folder / "unlabelled.csv"
    path.write_text("\n".join(["path", *paths]) + "\n")
    return path


@pytest.fixture
def label(tool, trained, listed, tmp_path):
    """``label("out", *arguments)`` labels the list, two videos a shard."""

    def run(out, *arguments, code=0, shard_videos=2, device="cpu"):
        result = tool(
            "pseudo_label", "--teacher", trained, "--list", listed, "--out", tmp_path / out, "--processes", 1,
            "--device", device, "--shard-videos", shard_videos, *arguments,
        )  # fmt: skip
        assert result.code == code, result.err
        return result.out if code == 0 else result.err

    return run


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows(folder, videos=7, size=2):
    shards = LabelShards(folder, videos, size)
    return [row for number in range(len(shards)) for row in shards.read(number)]


class DiesOnce(LabellingActor):
    """Kills itself in the middle of the second shard, once."""

    def _rows(self, records, places, videos):
        found = super()._rows(records, places, videos)
        if places.start == 2:
            try:
                (self._work.shards.folder / "died").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return found


class DiesOnWhite(LabellingActor):
    """Its teacher kills the process when it sees something nearly white."""

    def _load(self):
        labeller = super()._load()
        teacher = labeller.teacher

        def deadly(views):
            if views.float().mean((1, 2, 3, 4)).max() > 230:
                os.kill(os.getpid(), signal.SIGKILL)
            return teacher.probabilities(views)

        return replace(labeller, teacher=replace(teacher, probabilities=deadly))


class Dies(LabellingActor):
    """Never gets anywhere."""

    def _load(self):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.usefixtures("cluster")
def test_the_engines_take_turns_and_an_actor_is_killed(label, tmp_path, monkeypatch):
    label("local")
    # A folder that another engine has begun.
    (tmp_path / "ray").mkdir()
    for name in ("settings.json", "000003.parquet"):
        (tmp_path / "ray" / name).write_bytes((tmp_path / "local" / name).read_bytes())
    monkeypatch.setattr(labelling_on_ray, "LabellingActor", DiesOnce)
    said = label("ray", "--engine", "ray", "--actors", 2).splitlines()
    # A busy machine takes long to start actors.
    said = [line for line in said if not line.startswith("note: no shard is finished after")]
    assert said[0] == "going on after 1 of 4 shards"
    assert said[1].startswith("note: a process of Ray died at 000001.parquet; it is started again (")
    assert said[2:] == [f"7 videos labelled, 1 failed, in 4 shards: {tmp_path}/ray"]
    (tmp_path / "ray" / "died").unlink()
    assert files(tmp_path / "ray") == files(tmp_path / "local")


@pytest.mark.usefixtures("cluster")
def test_a_video_that_kills_twice_is_one_that_failed(label, tmp_path, monkeypatch):
    options = ("--clips", 1, "--crops", 1)
    label("local", *options, shard_videos=7)
    monkeypatch.setattr(labelling_on_ray, "LabellingActor", DiesOnWhite)
    # The two deaths of a video that is found out do not count.
    monkeypatch.setattr(labelling_on_ray, "MOST_RESTARTS", 1)
    said = label("ray", "--engine", "ray", *options, shard_videos=7)
    assert said.count("note: a process of Ray died at 000000.parquet") == 2
    assert said.endswith(f"7 videos labelled, 2 failed, in 1 shard: {tmp_path}/ray\n")
    assert set(files(tmp_path / "ray")) == {"settings.json", "000000.parquet"}
    local, found = rows(tmp_path / "local", 7, 7), rows(tmp_path / "ray", 7, 7)
    assert [row.path for row in found] == [row.path for row in local]
    white = found.pop(5)
    assert (white.error, white.views, white.classes) == ("killed its process twice", 0, [])
    local.pop(5)
    for row, other in zip(found, local, strict=True):
        # In a forward pass with one video less.
        assert row.probabilities == pytest.approx(other.probabilities, abs=1e-6)
        assert (row.error, row.views) == (other.error, other.views)


@pytest.mark.usefixtures("cluster")
def test_an_actor_that_never_gets_anywhere_is_given_up(label, tmp_path, monkeypatch):
    monkeypatch.setattr(labelling_on_ray, "LabellingActor", Dies)
    monkeypatch.setattr(labelling_on_ray, "MOST_RESTARTS", 1)
    said = label("out", "--engine", "ray", "--actors", 1, code=2)
    assert re.fullmatch(
        r"error: the processes of Ray died 2 times without finishing a shard, last at 000000.parquet \(.*\); "
        r"finished shards are kept, give the command again when the reason is gone\n",
        said,
    )


def test_an_actor_that_cannot_start_says_its_last_line():
    error = RuntimeError(
        "The actor died because of an error raised in its creation task, pid=7\n  File ...\nInputError: no teacher\n"
    )
    assert labelling_on_ray._reason(error) == "it cannot start: InputError: no teacher"


@pytest.mark.usefixtures("cluster")
def test_what_the_cluster_cannot_do_is_refused(label, trained):
    assert label("out", "--engine", "ray", "--actors", 3, code=2) == (
        "error: --actors is 3, and the cluster of Ray has 2 CPU cores; allowed: 1 to 2\n"
    )
    assert "--device cuda, and the cluster of Ray has no GPU; leave --device out" in label(
        "out", "--engine", "ray", device="cuda", code=2
    )


def test_machines_that_see_other_files(trained, listed, tmp_path):
    shards = LabelShards(tmp_path / "out", 7, 2)
    asked = Labelling(str(trained), str(listed), str(tmp_path / "out"), device="cpu", engine="ray")
    digest = load_teacher(str(trained), "cpu").sha256
    work = ActorWork(asked, digest, shards, os.getcwd(), 1)
    lot = {0: list(read_records(str(listed), require_labels=False).records[:2])}
    for wrong, words in (
        (replace(work, folder=str(tmp_path / "gone")), "does not see .*gone .*; all machines need the same folders"),
        (replace(work, teacher_sha256="0"), "of the cluster is another teacher; all machines need the same files"),
        (work, "of the cluster does not see .*/out; all machines need the same folders"),
    ):
        with pytest.raises(InputError, match=words):
            next(LabellingActor(wrong).label(lot))


def test_without_a_cluster_the_options_are_checked(label, monkeypatch):
    assert "--actors is -1; allowed: a whole number from 0 on" in label("out", "--actors", -1, code=2)
    assert "--actors says nothing without --engine ray" in label("out", "--actors", 1, code=2)
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        assert "--engine ray starts its processes itself; give the command once, without torchrun" in label(
            "out", "--engine", "ray", code=2
        )
    monkeypatch.setitem(sys.modules, "ray", None)
    assert label("out", "--engine", "ray", code=2) == (
        "error: --engine ray needs Ray; install it with: pip install 'video_rs[ray]'\n"
    )


@pytest.fixture
def short_folder():
    """A folder whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)


def test_a_cluster_for_the_command_alone_is_private_and_ends_with_ctrl_c(trained, listed, tmp_path, short_folder):
    """The command's own cluster, in the middle of a shard."""
    before = (
        "import os, tempfile, video_rs.runs.labelling_on_ray as m, video_rs.runs.labelling_actor as a, time\n"
        f"tempfile.tempdir = {str(short_folder)!r}\n"
        "class Sleeps(a.LabellingActor):\n"
        "    def _rows(self, records, places, videos):\n"
        "        if places.start == 2: time.sleep(600)\n"
        "        return super()._rows(records, places, videos)\n"
        "m.LabellingActor = Sleeps\n"
    )
    out = tmp_path / "out"
    job = start_job(
        tmp_path, "pseudo_label", "--teacher", trained, "--list", listed, "--out", out, "--processes", 1,
        "--device", "cpu", "--shard-videos", 2, "--engine", "ray", before=before,
    )  # fmt: skip
    while not (out / "000000.parquet").exists():
        assert job.is_alive(), (tmp_path / "err.txt").read_text()
        time.sleep(0.1)
    processes = psutil.Process(job.pid).children(recursive=True)
    listening = set()
    for process in processes:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                listening.add(connection.laddr.ip)
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert listening

    os.kill(job.pid, signal.SIGINT)
    job.join(60)
    assert job.exitcode == 130
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    assert (tmp_path / "err.txt").read_text() == "interrupted\n"
    assert list(short_folder.iterdir()) == []
    assert {path.name for path in out.glob("[!.]*")} == {"settings.json", "000000.parquet"}
