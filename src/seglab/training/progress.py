"""What the user sees while training: one line for each epoch, and on a terminal a bar within the epoch."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from typing import TextIO

from seglab.metric_names import TRAIN, VAL, VAL_DICE, VAL_IOU
from seglab.run_record import Metric

_REDRAW_SECONDS = 0.2
_BAR = 24


class Progress:
    """Writes to a stream; a bar is drawn only when the stream is a terminal.

    Args:
        stream: where to write; nothing is written when None.
        epochs: number of epochs at most.
        steps: batches of one epoch.
        monitor: the metric that is marked with `*` when it is the best so far.
    """

    def __init__(self, stream: TextIO | None, epochs: int, steps: int, monitor: str):
        self.stream, self.epochs, self.steps, self.monitor = stream, epochs, steps, monitor
        self.live = stream is not None and stream.isatty()
        self._drawn = self._started = 0.0
        self._epoch = 0
        self._seconds: list[float] = []
        self._undefined_reported = False

    def begin(self, epoch: int) -> None:
        """An epoch, counted from 1, begins."""
        self._epoch, self._started = epoch, time.perf_counter()

    def step(self, step: int, images: int) -> None:
        """A batch is done; costs one comparison when there is nothing to draw."""
        if not self.live or self.stream is None:
            return
        now = time.perf_counter()
        if now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        filled = _BAR * (step + 1) // self.steps
        rate = images / max(now - self._started, 1e-9)
        bar = "#" * filled + "." * (_BAR - filled)
        self.stream.write(f"\r  {self._label()} {bar} {step + 1}/{self.steps}  {rate:.1f} images/s\x1b[K")
        self.stream.flush()

    def end(self, values: Mapping[str, float], best: bool) -> None:
        """The epoch is over and its state is on disk."""
        self._seconds.append(values[Metric.EPOCH_SECONDS])
        if self.stream is None:
            return
        shown = [*(f"{split}_loss" for split in (TRAIN, VAL)), VAL_DICE, VAL_IOU, self.monitor]
        scores = "  ".join(f"{name} {_score(values[name])}" for name in dict.fromkeys(shown) if name in values)
        rate = f"{values[Metric.IMAGES_PER_SECOND]:.1f} images/s"
        left = f"{duration(self.seconds_left())} left" if self._epoch < self.epochs else "last epoch"
        start = "\r" if self.live else ""
        finish = "\x1b[K\n" if self.live else "\n"
        self.stream.write(f"{start}  {self._label()}  {scores}{' *' if best else '  '}  {rate}  {left}{finish}")
        self.stream.flush()
        if math.isnan(values[self.monitor]) and not self._undefined_reported:
            self._undefined_reported = True
            self.say(f"{self.monitor} is undefined: such an epoch neither uses up patience nor can be the best")

    def say(self, text: str) -> None:
        """Write one line of its own."""
        if self.stream is not None:
            self.stream.write(f"  {text}\n")
            self.stream.flush()

    def seconds_left(self) -> float:
        """Time for the remaining epochs at the pace of the last five; the first one, which compiles, counts least."""
        recent = self._seconds[1:][-5:] or self._seconds
        return (self.epochs - self._epoch) * statistics.median(recent) if recent else math.nan

    def _label(self) -> str:
        width = len(str(self.epochs))
        return f"epoch {self._epoch:>{width}}/{self.epochs}"


def _score(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def duration(seconds: float) -> str:
    """`0:07`, `12:30` or `1:02:03`; `?` when it is not known."""
    if math.isnan(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
