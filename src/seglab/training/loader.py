"""Batches on their way into the training loop: workers, order, errors, and the time that the loop waited for them."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from keras.src.trainers.data_adapters.data_adapter import DataAdapter  # what `fit` takes as it is

from seglab.errors import DataError


class BatchSource(Protocol):
    """What training needs of its data; `seglab.data.loading.batches.Batches` is one.

    `batches[step]` is `(x, y)`: images `(B, *size, C)` and class ids `(B, *size)`. What it returns may depend on
    `epoch` and `step` and on nothing else, so that neither worker count nor a restart can change a result.
    """

    epoch: int

    def __len__(self) -> int: ...

    def __getitem__(self, step: int, /) -> tuple[np.ndarray, np.ndarray]: ...

    def case_ids(self, step: int) -> list[str]:
        """Ids of the cases in the batch of this step of the current epoch."""
        ...


class TrainingLoader(DataAdapter):
    """One split, which starts anew for each epoch, made by worker threads, always in order.

    `fit` takes it as a `tf.data.Dataset` on TensorFlow, and on JAX as an iterator of NumPy arrays.

    Keras has its own way to read a `PyDataset`. It computes the first two batches twice, sleeps for 0.1 s after every
    epoch and every validation when there are several workers, and turns an error of the data into a text. With one
    worker it leaves reading ahead to tf.data, which does not do so while operations are deterministic.

    Args:
        batches: the split; its `workers` (1 when it has none) is the number of threads that make batches.
        shape: `(*size, C)` of one image.

    Attributes:
        dataset: yields `(x float32, y int32)`; one batch more than there are workers is made ahead of the loop.
        waited: seconds that the loop has waited in `fetch` since `restart`.
        step: index in its epoch of the batch that `fetch` gave last, -1 before the first.
        images: number of images in the batches since `restart`.
    """

    def __init__(self, batches: BatchSource, shape: Sequence[int]):
        self.batches = batches
        self.workers = max(int(getattr(batches, "workers", 1)), 1)
        self._shape = tuple(shape)
        self._error: Exception | None = None
        self.restart(0)

    @cached_property
    def dataset(self) -> Any:
        import tensorflow as tf

        options = tf.data.Options()
        # There is nothing to tune, and the thread that would do it lets the end of an epoch wait for it, up to 5 s.
        options.autotune.enabled = False
        batch = (tf.TensorSpec((None, *self._shape), tf.float32), tf.TensorSpec((None, *self._shape[:-1]), tf.int32))
        return (
            tf.data.Dataset.from_generator(self._generate, output_signature=batch)
            .apply(tf.data.experimental.assert_cardinality(len(self.batches)))
            .with_options(options)
        )

    def get_tf_dataset(self) -> Any:
        return self.dataset

    def get_jax_iterator(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self._generate()

    @property
    def num_batches(self) -> int:
        return len(self.batches)

    def restart(self, epoch: int) -> None:
        """Choose the epoch that the next iterator yields and set the counters to zero."""
        self.batches.epoch = epoch
        self.waited, self.step, self.images = 0.0, -1, 0

    def fetch(self, iterator: Iterator[Any]) -> tuple[Any, Any]:
        """The next batch; raises what the data raised, not what tf.data makes of it."""
        start = time.perf_counter()
        try:
            batch = next(iterator)
        except Exception:
            if self._error is not None:
                raise self._error from None
            raise
        self.waited += time.perf_counter() - start
        self.step = (self.step + 1) % len(self.batches)
        self.images += int(batch[0].shape[0])
        return batch

    def _generate(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self._error = None
        try:
            with ThreadPoolExecutor(self.workers, thread_name_prefix="batches") as pool:
                ahead: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
                for step in range(len(self.batches)):
                    ahead.append(pool.submit(self._batch, step))
                    if len(ahead) > self.workers + 1:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
        except Exception as error:
            self._error = error  # tf.data passes on the text only; fetch raises the error itself
            raise

    def _batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.batches[step]
        x, y = np.asarray(x, "float32"), np.asarray(y, "int32")
        # Fast kernels say max(NaN, 0) = 0: the loss could stay finite while batch statistics are lost for good.
        if not math.isfinite(x.sum()):
            self._refuse(x, step)
        return x, y

    def _refuse(self, x: np.ndarray, step: int) -> None:
        finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
        if finite.all():  # only the sum was too large
            return
        case = self.batches.case_ids(step)[int(np.argmin(finite))]
        raise DataError(
            "an image with values that are not finite",
            code="sample-not-finite",
            where=f"epoch {self.batches.epoch + 1}, batch {step + 1}, case {case}",
            found="NaN or infinity after normalisation and augmentation",
            remedy="check that case's file, and try without augmentation",
        )
