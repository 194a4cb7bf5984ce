"""Scaling studies whose runs are written by hand, and latencies that nothing has measured."""

from helpers.studies import finish
from video_rs.benchmarks.measuring import Measurement
from video_rs.config import load_config
from video_rs.studies.scaling import grid_from_text, scaling_study
from video_rs.studies.scaling_results import work_of
from video_rs.studies.study_lists import StudyLists

VIDEOS = 200
LABELS = ["dark", "light"] * (VIDEOS // 2)
SURE = 0.9  # of the class that a run takes for the true one


def write_list(folder):
    """Write a list of 8 training videos and 200 test videos, none of which is there; return its path."""
    lines = ["path,label,split"]
    for split, count in (("train", 8), ("val", VIDEOS)):
        lines += [f"{split}/{number}.mp4,{LABELS[number]},{split}" for number in range(count)]
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def base_config(folder, **changes):
    """r3d_rs_tiny on clips of 4 x 32 x 32; ``changes`` are keys with ``__`` for the dot."""
    path = str(write_list(folder))
    keys = {
        "MODEL.ARCH": "r3d_rs_tiny",
        "DATA.TRAIN_LIST": path,
        "DATA.VAL_LIST": path,
        "DATA.NUM_FRAMES": 4,
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "DATA.TEST_SHORT_SIDE": 40,
        "DEVICE": "cpu",
    }
    keys.update({key.replace("__", "."): value for key, value in changes.items()})
    return load_config("", keys)


def study_of(folder, seeds=1, measure="error", **axes):
    """Return a saved study of a grid as typed, such as ``widths="0.25,0.5"``."""
    study = scaling_study(folder / "study", base_config(folder), grid_from_text(axes), seeds, 1, measure)
    study.save()
    return study


def finish_all(study, error_of):
    """Write what all runs leave; ``error_of(config, gmac, seed)`` is the share of test videos that are wrong."""
    lists = StudyLists(study)
    for run in study.runs:
        work = work_of(study, run, lists)
        wrong = round(VIDEOS * error_of(study.config(run), work.gmac, run.seed))
        finish(study, run.name, LABELS, answers(wrong))


def answers(wrong):
    """Probabilities of (dark, light) for each video, the first ``wrong`` of them for the other class."""
    rows = []
    for number, label in enumerate(LABELS):
        takes_dark = (label == "dark") != (number < wrong)
        rows.append((SURE, 1 - SURE) if takes_dark else (1 - SURE, SURE))
    return rows


def of_compute(exponent=-0.3, level=0.2):
    """Errors that are a power law of compute, 20 % at 0.01 GMAC."""
    return lambda config, gmac, seed: level * (gmac / 0.01) ** exponent


class FakeMeasure:
    """Stands for the benchmarks' measure; each subject takes as many milliseconds as its clip has frames."""

    def __init__(self):
        self.groups = []

    def __call__(self, subjects, rounds, report):
        self.groups.append(list(subjects))
        samples = [{"seconds": [subject.frames / 1000] * rounds} for subject in subjects]
        return [
            Measurement(one, row, None, {"peak_memory_mb": 1.0}) for one, row in zip(subjects, samples, strict=True)
        ]
