"""From settings to the page: find the runs, pair them, rank them, write and print what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from seglab.comparison.case_tables import CaseTable, column_of, locate, ranking_metric, read_tables
from seglab.comparison.cohort_ranking import CohortRanking, rank_variants
from seglab.comparison.cohorts import Cohort, make_cohorts
from seglab.comparison.frames import (
    choose_target,
    effects_frame,
    runs_frame,
    scores_frame,
    variants_frame,
    watched_curve,
)
from seglab.comparison.remarks import CohortRemark, NotPaired
from seglab.comparison.runs import FoundRuns, find_runs
from seglab.comparison.settings import CompareSettings
from seglab.errors import DataError, TrackingError
from seglab.metric_names import epoch_metric
from seglab.reports.comparison.comparison_sections import (
    pictures_section,
    plots_section,
    runs_section,
    scores_section,
    variant_section,
)
from seglab.reports.comparison.difference_sections import effects_section, pairs_section
from seglab.reports.comparison.sentences import sentences, summary
from seglab.reports.document import Document, PageSection, Picture, to_markdown
from seglab.reports.html_page import to_html
from seglab.run_record import Tag
from seglab.runtime.atomic_files import write_files
from seglab.safety.csv_text import csv_text
from seglab.tracking.store import Store
from seglab.tracking.store_lookup import open_existing

PAGE = "comparison.html"
_TABLES = ("variants.csv", "scores.csv", "effects.csv", "runs.csv")
_FORMER_TABLES = ("compositions.csv",)  # as variants.csv was called
_PLOT = re.compile(r"([0-9]+_)?(curves|cases|costs|ranks|pictures)\.png")
_TRAIN = "train another: seglab train -m model=unet,unet_mini seed=0,1,2"
_DRAWN, _DRAWN_AMONG = 3, 24  # cases that are drawn when no number is given, and among how many variants at most


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        settings: what was asked.
        found: the runs.
        rankings: one for each set of runs that can be paired, the one with most variants first.
        variants, scores, effects, runs: the tables as numbers, one row each.
        document: the page.
    """

    settings: CompareSettings
    found: FoundRuns
    rankings: list[CohortRanking]
    variants: pd.DataFrame
    scores: pd.DataFrame
    effects: pd.DataFrame
    runs: pd.DataFrame
    document: Document

    @property
    def answers(self) -> list[str]:
        """The best variant, and what is tied with it or worse, in a sentence for each of the `rankings`."""
        return [summary(ranking, self.settings.metric) for ranking in self.rankings]

    @property
    def pictures(self) -> dict[str, Picture]:
        """Those of the page by name: `curves`, `cases`, `costs` and so on, with a number before it where there are
        several sets of runs that cannot be paired. A notebook shows one that is the last word of a cell."""
        return {picture.name: picture for section in self.document.sections for picture in section.pictures}


def open_runs(settings: CompareSettings, directory: Path) -> Store:
    """The store with the runs; raises `TrackingError` where there is none, and makes none."""
    return open_existing(settings.tracking_uri, directory)


def compare(settings: CompareSettings, store: Store, say: Callable[[str], None] = lambda _: None) -> Comparison:
    """Compare the runs that the settings choose.

    Args:
        settings: what to compare.
        store: where the runs are.
        say: called with what is being done, where it takes long.

    Raises:
        ConfigError: settings that no run answers to.
        DataError: runs chosen by id that cannot be paired, with their digests.
        TrackingError: no finished runs, or none with scores of cases.
    """
    say("reading the runs and the scores of their cases")
    settings = settings.model_copy(update={"metric": ranking_metric(settings.metric)})
    score = locate(settings.metric)
    found = find_runs(store, settings, epoch_metric(settings.metric))
    tables, missing = read_tables(store, found.runs, score.file)
    spellings = {column_of(table, score.column) for table in tables.values()} or {score.column}
    settings = settings.model_copy(update={"metric": f"{score.prefix}{sorted(spellings)[0]}"})
    cohorts, remarks = make_cohorts(found.runs, tables, settings.metric, settings.unit)
    notes = sentences(remarks)
    usable = sum(len(variant.runs) for cohort in cohorts for variant in cohort.variants)
    if usable < 2:
        left_out = [f"run {run_id}: {why}" for run_id, why in missing.items()] + notes
        raise TrackingError(
            "too few runs with scores of their cases to compare",
            code="too-few-runs",
            where=f"store {store.place}",
            found="; ".join([f"{usable} with scores", *left_out[:3]]),
            expected="two or more",
            remedy=_remedy(score.file, len(missing)) if len(found.runs) > 1 and missing else _TRAIN,
        )
    notes = [f"run {run_id[:8]} is left out: {why}" for run_id, why in missing.items()] + notes
    imported = [run.id[:8] for run in found.runs if Tag.IMPORTED_RUN_ID in run.tags]
    if imported:
        notes.append(f"imported from another store, not trained here: {', '.join(imported)}")
    if settings.runs:
        _check_chosen(cohorts, remarks)
    say(f"comparing {usable} runs")
    rankings = [rank_variants(cohort, settings.metric) for cohort in cohorts]
    rankings.sort(key=lambda ranking: -len(ranking.cohort.variants))
    among = sum(len(ranking.cohort.variants) for ranking in rankings)
    drawn = settings.pictures if settings.pictures is not None else _DRAWN if among <= _DRAWN_AMONG else 0
    if settings.pictures is None and not drawn:
        notes.append(f"No case is drawn: of more than {_DRAWN_AMONG} variants only when asked for, pictures={_DRAWN}.")
    sections: list[PageSection] = []
    frames: list[list[pd.DataFrame]] = []
    for number, ranking in enumerate(rankings):
        prefix = f"{number}_" if len(rankings) > 1 else ""
        made, tabled = _chapters(ranking, tables, settings, prefix, found.together)
        sections += made
        if drawn:
            sections.append(pictures_section(ranking, settings.metric, store, drawn, prefix, say))
        frames.append(tabled)
    variants, scores, effects, runs = (pd.concat(tables, ignore_index=True) for tables in zip(*frames, strict=True))
    overview = _overview(found, notes)
    closing = runs_section(runs, found.unfinished, settings.metric)
    of = "one variant" if len(variants) == 1 else f"{len(variants)} variants"
    lead = f"{len(runs)} runs in {of}, compared by {settings.metric} over the same cases."
    document = Document(f"Comparison: {settings.name}", lead, [*overview, *sections, closing])
    return Comparison(settings, found, rankings, variants, scores, effects, runs, document)


def _remedy(file: str, count: int) -> str:
    """What gives `count` finished runs the scores of cases that they lack."""
    scoring = "seglab evaluate run=<id>"
    if file.startswith("evaluation/"):
        data, _, split = file.split("/")[1].rpartition("-")
        return f"score them: {scoring} split={split}{f' data={data}' if data else ''}, for {count} runs"
    return (
        f"where they were trained without test cases, score those that chose the epochs, {scoring} split=val, for "
        f"{count} runs, then metric=eval_val_dice; or train with test cases: data.split.test=0.15"
    )


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the page, its Markdown, the tables as CSV and the plots; returns the files.

    What cannot be written leaves a former comparison whole.

    Raises:
        TrackingError: the folder cannot be written, or files of another origin would be written over.
    """
    document = comparison.document
    before = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    foreign = sorted(before & {"comparison.md", *_TABLES}) if PAGE not in before else []
    if foreign:
        raise TrackingError(
            "files in the place of a comparison, which none has written",
            code="comparison-place-taken",
            where=str(folder),
            found=", ".join(foreign),
            expected=f"no such files, or {PAGE} beside them, which is replaced with them",
            remedy="give another folder: out=…",
        )
    texts = {
        PAGE: to_html(document),
        "comparison.md": to_markdown(document),
        **{name: csv_text(getattr(comparison, name.removesuffix(".csv"))) for name in _TABLES},
    }
    files = {folder / name: text.encode() for name, text in texts.items()}
    files |= {folder / "plots" / f"{p.name}.png": p.png for section in document.sections for p in section.pictures}
    try:
        made = write_files(files)
        if PAGE in before:
            for name in _FORMER_TABLES:
                (folder / name).unlink(missing_ok=True)
        for old in (folder / "plots").glob("*.png"):
            if old not in files and _PLOT.fullmatch(old.name):  # of a former comparison
                old.unlink()
    except OSError as error:
        raise TrackingError(
            "the comparison cannot be written",
            code="comparison-unwritable",
            where=str(error.filename or folder),
            found=error.strerror,
            expected="room and permission; nothing half-written is left",
            remedy="free some space, or give another folder: out=…",
        ) from error
    return made


def _chapters(
    ranking: CohortRanking,
    tables: dict[str, CaseTable],
    settings: CompareSettings,
    prefix: str,
    together: int,
) -> tuple[list[PageSection], list[pd.DataFrame]]:
    metric = settings.metric
    curve = watched_curve([run for c in ranking.cohort.variants for run in c.runs], metric)
    target = choose_target(ranking, metric, settings.target)
    frame = variants_frame(ranking, tables, metric, target)
    scores = scores_frame(ranking, tables, metric)
    sections = [
        variant_section(ranking, frame, metric, curve, target, together),
        pairs_section(ranking, metric, settings.unit),
        effects_section(ranking, metric, together),
        scores_section(ranking, scores, metric, settings.unit),
        plots_section(ranking, frame, metric, curve, prefix),
    ]
    effects = effects_frame(ranking.cohort.title, ranking.effects)
    frames = [frame, scores, effects, runs_frame(ranking, tables, metric, target)]
    return [section for section in sections if section is not None], frames


def _check_chosen(cohorts: Sequence[Cohort], remarks: Sequence[CohortRemark]) -> None:
    """Refuse runs that were chosen by id and cannot all be paired; raises `DataError` that says which."""
    if len(cohorts) > 1:
        raise DataError(
            "runs that cannot be paired",
            code="runs-not-paired",
            where="runs",
            found=" ".join(sentences([one for one in remarks if isinstance(one, NotPaired)])),
            expected="runs on the same data and the same test cases",
            remedy="choose others, or train with data.split_seed=0 so that every seed has the same split",
        )
    for cohort in cohorts:
        if len(cohort.variants) == 1:
            raise DataError(
                "runs of one variant, with nothing to compare it with",
                code="too-few-runs",
                where="runs",
                found=", ".join(run.short for run in cohort.variants[0].runs),
                expected="runs that differ in more than their seed",
                remedy="add a run of another model, loss or optimizer",
            )


def _overview(found: FoundRuns, notes: Sequence[str]) -> list[PageSection]:
    """What was left out, and why; nothing when nothing was."""
    left_out = list(notes)
    if found.unfinished:
        runs = "1 run is" if len(found.unfinished) == 1 else f"{len(found.unfinished)} runs are"
        left_out.append(f"{runs} not finished, and listed at the end.")
    if found.foreign:
        runs = "1 run of the store was" if found.foreign == 1 else f"{found.foreign} runs of the store were"
        left_out.append(f"{runs} not made by seglab's training, and left out.")
    return [PageSection("Left out, or apart", notes=left_out)] if left_out else []
