"""What happens around the epochs of `model.fit`. Nothing here runs between steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from seglab.metric_names import TRAIN, VAL
from seglab.run_record import Metric
from seglab.schedules import Schedule
from seglab.training.checkpoint import StateWriter, TrainingState, random_streams, values
from seglab.training.loader import TrainingLoader
from seglab.training.progress import Progress
from seglab.training.stopping import EarlyStopping, Plateau

Emit = Callable[[dict[str, float], int], None]


class EpochCallbacks(keras.callbacks.CallbackList):
    """A list of callbacks that have nothing to do in a step, so that a step costs no callback work at all."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        pass

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        pass

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


class EncoderFreezing(keras.callbacks.Callback):
    """Holds a pre-trained encoder fixed for the first epochs, then lets it train. Stands after what may stop training.

    Args:
        model: has `freeze_epochs` and `freeze_encoder(frozen)`, as `seglab.models.network.Network`.
        retrace: makes a new training function; Keras fixes what is trainable when it is made.
    """

    def __init__(self, model: keras.Model, retrace: Callable[[], None]):
        super().__init__()
        self._network, self._retrace = model, retrace
        self._frozen = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        frozen = epoch < self._network.freeze_epochs
        if frozen != self._frozen:
            self._network.freeze_encoder(frozen)
            self._frozen = frozen
            self._retrace()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # Before Keras ends: it then takes the averages of all weights as those of the ones that train.
        if self._frozen and (self.model.stop_training or epoch + 1 == self.params["epochs"]):
            self._network.freeze_encoder(False)
            self._frozen = False


class AveragedWeights(keras.callbacks.Callback):
    """Validates with the moving average of the weights (Polyak and Juditsky 1992) where the optimizer keeps one.

    The weights that training goes on with are put back bit for bit.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        super().__init__()
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        self._pairs: list[tuple[Any, Any]] = []
        if inner.use_ema:
            self._pairs = list(zip(inner._trainable_variables, inner._model_variables_moving_average, strict=True))
        self._kept: list[Any] | None = None

    def on_test_begin(self, logs: Any = None) -> None:
        self._kept = values([variable for variable, _ in self._pairs])
        self.assign()

    def on_test_end(self, logs: Any = None) -> None:
        for (variable, _), kept in zip(self._pairs, self._kept or [], strict=True):
            variable.assign(kept)
        self._kept = None

    def assign(self) -> None:
        """Give the model the averaged weights."""
        for variable, average in self._pairs:
            variable.assign(keras.ops.copy(average))  # JAX would share the memory, and lose both to its next step

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights within this context."""
        self.on_test_begin()
        try:
            yield
        finally:
            self.on_test_end()


class EpochEnd(keras.callbacks.Callback):
    """Scores a finished epoch, saves its state while the next one runs, and reports it only then.

    Args:
        feed: the training batches, with their counters.
        stopping: early stopping, and which epoch is kept.
        plateau: rule for the schedule's scale, None without.
        schedule: learning rate schedule with a variable `scale`, None without.
        averaged: weights to score and to keep as the best.
        progress: what the user sees.
        writer: keeps the state; None where another process does.
        emit: takes the metrics of an epoch and its number, counted from 1.
        history: metrics of the epochs that are done; grows.
        best_weights: variables of the model at the best epoch so far, empty without one.
        epochs: number of epochs at most.

    Attributes:
        part: images that are computed at once, which a resumed run keeps to; None for whole batches.
    """

    def __init__(
        self,
        *,
        feed: TrainingLoader,
        stopping: EarlyStopping,
        plateau: Plateau | None,
        schedule: Schedule | None,
        averaged: AveragedWeights,
        progress: Progress,
        writer: StateWriter | None,
        emit: Emit,
        history: list[dict[str, float]],
        best_weights: list[np.ndarray],
        epochs: int,
    ):
        super().__init__()
        self.feed, self.stopping, self.plateau, self.schedule = feed, stopping, plateau, schedule
        self.averaged, self.progress, self.writer, self.emit = averaged, progress, writer, emit
        self.history, self.best_weights, self.epochs = history, best_weights, epochs
        self.compiled: dict[str, Any] = {}  # how steps are compiled, as a resumed run compiles them again
        self._begun = self._rate = self._train_seconds = 0.0
        self._untold: tuple[dict[str, float], int] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.feed.restart(epoch)
        self._rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.progress.begin(epoch + 1)
        self._begun = time.perf_counter()
        self._train_seconds = 0.0

    def on_test_begin(self, logs: Any = None) -> None:
        self._train_seconds = time.perf_counter() - self._begun

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        epoch_seconds = time.perf_counter() - self._begun
        train_seconds = self._train_seconds or epoch_seconds
        metrics = named(logs or {})
        metrics[Metric.LEARNING_RATE] = self._rate
        metrics[Metric.IMAGES_PER_SECOND] = self.feed.images / train_seconds
        metrics[Metric.EPOCH_SECONDS] = epoch_seconds
        metrics[Metric.DATA_WAIT_SHARE] = min(self.feed.waited / train_seconds, 1.0)

        score = metrics[self.progress.monitor]
        best = self.stopping.update(epoch + 1, score)
        if self.plateau is not None and self.schedule is not None:
            self.schedule.scale.assign(self.plateau.update(score, self._scale(self.schedule)))
        self.history.append(metrics)
        self.model.stop_training = self.stopping.stop
        finished = self.stopping.stop or epoch + 1 == self.epochs
        self.tell()
        self._save(epoch + 1, best, finished)
        self._untold = metrics, epoch + 1
        if finished:
            self.tell()
        self.progress.end(metrics, best)

    def tell_if_written(self) -> None:
        """Tell of the epoch before as soon as its state is on the disk."""
        if self._untold is not None and not (self.writer is not None and self.writer.writing):
            self.tell()

    def tell(self) -> None:
        """Tell of the epoch before, once its state is on the disk; raises what hindered that."""
        untold, self._untold = self._untold, None
        if untold is not None:
            if self.writer is not None:
                self.writer.wait()
            self.emit(*untold)

    def _save(self, epoch: int, best: bool, finished: bool) -> None:
        if self.writer is None:
            return
        if best:
            with self.averaged.applied():
                self.best_weights = values(self.model.variables)
        rules: dict[str, Any] = {
            "stopping": self.stopping.state(),
            "plateau": self.plateau.state() if self.plateau else None,
        }
        rules |= self.compiled
        state = TrainingState(
            epoch=epoch,
            model=values(self.model.variables),
            optimizer=values(self.model.optimizer.variables),
            best=self.best_weights,
            scale=self._scale(self.schedule) if self.schedule is not None else None,
            rules=rules,
            history=list(self.history),
            finished=finished,
            streams=random_streams(),
        )
        self.writer.begin(state)

    @staticmethod
    def _scale(schedule: Schedule) -> float:
        return float(keras.ops.convert_to_numpy(schedule.scale))


def named(logs: dict[str, float]) -> dict[str, float]:
    """Keras' names of a finished epoch as ours: `loss` is `train_loss`, `val_loss` stays."""
    return {name if name.startswith(f"{VAL}_") else f"{TRAIN}_{name}": float(value) for name, value in logs.items()}
