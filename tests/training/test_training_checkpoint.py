"""The state file: what goes in comes out bit for bit, and a failed write leaves the old one."""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from seglab.errors import TrainingError
from seglab.optimizers import adam
from seglab.training import checkpoint
from seglab.training.checkpoint import TrainingState, load_state, save_state


def state(epoch: int = 3, size: int = 5) -> TrainingState:
    draw = np.random.default_rng(epoch)
    return TrainingState(
        epoch=epoch,
        model=[draw.normal(size=(size, size)).astype("float32"), np.array([7, 2**31 + 1], "uint32")],
        optimizer=[np.array(12, "int64"), draw.normal(size=4).astype("float32")],
        best=[draw.normal(size=2).astype("float32")],
        scale=0.1 + 0.2,
        rules={"stopping": {"best": None}, "plateau": None},
        history=[{"val_dice": 1 / 3, "val_iou": float("nan")}],
        finished=False,
        streams=checkpoint.random_streams(),
    )


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path, before = tmp_path / "state.npz", state()
    save_state(path, before)
    after = load_state(path)
    before_all, after_all = (one.model + one.optimizer + one.best for one in (before, after))
    for one, other in zip(before_all, after_all, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    assert (after.epoch, after.scale, after.rules, after.finished) == (3, 0.1 + 0.2, before.rules, False)
    assert after.history[0]["val_dice"] == 1 / 3
    assert np.isnan(after.history[0]["val_iou"])
    assert after.streams == before.streams
    assert [one.name for one in tmp_path.iterdir()] == ["state.npz"]


def test_a_state_holds_no_pickle(tmp_path: Path) -> None:
    save_state(tmp_path / "state.npz", state())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


@pytest.fixture
def small_disk():
    """No file may grow beyond 100 kB: the same error path as a full disk, without filling one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_message_and_keeps_the_old_state(tmp_path: Path, small_disk: None) -> None:
    path = tmp_path / "state.npz"
    save_state(path, state(epoch=3))
    before = path.read_bytes()
    with pytest.raises(TrainingError, match="cannot be written; the one of the epoch before is intact") as caught:
        save_state(path, state(epoch=4, size=300))
    assert str(path) in str(caught.value)
    assert "resume=<run id>" in str(caught.value)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["state.npz"]


def test_the_state_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (calls.append("sync"), sync(number)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    save_state(tmp_path / "state.npz", state())
    assert calls == ["sync", "rename", "sync"]


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04 half a zip"])
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.npz"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="a file that is no state of training"):
        load_state(path)


def test_a_missing_state_says_where_it_would_be(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no stored state of training") as caught:
        load_state(tmp_path / "state.npz")
    assert str(tmp_path) in str(caught.value)


def test_a_finished_run_can_leave_its_state(tmp_path: Path) -> None:
    save_state(tmp_path / "state.npz", state())
    checkpoint.discard_state(tmp_path)
    checkpoint.discard_state(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_values_do_not_follow_the_variable() -> None:
    # Every way in which training writes into a variable, within a compiled function and without.
    variable = keras.Variable(np.arange(4, dtype="float32"))
    sgd, fused = keras.optimizers.SGD(0.5, momentum=0.9), adam(0.5)
    for optimizer in (sgd, fused):
        optimizer.build([variable])

    def change() -> None:
        variable.assign(variable + 1)
        variable.assign_add(np.ones(4, "float32"))
        for optimizer in (sgd, fused):
            optimizer.apply([keras.ops.ones(4)], [variable])

    for write in (change, tf.function(change)):
        before = variable.numpy().tolist()
        kept, moments = checkpoint.values([variable]), checkpoint.values(fused.variables)
        moments_before = [one.tolist() for one in moments]
        write()
        write()
        assert kept[0].tolist() == before != variable.numpy().tolist()
        assert [one.tolist() for one in moments] == moments_before


def test_weights_of_another_model_are_refused_before_anything_changes() -> None:
    variables = [keras.Variable(np.ones(3, "float32")), keras.Variable(np.ones((2, 2), "float32"))]
    with pytest.raises(TrainingError, match="a stored state of another model") as caught:
        checkpoint.assign(variables, [np.zeros(3, "float32"), np.zeros((2, 3), "float32")], "model")
    assert "(2, 3) on disk" in str(caught.value)
    with pytest.raises(TrainingError, match="another optimizer"):
        checkpoint.assign(variables, [np.zeros(3, "float32")], "optimizer")
    with pytest.raises(TrainingError, match="float64"):
        checkpoint.assign(variables, [np.zeros(3), np.zeros((2, 2), "float32")], "model")
    assert all((one.numpy() == 1).all() for one in variables)


def test_global_random_streams_go_on_where_they_were() -> None:
    random.seed(3)
    np.random.seed(4)  # noqa: NPY002 - the global stream is the subject
    np.random.standard_normal()  # noqa: NPY002 - leaves a cached second draw
    kept = checkpoint.random_streams()

    def draw() -> list[float]:
        return [random.random(), *np.random.standard_normal(3)]  # noqa: NPY002 - as above

    first = draw()
    checkpoint.restore_streams(kept)
    assert draw() == first
