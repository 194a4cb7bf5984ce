"""What the published rules say for a budget."""

import json
import subprocess
import sys

import pytest

from video_rs.models import create_model
from video_rs.models.table import gmac
from video_rs.runtime.errors import InputError
from video_rs.studies import recommend
from video_rs.studies.recommendation import LADDERS, rung_gmac

KINETICS = 240_000
IMAGENET = 1_281_167
OWN = "ur own extension"
SMALLEST = 0.001386  # GMAC of the first step


@pytest.mark.parametrize("strategy", LADDERS)
def test_each_step_takes_more_than_the_one_before(strategy):
    work = [rung_gmac(rung) for rung in LADDERS[strategy]]
    assert work == sorted(set(work))
    assert work[0] == pytest.approx(SMALLEST, rel=1e-3)


# R3D-RS's own points: GMAC by the formula of the published networks, top-1 as published.
PUBLISHED = [
    (88.1, "r3d_rs_50", 32, 88.0, "78.2"),
    (100, "r3d_rs_50", 32, 88.0, "78.2"),
    (200, "r3d_rs_101", 32, 175.4, "79.5"),
    (300, "r3d_rs_152", 32, 256.2, "79.9"),
    (400, "r3d_rs_200", 32, 312.1, "80.4"),
    (500, "r3d_rs_200", 48, 468.1, "81.0"),
]


@pytest.mark.parametrize(("budget", "model", "frames", "work", "top1"), PUBLISHED)
def test_long_training_takes_the_published_points(budget, model, frames, work, top1):
    found = recommend(budget, 350, KINETICS)
    assert (found.model, found.width, found.frames, found.size) == (model, 1.0, frames, 224)
    assert found.gmac == pytest.approx(work, abs=0.05)
    assert (found.strategy, found.extensions) == ("depth", ())
    assert len(found.reasons) == 3
    assert "depth scales better where overfitting can occur, as in 350 epochs (Bello et al. 2021)" in found.reasons[0]
    assert "frames help more than resolution (Du et al. 2021)" in found.reasons[1]
    assert f"published with {top1} % top-1 on Kinetics-400" in found.reasons[2]
    assert OWN not in " ".join(found.reasons)


def test_the_work_is_that_of_the_table_of_models():
    found = recommend(10, 350, KINETICS)
    model = create_model(found.model, width=found.width).to("meta")
    assert found.gmac == gmac(model, found.frames, found.size)


def test_short_training_takes_width():
    found = recommend(200, 10, IMAGENET)
    assert (found.strategy, found.model, found.width) == ("width", "r3d_rs_50", 1.5)
    assert "width scales better than depth in training as short as 10 epochs" in found.reasons[0]
    assert OWN not in found.reasons[0]
    assert OWN in found.reasons[1]
    assert OWN in found.reasons[2]
    assert found.extensions == ("r3d_rs_50 of width 1.5 at 32 x 224 x 224 is no published point",)
    # The same budget in long training goes into depth.
    assert recommend(200, 350, IMAGENET).model == "r3d_rs_101"


def test_between_it_depends_and_depth_is_taken():
    found = recommend(200, 100, IMAGENET)
    assert (found.strategy, found.model) == ("depth", "r3d_rs_101")
    assert found.reasons[0] == (
        "100 epochs: at about 100 epochs it depends which scales better (Bello et al. 2021). Our own extension: then "
        "depth is taken, as R3D-RS did in long training."
    )
    assert found.extensions == ("depth is taken, as R3D-RS did in long training",)


@pytest.mark.parametrize(("epochs", "nearest"), [(4, 10), (31, 10), (32, 100), (187, 100), (188, 350), (1000, 350)])
def test_between_the_lengths_that_were_tried_the_nearest_counts_which_is_marked_as_our_own(epochs, nearest):
    """The middle of 10 and 100 is 31.6 by ratio, that of 100 and 350 is 187.1."""
    own = f"{epochs} epochs count as {nearest}, the nearest by ratio of the 10, 100 and 350 epochs that were tried"
    found = recommend(100, epochs, IMAGENET)
    assert found.reasons[0].startswith(f"Our own extension: {own}; ")
    assert found.extensions[0] == own
    assert found.strategy == ("width" if nearest == 10 else "depth")


@pytest.mark.parametrize(("epochs", "videos"), [(10, IMAGENET), (350, IMAGENET), (350, KINETICS)])
def test_the_lengths_that_were_tried_are_the_papers(epochs, videos):
    found = recommend(100, epochs, videos)
    assert found.reasons[0].startswith(f"{epochs} epochs: ")
    assert OWN not in found.reasons[0]
    assert found.extensions == ()


def test_few_videos_overfit_sooner_which_is_marked_as_our_own():
    found = recommend(200, 10, 500)
    assert found.strategy == "depth"
    # 10 epochs x 1,281,167 images / 500 videos.
    own = (
        "10 epochs of 500 videos overfit as 25,600 epochs of ImageNet's 1.28 million images would, and count as 350, "
        "the nearest by ratio of the 10, 100 and 350 epochs that were tried"
    )
    assert found.reasons[0].startswith(f"Our own extension: {own}; depth scales better where overfitting can occur")
    assert found.extensions == (own,)
    # And many later: 350 epochs of 100 million are 4.5 epochs of ImageNet.
    assert recommend(200, 350, 100_000_000).strategy == "width"


def test_below_the_smallest_published_point_the_size_goes_first_and_frames_last():
    budgets = [88.1, 64.7, 45, 29, 24, 14, 6, 1.5, 1.0, 0.51, 0.14, 0.05, 0.03, 0.011, 0.007, 0.003, 0.0014]
    steps = [recommend(budget, 350, KINETICS) for budget in budgets]
    assert [step.size for step in steps[:5]] == [224, 192, 160, 128, 112]
    assert {step.model for step in steps[:8]} == {"r3d_rs_50"}
    assert [step.width for step in steps[4:8]] == [1.0, 0.75, 0.5, 0.25]
    assert [step.frames for step in steps] == [32] * 12 + [16, 8, 8, 8, 4]
    assert [step.size for step in steps[-4:]] == [64, 48, 32, 32]
    for step in steps[1:]:
        assert "Our own extension: below R3D-RS-50's 88 GMAC the size goes first, then the network" in step.reasons[1]
        assert OWN in step.reasons[2]
        assert len(step.extensions) == 1
    # In short training the width stays as long as the depth can go.
    assert recommend(16, 10, IMAGENET)[:2] == ("r3d_rs_small", 1.0)


def test_beyond_the_published_points_the_rule_is_carried_on_and_marked():
    found = recommend(700, 350, KINETICS)
    assert (found.model, found.frames) == ("r3d_rs_270", 48)
    assert "Our own extension: the rule is carried on beyond what was published." in found.reasons[1]
    last = recommend(1e6, 350, KINETICS)
    assert (last.model, last.frames, last.size) == ("r3d_rs_350", 64, 224)
    assert last.reasons[2].endswith("it is the last step: more frames or views may take the rest.")


def test_the_next_step_is_named():
    found = recommend(100, 350, KINETICS)
    assert found.reasons[2] == (
        "r3d_rs_50 at 32 x 224 x 224 takes 88.02 of 100 GMAC (published with 78.2 % top-1 on Kinetics-400); the next "
        "step, r3d_rs_101 at 32 x 224 x 224, takes 175.4."
    )


def test_a_budget_below_the_smallest_network_names_its_work(tool):
    with pytest.raises(InputError, match=r"a budget of 0\.001 GMAC is below the smallest network"):
        recommend(0.001, 350, KINETICS)
    done = tool("recommend", "--gmac", 0.001, "--epochs", 350, "--videos", KINETICS)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: a budget of 0.001 GMAC is below the smallest network: r3d_rs_tiny of width 0.125 at 4 x 32 x 32 takes "
        "0.00139 GMAC; give that at least\n"
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0, 350, 10), "the budget in GMAC is 0"),
        ((100, -1, 10), "the number of epochs is -1"),
        ((100, 350, 0), "the number of videos is 0"),
        ((float("nan"), 350, 10), "the budget in GMAC is nan"),
    ],
)
def test_numbers_that_are_none_are_refused(arguments, named):
    with pytest.raises(InputError, match=f"^{named}; give a finite number above 0$"):
        recommend(*arguments)


def test_the_command_prints_three_reasons_and_keys(tool):
    done = tool("recommend", "--gmac", 100, "--epochs", 350, "--videos", KINETICS)
    first, *reasons, keys = done.out.splitlines()
    assert first == "r3d_rs_50, width 1, 32 frames of 224 x 224 pixels: 88.02 GMAC"
    assert [line[:2] for line in reasons] == ["- "] * 3
    assert keys == "keys: MODEL.ARCH r3d_rs_50 MODEL.WIDTH 1 DATA.NUM_FRAMES 32 DATA.TRAIN_CROP_SIZE 224"


def test_the_command_prints_json(tool):
    done = tool("recommend", "--gmac", 10, "--epochs", 30, "--videos", 2000, "--json")
    found = json.loads(done.out)
    assert found == json.loads(json.dumps(recommend(10, 30, 2000)._asdict()))
    assert len(found["reasons"]) == 3
    assert len(found["extensions"]) == 2


def test_importing_the_room_imports_no_torch():
    code = "import sys, video_rs.studies; assert 'torch' not in sys.modules; print(sorted(video_rs.studies.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['Recommendation', 'recommend']\n"


def test_other_names_are_not_there():
    import video_rs.studies

    with pytest.raises(AttributeError, match="no attribute 'advise'"):
        video_rs.studies.advise  # noqa: B018 - the access is what is tested
