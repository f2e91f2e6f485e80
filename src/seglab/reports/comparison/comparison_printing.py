"""The comparison in a terminal: the answer, the table, the effects; and the page among the sweep's artifacts."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seglab.comparison.cohort_ranking import CohortRanking, mark
from seglab.comparison.descriptives import Paired
from seglab.comparison.settings import CompareSettings
from seglab.errors import TrackingError
from seglab.number_format import difference, interval, p_value, with_sd
from seglab.reports.comparison.compare import Comparison, compare, open_runs, write
from seglab.reports.comparison.sentences import crowding, standing, summary, times, with_allowed
from seglab.run_record import Artifact
from seglab.runtime.terminal import Terminal, tell
from seglab.safety.shown_text import in_line
from seglab.tracking.append import add_files
from seglab.tracking.mlflow_client import MlflowException
from seglab.tracking.store import Store

_ROWS = 25
_WIDTH = 140  # of what goes to a file
_STYLES = {"best": "bold green", "tied": "", "worse": "dim", "undecided": "yellow"}


def run_comparison(settings: CompareSettings, directory: Path, console: Console | None = None) -> Comparison:
    """Compare, print, write, and hand the page to the sweep's run.

    Args:
        settings: checked settings.
        directory: the folder of runs, normally `mlruns/`.
        console: where to print.
    """
    console = console or Terminal(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH)
    store = open_runs(settings, directory)
    comparison = compare(settings, store, tell)
    folder = settings.folder(directory)
    files = write(comparison, folder)
    _print(comparison, console)
    for parent in comparison.found.parents:
        console.print(_attach(store, parent, folder), markup=False)
    console.print(in_line(f"tables     {folder}/*.csv and comparison.md, {len(files)} files in all"), markup=False)
    console.print(in_line(f"page       {files[0].resolve()}"), markup=False)
    return comparison


def _print(comparison: Comparison, console: Console) -> None:
    metric = comparison.settings.metric
    notes = dict.fromkeys(note for section in comparison.document.sections for note in section.notes)
    for note in notes:  # what holds of several tables is printed once
        console.print(f"note: {note}", style="yellow", markup=False)
    if crowded := crowding(comparison.found.together):
        console.print(f"note: {crowded}", style="yellow", markup=False)
    for ranking in comparison.rankings:
        console.print(f"\n[bold]{escape(ranking.cohort.title)}[/bold]")
        console.print(_variants(ranking, metric))
        if ranking.effects:
            console.print(_effects(ranking, metric))
        console.print(summary(ranking, metric), markup=False)


def _variants(ranking: CohortRanking, metric: str) -> Table:
    """Each variant with its score, and how far it is from the best; the page has the rest."""
    table = _empty("variant", "", metric, "runs", "against the best [95% interval]", "p")
    for i in ranking.order[:_ROWS]:
        verdict, variant = ranking.verdicts[i], ranking.cohort.variants[i]
        table.add_row(
            escape(with_allowed(mark(variant), variant.allowed)),
            standing(ranking, i),
            with_sd(ranking.means[i], ranking.sds[i]),
            str(len(variant.runs)),
            *_difference(verdict.paired),
            style=_STYLES[verdict.place],
        )
    if len(ranking.order) > _ROWS:
        table.caption = f"{len(ranking.order) - _ROWS} more on the page"
    return table


def _effects(ranking: CohortRanking, metric: str) -> Table:
    """What each factor is worth."""
    table = _empty("factor", "change", "pairs", f"{metric} [95% interval]", "p", "speed")
    for effect in ranking.effects[:_ROWS]:
        change = escape(f"{effect.level} instead of {effect.reference}")
        pairs = str(len(effect.contexts))
        found = _difference(effect.paired)
        table.add_row(escape(effect.factor), change, pairs, *found, times(effect.speed))
    return table


def _empty(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(escape(name), no_wrap=True, min_width=28 if name in ("variant", "change") else None)
    return table


def _difference(paired: Paired | None) -> tuple[str, str]:
    if paired is None:
        return "", ""
    return f"{difference(paired.difference)} {escape(interval(paired.difference))}", p_value(paired.difference.p)


def _attach(store: Store, parent: str, folder: Path) -> str:
    """Put the page among the artifacts of the sweep's run; says what became of it."""
    try:
        add_files(store, store.run(parent), folder, Artifact.COMPARISON)
    except (MlflowException, OSError, TrackingError) as error:
        return f"note       the page could not be added to the sweep's run {parent}: {error}"
    return f"sweep      run {parent} holds the page too, under {Artifact.COMPARISON}/"
