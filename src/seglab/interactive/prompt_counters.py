"""What is counted of prompts, as Prometheus reads it, and the row of each in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from seglab.monitoring.prompt_use import FAULTS, FULL

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TENTHS = tuple(number / 10 for number in range(1, 11))


class PromptCounters:
    """Counters of one service.

    Args:
        registry: that they are in.
        sessions: how many are open.
    """

    def __init__(self, registry: CollectorRegistry, sessions: Callable[[], int]):
        self.prompts = Counter("seglab_prompts", "Prompts that were answered.", ["model", "verdict"], registry=registry)
        self.seconds = Histogram(
            "seglab_prompt_seconds", "Of an answer to a prompt.", buckets=_SECONDS, registry=registry
        )
        self.score = Histogram(
            "seglab_prompt_score", "The model's own estimate of its masks.", buckets=_TENTHS, registry=registry
        )
        self.points = Counter("seglab_prompt_points", "Points of all prompts.", registry=registry)
        self.boxes = Counter("seglab_prompt_boxes", "Prompts with a box.", registry=registry)
        self.full = Counter("seglab_prompt_full_boxes", "Prompts whose mask fills the box.", registry=registry)
        self.empty = Counter("seglab_prompt_empty_masks", "Prompts whose mask is empty.", registry=registry)
        self.outcomes = Counter(
            "seglab_prompt_outcomes", "What became of masks: accepted at once, after corrections, rejected.",
            ["outcome"], registry=registry,
        )  # fmt: skip
        self.failures = Counter(
            "seglab_prompt_failures", "Requests of sessions that memory or time did not suffice for, or whose process "
            "ended.", ["reason"], registry=registry,
        )  # fmt: skip
        Gauge("seglab_sessions", "Sessions that are open.", registry=registry).set_function(sessions)
        for outcome in ("accepted", "corrected", "rejected"):
            self.outcomes.labels(outcome)
        for reason in FAULTS.values():
            self.failures.labels(reason)

    def answered(self, fields: dict[str, Any], model: str) -> dict[str, Any]:
        """Count a prompt; its row: numbers, and nothing of the image."""
        self.prompts.labels(model, fields["verdict"]["action"]).inc()
        self.seconds.observe(fields["milliseconds"] / 1000)
        self.score.observe(fields["score"])
        self.points.inc(len(fields["points"]))
        self.boxes.inc(fields["box"] is not None)
        self.empty.inc(not fields["area"])
        box, area = fields["box"], fields.get("slice_area", fields["area"])
        share = None if box is None else round(area / max((box[2] - box[0]) * (box[3] - box[1]), 1e-9), 4)
        self.full.inc(share is not None and share >= FULL)
        return {
            "model": model,
            "score": fields["score"],
            "milliseconds": fields["milliseconds"],
            "points": len(fields["points"]),
            "box": box is not None,
            "box_share": share,
            "empty": not fields["area"],
            "verdict": fields["verdict"]["action"],
        }

    def failed(self, code: str) -> None:
        """Count what was answered with a problem of this code, where it is of that kind."""
        if code in FAULTS:
            self.failures.labels(FAULTS[code]).inc()
