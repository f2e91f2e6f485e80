"""Worker processes: the same batches, no TensorFlow, and nothing that hangs or stays when one of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from data_cards import data_config
from toy_batches import _same, material
from worker_tasks import Answer, Poisoned

from seglab.data.augment import Augment
from seglab.data.cache.in_memory import store_in_memory
from seglab.data.loading.batches import Batches
from seglab.data.loading.sampler import DrawBatch, Sampler
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.synthetic.shapes import Synthetic2D
from seglab.data.worker_processes import WorkerFailure, WorkerPool
from seglab.errors import DataError, TrainingError
from seglab.training.loader import TrainingLoader

MIXED = {"affine": 0.5, "elastic": 0.3, "intensity": 0.5, "mix": 0.5}


def training_data(source):
    made = material(source)
    facts, arrays = store_in_memory(source, CasePreprocessing.of(data_config()), source.cases)
    return replace(made, arrays=arrays, facts=facts)


def made_by(workers, augmentation=None, **changes):
    source = Synthetic2D(count=7, image_size=(32, 24))
    card = data_config(workers=workers, patches_per_case=2, foreground_share=0.5, **changes)
    return Batches(
        training_data(source), "train", card, seed=5, augmentation=augmentation or Augment(source.task, **MIXED)
    )


def drain(feed, iterator):
    while True:
        feed.fetch(iterator)


def test_worker_count_and_resume_never_change_a_batch():
    epochs = []
    for workers in (0, 1, 2, 3):
        batches = made_by(workers)
        found = []
        for epoch in (0, 1):
            feed = TrainingLoader(batches, (16, 16, 1))
            feed.restart(epoch)
            iterator = iter(feed.dataset)
            found += [tuple(part.numpy() for part in feed.fetch(iterator)) for _ in range(len(batches))]
        epochs.append(found)
    assert len(epochs[0]) == 8
    for other in epochs[1:]:
        assert _same(epochs[0], other)
    resumed = made_by(2)
    resumed.epoch = 1
    assert _same([resumed[3], resumed[0]], [epochs[0][7], epochs[0][4]])


def test_batches_of_processes_are_copies():
    batches = made_by(2)
    x, y = batches[0]
    kept = x.copy(), y.copy()
    for step in range(len(batches)):
        batches[step]
    assert _same([(x, y)], [kept])
    assert (y.dtype, x.dtype, x.flags.owndata) == (np.int32, np.float32, True)


@pytest.mark.parametrize("deed", ["kill", "raise"])
def test_a_worker_that_fails_is_reported_with_its_case_within_seconds(deed):
    source = Synthetic2D(count=7, image_size=(16, 16))
    made = training_data(source)
    pixels = {case.id: int((made.arrays.read(case.id)[1] == 1).sum()) for case in source.cases}
    worst = max(pixels, key=pixels.__getitem__)
    batches = Batches(
        made, "train", data_config(workers=2), seed=5, augmentation=Poisoned(source.task, pixels[worst], deed)
    )
    feed = TrainingLoader(batches, (16, 16, 1))
    iterator = iter(feed.dataset)
    began = time.monotonic()
    with pytest.raises(TrainingError) as caught:
        drain(feed, iterator)
    assert time.monotonic() - began < 60
    message = str(caught.value)
    step = next(step for step in range(len(batches)) if worst in batches.case_ids(step))
    assert f"epoch 1, batch {step + 1}, case {worst}" in message
    if deed == "kill":
        assert "killed by SIGKILL" in message
        assert "data.workers" in message
    else:
        assert "ZeroDivisionError: one pixel too many" in message
        assert "Traceback" in message
        assert "worker_tasks.py" in message


def test_a_worker_killed_from_outside_mid_epoch_is_reported_and_nothing_hangs():
    batches = made_by(2, batch_size=1)
    feed = TrainingLoader(batches, (16, 16, 1))
    iterator = iter(feed.dataset)
    feed.fetch(iterator)
    for worker in batches._pool.workers:
        os.kill(worker.process.pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(TrainingError, match=r"(?s)has died.*case synthetic2d_.*SIGKILL"):
        drain(feed, iterator)
    assert time.monotonic() - began < 10


def test_in_this_process_the_case_is_noted():
    source = Synthetic2D(count=3, image_size=(16, 16))
    made = training_data(source)
    pixels = int((made.arrays.read("synthetic2d_0")[1] == 1).sum())
    batches = Batches(
        made, "train", data_config(workers=1), seed=5, augmentation=Poisoned(source.task, pixels, "raise")
    )
    with pytest.raises(ZeroDivisionError) as caught:
        batches[0]
    assert caught.value.__notes__ == ["in epoch 1, batch 1, case synthetic2d_0"]


def test_workers_load_nothing_heavy_and_use_one_thread_each():
    pool = WorkerPool(Answer(), 1)
    with pool.borrow() as worker:
        assert worker.ask("modules") == []
        assert worker.ask("threads") == (1, "1")
    batches = made_by(2)
    drawing = WorkerPool(DrawBatch(batches.sampler), 1, DrawBatch(batches.sampler).shared_bytes)
    with drawing.borrow() as worker:
        worker.ask((0, 0))
        loaded = Path(f"/proc/{worker.process.pid}/maps").read_text()
    assert "tensorflow" not in loaded


def test_errors_cross_over_as_they_are():
    pool = WorkerPool(Answer(), 1)
    with pool.borrow() as worker:
        with pytest.raises(DataError) as caught:
            worker.ask("bad file")
        assert (caught.value.where, caught.value.remedy) == ("x.png", "remove it")
        assert "remedy:   remove it" in str(caught.value)
        with pytest.raises(WorkerFailure, match=r"(?s)Traceback.*KeyError: 'no such thing'") as failure:
            worker.ask("mistake")
        assert not failure.value.died
        assert worker.ask("go on") == "go on"  # an error is no end
        with pytest.raises(WorkerFailure, match=r"(?s)ended with code 3.*the last words") as failure:
            worker.ask("exit")
        assert failure.value.died
        with pytest.raises(WorkerFailure):  # and not a wait for ever
            worker.ask("still there?")


def test_a_task_that_does_not_come_back_is_ended_and_reported_with_where_it_stood(monkeypatch):
    pool = WorkerPool(Answer(), 2)
    with pool.borrow() as worker:
        worker.ask("started")
        monkeypatch.setattr("seglab.data.worker_processes.PATIENCE", 0.5)
        with pytest.raises(WorkerFailure, match=r"(?s)no answer within 0.5 s.*worker_tasks.py.*__call__") as failure:
            worker.ask("stand still")
        assert not failure.value.died
        assert worker.process.wait(timeout=5) == -signal.SIGKILL
    monkeypatch.undo()
    with pool.borrow() as worker:  # one that was stopped from outside cannot say where
        worker.ask("started")
        worker.process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr("seglab.data.worker_processes.PATIENCE", 0.5)
        with pytest.raises(WorkerFailure, match="nothing, so it is stopped"):
            worker.ask("go on")


def test_a_task_that_cannot_be_had_is_an_error_and_no_wait(tmp_path, monkeypatch):
    (tmp_path / "gone_task.py").write_text("class Task:\n    def __call__(self, request, memory): return request\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import gone_task

    task = gone_task.Task()
    (tmp_path / "gone_task.py").unlink()
    pool = WorkerPool(task, 1)
    with pool.borrow() as worker, pytest.raises(WorkerFailure, match="gone_task"):
        worker.ask("hello")


def test_shared_memory_has_no_name_and_many_threads_share_few_workers():
    pool = WorkerPool(Answer(), 2, 4096)
    for worker in pool.workers:
        maps = Path(f"/proc/{worker.process.pid}/maps")
        worker.ask(b"started")
        assert "/memfd:seglab (deleted)" in maps.read_text()
    wrong = []

    def use(number):
        for turn in range(20):
            text = f"{number} {turn}".encode()
            with pool.borrow() as worker:
                worker.ask(text)
                if bytes(worker.memory[: len(text)]) != text:
                    wrong.append(text)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


STARTER = """
import sys, time
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/../helpers"]
from test_data_workers import made_by
batches = made_by(2)
batches[0]
print(*[worker.process.pid for worker in batches._pool.workers], flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["wait", "exit"])
def test_workers_end_with_their_starter(end):
    command = [sys.executable, "-c", STARTER, str(Path(__file__).parent), end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starter:
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert len(pids) == 2
        if end == "wait":
            starter.kill()
        starter.wait(timeout=30)
    _, alive = psutil.wait_procs([psutil.Process(p) for p in pids if psutil.pid_exists(p)], timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_the_pool_ends_with_the_batches():
    batches = made_by(2)
    batches[0]
    processes = [worker.process for worker in batches._pool.workers]
    del batches
    assert [process.poll() for process in processes] == [-signal.SIGKILL] * 2


def test_only_training_samples_come_from_processes():
    source = Synthetic2D(count=4, image_size=(16, 16))
    made = replace(training_data(source), split=replace(material(source).split, val=("synthetic2d_0",)))
    batches = Batches(made, "val", data_config(workers=3), seed=0)
    batches[0]
    assert batches._pool is None
    assert batches.workers == 3


def test_mixing_pastes_another_case_and_moves_nothing_else():
    source = Synthetic2D(count=6, image_size=(16, 16))

    class Bare(Augment):
        """Tells what it was given, changes nothing."""

        def __call__(self, image, mask, rng, spacing=None):
            assert spacing == (1.0, 1.0)
            return image, mask

    quiet = {"flip": 0.0, "rotate90": 0.0, "intensity": 0.0}
    made = training_data(source)

    def drawn(mix):
        card = data_config(batch_size=6)
        ids = [case.id for case in source.cases]
        sampler = Sampler(
            made.arrays,
            ids,
            source.task,
            made.preprocessing,
            card,
            seed=1,
            training=True,
            augmentation=Bare(source.task, mix=mix, **quiet),
        )
        x, y = np.empty((6, 16, 16, 1), np.float32), np.empty((6, 16, 16), np.uint8)
        for row, item in enumerate(sampler.items):
            sampler.draw(0, item, x[row], y[row])
        return x, y

    (x0, _), (x1, _) = drawn(0.0), drawn(1.0)
    changed = (x0 != x1).any(axis=(1, 2, 3))
    assert changed.sum() >= 4  # a box may be too small to hold a pixel
    for row in np.flatnonzero(changed):
        differs = (x0[row] != x1[row])[..., 0]
        assert any((x1[row][differs] == x0[other][differs]).all() for other in range(6) if other != row)
