"""What each variant scored and what it cost, as numbers; one row a variant, one row a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from seglab.comparison.case_tables import CaseTable, Score, locate, unit_range
from seglab.comparison.cohort_ranking import CohortRanking
from seglab.comparison.descriptives import Paired
from seglab.comparison.effects import Effect
from seglab.comparison.runs import StoredRun
from seglab.metric_names import VAL_DICE, Column, epoch_metric
from seglab.run_record import Metric, RunRecord, Tag
from seglab.statistics import mean_interval

_FACTS = (Tag.PEAK_MEMORY_MB, Tag.PEAK_GPU_MEMORY_MB, Tag.PARAMETERS, Tag.FLOPS)
TARGET_SHARE = 0.95  # of the best's score on validation, where no target is given


def watched_curve(runs: list[StoredRun], metric: str) -> str:
    """The metric of the epochs that stands for a score: `val_<score>` where it was logged, else `val_dice`."""
    name = epoch_metric(metric)
    return name if any(name in run.history for run in runs) else VAL_DICE


def choose_target(ranking: CohortRanking, metric: str, given: float | None) -> float:
    """The score on validation whose cost is asked for: what is given, else 95% of what the best reached."""
    if given is not None:
        return given
    runs = ranking.cohort.variants[ranking.order[0]].runs
    curve = watched_curve(runs, metric)
    peaks = [np.nanmax(values) for _, values in (run.curve(curve) for run in runs) if np.isfinite(values).any()]
    return float(np.floor(TARGET_SHARE * np.mean(peaks) * 1000) / 1000) if peaks else float("nan")


def run_facts(run: StoredRun, curve: str, target: float) -> dict[str, float]:
    """What a run cost.

    Keys: `epochs`, `wall_seconds` (start to end), `train_seconds` (its epochs with their validation),
    `images_per_second` (median over the epochs, training alone), `peak_memory_mb` (the most that its process held),
    `peak_gpu_memory_mb` (on the GPU), `parameters`, `flops`, `epochs_to_target` and `seconds_to_target` (of training,
    until validation first reached the target).
    NaN where the run did not record it, or never reached the target.
    """
    steps, values = run.curve(curve)
    _, seconds = run.curve(Metric.EPOCH_SECONDS)
    _, rates = run.curve(Metric.IMAGES_PER_SECOND)
    reached = np.flatnonzero(values >= target)
    first = int(reached[0]) if len(reached) else None
    timed = len(seconds) == len(values)
    return {
        "epochs": float(steps[-1]) if len(steps) else np.nan,
        "wall_seconds": np.nan if run.seconds is None else run.seconds,
        "train_seconds": float(seconds.sum()) if len(seconds) else np.nan,
        Metric.IMAGES_PER_SECOND: float(np.median(rates)) if len(rates) else np.nan,
        **{name: RunRecord.of(run).number(name) for name in _FACTS},
        "epochs_to_target": np.nan if first is None else float(steps[first]),
        "seconds_to_target": np.nan if first is None or not timed else float(seconds[: first + 1].sum()),
    }


def variants_frame(ranking: CohortRanking, tables: Mapping[str, CaseTable], metric: str, target: float) -> pd.DataFrame:
    """One row a variant, the best first: score, classes, cost, and how it stands against the best."""
    cohort = ranking.cohort
    score = locate(metric)
    curve = watched_curve([run for c in cohort.variants for run in c.runs], metric)
    rows = []
    for i in ranking.order:
        variant, verdict = cohort.variants[i], ranking.verdicts[i]
        facts = [run_facts(run, curve, target) for run in variant.runs]
        row = {
            "data": cohort.title,
            "variant": variant.label,
            "verdict": verdict.place,
            "runs": len(variant.runs),
            metric: ranking.means[i],
            f"{metric}_sd": ranking.sds[i],
        }
        row |= class_means([tables[run.id] for run in variant.runs], score)
        row |= {name: _mean([fact[name] for fact in facts]) for name in facts[0]}
        row["reached_target"] = sum(not np.isnan(fact["epochs_to_target"]) for fact in facts)
        if verdict.paired is not None:
            row |= paired_columns(verdict.paired)
        row |= {"missed": cohort.missed[i], "false_alarms": cohort.false_alarms[i]}
        row |= {"mixed_code": variant.mixed, Tag.DATA_ALLOWED: variant.allowed}
        rows.append(row)
    return pd.DataFrame(rows)


def scores_frame(ranking: CohortRanking, tables: Mapping[str, CaseTable], metric: str) -> pd.DataFrame:
    """One row a variant and score, the best variant first: the score that decides, then that of each class.

    Columns: `data`, `variant`, `score`, `cases` (that have it), `mean` over them, each the mean of the runs that
    scored it, and `low` and `high`, the 95% interval over cases or groups and, with several, over the runs.
    """
    cohort, place = ranking.cohort, {case: i for i, case in enumerate(ranking.cohort.cases)}
    score = locate(metric)
    rows: list[dict[str, Any]] = []
    for i in ranking.order:
        found = [tables[run.id] for run in cohort.variants[i].runs]
        for name in dict.fromkeys([score.column, *class_columns(found, score)]):
            scored = np.full((len(found), len(place)), np.nan)
            for row, table in zip(scored, found, strict=True):
                if name in table.scores:
                    row[[place[case] for case in table.ids]] = table.scores[name]
            if name == score.column:
                scored = cohort.values[i]
            mean, low, high = mean_interval(scored, cohort.units, unit_range(name))
            rows.append(
                {
                    "data": cohort.title,
                    "variant": cohort.variants[i].label,
                    "score": score.prefix + name,
                    "cases": int(np.isfinite(scored).any(axis=0).sum()),
                    "mean": mean,
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)


def class_columns(tables: list[CaseTable], score: Score) -> list[str]:
    """The columns of the score's classes: `dice/<class>`."""
    beginning = Column.parse(score.column).of_each_class
    return list(dict.fromkeys(name for table in tables for name in table.scores if name.startswith(beginning)))


def class_means(tables: list[CaseTable], score: Score) -> dict[str, float]:
    """For each class the mean over runs of the mean over cases: `test_dice/<class>`."""
    found = {}
    for name in class_columns(tables, score):
        defined = [values[np.isfinite(values)] for t in tables if (values := t.scores.get(name)) is not None]
        means = [values.mean() for values in defined if len(values)]
        found[f"{score.prefix}{name}"] = float(np.mean(means)) if means else np.nan
    return found


def paired_columns(paired: Paired) -> dict[str, float]:
    """The statistics of a pair under the names that the CSV files use."""
    return {
        "difference": paired.difference.difference,
        "difference_low": paired.difference.low,
        "difference_high": paired.difference.high,
        "p": paired.difference.p,
        "wins": paired.wins,
        "ties": paired.ties,
        "losses": paired.losses,
        "rank_biserial": paired.rank_biserial,
        "units": paired.units,
        "runs_of_each": paired.replicates,
    }


def effects_frame(title: str, effects: list[Effect]) -> pd.DataFrame:
    """One row an effect: a level of a factor in place of another."""
    return pd.DataFrame(
        {
            "data": title,
            "factor": effect.factor,
            "level": effect.level,
            "instead_of": effect.reference,
            "matched_pairs": len(effect.contexts),
            **paired_columns(effect.paired),
            "speed_ratio": effect.speed.ratio,
            "speed_low": effect.speed.low,
            "speed_high": effect.speed.high,
            "speed_pairs": effect.speed.pairs,
        }
        for effect in effects
    )


def runs_frame(ranking: CohortRanking, tables: Mapping[str, CaseTable], metric: str, target: float) -> pd.DataFrame:
    """One row a run, in the order of the variants."""
    cohort, column = ranking.cohort, locate(metric).column
    rows: list[dict[str, Any]] = []
    for i in ranking.order:
        variant = cohort.variants[i]
        curve = watched_curve(variant.runs, metric)
        rows += [
            {
                "data": cohort.title,
                "variant": variant.label,
                "run_id": run.id,
                "run_name": run.name,
                "seed": run.seed,
                metric: _mean(tables[run.id].scores[column].tolist()),
                **run_facts(run, curve, target),
                Tag.DEVICE: record.device,
                Tag.PRECISION: record.precision,
                Tag.GIT_COMMIT: record.git_commit[:12],
                Tag.DATA_DIGEST: record.data_digest[:12],
                Tag.SPLIT_DIGEST: record.split_digest[:12],
                Tag.DATA_ALLOWED: record.data_allowed,
            }
            for run, record in ((run, RunRecord.of(run)) for run in variant.runs)
        ]
    return pd.DataFrame(rows)


def _mean(values: list[float]) -> float:
    """Mean of what is known."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
