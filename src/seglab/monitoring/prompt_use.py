"""How promptable models are used: scores over the time, how many prompts a mask takes, what the guard does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seglab.monitoring.database import Database

PROMPT, FAILED = "prompt", "failed"
ACCEPTED, CORRECTED, REJECTED = "accepted", "corrected", "rejected"
FAULTS = {
    "image-memory": "memory",
    "image-too-large": "memory",
    "deadline-exceeded": "time",
    "prompts-restarting": "process",
}
"""Codes of failures that lie at the service, and what it was short of, or lost."""
FULL = 0.98  # of the area of a box
_SPANS = 12  # parts of the time
_LEAST = 10  # prompts that a correlation is told of
LOOKED_AT = 50_000
"""Newest prompts that scores over the time and their correlation are of; counts and means are of all."""


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
    """All of it.

    Attributes:
        kinds: most frequent first.
        spans: of equal length, those with a prompt, of the newest `LOOKED_AT`.
        with_points: rank correlation of the score with the number of points of a prompt; None of fewer than ten
            prompts, or where one of them does not vary. Likewise of the newest.
        verdicts: how often the guard did what.
        codes: how often requests of sessions failed with which code.
        prompts, empty, boxes, full: prompts; those with an empty mask; those with a box; those whose mask fills it.
        masks, steps: masks that were accepted, at once or corrected, whose prompts were counted; those prompts.
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
    masks: int = 0
    steps: int = 0

    @property
    def faults(self) -> int:
        """Requests of sessions that failed for want of memory or time, or whose process ended."""
        return sum(count for code, count in self.codes.items() if code in FAULTS)

    @property
    def corrections(self) -> float | None:
        """Prompts after the first, mean over the masks that were accepted; None of none."""
        return self.steps / self.masks - 1 if self.masks else None


@dataclass(frozen=True)
class _Total:
    """Counts and sums over the rows of one event, model, verdict and code."""

    event: str
    model: str
    verdict: str
    code: str
    count: int
    seconds: float
    scores: int
    score: float | None
    pointed: int
    points: int | None
    boxes: int
    box_share: float | None
    full: int
    empty: int | None
    masks: int
    steps: int | None


_TOTALS = (
    "SELECT event, model, verdict, code, count(*), sum(seconds), count(score), sum(score), count(points), sum(points),"
    " count(box_share), sum(box_share), sum(CASE WHEN box_share >= :full THEN 1 ELSE 0 END), sum(empty),"
    " count({steps}), sum({steps}) FROM prompts WHERE at >= :since GROUP BY event, model, verdict, code"
)


def prompt_use(database: Database, since: float) -> PromptUse:
    """What the rows since a time tell of prompts."""
    steps = "steps" if database.version >= 4 else "CAST(NULL AS INTEGER)"
    totals = [_Total(*row) for row in database.ask(_TOTALS.format(steps=steps), since=since, full=FULL)]
    newest = database.ask(
        "SELECT at, score, points FROM prompts WHERE at >= :since AND event = :prompt"
        " ORDER BY at DESC, id DESC LIMIT :most",
        since=since,
        prompt=PROMPT,
        most=LOOKED_AT,
    )
    asked = [one for one in totals if one.event == PROMPT]
    kept = [one for one in totals if one.event in (ACCEPTED, CORRECTED)]
    return PromptUse(
        _kinds(totals),
        _spans([(at, score) for at, score, _ in newest if score is not None]),
        _rank_correlation([(points, score) for _, score, points in newest if None not in (points, score)]),
        _counts((one.verdict, one.count) for one in asked if one.verdict),
        _counts((one.code, one.count) for one in totals if one.event == FAILED),
        sum(one.count for one in asked),
        sum(one.empty or 0 for one in asked),
        sum(one.boxes for one in asked),
        sum(one.full for one in asked),
        sum(one.masks for one in kept),
        sum(one.steps or 0 for one in kept),
    )


def _kinds(totals: Sequence[_Total]) -> tuple[PromptKind, ...]:
    held: dict[tuple[str, str], list[_Total]] = {}
    for one in totals:
        held.setdefault((one.event, one.model), []).append(one)
    kinds = []
    for (event, model), own in held.items():
        count = sum(one.count for one in own)
        kinds.append(
            PromptKind(
                event,
                model,
                count,
                _mean([(one.score, one.scores) for one in own]),
                sum(one.seconds for one in own) / count,
                _mean([(one.points, one.pointed) for one in own]),
                _mean([(one.box_share, one.boxes) for one in own]),
                sum(one.empty or 0 for one in own),
            )
        )
    return tuple(sorted(kinds, key=lambda one: -one.count))


def _mean(parts: Sequence[tuple[float | None, int]]) -> float | None:
    """Of sums and counts; None of none."""
    count = sum(number for _, number in parts)
    return sum(total or 0.0 for total, _ in parts) / count if count else None


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


def _counts(words: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word, count in words:
        found[word] = found.get(word, 0) + count
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))
