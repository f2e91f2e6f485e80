"""How promptable models are used: scores over the time, how many prompts a mask takes, what the guard does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seglab.monitoring.database import Database

PROMPT, FAILED = "prompt", "failed"
ACCEPTED, CORRECTED, REJECTED = "accepted", "corrected", "rejected"
FAULTS = frozenset({"image-memory", "image-too-large", "deadline-exceeded", "prompts-restarting"})
"""Codes of failures that lie at the service: memory, time, its process."""
FULL = 0.98  # of the area of a box
_SPANS = 12  # parts of the time
_LEAST = 10  # prompts that a correlation is told of
_LOOKED_AT = 50_000  # newest prompts


@dataclass(frozen=True)
class PromptKind:
    """Rows of one event and model: their number, and means over them."""

    event: str
    model: str
    count: int
    score: float | None
    seconds: float
    points: float | None
    box_share: float | None
    empty: int


@dataclass(frozen=True)
class ScoreSpan:
    """A part of the time: its beginning in seconds since 1970, prompts in it, and quantiles of their scores: p10, p50,
    p90."""

    at: float
    prompts: int
    scores: tuple[float, float, float]


@dataclass(frozen=True)
class PromptUse:
    """All of it, of the newest 50,000 rows.

    Attributes:
        kinds: most frequent first.
        spans: of equal length, those with a prompt.
        with_points: rank correlation of the score with the number of points of a prompt; None of fewer than ten
            prompts, or where one of them does not vary.
        verdicts: how often the guard did what.
        codes: how often requests of sessions failed with which code.
        prompts, empty, boxes, full: prompts; those with an empty mask; those with a box; those whose mask fills it.
        steps: prompts that each mask took which was accepted.
    """

    kinds: tuple[PromptKind, ...] = ()
    spans: tuple[ScoreSpan, ...] = ()
    with_points: float | None = None
    verdicts: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    prompts: int = 0
    empty: int = 0
    boxes: int = 0
    full: int = 0
    steps: tuple[int, ...] = ()

    @property
    def faults(self) -> int:
        """Requests of sessions that failed for want of memory or time, or whose process ended."""
        return sum(count for code, count in self.codes.items() if code in FAULTS)

    @property
    def corrections(self) -> float | None:
        """Prompts after the first, mean over the masks that were accepted; None of none."""
        return float(np.mean(self.steps)) - 1 if self.steps else None


def prompt_use(database: Database, since: float) -> PromptUse:
    """What the rows since a time tell of prompts."""
    steps = "steps" if database.version >= 4 else "NULL"
    rows = database.ask(
        f"SELECT event, model, at, score, seconds, points, box_share, empty, verdict, code, {steps} FROM prompts"
        " WHERE at >= :since ORDER BY id DESC LIMIT :most",
        since=since,
        most=_LOOKED_AT,
    )
    asked = [row for row in rows if row[0] == PROMPT]
    shares = [row[6] for row in asked if row[6] is not None]
    return PromptUse(
        _kinds(rows),
        _spans([(row[2], row[3]) for row in asked if row[3] is not None]),
        _rank_correlation([(row[5], row[3]) for row in asked if row[3] is not None and row[5] is not None]),
        _counts(row[8] for row in asked if row[8]),
        _counts(row[9] for row in rows if row[0] == FAILED),
        len(asked),
        sum(row[7] or 0 for row in asked),
        len(shares),
        sum(share >= FULL for share in shares),
        tuple(row[10] for row in rows if row[0] in (ACCEPTED, CORRECTED) and row[10] is not None),
    )


def _kinds(rows: Sequence[Sequence[Any]]) -> tuple[PromptKind, ...]:
    held: dict[tuple[str, str], list[Sequence[Any]]] = {}
    for row in rows:
        held.setdefault((row[0], row[1]), []).append(row)
    kinds = [
        PromptKind(
            event,
            model,
            len(own),
            _mean([row[3] for row in own]),
            float(np.mean([row[4] for row in own])),
            _mean([row[5] for row in own]),
            _mean([row[6] for row in own]),
            sum(row[7] or 0 for row in own),
        )
        for (event, model), own in held.items()
    ]
    return tuple(sorted(kinds, key=lambda one: -one.count))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _spans(scored: Sequence[tuple[float, float]]) -> tuple[ScoreSpan, ...]:
    if not scored:
        return ()
    at, scores = (np.array(column, float) for column in zip(*scored, strict=True))
    first, width = at.min(), max((at.max() - at.min()) / _SPANS, 1e-3)
    places = np.minimum(((at - first) / width).astype(int), _SPANS - 1)
    found = []
    for place in np.unique(places):
        own = scores[places == place]
        low, middle, high = np.quantile(own, (0.1, 0.5, 0.9)).tolist()
        found.append(ScoreSpan(float(first + place * width), len(own), (low, middle, high)))
    return tuple(found)


def _rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's: how many points a prompt has says more of what was hard than of how much harder it was."""
    if len(pairs) < _LEAST:
        return None
    points, scores = (_ranks(np.array(column, float)) for column in zip(*pairs, strict=True))
    return float(np.corrcoef(points, scores)[0, 1]) if min(points.std(), scores.std()) > 0 else None


def _ranks(values: np.ndarray) -> np.ndarray:
    """Of equal values the mean of their places."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def _counts(words: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))
