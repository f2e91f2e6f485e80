"""What `fit` calls for each batch: the compiled step with a clock, a bar, and a guard against infinite losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from seglab.errors import TrainingError
from seglab.runtime.process_end import is_lost, lost
from seglab.runtime.several_devices import Devices
from seglab.training.batch_parts import compiled_step, is_out_of_memory, out_of_memory
from seglab.training.callbacks import EpochCallbacks
from seglab.training.loader import TrainingLoader
from seglab.training.progress import Progress


class BatchSteps:
    """The two functions that `fit` calls for each batch, with the clock, the guard and the bar around Keras' own step.

    Keras takes the next batch inside of the compiled step, where waiting for data cannot be told from computing.
    """

    def __init__(
        self,
        model: keras.Model,
        train: TrainingLoader,
        val: TrainingLoader | None,
        progress: Progress,
        work_dir: Path | None,
        after_step: Callable[[], None],
        devices: Devices,
        part: int | None,
        xla: bool,
    ):
        self.model, self.train, self.val, self.progress, self.work_dir = model, train, val, progress, work_dir
        self._after_step, self._devices, self._part, self._xla = after_step, devices, part, xla
        # What `_check` looks at next: the feed, the index of the batch, the loss so far, the batch.
        self._unchecked: tuple[TrainingLoader, int, Any, tuple[Any, Any]] | None = None

    def fit(self, callbacks: list[keras.callbacks.Callback], begun: int, epochs: int) -> None:
        """Train from the epoch with index `begun` on."""
        self.make_train_function()
        if self.val is not None:
            self.model.test_function = self._guarded(self.val)
        steps = len(self.train.batches)
        listed = EpochCallbacks(callbacks, add_history=True, model=self.model, epochs=epochs, steps=steps)
        try:
            self.model.fit(
                self.train,
                validation_data=self.val,
                initial_epoch=begun,
                epochs=epochs,
                callbacks=listed,
                shuffle=False,
                verbose=0,
            )
        except Exception as error:
            if _several_processes():
                if is_lost(error):
                    raise lost(error) from error
                raise  # what memory holds is found by steps, which need the others
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(self.model, self.train.batches[0], self._devices, self._part, error) from error

    def make_train_function(self) -> None:
        """Trace the training step anew at its next call."""
        step = self._guarded(self.train)

        def train_on_next(*given: Any) -> Any:
            logs = step(*given)
            self.progress.step(self.train.step, self.train.images)
            self._after_step()
            return logs

        self.model.train_function = train_on_next

    def _guarded(self, feed: TrainingLoader) -> Callable[..., Any]:
        """A step of Keras, compiled, that takes the next batch of a feed and stops at a loss that is not finite."""
        compiled = compiled_step(self.model, feed is self.train, self._devices, self._part, self._xla)
        last = len(feed.batches) - 1

        def on_next(*given: Any) -> Any:
            # Keras hands over the iterator, on JAX behind the state, and takes back the logs, there with the new one.
            *state, iterator = given
            batch = feed.fetch(iterator)
            result = compiled(*state, batch)
            logs = result[0] if state else result
            # The loss of the step before: asking for this one's would leave a GPU idle between the steps.
            self._check()
            self._unchecked = feed, feed.step, logs["loss"], batch
            if feed.step == last:
                self._check()
                return _own(result)
            return result

        return on_next

    def _check(self) -> None:
        """Stop when the running mean of the loss is not finite: then the last added batch made it so."""
        if self._unchecked is None:
            return
        feed, step, loss, (x, y) = self._unchecked
        self._unchecked = None
        value = float(loss)
        if math.isfinite(value):
            return
        epoch = self.train.batches.epoch + 1
        ids = list(feed.batches.case_ids(step))
        batch = "batch" if feed is self.train else "validation batch"
        path = Path(f"not_finite_epoch{epoch}_{batch.replace(' ', '_')}{step + 1}.npz")
        if self.work_dir is not None:
            path = self.work_dir / path
            np.savez(path, x=np.asarray(x), y=np.asarray(y), case_ids=np.array(ids))
        raise TrainingError(
            "the loss is not finite",
            code="loss-not-finite",
            where=f"epoch {epoch}, {batch} {step + 1}, cases {', '.join(ids)}",
            found=value,
            expected="a finite loss for every batch",
            remedy=f"check the batch in {path}; lower optimizer.learning_rate, or use precision.policy=float32",
        )


def _several_processes() -> bool:
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.process_count() > 1


def _own(result: Any) -> Any:
    """What the last step of an epoch gives back, such that this process may compute with it alone."""
    if not _several_processes():
        return result
    from seglab.training import jax_steps

    return jax_steps.own(result)
