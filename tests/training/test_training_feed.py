"""Batches on their way to the loop: order, epochs, errors, waiting."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
import toys

from seglab.errors import DataError
from seglab.runtime.reproducibility import seed_everything
from seglab.training.loader import TrainingLoader

SHAPE = (toys.SIZE, toys.SIZE, 1)


def drain(feed: TrainingLoader) -> list[np.ndarray]:
    iterator = iter(feed.dataset)
    return [feed.fetch(iterator)[0].numpy() for _ in range(len(feed.batches))]


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order_whatever_the_workers(workers: int) -> None:
    # Earlier batches take longer, so that an unordered queue would turn them around.
    batches = toys.Squares(5, workers=workers, event=lambda _, step: time.sleep(0.04 - 0.008 * step))
    feed = TrainingLoader(batches, SHAPE)
    feed.restart(2)
    got = drain(feed)
    batches.event = None
    assert all(np.array_equal(x, batches[step][0]) for step, x in enumerate(got))
    assert (feed.step, feed.images) == (4, 20)


def test_several_workers_work_at_once() -> None:
    together = threading.Barrier(3, timeout=20)
    batches = toys.Squares(3, workers=3, event=lambda *_: together.wait())
    assert len(drain(TrainingLoader(batches, SHAPE))) == 3


def test_each_epoch_has_its_own_batches() -> None:
    feed = TrainingLoader(toys.Squares(2), SHAPE)
    epochs = []
    for epoch in (0, 1, 0):
        feed.restart(epoch)
        epochs.append(drain(feed)[1])
    assert np.array_equal(epochs[0], epochs[2])
    assert not np.array_equal(epochs[0], epochs[1])
    assert feed.images == 8


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_data_arrives_as_it_was_raised(workers: int) -> None:
    def event(epoch: int, step: int) -> None:
        if step == 1:
            raise DataError("a mask with an undeclared value", where="mask_7.png")

    feed = TrainingLoader(toys.Squares(3, workers=workers, event=event), SHAPE)
    with pytest.raises(DataError, match=r"mask_7\.png"):
        drain(feed)


def test_types_are_what_the_loop_expects() -> None:
    class Wide(toys.Squares):
        def __getitem__(self, step: int) -> Any:
            x, y = super().__getitem__(step)
            return x.astype("float64"), y.astype("uint8")

    x, y = TrainingLoader(Wide(1), SHAPE).fetch(iter(TrainingLoader(Wide(1), SHAPE).dataset))
    assert (x.dtype.name, y.dtype.name, y.shape) == ("float32", "int32", (4, 16, 16))


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_clock_counts_waiting_and_batches_are_made_ahead(deterministic: bool) -> None:
    seed_everything(1, deterministic)
    feed = TrainingLoader(toys.Squares(4, delay=0.2), SHAPE)
    start = time.perf_counter()
    drain(feed)
    passed = time.perf_counter() - start
    # The loop does nothing but wait, so waiting is (nearly) all of the time; the four batches take 0.8 s.
    assert 0.75 < feed.waited <= passed
    feed.restart(0)
    assert feed.waited == 0
    iterator = iter(feed.dataset)
    feed.fetch(iterator)
    time.sleep(1.0)  # the loop computes; meanwhile the next two batches get ready
    before = feed.waited
    feed.fetch(iterator)
    feed.fetch(iterator)
    assert feed.waited - before < 0.2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_pixel_that_is_not_finite_is_found_before_it_hides_in_the_net(value: float) -> None:
    # max(NaN, 0) is 0 in fast kernels, so the loss may stay finite while batch statistics are lost for good.
    class Broken(toys.Squares):
        def __getitem__(self, step: int) -> Any:
            x, y = super().__getitem__(step)
            x[2, 5, 5] = value if step == 1 else 0
            return x, y

    feed = TrainingLoader(Broken(3), SHAPE)
    feed.restart(4)
    with pytest.raises(DataError, match="not finite") as caught:
        drain(feed)
    assert "epoch 5, batch 2, case square-1-2" in str(caught.value)
