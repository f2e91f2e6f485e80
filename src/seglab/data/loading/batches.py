"""Batches of one split for Keras: `Sampler` made into arrays, by this process or by others."""

from __future__ import annotations

import threading

import keras
import numpy as np

from seglab.config.sections import DataConfig
from seglab.data.augment import Augmentation
from seglab.data.loading.cascade_sampler import CascadeSampler
from seglab.data.loading.prompt_sampler import PromptSampler
from seglab.data.loading.sampler import DrawBatch, Sampler
from seglab.data.loading.training_data import TrainingData
from seglab.data.worker_processes import WorkerFailure, WorkerPool
from seglab.errors import TrainingError


class Batches(keras.utils.PyDataset):
    """Batches `(x (B, *size, C) float32, y (B, *size) int32)`; the last one of an epoch may be shorter.

    What they hold is up to `Sampler`, and the same for any number of workers. `card.workers` of 0 and 1 make them in
    a thread of this process. From 2 on, training samples come from so many processes, which pays where augmentation
    takes longer than the network; other splits are only read, for which threads do.

    Args:
        training_data: cases and preprocessing.
        split: `train` shuffles, draws and augments; any other split is read in order, always the same.
        card: size, batch size, fit, workers.
        seed: of order, draws and augmentation.
        augmentation: changes training samples; None for none.

    Attributes:
        epoch: which epoch the batches are of.

    Grain's `DataLoader` over the same arrays and transforms is no faster: `seglab bench-data only=road`.
    """

    def __init__(
        self,
        training_data: TrainingData,
        split: str,
        card: DataConfig,
        *,
        seed: int,
        augmentation: Augmentation | None = None,
    ):
        super().__init__(workers=max(card.workers, 1))
        prompting = {} if training_data.objects is None else {"objects": training_data.objects}
        plain = CascadeSampler if training_data.preprocessing.previous else Sampler
        self.sampler = (PromptSampler if prompting else plain)(
            training_data.arrays,
            getattr(training_data.split, split),
            training_data.task,
            training_data.preprocessing,
            card,
            seed=seed,
            training=split == "train",
            augmentation=augmentation,
            **prompting,
        )
        self.epoch = 0
        self._task = DrawBatch(self.sampler)
        self._processes = card.workers if split == "train" and card.workers > 1 else 0
        self._pool: WorkerPool | None = None
        self._starting = threading.Lock()

    def __len__(self) -> int:
        return len(self.sampler)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, rows = self.epoch, len(self.sampler.batch(self.epoch, step))
        if self._processes:
            return self._from_worker(epoch, step, rows)
        sampler = self.sampler
        x = np.empty((rows, *sampler.size, sampler.task.channels), np.float32)
        y = np.empty((rows, *sampler.size), np.int32)
        for row, item in enumerate(sampler.batch(epoch, step)):
            try:
                sampler.draw(epoch, item, x[row], y[row])
            except Exception as error:
                error.add_note(f"in epoch {epoch + 1}, batch {step + 1}, case {item.case}")
                raise
        return x, y

    def case_ids(self, step: int) -> list[str]:
        """Ids of the cases in the batch of this step of the current epoch."""
        return [item.case for item in self.sampler.batch(self.epoch, step)]

    def _from_worker(self, epoch: int, step: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        with self._starting:
            if self._pool is None:
                self._pool = WorkerPool(self._task, self._processes, self._task.shared_bytes)
        with self._pool.borrow() as worker:
            assert worker.memory is not None
            row, x, y = self._task.views(worker.memory)
            try:
                worker.ask((epoch, step))
            except WorkerFailure as failure:
                case = self.sampler.batch(epoch, step)[int(row[0])].case
                raise TrainingError(
                    "a process that makes batches has died" if failure.died else "a sample that cannot be made",
                    code="process-killed" if failure.died else "sample-failed",
                    where=f"epoch {epoch + 1}, batch {step + 1}, case {case}",
                    found=failure.reason,
                    remedy="when memory runs out the system kills processes (dmesg names them): fewer data.workers, a"
                    " smaller data.batch_size"
                    if failure.died
                    else "data.workers=0 makes samples in one process, where a debugger can stop",
                ) from failure
            # The worker writes its next batch to the same place.
            return x[:rows].copy(), y[:rows].astype(np.int32)
