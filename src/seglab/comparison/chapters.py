"""The sections of a comparison's page: what the numbers of a contest say, in words, tables and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seglab.comparison.document import Cell, Grid, Picture, Section
from seglab.comparison.judgement import RANKED, Judgement
from seglab.comparison.pictures import SHOWN, draw_pictures
from seglab.comparison.plots import draw_cases, draw_costs, draw_critical_difference, draw_curves, png
from seglab.comparison.runs import Run
from seglab.comparison.statistics import Paired, unit_means
from seglab.comparison.tables import locate, lower_is_better
from seglab.comparison.wording import (
    crowding,
    duration,
    gigabytes,
    interval,
    p_value,
    plain,
    score,
    signed,
    summary,
    times,
    with_allowed,
    with_interval,
    with_sd,
)
from seglab.tracking.store import Store

_TONES = {"best": "best", "tied": "tied", "worse": "worse", "not paired": ""}


def composition_section(
    judgement: Judgement, frame: pd.DataFrame, metric: str, curve: str, target: float, together: int
) -> Section:
    """Scores and costs of the compositions, and what was found about them; `together`: see `ran_together`."""
    contest = judgement.contest
    prefix = locate(metric).prefix
    classes = [
        name for name in frame if "/" in name and name.startswith(prefix) and name not in (metric, f"{metric}_sd")
    ]
    allowed = frame["data_allowed"].any()
    mark = " ⚠" if together > 1 else ""
    further = ["epochs", *[f"{name}{mark}" for name in ("train time", "wall time", "images/s")]]
    further += ["peak memory", "peak GPU memory", "parameters", "FLOPs"]
    goal = f"to {curve} ≥ {target:.3g}{mark}"
    columns = ["composition", "", metric, *[name.removeprefix(prefix) for name in classes], "runs", *further, goal]
    keep = {
        "peak memory": frame["peak_memory_mb"].notna().any(),
        "peak GPU memory": frame["peak_gpu_memory_mb"].notna().any(),
        "FLOPs": frame["flops"].notna().any(),
        goal: bool(np.isfinite(target)),
    }
    better = min if lower_is_better(metric) else max
    best_of_class = {name: better(frame[name].dropna(), default=np.nan) for name in classes}
    rows = []
    for row in frame.to_dict("records"):
        best = row["verdict"] == "best"
        cells = [
            Cell(with_allowed(row["composition"], row["data_allowed"]), strong=best),
            Cell(row["verdict"], tone=_TONES[row["verdict"]]),  # type: ignore[arg-type]
            Cell(with_sd(row[metric], row[f"{metric}_sd"]), row[metric], strong=best),
            *[Cell(score(row[name]), _known(row[name]), strong=row[name] == best_of_class[name]) for name in classes],
            Cell(str(row["runs"]), row["runs"]),
            Cell(plain(row["epochs"], "{:.0f}"), _known(row["epochs"])),
            Cell(duration(row["train_seconds"]), _known(row["train_seconds"])),
            Cell(duration(row["wall_seconds"]), _known(row["wall_seconds"])),
            Cell(plain(row["images_per_second"], "{:.1f}"), _known(row["images_per_second"])),
            Cell(gigabytes(row["peak_memory_mb"]), _known(row["peak_memory_mb"])),
            Cell(gigabytes(row["peak_gpu_memory_mb"]), _known(row["peak_gpu_memory_mb"])),
            Cell(plain(row["parameters"], "{:,.0f}"), _known(row["parameters"])),
            Cell(plain(row["flops"] / 1e9, "{:.1f} G"), _known(row["flops"])),
            _cost_cell(row),
        ]
        rows.append([cell for name, cell in zip(columns, cells, strict=True) if keep.get(name, True)])
    caption = (
        f"{metric}: mean ± standard deviation over the runs of each run's mean over {len(contest.cases)} cases. "
        "Tied: not shown to be worse than the best, that is, Holm-corrected p ≥ 0.05 or an interval that holds 0. "
        f"Train time: the epochs with their validation; wall time: from start to end. {crowding(together)}"
    ).rstrip()
    if keep["peak memory"]:
        caption += " Peak memory: the most that the run's own process held."
    if "volume_error_abs" in metric:
        caption += " Of a volume error its size counts, whether too much or too little."
    if allowed:
        caption += " ⚠: findings of the data check that were allowed to pass."
    return Section(
        f"Compositions: {contest.title}",
        text=[summary(judgement, metric)],
        notes=judgement.notes,
        grids=[Grid([name for name in columns if keep.get(name, True)], rows, caption)],
    )


def scores_section(judgement: Judgement, frame: pd.DataFrame, metric: str, unit: str) -> Section:
    """The score and that of each class with their intervals."""
    prefix = locate(metric).prefix
    names = list(dict.fromkeys(frame["score"]))
    found = {(row["composition"], row["score"]): row for row in frame.to_dict("records")}
    rows = []
    for i in judgement.order:
        label = judgement.contest.compositions[i].label
        cells = [found.get((label, name)) for name in names]
        rows.append(
            [
                Cell(label),
                *[Cell("–") if row is None else Cell(with_interval(row), _known(row["mean"])) for row in cells],
                Cell(str(found[label, metric]["cases"]), found[label, metric]["cases"]),
            ]
        )
    caption = (
        f"Mean over all test cases, those of all folds together, each the mean of the runs that scored it, with its "
        f"95% bootstrap interval over {unit}s. For one composition alone: two that overlap may differ (see above)."
    )
    columns = ["composition", *[name.removeprefix(prefix) for name in names], "cases"]
    return Section(f"Scores: {judgement.contest.title}", grids=[Grid(columns, rows, caption)])


def pairs_section(judgement: Judgement, metric: str, unit: str, resamples: int) -> Section | None:
    """Each composition against the best; None when there is only one."""
    contest = judgement.contest
    rows = []
    for i in judgement.order:
        verdict = judgement.verdicts[i]
        if verdict.paired is not None:
            rows.append([Cell(contest.compositions[i].label), *_paired_cells(verdict.paired, verdict.p_holm)])
    if not rows:
        return None
    name = contest.compositions[judgement.order[0]].label
    caption = (
        f"Difference of {metric}: this composition − {name}, with its 95% interval from {resamples:,} resamples over "
        f"{contest.repeated} and {unit}s. p: Wilcoxon's signed-rank test over {unit}s, two-sided, corrected by Holm. "
        f"Win, tie, loss: {unit}s in which it scored more, the same, less. Effect: rank-biserial correlation, −1 to 1."
    )
    return Section(f"Against the best: {contest.title}", grids=[Grid(_PAIR_COLUMNS, rows, caption)])


def effects_section(judgement: Judgement, metric: str, together: int) -> Section | None:
    """What each factor is worth; None when nothing varies in matched pairs."""
    if not judgement.effects:
        return None
    rows = [
        [
            Cell(effect.factor),
            Cell(f"{effect.level} instead of {effect.reference}"),
            Cell(str(len(effect.contexts)), len(effect.contexts)),
            *_paired_cells(effect.paired, effect.p_holm),
        ]
        for effect in judgement.effects
    ]
    better = "Less is better." if lower_is_better(metric) else "Above 0 is a gain."
    caption = (
        f"Difference of {metric} between compositions that differ in this factor alone, averaged over such pairs, with "
        f"its 95% interval over {judgement.contest.repeated} and cases. {better} p is corrected by Holm within each "
        "factor. Of more than four levels each stands against the best, so a row is what changing from it costs; "
        "augmentations against none."
    )
    columns = ["factor", "change", "matched pairs", *_PAIR_COLUMNS[1:]]
    if any(effect.speed.pairs for effect in judgement.effects):
        place = columns.index("p") + 1
        columns.insert(place, "speed" + (" ⚠" if together > 1 else ""))
        for row, effect in zip(rows, judgement.effects, strict=True):
            row.insert(place, Cell(times(effect.speed), _known(effect.speed.ratio)))
        caption += (
            " Speed: images a second in training, as a ratio: mean over the pairs of runs of one seed, split and "
            f"device, with the least and the greatest. {crowding(together)}"
        ).rstrip()
    return Section(f"What each factor is worth: {judgement.contest.title}", grids=[Grid(columns, rows, caption)])


def plots_section(judgement: Judgement, frame: pd.DataFrame, metric: str, curve: str, prefix: str) -> Section:
    """Curves, cases, costs and ranks."""
    contest = judgement.contest
    labels = [contest.compositions[i].label for i in judgement.order]
    runs: list[list[Run]] = [contest.compositions[i].runs for i in judgement.order]
    pictures = []
    logged = {name for members in runs for run in members for name in run.history}
    metrics = [name for name in dict.fromkeys([curve, "val_dice", "val_iou"]) if name in logged]
    if metrics:
        more = f" The best 8 of {len(labels)} are drawn." if len(labels) > 8 else ""
        text = f"Validation over the epochs: mean over the {contest.repeated}, the band from the lowest to the highest."
        text += more
        pictures.append(Picture(f"{prefix}curves", png(draw_curves(labels, runs, metrics)), text))
    scores = [unit_means(contest.values[i]) for i in judgement.order]
    text = f"{metric} of every case, averaged over the {contest.repeated}; the box holds the middle half, the line is "
    text += "the median."
    text += f" The best 15 of {len(labels)} are drawn." if len(labels) > 15 else ""
    pictures.append(Picture(f"{prefix}cases", png(draw_cases(labels, scores, metric)), text))
    columns = {"train_seconds": "training time of a run (s)", "parameters": "parameters"}
    costs = [(name, frame[key].to_numpy(float)) for key, name in columns.items() if frame[key].notna().any()]
    if costs:
        figure = draw_costs(labels, frame[metric].to_numpy(float), costs, metric, lower_is_better(metric))
        text = "Score against cost; on the dotted line nothing costs less and scores as well. Logarithmic axes."
        pictures.append(Picture(f"{prefix}costs", png(figure), text))
    ranking = judgement.ranking
    if ranking is not None and len(ranking.ranks) > 2:
        shown = labels[:RANKED]
        text = (
            f"Mean ranks over {ranking.cases} cases, 1 is best. A bar joins what Nemenyi's test does not tell apart "
            f"(critical difference {ranking.critical_difference:.3f} at 0.05). Friedman χ² {ranking.statistic:.2f}, "
            f"p {p_value(ranking.p)} (Iman and Davenport's F). The method: Demšar, JMLR 7, 2006."
        )
        text += f" The best {RANKED} of {len(labels)} are ranked." if len(labels) > RANKED else ""
        pictures.append(Picture(f"{prefix}ranks", png(draw_critical_difference(shown, ranking)), text))
    return Section(f"Plots: {contest.title}", pictures=pictures)


def pictures_section(
    judgement: Judgement, metric: str, store: Store, count: int, prefix: str, say: Callable[[str], None]
) -> Section:
    """The cases that the best compositions disagree about most, drawn; or why not."""
    figure, notes = draw_pictures(judgement, metric, store, count, say)
    pictures = []
    if figure is not None:
        among = len(judgement.contest.compositions)
        which = (
            f"on which the {f'best {SHOWN}' if among > SHOWN else among} compositions differ most, most disputed first"
        )
        text = (
            f"Cases {which if among > 1 else 'that score best, in the middle and worst'}: image, truth, and the mask "
            f"with its errors and its {metric}, predicted anew by one run of each composition."
        )
        if among > SHOWN:
            text += f" The other {among - SHOWN} compositions are not drawn."
        pictures.append(Picture(f"{prefix}pictures", png(figure), text))
    return Section(f"Pictures: {judgement.contest.title}", notes=notes, pictures=pictures)


def runs_section(frame: pd.DataFrame, unfinished: Sequence[Run], metric: str) -> Section:
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
            Cell(with_allowed(row["run_name"], row["data_allowed"])),
            Cell(row["seed"], float(row["seed"]) if row["seed"].isdigit() else None),
            Cell(score(row[metric]), _known(row[metric])),
            Cell(plain(row["epochs"], "{:.0f}"), _known(row["epochs"])),
            Cell(duration(row["train_seconds"]), _known(row["train_seconds"])),
            *[Cell(row[key]) for key in ("device", "precision", "git_commit", "split_digest", "data_digest")],
        ]
        for row in frame.to_dict("records")
    ]
    grids = [Grid(columns, rows)]
    if unfinished:
        left = [
            [Cell(r.id), Cell(r.name), Cell(r.seed), Cell(r.status), Cell(r.tags.get("end_reason", ""))]
            for r in unfinished
        ]
        grids.append(Grid(["run id", "name", "seed", "status", "reason"], left, "Not finished, and so not compared."))
    return Section("Runs", grids=grids, folded=True)


_PAIR_COLUMNS = ["composition", "difference", "95% interval", "p", "win – tie – loss", "effect", "run pairs"]


def _paired_cells(paired: Paired, p_holm: float) -> list[Cell]:
    difference = paired.difference
    return [
        Cell(signed(difference.mean), _known(difference.mean), strong=difference.excludes_zero and p_holm < 0.05),
        Cell(interval(difference), _known(difference.low)),
        Cell(p_value(p_holm), _known(p_holm)),
        Cell(f"{paired.wins} – {paired.ties} – {paired.losses}", paired.wins - paired.losses),
        Cell(signed(paired.rank_biserial, 2), _known(paired.rank_biserial)),
        Cell(str(paired.replicates), paired.replicates),
    ]


def _cost_cell(row: Mapping[str, Any]) -> Cell:
    if not row["reached_target"]:
        return Cell("not reached")
    text = f"{plain(row['epochs_to_target'], '{:.0f}')} epochs, {duration(row['seconds_to_target'])}"
    missed = row["runs"] - row["reached_target"]
    return Cell(
        text + (f" ({row['reached_target']} of {row['runs']} runs)" if missed else ""), _known(row["seconds_to_target"])
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
