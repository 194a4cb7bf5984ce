"""``video-rs look``: Grad-CAM against derivatives that nothing propagates back, and heat whose place is known."""

import math

import numpy as np
import pytest
import torch
import where_it_looks
from PIL import Image
from torch import nn
from torch.nn import functional

from helpers.clips import clip_spec, eval_transform
from helpers.motion_boxes import shares_in_box
from helpers.networks import NARROW
from video_rs import create_model
from video_rs.curation.motion_demo.clips import LABELS, SIZE, inside_object_box, motion_clip, motion_path
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.evaluation import NetworkScorer
from video_rs.inference import Predictor
from video_rs.inference.looking import Box, HeatMap, grad_cam, look
from video_rs.inference.looking.gradcam import deepest_clear_stage
from video_rs.inference.prediction import Answers
from video_rs.models.fast import speed_up
from video_rs.runs.look import describe, frames_per_second
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError, open_video
from video_rs.video.encoding import write_video

# -- Grad-CAM of a network


@pytest.fixture(scope="module")
def network():
    """A narrow network in float64, in which a difference of logits is exact to ten digits."""
    torch.manual_seed(3)
    model = create_model("r3d_rs_50", 5, **NARROW).double().eval()
    with torch.no_grad():
        # Statistics of their own: with those of the start, batch norm would change next to nothing.
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 2.0)
    return model


@pytest.mark.parametrize("stage", ["stem", "res2", "res3", "res4"])
def test_the_weight_of_a_channel_is_how_the_logit_rises_with_it(network, stage):
    """By differences: what is added to all cells of one channel changes the logit by the sum of its gradients."""
    clips = torch.rand(2, 3, 4, 48, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = network.backbone.forward_until(stage, clips)
        cells = maps[0, 0].numel()
        step = 1e-6
        expected = torch.zeros(network.num_classes, *maps[:, 0].shape, dtype=torch.float64)
        for channel in range(maps.shape[1]):
            added = torch.zeros_like(maps)
            added[:, channel] = step
            up, down = (network.forward_behind(stage, maps + sign * added) for sign in (1, -1))
            slopes = (up - down).T / (2 * step)
            expected += slopes[..., None, None, None] / cells * maps[:, channel]
    # Some classes have heat, and others, or other places, have less than none.
    assert expected.min() < 0 < expected.max()
    for label in range(network.num_classes):
        found = grad_cam(network, clips, label, stage)
        assert (found.dtype, found.shape) == (torch.float32, maps[:, 0].shape)
        assert not found.requires_grad
        tolerance = 1e-5 * float(expected.abs().max())  # float32 at the end
        torch.testing.assert_close(found.double(), expected[label].clamp(min=0), rtol=0, atol=tolerance)


def test_at_the_last_stage_it_is_cam(network):
    """Zhou et al. 2016: the maps by the weights of the linear layer, without any gradient."""
    clips = torch.rand(1, 3, 4, 80, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        maps = network.backbone(clips)["res5"]
        cam = torch.einsum("c,bcthw->bthw", network.fc.weight[4], maps) / maps[0, 0].numel()
    torch.testing.assert_close(grad_cam(network, clips, 4, "res5"), cam.clamp(min=0).float())


def test_the_fast_network_has_the_same_map(network):
    clips = torch.rand(1, 3, 4, 48, 48, generator=torch.Generator().manual_seed(4))
    plain = create_model("r3d_rs_50", 5, **NARROW).eval()
    plain.load_state_dict(network.state_dict())
    expected = grad_cam(plain, clips, 1, "res3")
    fast = speed_up(plain).to(memory_format=torch.channels_last_3d)
    # Float32 sums in another order.
    torch.testing.assert_close(grad_cam(fast, clips, 1, "res3"), expected, rtol=0, atol=1e-4 * float(expected.max()))
    assert all(parameter.grad is None for parameter in plain.parameters())


def test_the_two_halves_are_the_network(network):
    clips = torch.rand(1, 3, 4, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = network(clips)
        for stage in ("stem", "res2", "res5"):
            maps = network.backbone.forward_until(stage, clips)
            assert torch.equal(network.forward_behind(stage, maps), expected)
        with pytest.raises(InputError, match=r"^stage is 'res6'; allowed: stem, res2, res3, res4, res5$"):
            network.backbone.forward_until("res6", clips)


@pytest.mark.parametrize(
    ("crop", "stage"),
    [(256, "res5"), (97, "res5"), (96, "res4"), (64, "res4"), (33, "res3"), (13, "res2"), (4, "res2")],
)
def test_the_stage_by_default_has_four_cells_across(network, crop, stage):
    assert deepest_clear_stage(network, crop) == stage


# -- Heat whose place is known


class Brightness(nn.Module):
    """A network whose logit of class k is ``factors[k]`` times the mean brightness: its map is the picture itself."""

    def __init__(self, *factors):
        super().__init__()
        self.factors = nn.Parameter(torch.tensor(factors))

    @property
    def backbone(self):
        return self

    def forward_until(self, stage, clips):
        assert stage == "res2"
        return clips[:, :1] * 1

    def forward_behind(self, stage, maps):
        return maps.mean((1, 2, 3, 4))[:, None] * self.factors

    def forward(self, clips):
        return self.forward_behind("res2", self.forward_until("res2", clips))


def predictor(clip, num_clips, transform, factors=(-1.0, 2.0), names=("dark", "light")):
    """A predictor whose heat for "light" is the brightness of what it sees."""
    preprocessing = Preprocessing(clip, num_clips, transform, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    scorer = NetworkScorer(Brightness(*factors), lambda clips: clips.float() / 255)
    return Predictor(scorer, preprocessing, Answers(names))


def grey(brightness):
    """Frames uint8 ``[T, H, W, 3]`` of brightness ``[T, H, W]``."""
    return np.repeat(np.asarray(brightness, np.uint8)[..., None], 3, axis=3)


def test_heat_lies_where_and_when_it_was_seen_whatever_the_views():
    """Three crops of three overlapping clips: the mean over all that show a pixel is that pixel itself."""
    rng = np.random.default_rng(0)
    frames = grey(rng.integers(0, 255, (20, 16, 48)))
    frames[:, :, 20:28] //= 3
    views = predictor(clip_spec(4, 2), 3, eval_transform(16, 16, 3))
    found = look(views, frames, "light", "res2")
    # Clips of 8 frames from 0, 6 and 12; crops of 16 columns from 0, 16 and 32.
    assert found.frames.tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    np.testing.assert_allclose(found.times, found.frames.numpy() / 30)
    assert found.box == (0, 0, 48, 16)
    assert np.array_equal(found.pictures.numpy(), frames[found.frames])
    seen = frames[found.frames, :, :, 0].astype(np.float64)
    assert found.heat.dtype == torch.float32
    np.testing.assert_allclose(found.heat.numpy(), seen / seen.max(), rtol=0, atol=1e-6)
    assert (found.video, found.label, found.stage) == ("20 frames", "light", "res2")


def test_heat_of_a_crop_says_where_it_lies_in_the_original():
    """48 x 96 pixels are halved, and the middle 20 x 20 of 24 x 48 are seen: rows 2 to 22, columns 14 to 34."""
    frames = np.zeros((6, 48, 96, 3), np.uint8)
    frames[3, 20:24, 60:64] = 255
    found = look(predictor(clip_spec(6, 1), 1, eval_transform(24, 20, 1)), frames, "light", "res2")
    assert found.box == (28, 4, 68, 44)
    assert found.heat.shape == (6, 20, 20)
    where = found.heat.nonzero().tolist()
    # Original rows 20 to 24 are rows 8 to 10 of the crop, columns 60 to 64 are columns 16 to 18.
    assert where == [[3, row, column] for row in (8, 9) for column in (16, 17)]
    assert found.heat.max() == 1


def test_a_place_between_crops_has_no_heat():
    """A frame of 8 x 40 under crops of 8: columns 8 to 16 and 24 to 32 are seen by none."""
    found = look(
        predictor(clip_spec(2, 1), 1, eval_transform(8, 8, 3)), grey(np.full((2, 8, 40), 200)), "light", "res2"
    )
    columns = found.heat[0, 0]
    assert columns.nonzero().flatten().tolist() == [*range(8), *range(16, 24), *range(32, 40)]


def test_a_short_video_that_wraps_counts_each_frame_once():
    """Three frames in a clip of eight: the first two are shown three times each, the last one twice."""
    frames = grey(np.stack([np.full((8, 8), value) for value in (60, 120, 240)]))
    found = look(predictor(clip_spec(8, 1), 1, eval_transform(8, 8, 1)), frames, "light", "res2")
    assert found.frames.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.heat[:, 4, 4].numpy(), [0.25, 0.5, 1.0], atol=1e-6)


def test_the_best_class_is_looked_for_unless_one_is_named():
    frames = grey(np.full((4, 8, 8), 100))
    views = predictor(clip_spec(4, 1), 1, eval_transform(8, 8, 1))
    best = look(views, frames, stage="res2")
    other = look(views, frames, "dark", "res2")
    score = 1 / (1 + math.exp(-3 * 100 / 255))
    assert (best.label, best.best[0], other.label, other.best) == ("light", "light", "dark", best.best)
    assert (best.score, other.score) == (pytest.approx(score, abs=1e-6), pytest.approx(1 - score, abs=1e-6))
    assert best.heat.min() == 1
    # Brightness speaks against "dark" everywhere.
    assert not other.heat.any()
    assert describe(other) == (
        f"dark  {1 - score:.2%}  res2  4 frames from 0.00 s to 0.10 s  (best: light  {score:.2%})  no heat: at this "
        "stage nothing speaks for dark"
    )
    assert describe(best) == f"light  {score:.2%}  res2  4 frames from 0.00 s to 0.10 s  most heat at 0.00 s"


def test_part_of_a_file_with_times_of_its_own(tmp_path):
    """A bright frame at 1.5 s; the part from 1 s on is looked at."""
    frames = grey(np.full((24, 16, 16), 30))
    frames[18] = 250
    write_video(tmp_path / "flash.mp4", frames, fps=12)
    views = predictor(clip_spec(4, 1), 3, eval_transform(16, 16, 1))
    found = look(views, tmp_path / "flash.mp4", "light", "res2", start=1.0)
    assert found.frames.tolist() == list(range(12, 24))
    np.testing.assert_allclose(found.times, np.arange(12, 24) / 12, atol=1e-6)
    assert int(found.heat.mean((1, 2)).argmax()) == 6
    assert "most heat at 1.50 s" in describe(found)
    with pytest.raises(DecodeError, match=r"segment 5.0..end s holds no frame"):
        look(views, tmp_path / "flash.mp4", start=5.0, stage="res2")


def test_the_score_is_the_predicted_one(trained, videos):
    views, video = Predictor.from_checkpoint(trained, "cpu"), videos.parent / "val/dark/0.mp4"
    top = views.predict(video).top
    for label, score in top:
        found = look(views, video, label)
        assert (found.score, found.best) == (score, top[0])
    assert found.stage == "res3"  # of crops of 32 pixels
    # 48 x 48 pixels, resized to 40: three crops of 32 down the middle.
    assert found.box == pytest.approx((4.8, 0, 43.2, 48))
    with open_video(video) as reader:
        assert found.frames.tolist() == sorted({*range(0, 8, 2), *range(4, 12, 2)})
        assert found.times == pytest.approx(found.frames.numpy() / reader.fps)


def test_refusals_before_any_video_is_read(trained):
    views = Predictor.from_checkpoint(trained, "cpu")
    for label, message in (
        ("drak", r"^label 'drak' is none of the network's 2 classes; did you mean 'dark'\?$"),
        ("xyz", r"^label 'xyz' is none of the network's 2 classes; allowed: dark, light$"),
    ):
        with pytest.raises(InputError, match=message):
            look(views, "gone.mp4", label)
    with pytest.raises(InputError, match=r"^stage is 'res1'; allowed: stem, res2, res3, res4, res5$"):
        look(views, "gone.mp4", stage="res1")
    exported = Predictor(lambda clips: torch.ones(len(clips), 2), views.preprocessing, views.answers)
    with pytest.raises(InputError, match=r"^an exported model has no gradients, which a heat map is made of; take its"):
        look(exported, "gone.mp4")


# -- The object of the motion demo


@pytest.mark.parametrize("label", LABELS)
def test_the_square_holds_all_that_changes(label):
    """The background stands still: what differs between two frames lies in the square of one of them."""
    centres = (np.arange(SIZE) + 0.5) / SIZE
    for seed in range(3):
        clip = motion_clip(label, seed).astype(int)
        inside = inside_object_box(motion_path(label, seed), centres, centres)
        # Edges are blended over one pixel.
        grown = functional.max_pool2d(torch.from_numpy(inside).float()[:, None], 3, 1, 1)[:, 0].bool().numpy()
        for one, other in ((0, 23), (5, 12)):
            changed = (clip[one] != clip[other]).any(2)
            assert changed.any()
            assert not (changed & ~grown[one] & ~grown[other]).any()


def test_the_square_is_as_large_as_the_object():
    """At scale 0 the outermost disc is opaque: what a turn changes reaches from side to side of the square."""
    seed = next(seed for seed in range(200) if motion_path("turning_clockwise", seed)[0, 2] < 0.03)
    clip = motion_clip("turning_clockwise", seed)
    centres = (np.arange(SIZE) + 0.5) / SIZE
    changed = (clip != clip[0]).any((0, 3))
    square = inside_object_box(motion_path("turning_clockwise", seed)[:1], centres, centres)[0]
    # The last pixels of a disc are few, and may have had the same colour.
    assert changed.any(0).sum() == pytest.approx(square.any(0).sum(), abs=3)
    assert changed.any(1).sum() == pytest.approx(square.any(1).sum(), abs=3)


def heat_map(heat, box, frames):
    """A heat map with these numbers, and nothing else in it."""
    return HeatMap("", "", 0.0, ("", 0.0), "res2", heat, None, frames, frames.numpy() / 30, Box(*box))


def test_shares_of_known_heat():
    """An object at the middle whose square is 48 pixels wide, seen through a crop of the lower half."""
    radius = 0.25
    scale = 1 + math.log(radius / 0.46, 1.6)
    path = np.tile([0.5, 0.5, scale, 0.0], (3, 1))
    # Rows 48 to 96 as 4 rows, all columns as 8: the square is the rows 0 and 1, the columns 2 to 6.
    heat = torch.zeros(2, 4, 8)
    heat[0, 1, 5] = 3
    heat[1, 2, 5] = 1
    found = shares_in_box(heat_map(heat, (0, 48, 96, 96), torch.tensor([0, 2])), path, 96)
    assert found == (0.75, 0.25)
    nothing = shares_in_box(heat_map(heat * 0, (0, 48, 96, 96), torch.tensor([0, 2])), path, 96)
    assert math.isnan(nothing.heat)


def test_an_object_at_the_edge_is_on_both_sides():
    path = np.array([[0.0, 0.25, 1 + math.log(0.125 / 0.46, 1.6), 0.0]])
    centres = (np.arange(8) + 0.5) / 8
    inside = inside_object_box(path, centres, centres)[0]
    assert np.flatnonzero(inside.any(0)).tolist() == [0, 7]
    assert np.flatnonzero(inside.any(1)).tolist() == [1, 2]


def test_the_table_says_how_much_heat_lies_on_the_object(trained, monkeypatch):
    """The tiny run has learned other classes; the maps of networks are replaced by heat that fills all it sees."""
    views = Predictor.from_checkpoint(trained, "cpu")

    def even(predictor, frames, label, stage):
        found = look(predictor, frames, "dark", stage)
        inside = found.heat * 0 + 1
        return heat_map(inside, found.box, found.frames)

    monkeypatch.setattr(where_it_looks, "look", even)
    *_, line = where_it_looks.table(views, 8, ("res3",))
    _, stage, learned, random, area, _ = map(str.strip, line.split("|"))
    assert stage == "res3"
    assert learned == random
    assert learned.split(" ±")[0] == area
    assert 20 < float(area.rstrip("%")) < 95

    assert where_it_looks.mean_and_error(np.array([0.5, 0.7])) == "60.0% ± 10.0%"
    assert where_it_looks.mean_and_error(np.array([0.5, np.nan, 0.7])) == "60.0% ± 10.0% (1 of 3 without heat)"
    assert where_it_looks.mean_and_error(np.array([np.nan])) == "- (1 of 1 without heat)"

    untrained = where_it_looks.with_random_weights(views)
    weights, random = (p.scorer.model.state_dict() for p in (views, untrained))
    assert weights.keys() == random.keys()
    assert not torch.equal(weights["fc.weight"], random["fc.weight"])


# -- The command


def test_the_command_writes_film_strip_and_numbers(tool, trained, videos, tmp_path):
    video, out = videos.parent / "val/light/1.mp4", tmp_path / "deep/out"
    arguments = ("--label", "light", "--stage", "res4", "--device", "cpu", "--decoder", "pyav", "--end", 1.0)
    result = tool("look", "--checkpoint", trained, video, *arguments, "--out", out)
    assert result.code == 0, result.err
    expected = look(Predictor.from_checkpoint(trained, "cpu"), video, "light", "res4", end=1.0)
    assert result.out == f"{describe(expected)}\nresults: {out}/look.mp4  {out}/look.png  {out}/look.npz\n"

    numbers = np.load(out / "look.npz")
    assert set(numbers) == {"heat", "frames", "times", "box", "label", "score", "stage"}
    np.testing.assert_array_equal(numbers["heat"], expected.heat.numpy())
    assert numbers["heat"].dtype == np.float32
    assert numbers["frames"].tolist() == expected.frames.tolist() == [0, 2, 4, 6, 8]
    assert numbers["times"].tolist() == expected.times.tolist()
    assert tuple(numbers["box"]) == expected.box
    assert (str(numbers["label"]), float(numbers["score"]), str(numbers["stage"])) == ("light", expected.score, "res4")

    with open_video(out / "look.mp4") as reader:
        assert (reader.num_frames, reader.fps) == (5, pytest.approx(5))
        # 40 x 32 pixels, eight times as large, twice beside each other, below a line of text.
        assert (reader.height, reader.width) == (28 + 320, 2 * 256 + 8)
        film = reader.frames(range(5))
    left = film[:, 28:, :256].float()
    shown = functional.interpolate(
        expected.pictures.permute(0, 3, 1, 2).float(), size=(320, 256), mode="bicubic"
    ).permute(0, 2, 3, 1)
    # What encoding and another bicubic kernel lose.
    assert float((left - shown).abs().mean()) < 8
    with Image.open(out / "look.png") as strip:
        assert min(strip.size) > 300


def test_a_film_follows_the_usual_distance_of_frames():
    assert frames_per_second(np.array([0.0, 0.1, 0.2, 5.0, 5.1])) == pytest.approx(10)
    assert frames_per_second(np.array([0.0, 9.0])) == 2
    assert frames_per_second(np.array([3.0])) == 2
    assert frames_per_second(np.arange(9) / 240) == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--label", "lihgt"), "error: label 'lihgt' is none of the network's 2 classes; did you mean 'light'?\n"),
        (("--out", "{file}"), "error: cannot write to --out {file}: File exists; set another --out\n"),
        (("--start", "nan"), "error: --start is nan; allowed: seconds from 0 on\n"),
        (("--end", "inf"), "error: --end is inf; allowed: seconds after the start, 0\n"),
        (("--start", "0.5", "--end", "0.5"), "error: --end is 0.5; allowed: seconds after the start, 0.5\n"),
        (("--start", "7"), "error: cannot decode {video}: segment 7.0..end s holds no frame: the video has 12 frames"),
    ],
)
def test_bad_input_is_refused_in_one_line(tool, trained, videos, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    names = {"file": tmp_path / "a file", "video": videos.parent / "val/dark/0.mp4"}
    arguments = [argument.format(**names) for argument in arguments]
    result = tool("look", "--checkpoint", trained, names["video"], *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(message.format(**names))
    assert result.err.count("\n") == 1
    assert not list(tmp_path.glob("look/look.*"))


def test_files_that_are_none_are_refused(tool, trained, tmp_path):
    out = ("--out", tmp_path / "out")
    gone = tool("look", "--checkpoint", trained, tmp_path / "gone.mp4", *out)
    assert (gone.code, gone.err) == (2, f"error: cannot decode {tmp_path}/gone.mp4: no such file\n")
    nothing = tool("look", "--checkpoint", tmp_path / "none.pth", tmp_path / "gone.mp4", *out)
    assert nothing.code == 2
    assert nothing.err.startswith(f"error: no checkpoint at {tmp_path}/none.pth; train first")
    stage = tool("look", "--checkpoint", trained, tmp_path / "gone.mp4", "--stage", "res9")
    assert stage.code == 2
    assert "argument --stage: invalid choice: 'res9'" in stage.err
