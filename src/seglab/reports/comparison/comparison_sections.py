"""The sections of a comparison's page: what the numbers of a cohort say, in words, tables and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglab.comparison.case_tables import locate, lower_is_better
from seglab.comparison.cohort_ranking import RANKED, CohortRanking
from seglab.comparison.descriptives import unit_means
from seglab.comparison.runs import StoredRun
from seglab.metric_names import VAL_DICE, VAL_IOU
from seglab.number_format import duration, gigabytes, known, plain, score, with_interval, with_sd
from seglab.reports.comparison.disagreement import SHOWN, draw_pictures
from seglab.reports.comparison.plots import draw_cases, draw_costs, draw_critical_difference, draw_curves, png
from seglab.reports.comparison.sentences import crowding, ranking_notes, summary, with_allowed
from seglab.reports.document import Cell, PageSection, Picture, TableBlock
from seglab.run_record import Metric, RunRecord, Tag
from seglab.safety.shown_text import shortened
from seglab.tracking.store import Store

LISTED = 1000  # rows of a table
_VERDICTS = "Tied: not shown to be worse than the best. Undecided: one run, or too few cases, so nothing can be shown. "
MEMORY_MEANING = "Peak memory: the most that the run's own process held."
_TONES = {"best": "best", "tied": "tied", "worse": "worse", "undecided": ""}


def variant_section(
    ranking: CohortRanking, frame: pd.DataFrame, metric: str, curve: str, target: float, together: int
) -> PageSection:
    """Scores and costs of the variants, and what was found about them; `together`: see `ran_together`."""
    cohort = ranking.cohort
    prefix = locate(metric).prefix
    classes = [
        name for name in frame if "/" in name and name.startswith(prefix) and name not in (metric, f"{metric}_sd")
    ]
    allowed = frame[Tag.DATA_ALLOWED].any()
    mark = " ⚠" if together > 1 else ""
    further = ["epochs", *[f"{name}{mark}" for name in ("train time", "wall time", "images/s")]]
    further += ["peak memory", "peak GPU memory", "parameters", "FLOPs"]
    goal = f"to {curve} ≥ {target:.3g}{mark}"
    classes_named = [name.removeprefix(prefix) for name in classes]
    columns = ["variant", "", metric, *classes_named, "missed", "false alarms", "runs", *further, goal]
    keep = {
        "missed": frame["missed"].any(),
        "false alarms": frame["false_alarms"].any(),
        "peak memory": frame[Tag.PEAK_MEMORY_MB].notna().any(),
        "peak GPU memory": frame[Tag.PEAK_GPU_MEMORY_MB].notna().any(),
        "FLOPs": frame[Tag.FLOPS].notna().any(),
        goal: bool(np.isfinite(target)),
    }
    several = len(cohort.variants) > 1
    better = min if lower_is_better(metric) else max
    best_of_class = {name: better(frame[name].dropna(), default=np.nan) for name in classes}
    rows = []
    for row in frame.to_dict("records"):
        best = several and row["verdict"] == "best"
        cells = [
            Cell(with_allowed(row["variant"] + " ‡" * row["mixed_code"], row[Tag.DATA_ALLOWED]), strong=best),
            Cell(row["verdict"] if several else "", tone=_TONES[row["verdict"]] if several else ""),  # type: ignore[arg-type]
            Cell(with_sd(row[metric], row[f"{metric}_sd"]), row[metric], strong=best),
            *[
                Cell(score(row[name]), known(row[name]), strong=several and row[name] == best_of_class[name])
                for name in classes
            ],
            Cell(plain(row["missed"], "{:.4g}"), row["missed"]),
            Cell(plain(row["false_alarms"], "{:.4g}"), row["false_alarms"]),
            Cell(str(row["runs"]), row["runs"]),
            Cell(plain(row["epochs"], "{:.0f}"), known(row["epochs"])),
            Cell(duration(row["train_seconds"]), known(row["train_seconds"])),
            Cell(duration(row["wall_seconds"]), known(row["wall_seconds"])),
            Cell(plain(row[Metric.IMAGES_PER_SECOND], "{:.1f}"), known(row[Metric.IMAGES_PER_SECOND])),
            Cell(gigabytes(row[Tag.PEAK_MEMORY_MB]), known(row[Tag.PEAK_MEMORY_MB])),
            Cell(gigabytes(row[Tag.PEAK_GPU_MEMORY_MB]), known(row[Tag.PEAK_GPU_MEMORY_MB])),
            Cell(plain(row[Tag.PARAMETERS], "{:,.0f}"), known(row[Tag.PARAMETERS])),
            Cell(plain(row[Tag.FLOPS] / 1e9, "{:.1f} G"), known(row[Tag.FLOPS])),
            _cost_cell(row),
        ]
        rows.append([cell for name, cell in zip(columns, cells, strict=True) if keep.get(name, True)])
    caption = (
        f"{metric}: mean ± standard deviation over the runs of each run's mean over {len(cohort.cases)} cases. "
        f"{_VERDICTS if several else ''}"
        f"{times_caption(together)}"
    )
    if classes:
        caption += " A class: mean over the cases in which a run has a score of it."
    if keep["missed"] or keep["false alarms"]:
        caption += (
            " Missed: in how many classes of how many cases a run found nothing of what is there; false alarms: "
            "something where nothing is; mean over its runs."
        )
    if keep["peak memory"]:
        caption += f" {MEMORY_MEANING}"
    if "volume_error_abs" in metric:
        caption += " Of a volume error its size counts, whether too much or too little."
    if allowed:
        caption += " ⚠: findings of the data check that were allowed to pass."
    return PageSection(
        f"Variants: {cohort.title}",
        text=[summary(ranking, metric)],
        notes=ranking_notes(ranking),
        grids=[_listed([name for name in columns if keep.get(name, True)], rows, caption, "variants.csv")],
    )


def times_caption(together: int) -> str:
    """What the times of a table are; `together`: see `ran_together`."""
    return f"Train time: the epochs with their validation; wall time: from start to end. {crowding(together)}".rstrip()


def scores_section(ranking: CohortRanking, frame: pd.DataFrame, metric: str, unit: str) -> PageSection:
    """The score and that of each class with their intervals."""
    prefix = locate(metric).prefix
    names = list(dict.fromkeys(frame["score"]))
    found = {(row["variant"], row["score"]): row for row in frame.to_dict("records")}
    rows = []
    for i in ranking.order:
        label = ranking.cohort.variants[i].label
        cells = [found.get((label, name)) for name in names]
        rows.append(
            [
                Cell(label),
                *[Cell("–") if row is None else Cell(with_interval(row), known(row["mean"])) for row in cells],
                Cell(str(found[label, metric]["cases"]), found[label, metric]["cases"]),
            ]
        )
    caption = (
        f"Mean over all test cases, those of all folds together, each the mean of the runs that scored it, with its "
        f"95% interval over {unit}s and, with several, over its runs."
        + (" For one variant alone: two that overlap may differ (see above)." * (len(rows) > 1))
    )
    columns = ["variant", *[name.removeprefix(prefix) for name in names], "cases"]
    return PageSection(f"Scores: {ranking.cohort.title}", grids=[_listed(columns, rows, caption, "scores.csv")])


def plots_section(ranking: CohortRanking, frame: pd.DataFrame, metric: str, curve: str, prefix: str) -> PageSection:
    """Curves, cases, costs and ranks."""
    cohort = ranking.cohort
    labels = [shortened(cohort.variants[i].label) for i in ranking.order]  # whole ones stand in the tables
    runs: list[list[StoredRun]] = [cohort.variants[i].runs for i in ranking.order]
    pictures = []
    logged = {name for members in runs for run in members for name in run.history}
    metrics = [name for name in dict.fromkeys([curve, VAL_DICE, VAL_IOU]) if name in logged]
    if metrics:
        more = f" The best 8 of {len(labels)} are drawn." if len(labels) > 8 else ""
        text = f"Validation over the epochs: mean over the {cohort.repeated}, the band from the lowest to the highest."
        text += more
        pictures.append(Picture(f"{prefix}curves", png(draw_curves(labels, runs, metrics)), text))
    scores = [unit_means(cohort.values[i]) for i in ranking.order]
    text = f"{metric} of every case, averaged over the {cohort.repeated}; the box holds the middle half, the line is "
    text += "the median."
    text += f" The best 15 of {len(labels)} are drawn." if len(labels) > 15 else ""
    pictures.append(Picture(f"{prefix}cases", png(draw_cases(labels, scores, metric)), text))
    columns = {"train_seconds": "training time of a run (s)", "parameters": "parameters"}
    costs = [(name, frame[key].to_numpy(float)) for key, name in columns.items() if frame[key].notna().any()]
    if costs:
        figure = draw_costs(labels, frame[metric].to_numpy(float), costs, metric, lower_is_better(metric))
        text = _about_costs(len(labels), [axes.get_xscale() == "log" for axes in figure.axes])
        pictures.append(Picture(f"{prefix}costs", png(figure), text))
    if len(labels) > 2:
        shown = ranking.order[:RANKED]
        text = (
            f"Mean {metric} of each variant. A bar joins what is not told apart, by the rule of the table above, "
            "corrected for all pairs."
        )
        text += f" The best {RANKED} of {len(labels)} are drawn." if len(labels) > RANKED else ""
        figure = draw_critical_difference(labels[:RANKED], ranking.means[shown], ranking.apart, metric)
        pictures.append(Picture(f"{prefix}ranks", png(figure), text))
    return PageSection(f"Plots: {cohort.title}", pictures=pictures)


def _about_costs(count: int, logarithmic: Sequence[bool]) -> str:
    if count == 1:
        return "Its score and what it cost."
    text = "Score against cost; on the dotted line nothing costs less and scores as well."
    return text + (" Logarithmic axes." if all(logarithmic) else " One axis is logarithmic." * any(logarithmic))


def pictures_section(
    ranking: CohortRanking, metric: str, store: Store, count: int, prefix: str, say: Callable[[str], None]
) -> PageSection:
    """The cases that the best variants disagree about most, drawn; or why not."""
    figure, notes = draw_pictures(ranking, metric, store, count, say)
    pictures = []
    if figure is not None:
        among = len(ranking.cohort.variants)
        which = f"on which the {f'best {SHOWN}' if among > SHOWN else among} variants differ most, most disputed first"
        text = (
            f"Cases {which if among > 1 else 'that score best, in the middle and worst'}: image, truth, and the mask "
            f"with its errors and its {metric}, predicted anew by one run of each variant."
        )
        if among > SHOWN:
            text += f" The other {among - SHOWN} variants are not drawn."
        pictures.append(Picture(f"{prefix}pictures", png(figure), text))
    return PageSection(f"Pictures: {ranking.cohort.title}", notes=notes, pictures=pictures)


def runs_section(frame: pd.DataFrame, unfinished: Sequence[StoredRun], metric: str) -> PageSection:
    """Every run with its id, and the unfinished ones apart."""
    columns = [
        "run id",
        "name",
        "seed",
        metric,
        "epochs",
        "train time",
        "device",
        "precision",
        "commit",
        "split",
        "data",
    ]
    rows = [
        [
            Cell(row["run_id"]),
            Cell(with_allowed(row["run_name"], row[Tag.DATA_ALLOWED])),
            Cell(row["seed"], float(row["seed"]) if row["seed"].isdigit() else None),
            Cell(score(row[metric]), known(row[metric])),
            Cell(plain(row["epochs"], "{:.0f}"), known(row["epochs"])),
            Cell(duration(row["train_seconds"]), known(row["train_seconds"])),
            *[Cell(row[key]) for key in (Tag.DEVICE, Tag.PRECISION, Tag.GIT_COMMIT, Tag.SPLIT_DIGEST, Tag.DATA_DIGEST)],
        ]
        for row in frame.to_dict("records")
    ]
    grids = [_listed(columns, rows, "", "runs.csv")]
    if unfinished:
        left = [
            [Cell(r.id), Cell(r.name), Cell(r.seed), Cell(r.status), Cell(RunRecord.of(r).end_reason)]
            for r in unfinished
        ]
        reasons = ["run id", "name", "seed", "status", "reason"]
        grids.append(_listed(reasons, left, "Not finished, and so not compared.", "the store: seglab ui"))
    return PageSection("Runs", grids=grids, folded=True)


def _listed(columns: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str, whole: str) -> TableBlock:
    """A table of as many rows as a browser shows and sorts at once, with a word on where all of them are."""
    if len(rows) > LISTED:
        caption = f"{caption} The first {LISTED:,} of {len(rows):,} rows; all are in {whole}.".lstrip()
    return TableBlock(columns, rows[:LISTED], caption)


def _cost_cell(row: Mapping[str, Any]) -> Cell:
    if not row["reached_target"]:
        return Cell("not reached")
    text = f"{plain(row['epochs_to_target'], '{:.0f}')} epochs, {duration(row['seconds_to_target'])}"
    missed = row["runs"] - row["reached_target"]
    return Cell(
        text + (f" ({row['reached_target']} of {row['runs']} runs)" if missed else ""), known(row["seconds_to_target"])
    )
