"""What became of the runs of a study: exported, promoted, served, as far as the store knows."""

from __future__ import annotations

from collections.abc import Sequence

from seglab.comparison.runs import StoredRun
from seglab.number_format import score, signed
from seglab.reports.document import Cell, PageSection, TableBlock
from seglab.run_record import Metric, Tag
from seglab.tracking.mlflow_client import MlflowException, first_line
from seglab.tracking.store import Store

PRODUCTION = "Production"
_MOST = 12  # rows of each kind
_DIGITS = 4  # of a difference that is to be none


def production_section(runs: Sequence[StoredRun], store: Store) -> PageSection:
    """Exports with the scores that they were measured to have, versions in the register, and verdicts of the gate.

    Args:
        runs: of the study.
        store: where they are, with its register.
    """
    rows = [
        *_or(_exports(runs), "exported", "not measured: no run has an export with scores (seglab export run=<id>)"),
        *_or(_verdicts(runs), "promotion gate", "not measured: no run was held against it (seglab promote run=<id>)"),
        *_or(_versions(runs, store), "registered", "no run is a version of a registered model"),
        ("served", "not measured: the store holds nothing of it; seglab serve reports it at /metrics", ""),
    ]
    return PageSection(
        PRODUCTION, grids=[TableBlock(["what", "found", "run"], [[Cell(text) for text in row] for row in rows])]
    )


def _or(rows: list[tuple[str, str, str]], what: str, nothing: str) -> list[tuple[str, str, str]]:
    if not rows:
        return [(what, nothing, "")]
    more = len(rows) - _MOST
    return [*rows[:_MOST], *([(what, f"and {more} more", "")] if more > 0 else [])]


def _exports(runs: Sequence[StoredRun]) -> list[tuple[str, str, str]]:
    """Each target with its Dice, and what that is more than the trained model's on the same cases."""
    rows = []
    for run in runs:
        for key in sorted(run.metrics):
            if key.startswith(Metric.EXPORT) and key.endswith(Metric.EXPORT_DICE):
                target = key.removeprefix(Metric.EXPORT).removesuffix(Metric.EXPORT_DICE)
                change = run.metrics.get(f"{Metric.EXPORT}{target}{Metric.EXPORT_DIFFERENCE}", float("nan"))
                text = f"{target}: Dice {score(run.metrics[key])}, {signed(change, _DIGITS)} against the trained model"
                rows.append(("exported", text, run.id))
    return rows


def _verdicts(runs: Sequence[StoredRun]) -> list[tuple[str, str, str]]:
    return [
        (
            "promotion gate",
            f"{run.tags[Tag.PROMOTION]}: {run.tags.get(Tag.PROMOTION_REASONS, 'no reasons kept')}",
            run.id,
        )
        for run in runs
        if Tag.PROMOTION in run.tags
    ]


def _versions(runs: Sequence[StoredRun], store: Store) -> list[tuple[str, str, str]]:
    """Only of runs that passed a gate: each of the others would be a question to the store."""
    rows = []
    try:
        for run in runs:
            if Tag.PROMOTION not in run.tags:
                continue
            for version in store.client.search_model_versions(f"run_id = '{run.id}'"):
                aliases = store.client.get_registered_model(version.name).aliases
                named = [alias for alias, number in sorted(aliases.items()) if str(number) == str(version.version)]
                text = f"{version.name} version {version.version}" + (f", {', '.join(named)}" if named else "")
                rows.append(("registered", text, run.id))
    except MlflowException as error:
        return [("registered", f"not known: the register does not answer ({first_line(error)})", "")]
    return rows
