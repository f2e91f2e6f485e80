"""Which runs may be held against each other: the same data, the same splits, the same cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seglab.comparison.case_tables import CaseTable, locate
from seglab.comparison.definedness import blanks_count, settle
from seglab.comparison.remarks import CohortRemark, NotPaired, OlderRuns, WithoutScore
from seglab.comparison.runs import StoredRun
from seglab.comparison.variants import Variant, runs_by_variant, variants_of
from seglab.errors import ConfigError, nearest
from seglab.run_record import RunRecord


@dataclass(frozen=True)
class Cohort:
    """Variants that can be paired, with their scores.

    Attributes:
        title: of the data.
        variants: those that take part.
        values: `(variants, replicates, cases)`, NaN where there is no score. A replicate is a seed on a split.
        replicates: split digest and seed of each.
        cases: ids.
        units: for each case the number of its unit: itself, or its group.
        groups: how many groups the cases are of.
        missed, false_alarms: of each variant, in how many classes of how many cases a run found nothing of what is
            there, and something where nothing is; averaged over its runs.
    """

    title: str
    variants: list[Variant]
    values: np.ndarray
    replicates: list[tuple[str, str]]
    cases: list[str]
    units: np.ndarray
    groups: int
    missed: np.ndarray
    false_alarms: np.ndarray

    @property
    def repeated(self) -> str:
        """What the replicates of a variant are called: seeds, or splits where one seed trained on several."""
        seeds, splits = {seed for _, seed in self.replicates}, {split for split, _ in self.replicates}
        return "splits" if len(seeds) == 1 < len(splits) else "seeds"

    def run_means(self, variant: int) -> np.ndarray:
        """The mean over its cases of each run that has scores."""
        values = self.values[variant]
        return np.array([row[np.isfinite(row)].mean() for row in values if np.isfinite(row).any()])


def make_cohorts(
    runs: Sequence[StoredRun], tables: Mapping[str, CaseTable], metric: str, unit: str
) -> tuple[list[Cohort], list[CohortRemark]]:
    """Group runs by data and by splits that link them; returns the cohorts and what a reader must know of them.

    Raises:
        ConfigError: no run has a score of this name for its cases.
    """
    prefix, column, _ = locate(metric)
    known = sorted({f"{prefix}{name}" for table in tables.values() for name in table.scores})
    if tables and metric not in known:
        raise ConfigError(
            "not a score that a run has for its cases",
            code="score-not-per-case",
            where="metric",
            found=metric,
            expected="one of " + ", ".join(known),
            remedy=nearest(metric, known) or f"metric={known[0]}",
        )
    remarks: list[CohortRemark] = []
    usable = []
    # a run that rightly predicts nothing has blanks alone, which count where another run has a score
    decides = blanks_count(column) and any(np.isfinite(t.scores.get(column, [])).any() for t in tables.values())
    for run in runs:
        table = tables.get(run.id)
        if table is None:
            continue
        if column not in table.scores or (not decides and not np.isfinite(table.scores[column]).any()):
            remarks.append(WithoutScore(run.short, metric))
        else:
            usable.append(run)
    cohorts = []
    by_data: dict[str, list[StoredRun]] = {}
    for run in usable:
        by_data.setdefault(_data(run), []).append(run)
    for digest, members in by_data.items():
        families = _families(members)
        for number, family in enumerate(families, start=1):
            title = members[0].params.get("data.name", "data") + (f" {digest[:8]}" if len(by_data) > 1 else "")
            title += f", splits {number}" if len(families) > 1 else ""
            cohort, of_cohort = _make_cohort(title, family, tables, column, unit)
            cohorts.append(cohort)
            remarks += of_cohort
        if len(families) > 1:
            remarks.append(_not_paired("split digests", families))
    if len(by_data) > 1:
        remarks.append(_not_paired("data digests", list(by_data.values())))
    return cohorts, remarks


def _not_paired(
    differing: Literal["split digests", "data digests"], families: Sequence[Sequence[StoredRun]]
) -> NotPaired:
    digest = _split if differing == "split digests" else _data
    return NotPaired(
        differing,
        tuple(
            (tuple(run.short for run in family), tuple(sorted({digest(run)[:12] for run in family})))
            for family in families
        ),
    )


def _make_cohort(
    title: str, runs: Sequence[StoredRun], tables: Mapping[str, CaseTable], column: str, unit: str
) -> tuple[Cohort, list[CohortRemark]]:
    variants = variants_of(runs)
    replicates = sorted({(_split(run), run.seed) for run in runs}, key=lambda key: (key[0], key[1].zfill(12)))
    place = {key: row for row, key in enumerate(replicates)}
    group_of = {case: group for run in runs for case, group in zip(tables[run.id].ids, tables[run.id].groups)}  # noqa: B905
    cases = sorted(group_of)
    column_of = {case: i for i, case in enumerate(cases)}
    values = np.full((len(variants), len(replicates), len(cases)), np.nan)
    present = np.zeros(values.shape, bool)
    missed = np.zeros(values.shape, int)
    alarms = np.zeros(values.shape, int)
    remarks: list[CohortRemark] = []
    for g, variant in enumerate(variants):
        newest: dict[int, StoredRun] = {place[_split(run), run.seed]: run for run in variant.runs}
        if len(newest) < len(variant.runs):
            remarks.append(OlderRuns(variant.label, len(variant.runs) - len(newest)))
        for row, run in newest.items():
            table = tables[run.id]
            there = [column_of[case] for case in table.ids]
            values[g, row, there], present[g, row, there] = table.scores[column], True
            missed[g, row, there], alarms[g, row, there] = table.one_sided(column)
    values, decided = settle(column, values, present, missed > 0, [variant.label for variant in variants])
    remarks.append(decided)
    names = [group_of[case] for case in cases]
    groups = {name: i for i, name in enumerate(dict.fromkeys(names))}
    units = np.array([groups[name] for name in names]) if unit == "group" else np.arange(len(cases))
    kept = [
        Variant(c.label, list({place[_split(run), run.seed]: run for run in c.runs}.values()), c.parts)
        for c in variants
    ]
    of_runs = np.maximum(present.any(axis=2).sum(axis=1), 1)
    failures = [counts.sum(axis=(1, 2)) / of_runs for counts in (missed, alarms)]
    return Cohort(title, kept, values, replicates, cases, units, len(groups), *failures), remarks


def _families(runs: Sequence[StoredRun]) -> list[list[StoredRun]]:
    """Runs of one data set, those together whose variants are linked by a common split."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while (above := parent.setdefault(key, key)) != key:
            parent[key] = key = parent[above]  # halves the way for who comes next: thousands of runs are one chain
        return key

    variants = runs_by_variant(runs)
    for number, members in enumerate(variants):
        for run in members:
            parent[root(f"split {_split(run)}")] = root(f"variant {number}")
    families: dict[str, list[StoredRun]] = {}
    for number, members in enumerate(variants):
        families.setdefault(root(f"variant {number}"), []).extend(members)
    return [sorted(family, key=lambda run: run.started) for family in families.values()]


def _data(run: StoredRun) -> str:
    return RunRecord.of(run).data_digest or f"unknown, of {run.params.get('data.name', 'no name')}"


def _split(run: StoredRun) -> str:
    return RunRecord.of(run).split_digest or f"unknown, of run {run.id}"
