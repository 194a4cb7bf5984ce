"""Accuracies and losses of hand-made results, and scores of hand-made views, against literal numbers."""

import math

import pytest
import torch
from torch import nn

from helpers.results import Video, failed, same
from video_rs.engine.evaluation import NetworkScorer, evaluate, gather_results, view_probabilities
from video_rs.engine.metrics import (
    VideoResult,
    average_precision,
    class_precisions,
    confusion_matrix,
    log_loss,
    probability_of_so_few,
    summarize,
    top_k_hits,
    top_labels,
)
from video_rs.engine.probabilities import ClassProbabilities


def read(index, label, *probabilities):
    return VideoResult(index, f"{index}.mp4", (label,), torch.tensor(probabilities), views=30)


# Seven classes; the true class is ranked 1st, 5th, 6th and 2nd.
RANKED = [
    read(0, 0, 0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02),
    read(1, 4, 0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02),
    read(2, 5, 0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02),
    read(3, 1, 0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02),
]


@pytest.mark.parametrize(("k", "hits"), [(1, 1), (2, 2), (4, 2), (5, 3), (6, 4), (7, 4), (99, 4)])
def test_top_k_hits(k, hits):
    scores = torch.stack([r.probabilities for r in RANKED])
    truth = torch.zeros(4, 7, dtype=torch.bool)
    truth[range(4), [r.labels[0] for r in RANKED]] = True
    assert top_k_hits(scores, truth, k) == hits


def test_summary():
    assert summarize(RANKED, 7) == {
        "top1": 1 / 4,
        "topk": 3 / 4,
        "k": 5,
        "videos": 4,
        "failed": 0,
        "top1_all": 1 / 4,
    }


def test_failed_videos_count_in_top1_all_only():
    results = [failed(7, 0), *RANKED, failed(8, 6), failed(9, 2), failed(10, 1)]
    assert summarize(results, 7) == {
        "top1": 1 / 4,
        "topk": 3 / 4,
        "k": 5,
        "videos": 8,
        "failed": 4,
        "top1_all": 1 / 8,
    }


@pytest.mark.parametrize(("classes", "k"), [(1, 1), (2, 2), (4, 4), (5, 5), (6, 5)])
def test_k_is_at_most_the_number_of_classes(classes, k):
    probabilities = [0.5] + [0.5 / classes] * (classes - 1)
    summary = summarize([read(0, classes - 1, *probabilities)], classes)
    assert summary["k"] == k
    if classes < 5:
        assert summary["topk"] == 1.0
        assert summary["top1"] == (1.0 if classes == 1 else 0.0)


def test_all_failed():
    results = [failed(0, 1), failed(1, 0)]
    assert summarize(results, 3) == {"top1": 0, "topk": 0, "k": 3, "videos": 2, "failed": 2, "top1_all": 0}
    assert log_loss(results) is None
    assert confusion_matrix(results, 3).tolist() == [[0, 0, 0]] * 3


def test_no_videos():
    assert summarize([], 9) == {"top1": 0, "topk": 0, "k": 5, "videos": 0, "failed": 0, "top1_all": 0}
    assert log_loss([]) is None


def test_log_loss_is_the_mean_over_the_videos_read():
    results = [read(0, 0, 0.5, 0.5), failed(1, 0), read(2, 1, 0.875, 0.125)]
    assert log_loss(results) == pytest.approx((math.log(2) + math.log(8)) / 2, rel=1e-6)


def test_log_loss_of_an_impossible_class_is_finite():
    assert log_loss([read(0, 1, 1.0, 0.0)]) == pytest.approx(12 * math.log(10), rel=1e-6)  # clamped at 1e-12


def test_confusion_matrix():
    results = [
        read(0, 0, 0.9, 0.1, 0.0),
        read(1, 0, 0.2, 0.7, 0.1),
        read(2, 0, 0.1, 0.8, 0.1),
        failed(3, 1),
        read(4, 2, 0.3, 0.1, 0.6),
    ]
    matrix = confusion_matrix(results, 3)
    assert matrix.dtype == torch.int64
    assert matrix.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]  # rows are true classes


def test_top_labels_best_first():
    best = top_labels(torch.tensor([0.125, 0.5, 0.0625, 0.3125]), ["a", "b", "c", "d"], 3)
    assert best == [("b", 0.5), ("d", 0.3125), ("a", 0.125)]


@pytest.mark.parametrize("classes", [3, 5, 10, 17, 40, 400])
def test_of_equal_classes_the_first_is_the_best(classes):
    """As ``argmax`` says, which names the predicted class elsewhere."""
    scores = torch.full((classes,), 0.5)
    names = range(classes)
    assert top_labels(scores, names, 3) == [(0, 0.5), (1, 0.5), (2, 0.5)]
    truth = torch.eye(classes, dtype=torch.bool)
    assert [top_k_hits(scores[None], row[None], 2) for row in truth] == [1, 1] + [0] * (classes - 2)


def test_top_labels_with_fewer_classes_than_asked():
    assert top_labels(torch.tensor([0.25, 0.75]), ["no", "yes"]) == [("yes", 0.75), ("no", 0.25)]
    assert top_labels(torch.tensor([1.0]), ["only"]) == [("only", 1.0)]


def test_the_score_is_the_mean_of_softmax_and_not_of_logits():
    # The model passes its input on: two views, sure of class 0 and mildly for class 1.
    logits = torch.tensor([[math.log(99.0), 0.0], [0.0, math.log(3.0)]])
    mean, of_views = view_probabilities(NetworkScorer(nn.Identity(), same), [logits[:1], logits[1:]])
    assert of_views.flatten().tolist() == pytest.approx([0.99, 0.01, 0.25, 0.75], rel=1e-6)
    assert mean.dtype == torch.float32
    assert mean.tolist() == pytest.approx([(0.99 + 0.25) / 2, (0.01 + 0.75) / 2], rel=1e-6)
    # The softmax of the mean logits would be sqrt(33) / (1 + sqrt(33)) = 0.85 for class 0.
    assert logits.mean(0).softmax(0)[0].item() == pytest.approx(0.8517, abs=1e-4)


def test_a_temperature_divides_the_logits_of_each_view():
    logits = torch.tensor([[2 * math.log(3.0), 0.0], [0.0, 2 * math.log(9.0)]])
    softmax = NetworkScorer(nn.Identity(), same, ClassProbabilities(temperature=2.0))
    mean, of_views = view_probabilities(softmax, [logits])
    assert of_views.flatten().tolist() == pytest.approx([0.75, 0.25, 0.1, 0.9], rel=1e-6)
    assert mean.tolist() == pytest.approx([0.425, 0.575], rel=1e-6)

    sigmoid = NetworkScorer(nn.Identity(), same, ClassProbabilities(multi_label=True, temperature=2.0))
    assert view_probabilities(sigmoid, [logits]).views.flatten().tolist() == pytest.approx(
        [0.75, 0.5, 0.5, 0.9], rel=1e-6
    )


def test_videos_of_few_views_share_a_batch():
    """The network counts how many views it is given at a time."""
    batches = []

    def scorer(views):
        batches.append(len(views))
        return views.softmax(1)

    generator = torch.Generator().manual_seed(0)
    counts = (2, 3, 0, 3, 1, 9, 8, 1)
    videos = []
    for index, count in enumerate(counts):
        clips = torch.randn(count, 3, generator=generator) if count else None
        videos.append(Video(index, clips, error=None if count else "truncated file"))
    results = list(evaluate(scorer, videos, 8, keep_views=True))

    # Two, three and three; one; nine in two; eight; one.
    assert batches == [8, 1, 8, 1, 8, 1]
    assert [result.index for result in results] == list(range(8))
    for video, result in zip(videos, results, strict=True):
        if video.error is not None:
            assert (result.error, result.probabilities, result.views) == ("truncated file", None, 0)
            continue
        torch.testing.assert_close(result.view_probabilities, video.clips.softmax(1))
        torch.testing.assert_close(result.probabilities, video.clips.softmax(1).mean(0))


def test_views_are_kept_where_they_are_asked_for():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(9.0)], [0.0, 0.0]])
    scorer = NetworkScorer(nn.Identity(), same)
    videos = [Video(0, logits), Video(1, None, (0,), "truncated file")]
    read, failed_one = evaluate(scorer, videos, 2, keep_views=True)
    assert read.view_probabilities.flatten().tolist() == pytest.approx([0.75, 0.25, 0.1, 0.9, 0.5, 0.5], rel=1e-6)
    assert failed_one.view_probabilities is None
    assert next(evaluate(scorer, videos, 2)).view_probabilities is None


def small_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 4)
        )


def test_the_batch_size_of_views_does_not_matter():
    model, clips = small_network(), torch.rand(7, 3, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    model.train()  # evaluate() itself must switch batch norm to its stored statistics
    before = model[1].running_mean.clone()
    scores = [next(evaluate(NetworkScorer(model, same), [Video(0, clips)], batch)) for batch in (1, 2, 3, 7, 100)]
    assert torch.equal(model[1].running_mean, before)
    assert [result.views for result in scores] == [7] * 5
    expected = model.eval()(clips).softmax(1).mean(0)
    for result in scores:
        # Sums of seven float32 probabilities in another order.
        torch.testing.assert_close(result.probabilities, expected, rtol=0, atol=1e-6)


def test_prepare_is_applied_to_each_batch_of_views():
    clips = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8)
    scorer = NetworkScorer(nn.Identity(), lambda batch: batch.float() / 255 * math.log(3))
    mean, _ = view_probabilities(scorer, clips.split(1))
    assert mean.tolist() == pytest.approx([0.5, 0.5])
    mean, _ = view_probabilities(scorer, [clips[:1]])
    assert mean.tolist() == pytest.approx([0.25, 0.75])


def test_failed_videos_pass_through():
    videos = [Video(4, torch.zeros(1, 2), (1,)), Video(2, None, (0,), "truncated file"), Video(3, torch.ones(2, 2), ())]
    results = list(evaluate(NetworkScorer(nn.Identity(), same), videos, 8))
    assert [(r.index, r.video, r.labels, r.error, r.views) for r in results] == [
        (4, "4.mp4", (1,), None, 1),
        (2, "2.mp4", (0,), "truncated file", 0),
        (3, "3.mp4", (), None, 2),
    ]
    assert results[1].probabilities is None
    assert results[0].probabilities.tolist() == results[2].probabilities.tolist() == [0.5, 0.5]


def test_gather_restores_the_order_of_the_list():
    shuffled = [failed(3, 0), read(0, 0, 1.0), failed(2, 0), read(1, 0, 1.0)]
    assert [r.index for r in gather_results(shuffled)] == [0, 1, 2, 3]


def area_under_steps(scores, truth, missed=0):
    """Precision at every threshold times the recall it adds, by counting: scikit-learn's definition."""
    total, area, recall = sum(truth) + missed, 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        kept = [true for score, true in zip(scores, truth, strict=True) if score >= threshold]
        now = sum(kept) / total
        area, recall = area + (now - recall) * sum(kept) / len(kept), now
    return area


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_counts_by_thresholds(seed):
    generator = torch.Generator().manual_seed(seed)
    # Few different scores: ties between true and false videos.
    scores = torch.randint(6, (25,), generator=generator) / 8
    truth = torch.rand(25, generator=generator) < 0.3
    truth[0] = True
    for missed in (0, 3):
        expected = area_under_steps(scores.tolist(), truth.tolist(), missed)
        assert average_precision(scores, truth, missed) == pytest.approx(expected, abs=1e-12)


def test_average_precision_literal_values():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert average_precision(scores, torch.tensor([True, False, True, False])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(scores, torch.tensor([False, False, False, True])) == pytest.approx(1 / 4)
    assert average_precision(scores, torch.tensor([True, False, False, False]), missed=1) == pytest.approx(1 / 2)
    assert average_precision(torch.full((4,), 0.5), torch.tensor([True, False, False, False])) == pytest.approx(1 / 4)
    assert math.isnan(average_precision(scores, torch.zeros(4, dtype=torch.bool)))


def several(index, labels, *probabilities):
    return VideoResult(index, f"{index}.mp4", labels, torch.tensor(probabilities))


SEVERAL = [
    several(0, (0, 2), 0.9, 0.2, 0.6),
    several(1, (1,), 0.8, 0.7, 0.1),
    several(2, (0,), 0.3, 0.9, 0.2),
]


def test_summary_of_several_labels():
    # By score: class 0 true, false, true; class 1 false, true, false; class 2 true first.
    results = list(SEVERAL)
    precisions = [(1 + 2 / 3) / 2, 1 / 2, 1.0]
    summary = summarize(results, 3, multi_label=True)
    assert summary.pop("map") == summary.pop("map_all") == pytest.approx(sum(precisions) / 3)
    assert (summary.pop("map_classes"), summary.pop("classes")) == (3, 3)
    assert summary == {"top1": 1 / 3, "topk": 1.0, "k": 3, "videos": 3, "failed": 0, "top1_all": 1 / 3}
    assert [(c.index, c.videos) for c in class_precisions(results, 3)] == [(0, 2), (1, 1), (2, 1)]
    # A failed video of classes 0 and 3 (of which there is no other) is never found.
    four = [several(r.index, r.labels, *r.probabilities, 0.5) for r in results]
    lost = VideoResult(3, "3.mp4", (0, 3), error="no video stream")
    summary = summarize([*four, lost], 4, multi_label=True)
    assert summary["map"] == pytest.approx(sum(precisions) / 3)
    assert (summary["map_classes"], summary["classes"]) == (3, 4)
    assert summary["map_all"] == pytest.approx(((1 + 2 / 3) / 3 + 1 / 2 + 1.0 + 0) / 4)
    assert summarize([lost], 4, multi_label=True)["map"] == 0


@pytest.mark.parametrize(("hits", "trials", "chance"), [(0, 5, 0.5), (3, 10, 0.25), (7, 7, 0.1), (2, 400, 1 / 101)])
def test_the_probability_of_so_few_hits_is_the_sum_of_the_binomials(hits, trials, chance):
    terms = [math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(hits + 1)]
    assert probability_of_so_few(hits, trials, chance) == pytest.approx(sum(terms))


def test_log_loss_of_several_labels_is_over_all_classes():
    right = [0.9, 0.8, 0.6, 0.2, 0.7, 0.9, 0.3, 0.1, 0.8]
    assert log_loss(SEVERAL, multi_label=True) == pytest.approx(-sum(map(math.log, right)) / 9)


def test_the_score_of_several_labels_is_the_mean_of_sigmoids():
    logits = torch.tensor([[math.log(3.0), 0.0], [-math.log(3.0), math.log(9.0)]])
    scorer = NetworkScorer(nn.Identity(), same, ClassProbabilities(multi_label=True))
    mean, _ = view_probabilities(scorer, logits.split(1))
    assert mean.tolist() == pytest.approx([(0.75 + 0.25) / 2, (0.5 + 0.9) / 2])
