"""What comes back by itself: a job of which a process is killed, and one that SLURM tells to stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from kill_and_resume import family, fingerprint, logged

from helpers.jobs import run_job
from helpers.runs import TRAIN_NET, tiny_run
from helpers.tools import ROOT
from video_rs.config import load_config

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = pytest.mark.xdist_group("processes")


def torchrun(config_file, *arguments):
    """The job of two processes that torchrun may start again, in a process group of its own."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "2"]
    command = [*launcher, TRAIN_NET, "--cfg", str(config_file), "--resume", *arguments]
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Else the processes that are started again find the addresses of the dead ones (pytorch/pytorch#135712).
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
    )


def process_of_rank(launcher, rank):
    """Its number."""
    for process in family(launcher.pid):
        environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return process
    raise AssertionError(f"no process of rank {rank}")


def test_a_killed_process_brings_the_job_back_from_the_last_checkpoint(videos, config_file, tmp_path):
    """By itself, and to the same end."""
    varied = {"SOLVER__MAX_STEPS": 24, "TRAIN__EVAL_PERIOD": 1000, "TRAIN__CHECKPOINT_STEPS": 4, "DATA__VAL_LIST": ""}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = run_job(tmp_path, 2, "train_net", "--cfg", config_file, *tiny_run(videos, whole, **varied))
    assert done.codes == [0, 0], done.err

    job = torchrun(config_file, *tiny_run(videos, killed, **varied))
    while job.poll() is None and logged(killed) < 8:
        time.sleep(0.01)
    os.kill(process_of_rank(job, 1), signal.SIGKILL)
    out, _ = job.communicate(timeout=300)
    assert job.returncode == 0, out
    assert f"resuming {killed} at step " in out
    assert fingerprint(killed / "checkpoints/last.pth") == fingerprint(whole / "checkpoints/last.pth")


SCONTROL = """#!/bin/sh
[ "$1" = show ] && echo localhost
echo "scontrol $*" >> calls.txt
"""
# Like the real one, it hands SIGTERM on to what it has started, and ends when that ends.
SRUN = """#!/bin/sh
echo "srun $*" >> calls.txt
"$@" &
trap 'kill -TERM $!' TERM
wait $!
wait $!
"""


def test_the_slurm_script_stops_in_time_saves_and_queues_again(videos, config_file, tmp_path):
    """With programs in place of SLURM's, which note how they were called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    keys = tiny_run(videos, tmp_path / "run", SOLVER__MAX_STEPS=100000, TRAIN__EVAL_PERIOD=100000, DATA__VAL_LIST="")
    job = {"SLURM_JOB_NODELIST": "here", "SLURM_NNODES": "1", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_ID": "7"}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    script = subprocess.Popen(
        ["bash", str(ROOT / "examples/slurm.sh"), "--cfg", str(config_file), *keys],
        cwd=tmp_path,
        env={**os.environ, **job, "PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while script.poll() is None and logged(tmp_path / "run") < 5:
        time.sleep(0.01)
    script.send_signal(signal.SIGTERM)
    out, _ = script.communicate(timeout=60)
    assert "stopped after step " in out
    assert (tmp_path / "run/checkpoints/last.pth").is_file()
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    assert calls[0] == "scontrol show hostnames here"
    assert calls[1].startswith("srun torchrun --nnodes 1 --nproc-per-node 1 --max-restarts 3 --rdzv-backend c10d")
    assert calls[2:] == ["scontrol requeue 7"]


def test_the_kubernetes_job_names_keys_that_exist():
    job = yaml.safe_load((ROOT / "examples/pytorchjob.yaml").read_text())
    [container] = job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    assert container["command"][:2] == ["torchrun", "tools/train_net.py"]
    assert "--resume" in container["command"]
    config = load_config("kinetics_rs.yaml", container["args"])
    assert (config.OUTPUT_DIR, config.TRAIN.CHECKPOINT_MINUTES) == ("/runs/kinetics_rs", 10)
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    volumes = job["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["volumes"]
    assert mounted == {volume["name"] for volume in volumes}
