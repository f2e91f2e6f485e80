"""A run in the embedded store: what it carries, how it ends, how it goes on."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toys
from matplotlib.figure import Figure

from seglab.errors import ConfigError, TrackingError
from seglab.run_record import WorkFile
from seglab.tracking import model_folder, operations, tracker
from seglab.tracking.interruption import Terminated
from seglab.tracking.mlflow_client import mlflow
from seglab.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.fresh_store(tmp_path_factory.mktemp("store") / "mlruns")


def run(mlruns: Path, **changes: Any) -> Tracker:
    given: dict[str, Any] = {"run_name": "UNet_DiceLoss_Adam", "params": {"seed": 1}, "tags": {}}
    return Tracker(toys.tracking(**changes.pop("settings", {})), mlruns, **(given | changes))


def cut(
    mlruns: Path, error: BaseException, act: Callable[[Tracker], Any] = lambda tracked: None, **changes: Any
) -> Tracker:
    """A run that `error` ends after `act`."""
    tracked = run(mlruns, **changes)
    with contextlib.suppress(type(error)), tracked:
        act(tracked)
        raise error
    return tracked


def artifact(tracked: Tracker, path: str) -> Path:
    return Path(tracked.artifact_uri.removeprefix("file://")) / path


def history(tracked: Tracker, name: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in tracked.store.client.get_metric_history(tracked.run_id, name)]


def test_a_run_carries_all_that_it_was_given(mlruns: Path) -> None:
    params = {"model": {"name": "UNet", "depth": 3, "size": [64, 64]}, "resume": None, "long": "x" * 7000, "empty": {}}
    params["many"] = {f"key{i}": i for i in range(150)}
    frame = pd.DataFrame({"case": ["a", "b"], "dice": [0.5, math.nan]})
    with run(mlruns, params=params, tags={"git_commit": "c0ffee", "data_digest": "d" * 64}) as tracked:
        tracked.emit({"val_dice": 0.5, "val_dice/left part (a)": math.nan, "train_loss": math.inf}, 1)
        tracked.emit({"val_dice": 0.75}, 2)
        tracked.set_tags({"device": "cpu", "note": "y" * 9000})
        tracked.log_text("seed: 1\n", "config.yaml")
        tracked.log_json({"a": [1, 2]}, "reports/split.json")
        tracked.log_table(frame, "per_case.csv")
        figure = Figure()
        figure.subplots().plot([1, 2])
        tracked.log_figure(figure, "figures/curves.png")
        for context in ("training", "validation"):
            tracked.log_dataset(f"synthetic2d/{context}", "e" * 64, context, "built in", {"cases": 140})
    found = tracked.store.run(tracked.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "UNet_DiceLoss_Adam")
    stored = found.data.params
    assert stored["model.name"] == "UNet"
    assert (stored["model.size"], stored["resume"], stored["empty"]) == ("[64, 64]", "null", "{}")
    assert len(stored["long"]) == 6000
    assert len(stored) == 3 + 1 + 1 + 1 + 150
    tags = found.data.tags
    assert (tags["git_commit"], tags["mlflow.source.git.commit"], tags["device"]) == ("c0ffee", "c0ffee", "cpu")
    assert len(tags["note"]) == 8000
    assert {"host", "pid", "machine", "heartbeat", "heartbeat_seconds", "process_started", "resume_count"} <= set(tags)
    assert history(tracked, "val_dice") == [(1, 0.5), (2, 0.75)]
    assert math.isnan(history(tracked, "val_dice/left part _a_")[0][1])
    assert artifact(tracked, "config.yaml").read_text() == "seed: 1\n"
    assert json.loads(artifact(tracked, "reports/split.json").read_text()) == {"a": [1, 2]}
    assert pd.read_csv(artifact(tracked, "per_case.csv")).equals(frame)
    assert artifact(tracked, "figures/curves.png").read_bytes().startswith(b"\x89PNG")
    inputs = {one.tags[0].value: one.dataset for one in found.inputs.dataset_inputs}
    assert set(inputs) == {"training", "validation"}
    assert [one.digest for one in inputs.values()] == ["e" * 36] * 2
    assert {one.name for one in inputs.values()} == {"synthetic2d/training", "synthetic2d/validation"}
    assert tags["dataset_digest_training"] == "e" * 64
    assert not (tracked.work_dir / WorkFile.OUTBOX).exists()


def test_an_epoch_is_one_call_to_the_store(mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run(mlruns) as tracked:
        calls: list[int] = []
        log = tracked.store.client.log_batch

        def count(run_id: str, metrics: Any = (), **rest: Any) -> Any:
            calls.append(len(metrics))
            return log(run_id, metrics=metrics, **rest)

        monkeypatch.setattr(tracked.store.client, "log_batch", count)
        tracked.emit({f"val_dice/{i}": 0.5 for i in range(40)}, 1)
    assert calls == [40]


def test_a_step_is_never_recorded_twice(mlruns: Path) -> None:
    with run(mlruns) as tracked:
        tracked.emit({"val_dice": 0.5}, 1)
        tracked.emit({"val_dice": 0.9, "val_iou": 0.3}, 1)
    assert history(tracked, "val_dice") == [(1, 0.5)]
    assert history(tracked, "val_iou") == [(1, 0.3)]


def test_an_exception_makes_the_run_failed_with_its_traceback(mlruns: Path) -> None:
    tracked = cut(mlruns, ValueError("no such luck\nsecond line"), lambda one: one.emit({"val_dice": 0.5}, 1))
    found = tracked.store.run(tracked.run_id)
    assert found.info.status == "FAILED"
    assert found.data.tags["end_reason"] == "ValueError: no such luck"
    assert "    raise error\nValueError: no such luck\n" in artifact(tracked, "traceback.txt").read_text()
    assert history(tracked, "val_dice") == [(1, 0.5)]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "KILLED"),
        (Terminated(), "KILLED"),
        (SystemExit(3), "FAILED"),
        (SystemExit(0), "FINISHED"),
        (ConfigError("wrong"), "FAILED"),
    ],
)
def test_the_end_tells_how_it_came(mlruns: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), run(mlruns) as tracked:
        raise error
    assert tracked.store.run(tracked.run_id).info.status == status


def asked_to_stop(before: object) -> None:
    """SIGTERM, where another handler stands than before; else it would end the process of the tests."""
    assert signal.getsignal(signal.SIGTERM) is not before
    signal.raise_signal(signal.SIGTERM)


def test_sigterm_is_an_exception_within_a_run_and_nothing_outside(mlruns: Path) -> None:
    assert threading.current_thread() is threading.main_thread()  # the only one that signals interrupt
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated) as caught, run(mlruns) as tracked:
        asked_to_stop(before)
    assert caught.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert tracked.store.run(tracked.run_id).info.status == "KILLED"


def test_a_run_that_did_not_finish_goes_on(mlruns: Path) -> None:
    first = cut(mlruns, KeyboardInterrupt(), lambda one: one.emit({"val_dice": 0.1}, 1))
    with run(mlruns, resume=first.run_id) as second:
        assert second.store.run(first.run_id).info.status == "RUNNING"
        second.emit({"val_dice": 0.7}, 1)  # the state's history, told once more
        second.emit({"val_dice": 0.2}, 2)
    found = second.store.run(first.run_id)
    assert second.work_dir == first.work_dir
    assert found.info.status == "FINISHED"
    assert found.data.tags["resume_count"] == "1"
    assert found.data.tags["end_reason"] == ""
    assert history(second, "val_dice") == [(1, 0.1), (2, 0.2)]


def test_a_finished_run_cannot_go_on(mlruns: Path) -> None:
    with run(mlruns) as tracked:
        pass
    with pytest.raises(TrackingError, match="a finished run cannot be resumed"), run(mlruns, resume=tracked.run_id):
        pass
    assert tracked.store.run(tracked.run_id).info.status == "FINISHED"


def test_a_live_run_cannot_be_taken_over(mlruns: Path) -> None:
    with run(mlruns) as tracked:
        with pytest.raises(TrackingError, match="still alive"), run(mlruns, resume=tracked.run_id):
            pass
        assert tracked.store.run(tracked.run_id).info.status == "RUNNING"


def test_changed_params_are_refused_key_by_key(mlruns: Path) -> None:
    tracked = cut(mlruns, RuntimeError(), params={"seed": 1, "trainer": {"epochs": 3, "old": True}})
    changed = {"seed": 1, "trainer": {"epochs": 5, "new": 2}}
    with pytest.raises(ConfigError) as caught, run(mlruns, params=changed, resume=tracked.run_id):
        pass
    text = str(caught.value)
    assert "trainer.epochs: was 3, is 5" in text
    assert "trainer.new: was not set, is 2" in text
    assert "trainer.old: was true, is not set" in text
    assert "seed" not in text
    assert tracked.store.run(tracked.run_id).info.status == "FAILED"


def test_an_unknown_run_names_store_and_nearest(mlruns: Path) -> None:
    with run(mlruns, run_name="Nearby") as tracked:
        pass
    wrong = tracked.run_id[:-1] + ("0" if tracked.run_id[-1] != "0" else "1")
    with pytest.raises(TrackingError, match="no run of this id") as caught, run(mlruns, resume=wrong):
        pass
    assert f"did you mean '{tracked.run_id}'" in str(caught.value)
    assert str(mlruns / "mlflow.db") in str(caught.value)
    assert not (mlruns / "runs" / wrong).exists()
    with pytest.raises(TrackingError, match=f"runs of that name: {tracked.run_id}"), run(mlruns, resume="Nearby"):
        pass


def test_the_bundle_is_a_model_without_pickle(mlruns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = tmp_path / "toy_loader.py"
    loader.write_text(
        "import pathlib\n"
        "class Half:\n"
        "    def __init__(self, path): self.limit = float((pathlib.Path(path) / 'limit.txt').read_text())\n"
        "    def predict(self, data): return (data[..., 0] > self.limit).astype('uint8')\n"
        "def _load_pyfunc(path): return Half(path)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(model_folder, "LOADER", "toy_loader")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "limit.txt").write_text("0.5")
    example = np.linspace(0, 1, 2 * 4 * 4, dtype="float32").reshape(2, 4, 4, 1)
    expected = (example[..., 0] > 0.5).astype("uint8")
    with run(mlruns) as tracked:
        start = time.perf_counter()
        tracked.log_bundle(bundle, example=example, prediction=expected)
        assert time.perf_counter() - start < 10  # guessing requirements would load the model in a process of its own
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracked.store.uri)
    try:
        loaded = mlflow.pyfunc.load_model(tracked.model_uri)
        wide = np.zeros((1, 6, 5, 1), "float32") + 0.75
        assert loaded.predict(wide).tolist() == np.ones((1, 6, 5), int).tolist()
        assert loaded.predict(wide.astype("uint8")[0]).tolist() == np.zeros((6, 5), int).tolist()
        version = mlflow.register_model(tracked.model_uri, "toy")
        again = mlflow.pyfunc.load_model(f"models:/toy/{version.version}")
        assert np.array_equal(again.predict(example), expected)
        assert again.metadata.run_id == tracked.run_id
        folder = Path(mlflow.artifacts.download_artifacts(tracked.model_uri, dst_path=str(tmp_path / "got")))
    finally:
        mlflow.set_tracking_uri(before)
    names = {one.name for one in folder.rglob("*") if one.is_file()}
    assert not {name for name in names if name.endswith((".pkl", ".pickle"))}
    assert {"MLmodel", "requirements.txt", "limit.txt", "input_example.json"} <= names
    assert "tensorflow==" in (folder / "requirements.txt").read_text()
    outputs = tracked.store.run(tracked.run_id).outputs.model_outputs
    assert len(outputs) == 1
    assert tracked.store.client.get_logged_model(outputs[0].model_id).status.name == "READY"


def test_system_metrics_are_sampled_and_numbered_on(mlruns: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "SystemMetrics", lambda emit, first: real(emit, first, interval=0.1))

    def two_samples(tracked: Tracker) -> None:
        end = time.monotonic() + 60
        while len(history(tracked, "system/cpu_utilization_percentage")) < 2 and time.monotonic() < end:
            time.sleep(0.1)

    tracked = cut(mlruns, KeyboardInterrupt(), two_samples, settings={"system_metrics": True})
    first = history(tracked, "system/cpu_utilization_percentage")
    assert [step for step, _ in first] == list(range(len(first)))
    assert len(first) >= 2
    assert all(0 <= value <= 100 for _, value in first)
    with run(mlruns, settings={"system_metrics": True}, resume=tracked.run_id):
        time.sleep(0.3)
    steps = [step for step, _ in history(tracked, "system/system_memory_usage_megabytes")]
    assert steps == list(range(len(steps)))
    assert len(steps) > len(first)
    with run(mlruns) as without:
        pass
    assert not any(name.startswith("system/") for name in without.store.run(without.run_id).data.metrics)


real = tracker.SystemMetrics


def test_flat_params_hide_passwords_and_speak_json() -> None:
    flat = operations.flat_params({"a": {"uri": "http://me:secret@host:5000/x"}, "b": True, "c": 0.1, "d": "text"})
    assert flat == {"a.uri": "http://me:***@host:5000/x", "b": "true", "c": "0.1", "d": "text"}
