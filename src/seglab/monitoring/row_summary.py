"""What the rows of a service say, as plain numbers: requests, times, drift, predicted quality, prompts, canary."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seglab.monitoring.database import Database, reading
from seglab.monitoring.drift import Drift
from seglab.monitoring.newest_answers import OK, newest_agreements, newest_answers
from seglab.monitoring.prompt_use import PromptUse, prompt_use
from seglab.monitoring.watched import Watched, newest_model

BUCKETS = 48  # of the time that is looked at


@dataclass(frozen=True)
class OutcomeCount:
    """How many requests ended so: status of HTTP, code of the problem (empty for none), their number."""

    status: int
    code: str
    count: int


@dataclass(frozen=True)
class Span:
    """A part of the time.

    Attributes:
        at: its beginning, seconds since 1970.
        answered: masks in it.
        quality: their mean predicted Dice; None where none is known.
    """

    at: float
    answered: int
    quality: float | None


@dataclass(frozen=True)
class CanaryRun:
    """A small labelled set, predicted: Dice and IoU by class id, and whether it fell; or why it could not be."""

    at: float
    model: str
    cases: int
    dice: dict[str, float | None]
    iou: dict[str, float | None]
    fallen: bool
    failed: str = ""


@dataclass(frozen=True)
class Summary:
    """All of it.

    Attributes:
        since, until: seconds since 1970, of the first and the last request that is counted.
        outcomes: most frequent first.
        seconds: of requests that were answered: p50, p95, p99; NaN of none.
        spans: of equal length.
        model: that has answered last; None before one has begun.
        drift: of its newest answers.
        implausible: of those, how many break each rule, and how many there are in all under "answers".
        prompts: how promptable models were used.
        canary: the newest run last.
        agreements: over flips, of the newest masks where that was asked for.
    """

    since: float
    until: float
    outcomes: tuple[OutcomeCount, ...]
    seconds: tuple[float, float, float]
    spans: tuple[Span, ...]
    model: Watched | None
    drift: Drift
    implausible: dict[str, int]
    prompts: PromptUse
    canary: tuple[CanaryRun, ...]
    agreements: tuple[float, ...] = ()

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(one.count for one in self.outcomes)

    @property
    def failures(self) -> int:
        """That the service is to blame for: 5xx."""
        return sum(one.count for one in self.outcomes if one.status >= 500)


def summarise(place: str, *, hours: float | None = None, alpha: float = 0.01, window: int = 200) -> Summary:
    """Read the rows of a place.

    Args:
        place: as of `opened`.
        hours: looked back from now; None for all rows.
        alpha: error rate of drift.
        window: newest units whose drift is tested. An image that was sent again counts once.

    Raises:
        ConfigError, DataError: as of `reading`.
    """
    with reading(place) as database:
        return _summary(database, 0.0 if hours is None else time.time() - hours * 3600, alpha, window)


def _summary(database: Database, since: float, alpha: float, window: int) -> Summary:
    ((first, last),) = database.ask("SELECT min(at), max(at) FROM predictions WHERE at >= :since", since=since)
    outcomes = database.ask(
        "SELECT status, code, count(*) FROM predictions WHERE at >= :since GROUP BY status, code", since=since
    )
    taken = database.ask("SELECT seconds FROM predictions WHERE at >= :since AND status = :ok", since=since, ok=OK)
    model = newest_model(database)
    drift, implausible = newest_answers(database, model, since, alpha, window)
    seconds = np.quantile([row[0] for row in taken], (0.5, 0.95, 0.99)) if taken else np.full(3, np.nan)
    return Summary(
        first or 0.0,
        last or 0.0,
        tuple(sorted((OutcomeCount(*row) for row in outcomes), key=lambda one: -one.count)),
        (float(seconds[0]), float(seconds[1]), float(seconds[2])),
        _spans(database, first, last),
        model,
        drift,
        implausible,
        prompt_use(database, since),
        _canary(database, since),
        newest_agreements(database, model, since, window),
    )


def _spans(database: Database, first: float | None, last: float | None) -> tuple[Span, ...]:
    if first is None or last is None:
        return ()
    width = max((last - first) / BUCKETS * (1 + 1e-6), 1e-3)  # so that the last request is in the last of them
    rows = database.ask(
        f"SELECT {database.whole.format('(at - :first) / :width')}, count(*), avg(quality) FROM predictions"
        " WHERE at >= :first AND status = :ok GROUP BY 1 ORDER BY 1",
        first=first,
        width=width,
        ok=OK,
    )
    return tuple(Span(first + place * width, count, quality) for place, count, quality in rows)


def _canary(database: Database, since: float) -> tuple[CanaryRun, ...]:
    failed = "failed" if database.version >= 2 else "''"
    rows: Sequence[Sequence[Any]] = database.ask(
        f"SELECT at, model, cases, dice, iou, fallen, {failed} FROM canary"
        " WHERE at >= :since ORDER BY id DESC LIMIT 100",
        since=since,
    )
    return tuple(
        CanaryRun(at, model, cases, json.loads(dice), json.loads(iou), bool(fallen), why or "")
        for at, model, cases, dice, iou, fallen, why in reversed(rows)
    )
