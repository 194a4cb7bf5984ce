"""The options of pseudo-labels and distillation reach their objects; what does not fit is refused in one line."""

import dataclasses

import pytest
import torch

from helpers.configs import build
from helpers.few_labels import split_list, unlabelled_list
from helpers.networks import refusal
from helpers.runs import TINY
from video_rs.builders import build_training
from video_rs.builders.teachers import build_teacher
from video_rs.config import config_from_text, load_config, stored_config
from video_rs.data.dataset import ClipReader
from video_rs.data.order import ClipOrder, JoinedOrder
from video_rs.data.second_view import SecondView, TwoViewReader
from video_rs.engine.objectives import Classification, Distillation, Divergence, PseudoLabelled
from video_rs.engine.probabilities import at_temperature

SIZES = {key: TINY[key] for key in TINY if key.startswith(("DATA.", "MODEL."))}


@pytest.fixture(scope="module")
def lists(videos, tmp_path_factory):
    """A labelled list and a pseudo-labelled one, with soft labels."""
    return split_list(videos, tmp_path_factory.mktemp("lists"), soft=0.8)


@pytest.fixture(scope="module")
def hard(videos, tmp_path_factory):
    """The same without soft labels."""
    return split_list(videos, tmp_path_factory.mktemp("hard"))


def joined(lists, **changes):
    labelled, pseudo = lists
    keys = {"DATA.PSEUDO_LIST": str(pseudo), **{key.replace("__", "."): value for key, value in changes.items()}}
    return build(labelled, {**SIZES, **keys})


def distilled(videos, trained, **changes):
    keys = {"DISTILL.TEACHER": str(trained), **{key.replace("__", "."): value for key, value in changes.items()}}
    return build(videos, {**SIZES, **keys})


# -- Pseudo-labels


def test_without_the_options_a_run_is_what_it_was(videos):
    run = build(videos, SIZES)
    loader = run.loader(0)
    assert type(run.step.objective) is Classification
    assert (type(loader.order), type(loader.read), loader.second_shape) == (ClipOrder, ClipReader, None)
    assert set(run.lists.fingerprints()) == {"train", "val"}
    assert "teacher" not in run.identity()
    assert run.plan.further_clips == 0


def test_a_pseudo_labelled_list_is_joined(lists, hard):
    run = joined(lists)
    assert [len(records) for records in run.lists.all()] == [4, 4, 4]
    assert [len(records) for records in run.lists.trained()] == [4, 4]
    loader = run.loader(0)
    assert type(loader.order) is JoinedOrder
    assert [record.path for record in loader.records[4:]] == [record.path for record in run.lists.pseudo.records]
    assert (run.step.objective.pseudo.first_record, run.plan.further_clips) == (4, 2)

    # The file has the classes the other way round.
    expected = [[0.8, 0.2] if record.labels == (0,) else [0.2, 0.8] for record in run.lists.pseudo.records]
    assert run.step.objective.pseudo.soft_labels.tolist() == [pytest.approx(row) for row in expected]
    assert joined(hard).step.objective.pseudo.soft_labels is None


@pytest.mark.parametrize(
    ("share", "batch", "clips", "count"),
    [(0.5, 4, 1, 2), (0.25, 8, 1, 2), (0.3, 8, 1, 2), (0.9, 8, 1, 7), (0.5, 8, 2, 4), (0.6, 8, 4, 4)],
)
def test_the_share_is_that_of_whole_videos_of_a_step(lists, share, batch, clips, count):
    run = joined(lists, DATA__PSEUDO_SHARE=share, TRAIN__BATCH_SIZE=batch, DATA__CLIPS_PER_VIDEO=clips)
    assert run.plan.further_clips == count
    assert run.loader(0).order.second.picks_per_step * clips == count


def test_epochs_are_those_of_the_labelled_list(lists):
    """Of 8 clips a step, 2 are labelled: the 4 labelled videos are through after 2 steps."""
    keys = {"DATA__PSEUDO_SHARE": 0.75, "TRAIN__BATCH_SIZE": 8, "SOLVER__MAX_EPOCH": 10, "SOLVER__WARMUP_EPOCHS": 3}
    run = joined(lists, **keys)
    assert (run.plan.total_steps, run.step.schedule.warmup_steps) == (20, 6)
    assert (run.plan.epoch_steps, run.plan.epoch(20)) == (2, 10)
    assert [step for step in range(1, 7) if run.plan.ends_epochs(step)] == [2, 4, 6]


@pytest.mark.parametrize(
    ("share", "clips", "message"),
    [
        (0.1, 1, "0.1 of the 4 videos of a step (TRAIN.BATCH_SIZE 4) leaves none for DATA.PSEUDO_LIST"),
        (0.9, 1, "0.9 of the 4 videos of a step (TRAIN.BATCH_SIZE 4) leaves none for DATA.TRAIN_LIST"),
        (0.5, 4, "0.5 of the 1 video of a step (TRAIN.BATCH_SIZE 4) leaves none for DATA.PSEUDO_LIST"),
    ],
)
def test_a_share_that_leaves_a_list_without_videos_is_refused(lists, share, clips, message):
    assert refusal(joined, lists, DATA__PSEUDO_SHARE=share, DATA__CLIPS_PER_VIDEO=clips) == (
        f"DATA.PSEUDO_SHARE {message}; give a share of at least one video and less than all, or set DATA.PSEUDO_LIST ''"
    )


def test_weight_and_temperature_reach_the_objective(lists):
    run = joined(lists, SOLVER__PSEUDO_WEIGHT=0.3, DATA__PSEUDO_TEMPERATURE=0.5, AUG__MIXUP_ALPHA=0.2)
    objective = run.step.objective
    assert type(objective) is PseudoLabelled
    assert objective.pseudo.weight == 0.3
    # Squares of 0.8 and 0.2 are 16 to 1.
    assert objective.pseudo.soft_labels.max(1).values.tolist() == [pytest.approx(16 / 17)] * 4
    assert objective.mix.mixup_alpha == 0.2
    assert objective.loss.smoothing == 0.1


def test_classes_are_balanced_in_the_labelled_list_alone(lists):
    order = joined(lists, DATA__CLASS_BALANCE=1).loader(0).order
    assert order.epoch_order.keywords["balance"] == 1
    assert "balance" not in order.second.epoch_order.keywords


def test_the_list_belongs_to_the_identity_of_the_data(lists, hard, tmp_path, videos):
    found = [joined(given).lists.fingerprints() for given in (lists, hard, split_list(videos, tmp_path, soft=0.7))]
    assert all(each["train"] == found[0]["train"] for each in found)
    assert len({each["pseudo"] for each in found}) == 3
    kept = config_from_text(stored_config(load_config("", {"DATA.PSEUDO_LIST": "pseudo.csv"})))
    assert kept.DATA.PSEUDO_LIST.endswith("/pseudo.csv")


def test_a_pseudo_label_of_no_class_is_refused(lists, tmp_path):
    labelled, pseudo = lists
    (tmp_path / "pseudo.csv").write_text(pseudo.read_text().replace(",light", ",lihgt"))
    assert "label 'lihgt', expected one of the 2 known names, nearest 'light'" in refusal(
        joined, (labelled, tmp_path / "pseudo.csv")
    )
    (tmp_path / "pseudo.csv").write_text(pseudo.read_text().replace(",light", ",light;dark"))
    assert "has 2 labels; give it one, or train with DATA.MULTI_LABEL true" in refusal(
        joined, (labelled, tmp_path / "pseudo.csv")
    )


def test_a_pseudo_label_list_with_validation_videos_is_refused(lists, videos, tmp_path):
    rows = [f"{videos.parent}/{row}" for row in videos.read_text().splitlines() if row.endswith(",val")]
    (tmp_path / "pseudo.csv").write_text("\n".join(["path,label,split", *rows]).replace(",val", ",train"))
    message = refusal(joined, (lists[0], tmp_path / "pseudo.csv"))
    assert message.startswith(f"{tmp_path}/pseudo.csv shares 4 videos with the validation rows of {lists[0]}, such as ")


def test_several_labels_a_video_have_soft_labels_too(lists):
    run = joined(lists, DATA__MULTI_LABEL="true", DATA__PSEUDO_TEMPERATURE=2.0)
    given = torch.from_numpy(run.lists.soft_labels)
    expected = at_temperature(given, 2.0, multi_label=True)
    assert torch.equal(run.step.objective.pseudo.soft_labels, expected)
    assert run.loader(0).multi_label == 2


# -- Distillation


def test_a_teacher_reaches_objective_and_reader(videos, trained):
    run = distilled(videos, trained, DATA__NUM_FRAMES=8, DATA__TRAIN_CROP_SIZE=48, DISTILL__TEMPERATURE=2.5)
    objective = run.step.objective
    assert type(objective) is Distillation
    assert (objective.weight, objective.has_labels) == (0.9, True)
    assert objective.divergence == Divergence(2.5)
    loader = run.loader(0)
    assert type(loader.read) is TwoViewReader
    assert loader.read.second == SecondView(4, 32, False)
    assert loader.second_shape == (3, 4, 32, 32)
    batch = next(iter(loader))
    assert (batch.clips.shape, batch.second_clips.shape) == ((4, 3, 8, 48, 48), (4, 3, 4, 32, 32))
    assert distilled(videos, trained, DISTILL__WEIGHT=0.25).step.objective.weight == 0.25


def test_the_teacher_answers_as_prediction_does(videos, trained):
    """The average of its run, in evaluation mode, with its own mean and deviation."""
    run = distilled(videos, trained, DATA__MEAN="[0.5, 0.5, 0.5]")
    clips = torch.randint(256, (3, *run.teacher.view.shape), dtype=torch.uint8)
    from video_rs import Predictor

    with torch.no_grad():
        expected = Predictor.from_checkpoint(trained, "cpu").scorer(clips)
        said = run.step.objective.teacher(clips)
    assert torch.equal(said, expected)
    assert (said.dtype, said.requires_grad) == (torch.float32, False)
    run.teacher.answer_black_clips(2)


def test_a_teacher_computes_in_the_precision_of_the_run(videos, trained):
    run = distilled(videos, trained, TRAIN__PRECISION="bfloat16")
    clips = torch.randint(256, (3, *run.teacher.view.shape), dtype=torch.uint8)
    exact = distilled(videos, trained, TRAIN__PRECISION="float32")
    with torch.no_grad():
        rough = run.step.objective.teacher(clips)
        expected = exact.step.objective.teacher(clips)
        exact.compute_in("bfloat16")
        chosen_later = exact.step.objective.teacher(clips)
    assert rough.dtype == torch.float32
    # bfloat16 keeps 8 bits of logits of size 1.
    assert 0 < (rough - expected).abs().max() < 0.05
    assert torch.equal(chosen_later, rough)
    exact.compute_in("float32")
    with torch.no_grad():
        assert torch.equal(exact.step.objective.teacher(clips), expected)


def test_a_checkpoint_keeps_what_tells_a_teacher_from_others(videos, trained):
    import hashlib

    run = distilled(videos, trained)
    kept = run.identity()["teacher"]
    digest = hashlib.sha256((trained / "checkpoints/last.pth").read_bytes()).hexdigest()
    assert kept == {
        "source": str(trained),
        "sha256": digest,
        "preprocessing": run.teacher.preprocessing.to_dict(),
        "temperature": 4.0,
        "weight": 0.9,
    }
    # A folder that is there is kept by its whole path; a name stays one.
    config = load_config("", {"DISTILL.TEACHER": str(trained / "checkpoints/..")})
    assert str(trained) == config_from_text(stored_config(config)).DISTILL.TEACHER
    assert config_from_text(stored_config(load_config("", {"DISTILL.TEACHER": "owner/name"}))).DISTILL.TEACHER == (
        "owner/name"
    )


def test_answers_come_in_the_order_of_the_students_classes(videos, trained, tmp_path):
    (tmp_path / "labels.txt").write_text("light\ndark\n")
    run = distilled(videos, trained, DATA__LABEL_MAP=str(tmp_path / "labels.txt"))
    clips = torch.randint(256, (3, *run.teacher.view.shape), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(run.step.objective.teacher(clips), run.teacher.probabilities(clips).flip(1))
    assert run.teacher.label_names == ("dark", "light")


def test_a_teacher_of_other_classes_is_refused(videos, trained, tmp_path):
    (tmp_path / "labels.txt").write_text("dark\nlight\ndim\n")
    message = refusal(distilled, videos, trained, DATA__LABEL_MAP=str(tmp_path / "labels.txt"))
    assert message == (
        f"DISTILL.TEACHER {trained} is a teacher of 2 classes for the 3 of this run: not of 'dim'; take the same "
        "classes, or give their names as DATA.LABEL_MAP"
    )


def test_a_teacher_that_answers_otherwise_is_refused(videos, trained):
    assert refusal(distilled, videos, trained, DATA__MULTI_LABEL="true") == (
        f"DISTILL.TEACHER {trained} answers for one class a video; set DATA.MULTI_LABEL false, or take another teacher"
    )
    config = load_config("", {"DISTILL.TEACHER": "sigmoids"})
    several = dataclasses.replace(distilled(videos, trained).teacher, multi_label=True)
    assert refusal(build_teacher, config, torch.device("cpu"), lambda *_: several) == (
        "DISTILL.TEACHER sigmoids answers for each class by itself; set DATA.MULTI_LABEL true, or take another teacher"
    )


def test_a_teacher_that_is_not_there_is_refused(videos, tmp_path):
    message = refusal(distilled, videos, tmp_path / "none.pth")
    assert message == f"no checkpoint at {tmp_path}/none.pth; train first, or give the path of a .pth file"


def test_pseudo_labels_and_a_teacher_are_two_ways(lists, trained):
    labelled, pseudo = lists
    assert refusal(distilled, labelled, trained, DATA__PSEUDO_LIST=str(pseudo)) == (
        f"DATA.PSEUDO_LIST {pseudo} and DISTILL.TEACHER {trained} both say what a teacher answers; set one of them to "
        "''"
    )


def test_another_kind_of_teacher_is_plugged_in(videos, trained):
    """Whatever answers for clips of its own form."""
    like = distilled(videos, trained).teacher
    asked = []

    def load(source, device):
        asked.append((source, device))
        return dataclasses.replace(
            like, source=source, sha256="0", label_names=("light", "dark"), probabilities=answer_by_brightness
        )

    keys = {**SIZES, "DATA.TRAIN_LIST": str(videos), "DISTILL.TEACHER": "brightness", "TRAIN.BATCH_SIZE": 4}
    run = build_training(load_config("", keys), torch.device("cpu"), load)
    assert asked == [("brightness", "cpu")]
    for batch in run.loader(0, 2):
        is_light = [run.lists.label_names[label] == "light" for label in batch.labels]
        assert run.step.objective.teacher(batch.second_clips).argmax(1).tolist() == list(map(int, is_light))


def answer_by_brightness(clips):
    """Probabilities of light and dark, in this order."""
    light = (clips.float().mean((1, 2, 3, 4)) > 120).float()
    return torch.stack([light, 1 - light], dim=1)


@pytest.fixture(scope="module")
def unlabelled(videos, tmp_path_factory):
    """A list of paths alone."""
    return unlabelled_list(videos, tmp_path_factory.mktemp("unlabelled"))


def test_with_all_weight_on_the_teacher_no_label_is_needed(unlabelled, videos, trained):
    run = distilled(unlabelled, trained, DISTILL__WEIGHT=1, DATA__VAL_LIST=str(videos))
    assert run.lists.label_names == run.lists.train.label_names == ("dark", "light")
    assert run.step.objective.has_labels is False
    batch = next(iter(run.loader(0)))
    assert batch.labels.tolist() == [-1] * 4
    assert [record.labels for record in run.lists.val.records] == [(0,), (0,), (1,), (1,)]


def test_labels_that_are_there_are_logged_all_the_same(videos, trained, tmp_path):
    run = distilled(videos, trained, DISTILL__WEIGHT=1)
    assert run.step.objective.has_labels is True

    # Of one class alone, the classes are the teacher's all the same; what is none of them is refused.
    rows = [f"{videos.parent}/{row}" for row in videos.read_text().splitlines() if row.endswith(",light,train")]
    (tmp_path / "light.csv").write_text("\n".join(["path,label,split", *rows, ""]))
    run = distilled(tmp_path / "light.csv", trained, DISTILL__WEIGHT=1, DATA__VAL_LIST="")
    assert (run.lists.label_names, run.lists.train.records[0].labels) == (("dark", "light"), (1,))
    (tmp_path / "light.csv").write_text("\n".join(["path,label,split", *rows, ""]).replace(",light,", ",bright,"))
    message = refusal(distilled, tmp_path / "light.csv", trained, DISTILL__WEIGHT=1, DATA__VAL_LIST="")
    assert "label 'bright', expected one of the 2 known names, nearest 'light'" in message


def test_labels_of_some_videos_are_left_aside(videos, trained, tmp_path):
    first, *rows = [row for row in videos.read_text().splitlines()[1:] if row.endswith(",train")]
    rows = [f"{videos.parent}/{row}".removesuffix(",train") for row in (first, *rows)]
    rows[0] = rows[0].split(",")[0] + ","
    (tmp_path / "some.csv").write_text("\n".join(["path,label", *rows, ""]))
    run = distilled(tmp_path / "some.csv", trained, DISTILL__WEIGHT=1, DATA__VAL_LIST="")
    assert run.step.objective.has_labels is False
    message = refusal(distilled, tmp_path / "some.csv", trained, DISTILL__WEIGHT=0.5, DATA__VAL_LIST="")
    assert "label '', expected a label" in message

    (tmp_path / "some.csv").write_text("\n".join(["path,label", *rows, ""]).replace(",light", ",light;dark", 1))
    message = refusal(distilled, tmp_path / "some.csv", trained, DISTILL__WEIGHT=1, DATA__VAL_LIST="")
    assert "has 2 labels; give it one, or train with DATA.MULTI_LABEL true" in message


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("DATA__CLASS_BALANCE", "DATA.CLASS_BALANCE 1 needs the label of each video, which {} does not have"),
        ("SOLVER__CLASS_WEIGHTS", "SOLVER.CLASS_WEIGHTS 1 needs labels, which {} does not have"),
    ],
)
def test_classes_cannot_be_balanced_without_labels(unlabelled, trained, key, message):
    found = refusal(distilled, unlabelled, trained, DISTILL__WEIGHT=1, DATA__VAL_LIST="", **{key: 1})
    assert found == f"{message.format(unlabelled)}; set it to 0"


def test_pseudo_labels_of_a_teacher_of_other_classes_are_refused(lists, tmp_path):
    labelled, pseudo = lists
    other = tmp_path / "pseudo.csv"
    other.write_text(pseudo.read_text().replace(",dark", ",fight").replace(",light", ",no fight"))
    assert refusal(joined, (labelled, other)) == (
        f"no label of DATA.PSEUDO_LIST {other} is one of the 2 classes of this run: 'fight', 'no fight'; take a "
        "teacher of these classes"
    )
    # What else is wrong with it is said as of any list.
    other.write_text("path,label\n,dark\n")
    assert refusal(joined, (labelled, other)).startswith(f"{other}, line 2: ")


def test_without_a_teacher_or_with_weight_on_labels_they_are_needed(unlabelled, trained):
    for message in (
        refusal(distilled, unlabelled, trained, DATA__VAL_LIST=""),
        refusal(build, unlabelled, {**SIZES, "DATA.VAL_LIST": ""}),
    ):
        assert message == f"{unlabelled}: no column 'label' in the header (path); add one"
