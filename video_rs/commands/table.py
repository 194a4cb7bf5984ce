"""The table of all commands: name, module, one line about it."""

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Command:
    """One command of ``video-rs``.

    Args:
        name: as typed; a command of a group has the group's name before its own.
        module: of the package ``video_rs.commands``.
        summary: what the command does, in half a line.
    """

    name: str
    module: str
    summary: str

    def load(self) -> ModuleType:
        """Return the module of the command."""
        return importlib.import_module(f"video_rs.commands.{self.module}")


COMMANDS = (
    Command("list folder", "lists.folder", "your own videos in class folders: list, label map, config"),
    Command("list kinetics", "lists.kinetics", "Kinetics-400, -600 or -700"),
    Command("list ucf101", "lists.ucf101", "one split of UCF101"),
    Command("list hmdb51", "lists.hmdb51", "one split of HMDB51"),
    Command("list ssv2", "lists.ssv2", "Something-Something v2"),
    Command("list motion_demo", "lists.motion_demo", "generate the motion demo"),
    Command("check_dataset", "check_dataset", "check a data set: broken, doubled and leaked videos"),
    Command("prepare_videos", "prepare_videos", "make videos small, and quick to read from anywhere inside"),
    Command("pack_shards", "pack_shards", "pack videos into few large files"),
    Command("train", "train", "train a network on a list of videos"),
    Command("pretrain", "pretrain", "train a network on videos without labels"),
    Command("find_lr", "find_lr", "try learning rates and suggest one"),
    Command("test", "test", "test a trained network on a list of videos"),
    Command("calibrate", "calibrate", "make probabilities mean something, and know when unsure"),
    Command("report", "report", "say what predictions mean, and compare two networks"),
    Command("review", "review", "look through doubtful videos, and write a better list"),
    Command("knn", "knn", "test the features of a network by nearest neighbours"),
    Command("predict", "predict", "label videos with a trained network"),
    Command("extract_features", "extract_features", "write the features of videos to a file"),
    Command("pseudo_label", "pseudo_label", "label videos by a teacher"),
    Command("select_pseudo_labels", "select_pseudo_labels", "choose pseudo-labelled videos to train on"),
    Command("look", "look", "show where and when a network sees a class in a video"),
    Command("timeline", "timeline", "say what happens when in a long video, a camera or a stream"),
    Command("export", "export", "write a trained network for another runtime"),
    Command("quantize", "quantize", "write a trained network in int8, and show what that changes"),
    Command("demo_app", "demo_app", "a page in the browser that answers for visitors' videos"),
    Command("convert_weights", "convert_weights", "bring published weights into this project's format"),
    Command("additive_study", "additive_study", "measure the published recipe row by row"),
    Command("scaling_study", "scaling_study", "measure what depth, width, resolution and frames buy"),
    Command("transfer_study", "transfer_study", "measure what trained networks are worth on other data sets"),
    Command("recommend", "recommend", "say which network, frames and size fit a budget"),
    Command("pareto", "pareto", "accuracy against the cost of a whole video"),
    Command("study", "study", "go on with a study of many runs"),
    Command("benchmark model", "benchmarks.model", "speed and memory of forward passes"),
    Command("benchmark train", "benchmarks.train", "speed and memory of optimizer steps"),
    Command("benchmark loop", "benchmarks.loop", "whole training loops on real files"),
    Command("benchmark data", "benchmarks.data", "reading clips"),
    Command("benchmark eval", "benchmarks.eval", "testing by many views, and the first answer of a process"),
    Command("benchmark gpu", "benchmarks.gpu", "a GPU in minutes: training, testing and reading"),
    Command("benchmark pseudo_label", "benchmarks.pseudo_label", "labelling many short files by a teacher"),
    Command("models", "models", "print the models with their sizes"),
    Command("options", "options", "print the keys of a configuration"),
    Command("completion", "completion", "print what a shell needs to complete commands and options"),
)
GROUPS = {
    "list": "List the videos of a data set.",
    "benchmark": "Measure speed and memory.",
}
"""Groups of commands, and what the commands of each do."""


def command(name: str) -> Command:
    """Return the command of that name."""
    return next(command for command in COMMANDS if command.name == name)
