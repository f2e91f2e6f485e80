"""What the runs of a study cannot say, and what to do next, as far as the runs themselves tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.comparison.cohort_ranking import CohortRanking
from seglab.comparison.frames import watched_curve
from seglab.comparison.runs import StoredRun
from seglab.reports.comparison.compare import Comparison
from seglab.reports.comparison.sentences import ranking_notes
from seglab.reports.document import PageSection
from seglab.reports.study.run_facts import differing, read_json
from seglab.reports.study.study import Study
from seglab.reports.study.study_plan import StudyPlan
from seglab.run_record import Artifact, RunRecord, Tag
from seglab.tracking.store import Store

LIMITS, NEXT = "Limits", "Next steps"
_FEW_CASES = 30


def limits_section(comparison: Comparison, plan: StudyPlan) -> PageSection:
    """The reservations that come from the number of runs and cases, from the plan, the code and the data."""
    notes = [*plan.limits]
    for ranking in comparison.rankings:
        cohort = ranking.cohort
        notes += [f"{cohort.title}: {note}" for note in ranking_notes(ranking)]
        if len(cohort.cases) < _FEW_CASES:
            notes.append(
                f"{cohort.title}: {len(cohort.cases)} test cases are few; rare failures may not be among them."
            )
    runs = comparison.found.runs
    dirty = sum(RunRecord.of(run).git_dirty for run in runs)
    if dirty:
        notes.append(
            f"{dirty} of {len(runs)} runs were of code with uncommitted changes, which each run keeps as a diff."
        )
    if len(differing(runs, Tag.GIT_COMMIT)) > 1:
        notes.append(f"The runs are of {len(differing(runs, Tag.GIT_COMMIT))} commits.")
    if len(differing(runs, "device")) > 1:
        notes.append("The runs are of several devices: their times cannot be compared.")
    allowed = differing(runs, Tag.DATA_ALLOWED)
    if allowed:
        notes.append(f"Findings of the data check that were allowed to pass: {'; '.join(allowed)}.")
    unfinished = comparison.found.unfinished
    if unfinished:
        notes.append(
            f"{len(unfinished)} runs did not finish and are left out; if they share a cause, the comparison is biased."
        )
    text = [
        "A score holds for this data and for images like it. What was not varied (see Training) was not tuned for any "
        "variant either: another learning rate or more epochs may change the order. Times are of the machine named "
        "above, and of what else ran on it."
    ]
    return PageSection(LIMITS, text=text, notes=notes)


def next_steps_section(comparison: Comparison, study: Study, store: Store) -> PageSection:
    """Commands that follow from what was found."""
    notes = []
    missing = _never_begun(comparison, store)
    if missing or comparison.found.unfinished:
        reason = f"{missing} jobs were never begun" if missing else "Some runs did not finish"
        notes.append(f"{reason}: the same command goes on where the sweep stopped.")
    for ranking in comparison.rankings:
        notes += _of(ranking, comparison.settings.metric)
    best = best_run(comparison)
    notes.append(f"Hand on the best run: seglab promote run={best.id} name={study.name}")
    notes.append(f"Score it on other data or another split: seglab evaluate run={best.id} split=val")
    return PageSection(NEXT, notes=notes)


def best_run(comparison: Comparison) -> StoredRun:
    """The run of the best variant that scores best on validation: the test cases are not to choose by."""
    ranking = comparison.rankings[0]
    runs = ranking.cohort.variants[ranking.order[0]].runs
    curve = watched_curve(runs, comparison.settings.metric)
    return max(runs, key=lambda run: np.nanmax(run.curve(curve)[1], initial=-np.inf))


def _of(ranking: CohortRanking, metric: str) -> list[str]:
    cohort = ranking.cohort
    tied = [cohort.variants[i].label for i in ranking.order if ranking.verdicts[i].place == "tied"]
    notes = []
    if tied:
        best = cohort.variants[ranking.order[0]].label
        notes.append(
            f"{best} and {', '.join(tied)} are not told apart: more {cohort.repeated} or more test cases would."
        )
    late = _still_rising([run for variant in cohort.variants for run in variant.runs], metric)
    if late:
        notes.append(f"{late}: they had not stopped learning; train for longer.")
    return notes


def _still_rising(runs: Sequence[StoredRun], metric: str) -> str:
    """How many runs were best in their last epoch; nothing when few were."""
    curve = watched_curve(list(runs), metric)
    curves = [values for _, values in (run.curve(curve) for run in runs) if np.isfinite(values).any()]
    late = sum(int(np.nanargmax(values)) == len(values) - 1 for values in curves)
    return f"{late} of {len(curves)} runs had their best {curve} in the last epoch" if 2 * late > len(curves) else ""


def _never_begun(comparison: Comparison, store: Store) -> int:
    """Jobs of the study's sweeps without any run; a job of two sweeps counts once."""
    wanted: set[str] = set()
    unnamed = 0
    for parent in comparison.found.parents:
        run = store.run(parent)
        jobs = read_json(store, run.info.artifact_uri, Artifact.SWEEP_JOBS) or []
        wanted |= {job["identity"] or " ".join(job["overrides"]) for job in jobs}
        # Of a search, which names its jobs one by one.
        unnamed += max(0, int(run.data.tags.get(Tag.SWEEP_JOBS, 0)) - len(jobs))
    begun = {run.tags.get(Tag.JOB_IDENTITY) for run in [*comparison.found.runs, *comparison.found.unfinished]}
    return len(wanted - begun) + unnamed
