"""A summary as a page: what is printed, and the same as one HTML file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from seglab.monitoring.alerts import Alert, AlertLimits
from seglab.monitoring.drift import Drift, Feature
from seglab.monitoring.naming import named
from seglab.monitoring.prompt_use import LOOKED_AT, PromptUse
from seglab.monitoring.row_summary import CanaryRun, Summary
from seglab.monitoring.truth import TrueQuality
from seglab.monitoring.watched import Watched
from seglab.reports.document import Cell, Document, PageSection, TableBlock
from seglab.safety.shown_text import shown

_SPANS_SHOWN = 12


def document_of(
    summary: Summary, found: Sequence[Alert], limits: AlertLimits, place: str, more: Sequence[PageSection] = ()
) -> Document:
    """The page.

    Args:
        summary: of the rows.
        found: alerts.
        limits: that they were found with.
        place: of the rows, without secrets.
        more: sections at its end.
    """
    model = summary.model
    label = model.label if model else "no model yet"
    times = f" from {_when(summary.since)} to {_when(summary.until)} UTC" if summary.requests else " for a mask"
    lead = f"{summary.requests:,} requests{times}; {label}; {place}."
    notes = [alert.message for alert in found] or ["No alert."]
    sections = [
        PageSection("Alerts", notes=notes),
        _requests(summary, limits),
        _drift(summary.drift, model),
        _quality(summary),
    ]
    if summary.prompts.kinds:
        sections.append(_prompts(summary.prompts))
    if summary.canary:
        sections.append(_canary(summary.canary, model))
    return Document("Monitoring", lead, (*sections, *more))


def _requests(summary: Summary, limits: AlertLimits) -> PageSection:
    total = max(1, summary.requests)
    p50, p95, p99 = (_number(x, 3) for x in summary.seconds)
    times = TableBlock(
        ("p50, s", "p95, s", "p99, s", "limit of p95, s"), [(p50, p95, p99, _number(limits.p95_seconds, 3))]
    )
    rows = [
        (Cell(str(one.status)), Cell(one.code or "–"), _whole(one.count), _percent(one.count / total))
        for one in summary.outcomes
    ]
    codes = TableBlock(("status", "code", "requests", "share"), rows)
    return PageSection("Requests", grids=[times, codes])


def _drift(drift: Drift, model: Watched | None) -> PageSection:
    if drift.reason:
        return PageSection("Drift", text=[f"Nothing is said: {drift.reason}."])
    changed = f"{len(drift.changed)} of {len(drift.features)} statistics have changed"
    text = [
        f"{drift.units} units against the training images and the masks of the validation cases: {changed}, at a false "
        f"discovery rate of {drift.alpha:g}. That the input has changed does not say that masks are worse."
    ]
    rows = [_feature(one, drift.alpha, model) for one in drift.features]
    grids = [TableBlock(("statistic", "of", "now", "reference", "distance", "p", "q", ""), rows)]
    if drift.quality:
        fell = "has fallen" if drift.worse else "has not fallen"
        text.append(f"Confidence {fell}: p {_p(drift.quality.p)}; only a fall is looked for.")
        row = _feature(drift.quality, drift.alpha, model)
        grids.append(TableBlock(("statistic", "of", "now", "reference", "distance", "p", "q", ""), [row]))
    return PageSection("Drift", text=text, grids=grids)


def _feature(one: Feature, alpha: float, model: Watched | None) -> Sequence[Cell]:
    verdict = Cell("changed", strong=True) if one.q <= alpha else Cell("")
    words = Cell(named(one.name, model))
    medians = _number(one.median, 4), _number(one.reference_median, 4)
    return (
        words,
        Cell(one.kind),
        *medians,
        _number(one.distance, 3),
        Cell(_p(one.p), one.p),
        Cell(_p(one.q), one.q),
        verdict,
    )


def _quality(summary: Summary) -> PageSection:
    if summary.model is None:
        return PageSection("Predicted quality", text=["No model has answered yet."])
    quality, text = summary.model.quality, []
    if summary.agreements:
        worst = sorted(summary.agreements)[(len(summary.agreements) - 1) // 10]
        mean = sum(summary.agreements) / len(summary.agreements)
        text.append(
            f"Agreement over flips of the newest {len(summary.agreements)} masks: mean {mean:.3f}, a tenth is at most "
            f"{worst:.3f}."
        )
    if quality is None:
        return PageSection("Predicted quality", text=[*text, "The model has no map from confidence to Dice."])
    spans = summary.spans[-_SPANS_SHOWN:]
    rows = [(Cell(_when(one.at), one.at), _whole(one.answered), _number(one.quality, 3)) for one in spans]
    text.append(f"Predicted Dice of a mask without its truth: {quality.sentence()}.")
    return PageSection("Predicted quality", text=text, grids=[TableBlock(("from, UTC", "masks", "mean"), rows)])


def _prompts(use: PromptUse) -> PageSection:
    text = []
    if use.prompts:
        filled = f"; of {use.boxes:,} with a box the mask filled it {use.full:,} times" if use.boxes else ""
        text.append(f"Of {use.prompts:,} prompts {use.empty:,} gave an empty mask{filled}.")
    if use.corrections is not None:
        words = f"An accepted mask took {use.corrections + 1:.1f} prompts on average ({use.masks:,} in all)"
        text.append(f"{words}: {use.corrections:.1f} corrections.")
    if use.with_points is not None:
        text.append(f"Rank correlation of a prompt's score with its number of points: {use.with_points:+.2f}.")
    if use.prompts > LOOKED_AT:
        text.append(f"Scores over the time and their correlation are of the newest {LOOKED_AT:,} prompts alone.")
    if use.verdicts:
        text.append(f"The guard's verdicts: {_counted(use.verdicts)}.")
    if use.codes:
        text.append(f"Requests that failed: {_counted(use.codes)}.")
    rows = [
        (
            Cell(one.event),
            Cell(one.model),
            _whole(one.count),
            _number(one.score, 3),
            _number(one.seconds, 3),
            _number(one.points, 1),
            _number(one.box_share, 2),
            _whole(one.empty),
        )
        for one in use.kinds
    ]
    columns = ("what", "model", "times", "mean score", "mean s", "mean points", "mask : box", "empty masks")
    spans = [
        (Cell(_when(one.at), one.at), _whole(one.prompts), *(_number(score, 3) for score in one.scores))
        for one in use.spans
    ]
    over_time = TableBlock(("from, UTC", "prompts", "score, p10", "p50", "p90"), spans)
    return PageSection("Prompts", text=text, grids=[TableBlock(columns, rows), *([over_time] if spans else [])])


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{word} {count:,}" for word, count in counts.items())


def _canary(runs: Sequence[CanaryRun], model: Watched | None) -> PageSection:
    names = model.class_names if model else ()

    def shown(values: dict[str, float | None]) -> str:
        words = [
            f"{names[int(key)] if int(key) < len(names) else key} {'–' if value is None else f'{value:.3f}'}"
            for key, value in values.items()
        ]
        return ", ".join(words)

    rows = [
        (
            Cell(_when(one.at), one.at),
            Cell(one.model),
            _whole(one.cases),
            Cell(shown(one.dice)),
            Cell(shown(one.iou)),
            Cell(one.failed or ("fallen" if one.fallen else ""), strong=bool(one.failed) or one.fallen),
        )
        for one in runs[::-1][:_SPANS_SHOWN]
    ]
    columns = ("when, UTC", "model", "cases", "Dice", "IoU", "")
    return PageSection("Canary", grids=[TableBlock(columns, rows)])


def truth_section(found: TrueQuality) -> PageSection:
    """Real Dice beside the predicted one."""
    shown = found.cases[:_SPANS_SHOWN]
    rows = [(Cell(one.request), _number(one.predicted, 3), _number(one.real, 3)) for one in shown]
    text = [f"{len(found.cases)} answers have a truth now, {found.unmatched} masks belong to none; the worst first."]
    if found.ignored:
        alone = f"; {found.nothing_else} masks hold nothing else but background" if found.nothing_else else ""
        text.append(f"255 is no class here: {found.ignored:.1%} of the true pixels are ignored{alone}.")
    if found.agreement:
        r = "none" if found.agreement.r is None else f"{found.agreement.r:.2f}"
        text.append(f"Predicted and real Dice of {found.agreement.n}: r {r}, mean error {found.agreement.mae:.3f}.")
    return PageSection("Truth", text=text, grids=[TableBlock(("request", "predicted Dice", "real Dice"), rows)])


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "–"


def _number(value: float | None, digits: int) -> Cell:
    if value is None or math.isnan(value):
        return Cell("–")
    return Cell(f"{value:.{digits}f}" if abs(value) < 10_000 else f"{value:,.0f}", float(value))


def _whole(value: float) -> Cell:
    return Cell(f"{int(value):,}", float(value))


def _percent(value: float) -> Cell:
    return Cell(f"{value:.1%}", value)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def as_text(document: Document) -> str:
    """The page for a terminal: tables with aligned columns."""
    lines = [document.title, document.lead]
    for section in document.sections:
        lines += ["", section.title.upper(), *section.text, *(f"- {note}" for note in section.notes)]
        for grid in section.grids:
            rows = [list(grid.columns), *([cell.text for cell in row] for row in grid.rows)]
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            lines += [
                "  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True)).rstrip() for row in rows
            ]
    return shown("\n".join(lines))
