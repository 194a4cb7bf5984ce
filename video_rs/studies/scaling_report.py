"""What a scaling study leaves for people: a table, pictures of the laws and of the strategies, a page."""

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from video_rs.reports import plots
from video_rs.reports.scaling_plot import LawPanel, Line, PairBar, law_plot, lines_plot, pairs_plot
from video_rs.reports.study_page import Picture, StudyPage, Table, write_study_page
from video_rs.reports.text_table import text_table
from video_rs.runtime.atomic import replace_bytes, write_csv
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.studies.power_law import FEWEST_COMPUTES
from video_rs.studies.recommendation import recommend
from video_rs.studies.scaling_results import MeasuredPoint, ScalingResults, read_results
from video_rs.studies.scaling_verdict import WORDS, Fit, break_text, exponent_text, fits_of, verdict
from video_rs.studies.strategies import STRATEGIES, alone, best_within, budgets, frame_size_pairs
from video_rs.studies.study import Study

COLUMNS = (
    "row",
    "depth",
    "width",
    "size",
    "frames",
    "epochs",
    "gmac",
    "parameters",
    "latency_ms",
    "latency_spread",
    "seeds",
    "top1",
    "error",
    "error_spread",
    "cross_entropy",
    "cross_entropy_spread",
)
"""Of table.csv: top-1, error and its spread in [0, 1], cross-entropy in nats, the latency's spread over its median."""
HEADS = ("Point", "GMAC", "Parameters", "Latency (ms)", "Seeds", "Top-1", "Error", "Spread", "Cross-entropy")
FIT_HEADS = ("Scaled", "Epochs", "Runs", "Computes", "Exponent", "Break at", "Exponent beyond", "Criterion")
BUDGET_HEADS = ("Budget (GMAC)", "Best of the grid", "Its GMAC", "Its {}", "Recommended", "Its GMAC")
VALUE_NAMES = {"error": "error (1 - top-1)", "cross_entropy": "cross-entropy (nats)"}


def write_report(study: Study, failed: Mapping[str, str]) -> list[str]:
    """Write table.csv, pictures and report.html into the folder of a study; return what to print."""
    results = read_results(study)
    write_csv(study.folder / "table.csv", COLUMNS, csv_rows(results.points))

    fits = fits_of(results)
    sentences = verdict(results, fits)
    pictures = []
    for name, picture in pictures_of(results, fits).items():
        replace_bytes(study.folder / f"{name}.png", plots.png(picture.figure, crop=True))
        pictures.append(picture)

    page = StudyPage(
        title=f"Scaling study {study.folder.name}",
        sentences=sentences,
        done=len(study.runs) - len(study.unfinished()),
        runs=len(study.runs),
        failed=list(failed.items()),
        pictures=pictures,
        tables=tables_of(results, fits),
    )
    write_study_page(study.folder / "report.html", page)
    table = text_table(HEADS, [cells(point) for point in results.points])
    return [table, *sentences, f"report: {study.folder / 'report.html'}"]


def csv_rows(points: Sequence[MeasuredPoint]) -> Iterator[list]:
    """Give the rows of table.csv."""
    for each in points:
        point = each.point
        place = [point.name, point.depth, point.width, point.size, point.frames, point.epochs]
        latency = each.latency or ("", "")
        error = [each.mean("error"), each.spread("error")]
        cross_entropy = [each.mean("cross_entropy"), each.spread("cross_entropy")]
        yield [*place, each.gmac, each.parameters, *latency, each.seeds, 1 - error[0], *error, *cross_entropy]


def cells(each: MeasuredPoint) -> list[str]:
    """Return a point of the table as text."""
    latency = ""
    if each.latency is not None:
        latency = f"{each.latency.milliseconds:.3g}"
    spread = each.spread("error")
    return [
        each.point.name,
        f"{each.gmac:.4g}",
        f"{each.parameters:,}",
        latency,
        str(each.seeds),
        f"{100 * (1 - each.mean('error')):.1f}",
        f"{100 * each.mean('error'):.1f}",
        "" if spread is None else f"{100 * spread:.1f}",
        f"{each.mean('cross_entropy'):.3f}",
    ]


def tables_of(results: ScalingResults, fits: Sequence[Fit]) -> list[Table]:
    """Return the tables of the page: points, laws, and three budgets."""
    point_notes = (
        "GMAC: multiply-adds of the forward pass of one training clip, in 10^9. Latency: median of forward passes of "
        f"one clip, every network in a process of its own, in turn ({results.latencies.describe_machine()}). Error and "
        "spread (the standard deviation over seeds) in points.",
    )
    fit_notes = (
        f"Exponents are of the {WORDS[results.measure]} as a power of compute, with intervals of 95 % by drawing the "
        "runs again. Criterion: by how much the corrected Akaike criterion prefers the law with a break; below 0 it "
        "prefers the straight one.",
    )
    budget_notes = (
        f"Recommended: what `video-rs recommend` says for {results.epochs()[-1]} epochs and "
        f"{pluralize(results.train_videos, 'video')}, whatever the grid holds.",
    )
    rows = budget_rows(results)
    budget_title = "At three budgets" if len(rows) == 3 else "At the budget of the grid"
    budget_heads = [head.format(WORDS[results.measure]) for head in BUDGET_HEADS]
    return [
        Table("Points", HEADS, [cells(point) for point in results.points], point_notes),
        Table("Power laws", FIT_HEADS, [fit_cells(fit) for fit in fits], fit_notes),
        Table(budget_title, budget_heads, rows, budget_notes, texts=("Best of the grid", "Recommended")),
    ]


def fit_cells(fit: Fit) -> list[str]:
    """Return a law as cells of the table."""
    law = fit.law
    if law is None:
        runs = sum(point.seeds for point in fit.points)
        return [fit.title, str(fit.epochs), str(runs), str(len({p.gmac for p in fit.points})), "no fit", "", "", ""]
    at = beyond = ""
    if law.break_at is not None:
        at = break_text(law.break_at)
        beyond = exponent_text(law.exponents[1])
    gain = "" if law.gain is None else f"{law.gain:+.1f}"
    first = exponent_text(law.exponents[0])
    return [fit.title, str(fit.epochs), str(law.runs), str(law.computes), first, at, beyond, gain]


def budget_rows(results: ScalingResults) -> list[list[str]]:
    """Return the best of the longest training within three budgets, and what the published rules say there."""
    epochs = results.epochs()[-1]
    points = results.trained(epochs)
    rows = []
    for budget in budgets(points):
        best = best_within(points, budget, results.measure)
        value = best.mean(results.measure)
        value_text = f"{100 * value:.1f} %" if results.measure == "error" else f"{value:.3f} nats"
        try:
            found = recommend(budget, epochs, results.train_videos)
            advice = [
                f"{found.model}, width {found.width:g}, {found.frames} x {found.size} x {found.size}",
                f"{found.gmac:.3g}",
            ]
        except InputError:
            advice = ["below its smallest network", ""]
        rows.append([f"{budget:.3g}", best.point.name, f"{best.gmac:.3g}", value_text, *advice])
    return rows


def pictures_of(results: ScalingResults, fits: Sequence[Fit]) -> dict[str, Picture]:
    """Return the pictures by the names of their files."""
    measure = results.measure
    name = VALUE_NAMES[measure]
    longest = results.epochs()[-1]
    found = {}
    panels = [_law_panel(fit, measure) for fit in fits if fit.epochs == longest]
    # On a logarithmic axis there is no place for runs without any error.
    panels = [panel for panel in panels if panel.values]
    if panels:
        found["scaling"] = Picture(
            f"{WORDS[measure].capitalize()} against compute, {pluralize(longest, 'epoch')}",
            law_plot(panels, name),
            "Dots are runs, both axes are logarithmic. Each strategy starts from the smallest point. A dashed line is "
            "the break, with its interval.",
        )
    against = _depth_width(results, name)
    if against is not None:
        found["depth_width"] = Picture(
            "Depth against width",
            against,
            "From the smallest point, depth alone and width alone. Dots are seeds.",
        )
    pairs = frame_size_pairs(results.points)
    if pairs:
        # Where there are more than fit, those of the longest training say most.
        pairs.sort(key=lambda pair: (-pair.frames.point.epochs, pair.frames.gmac))
        bars = [_pair_bar(pair, measure) for pair in pairs]
        found["resolution_frames"] = Picture(
            "Resolution against frames at equal compute",
            pairs_plot(bars, name),
            "Two points on a line have the same network and training, and GMAC within 25 % of each other's. Clips are "
            "frames x pixels.",
        )
    return found


def _law_panel(fit: Fit, measure: str) -> LawPanel:
    """Return a law as a panel of the picture."""
    kept = [(point.gmac, value) for point in fit.points for value in point.values(measure) if value > 0]
    computes = [compute for compute, _ in kept]
    values = [value for _, value in kept]
    law = fit.law
    if law is None:
        computed = {point.gmac for point in fit.points}
        # The whole reason is in a sentence of the page.
        note = "no fit: too little error"
        if len(computed) < FEWEST_COMPUTES:
            note = f"no fit of {pluralize(len(computed), 'compute')}"
        return LawPanel(fit.title, note, computes, values, None, None)

    note = f"exponent {exponent_text(law.exponents[0])}"
    if law.break_at is None:
        return LawPanel(fit.title, note, computes, values, law.value, None)
    at = law.break_at
    note = f"{note},\nbeyond {at.mean:.3g} GMAC {exponent_text(law.exponents[1])}"
    return LawPanel(fit.title, note, computes, values, law.value, (at.mean, at.low, at.high))


def _depth_width(results: ScalingResults, name: str) -> Figure | None:
    """Return depth against width at the shortest and the longest training; None where the grid has not both."""
    epochs = results.epochs()
    panels = []
    for each in dict.fromkeys((epochs[0], epochs[-1])):
        points = results.trained(each)
        lines = [_line(alone(points, axis), axis, results.measure) for axis in ("depth", "width")]
        if any(len(line.computes) > 1 for line in lines):
            panels.append((pluralize(each, "epoch"), lines))
    return lines_plot(panels, name) if panels else None


def _line(points: Sequence[MeasuredPoint], axis: str, measure: str) -> Line:
    """Return what growing one axis alone gives."""
    labels = []
    for point in points:
        value = getattr(point.point, axis)
        labels.append(value if axis == "depth" else f"{value:g}")
    computes = [point.gmac for point in points]
    return Line(f"{STRATEGIES[axis]} alone", labels, computes, [point.values(measure) for point in points])


def _pair_bar(pair: Sequence[MeasuredPoint], measure: str) -> PairBar:
    """Return a pair of equal compute as a line of the picture."""
    frames, size = pair
    label = f"d{frames.point.depth} w{frames.point.width:g} e{frames.point.epochs}"
    clips = [f"{point.point.frames} x {point.point.size}" for point in (frames, size)]
    return PairBar(label, *clips, frames.values(measure), size.values(measure))
