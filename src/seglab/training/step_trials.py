"""Training steps that are undone again: what is learnt from them is not kept, only what they took."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np

_Batch = tuple[np.ndarray, np.ndarray]

_REASON = 400  # letters of what TensorFlow says
_STEPS = 7  # that are timed, each way; the first one, which compiles, is not
_HOPELESS = 2.0  # times as slow as the other way: one such step is enough


class XlaTrial(NamedTuple):
    """What a training step takes.

    Attributes:
        without_ms, with_ms: median of a step without XLA and with it; with: None where XLA cannot compile it.
        reason: why it cannot; empty otherwise.
    """

    without_ms: float
    with_ms: float | None
    reason: str = ""

    @property
    def faster(self) -> bool:
        """Whether XLA makes steps faster."""
        return self.with_ms is not None and self.with_ms < self.without_ms

    def __str__(self) -> str:
        if self.with_ms is None:
            return f"without XLA, which cannot compile a step: {self.reason}"
        chosen = "with" if self.faster else "without"
        return f"{chosen} XLA: a step takes {self.with_ms:.1f} ms with it, {self.without_ms:.1f} ms without"


def xla_trial(model: keras.Model, batch: _Batch, compiled: Callable[[bool, bool], Callable[..., Any]]) -> XlaTrial:
    """Time steps of a batch without XLA and with it; the model stays as it was.

    Args:
        model: compiled, with its optimizer built; on TensorFlow.
        batch: images `(B, *size, C)` and class ids `(B, *size)`.
        compiled: a step, of training where the first is True, with XLA where the second is.

    Raises:
        Exception: what a step without XLA raises.
    """
    with undone(model, batch) as undo:
        without = _median_ms(model, compiled(True, False), batch)
        undo()
        try:
            found = XlaTrial(without, _median_ms(model, compiled(True, True), batch, _HOPELESS * without))
            if found.faster:  # then validation is to be compiled, too
                take(model, compiled(False, True), batch)
            return found
        except Exception as error:  # of TensorFlow, of whatever kind: a step without XLA has just been taken
            return XlaTrial(without, None, str(error).strip().partition("\n")[0][:_REASON])


@contextmanager
def undone(model: keras.Model, batch: _Batch) -> Iterator[Callable[[], None]]:
    """Within this context steps may be taken; it hands over what undoes them, and undoes them at its end."""
    model._symbolic_build(data_batch=batch)
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    kept = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]

    def undo() -> None:
        for variable, array in zip(variables, kept, strict=True):
            variable.assign(array)

    try:
        yield undo
    finally:
        undo()


def take(model: keras.Model, step: Callable[..., Any], batch: _Batch) -> None:
    """One step, until it is over."""
    if keras.backend.backend() == "jax":
        groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
        state = tuple([variable.value for variable in group] for group in (*groups, model.metrics_variables))
        logs, _ = step(state, batch)
    else:
        logs = step(batch)
    float(logs["loss"])


def _median_ms(model: keras.Model, step: Callable[..., Any], batch: _Batch, hopeless_ms: float = math.inf) -> float:
    """Median of several steps; the first one alone where it takes longer than `hopeless_ms`."""
    take(model, step, batch)
    found: list[float] = []
    while len(found) < _STEPS and not (found and found[0] > hopeless_ms):
        begun = time.perf_counter()
        take(model, step, batch)
        found.append(1000 * (time.perf_counter() - begun))
    return statistics.median(found)
