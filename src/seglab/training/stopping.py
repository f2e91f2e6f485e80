"""When training is better, when it stops, when the learning rate falls: plain rules over one score for each epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from seglab.errors import TrainingError, nearest
from seglab.metric_names import MetricName

if TYPE_CHECKING:
    from seglab import schedules


def lower_is_better(monitor: str) -> bool:
    """Losses are minimised, every other metric is maximised."""
    return MetricName.parse(monitor).lower_is_better


def check_monitor(monitor: str, known: list[str]) -> None:
    """Raises TrainingError when no metric of this name will appear."""
    if monitor not in known:
        raise TrainingError(
            "a monitored metric that does not appear",
            code="unknown-monitor",
            where="trainer.monitor",
            found=monitor,
            expected="one of " + ", ".join(known),
            remedy=nearest(monitor, known) or "monitor one of these",
        )


class Improvement:
    """Counts epochs without improvement of a score.

    An epoch improves when its score is better than the reference by more than `min_delta`; then it becomes the
    reference. NaN, the score of an epoch in which the metric is not defined, says nothing: it neither improves nor
    counts as an epoch without improvement.
    """

    def __init__(self, lower: bool, min_delta: float = 0.0):
        self.sign = -1.0 if lower else 1.0
        self.min_delta = min_delta
        self.reference: float | None = None
        self.wait = 0

    def update(self, score: float) -> bool:
        """Take in the score of an epoch; True when it improves."""
        if math.isnan(score):
            return False
        better = self.reference is None or self.sign * (score - self.reference) > self.min_delta
        self.wait = 0 if better else self.wait + 1
        if better:
            self.reference = score
        return better

    def state(self) -> dict[str, Any]:
        return {"reference": self.reference, "wait": self.wait}

    def restore(self, state: dict[str, Any]) -> None:
        self.reference, self.wait = state["reference"], state["wait"]


class EarlyStopping:
    """Says which epoch is kept, and when to stop.

    The best epoch is the best by any margin, the earlier of two equals. Patience is counted apart: only an improvement
    by more than `min_delta` starts it again. Epochs whose score is NaN are left out of both.

    Args:
        monitor: name of the metric.
        patience_epochs: stop after so many epochs with a score and without improvement; never when None.
        min_delta: the smallest change that counts as one.
        keep: `best`; or `last`, and then no epoch is better than the one behind it.
    """

    def __init__(self, monitor: str, patience_epochs: int | None, min_delta: float, keep: str = "best"):
        self.patience_epochs, self.keep = patience_epochs, keep
        self._best = Improvement(lower_is_better(monitor))
        self._patience = Improvement(lower_is_better(monitor), min_delta)
        self.best_epoch: int | None = None

    @property
    def best(self) -> float | None:
        """Score of the epoch that is kept; None where it is NaN."""
        return self._best.reference

    @property
    def stop(self) -> bool:
        return self.patience_epochs is not None and self._patience.wait >= self.patience_epochs

    def update(self, epoch: int, score: float) -> bool:
        """Take in the score of an epoch, counted from 1; True when it is the best so far, to be kept."""
        self._patience.update(score)
        if self.keep == "last":
            self.best_epoch, self._best.reference = epoch, None if math.isnan(score) else score
            return False
        better = self._best.update(score)
        if better:
            self.best_epoch = epoch
        return better

    def state(self) -> dict[str, Any]:
        return {"best": self._best.state(), "patience": self._patience.state(), "best_epoch": self.best_epoch}

    def restore(self, state: dict[str, Any]) -> None:
        self._best.restore(state["best"])
        self._patience.restore(state["patience"])
        self.best_epoch = state["best_epoch"]


class Plateau:
    """Lowers the scale of a schedule by `factor` when the score has not improved for `patience_epochs`.

    Waits as long again before the next step down, and never goes below `min_scale`. Nothing falls at an epoch whose
    score is NaN.
    """

    def __init__(self, monitor: str, settings: schedules.PlateauSettings, min_delta: float):
        self.settings = settings
        self._patience = Improvement(lower_is_better(monitor), min_delta)

    def update(self, score: float, scale: float) -> float:
        """Take in the score of an epoch; the scale for the next one."""
        self._patience.update(score)
        if self._patience.wait < self.settings.patience_epochs:
            return scale
        self._patience.wait = 0
        return max(scale * self.settings.factor, self.settings.min_scale)

    def state(self) -> dict[str, Any]:
        return self._patience.state()

    def restore(self, state: dict[str, Any]) -> None:
        self._patience.restore(state)
