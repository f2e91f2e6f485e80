"""What came out of training."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class History:
    """What came out of training.

    Attributes:
        epochs: metrics of each finished epoch, in order.
        monitor: the metric that decided.
        keep: `best` or `last`: which epoch was to be kept.
        best_epoch: the epoch, counted from 1, whose weights the model has now, averaged ones if the optimizer averages;
            None when the best was to be kept and every score was NaN, and then they are those of the last epoch.
        best: score of that epoch; None where it was not defined.
        stopped_early: True when patience ran out before the last epoch.
    """

    epochs: list[dict[str, float]]
    monitor: str
    keep: str
    best_epoch: int | None
    best: float | None
    stopped_early: bool

    @property
    def undefined(self) -> int:
        """Number of epochs in which the monitored metric was not defined."""
        return sum(math.isnan(metrics[self.monitor]) for metrics in self.epochs)

    @property
    def verdict(self) -> str:
        """Which epoch was kept, and why, in words."""
        if self.best_epoch is None:
            return f"{self.monitor} was never defined, so no epoch was chosen: these are the weights of the last one"
        if self.keep == "last":
            score = f"{self.monitor} {self.best:.4f}" if self.best is not None else f"{self.monitor} undefined"
            return f"weights of the last one, {score} (trainer.keep=last)"
        left_out = f", {self.undefined} without a defined one left out" if self.undefined else ""
        return f"best epoch {self.best_epoch}, {self.monitor} {self.best:.4f}{left_out}"
