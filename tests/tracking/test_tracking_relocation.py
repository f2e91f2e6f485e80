"""A folder of runs that was moved or copied: read as it is, not written to in its former place, mended by doctor."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import toys
from recorded_runs import Recorder, level
from rich.console import Console

from seglab import doctor
from seglab.comparison.settings import CompareSettings
from seglab.errors import TrackingError
from seglab.reports.comparison.comparison_printing import run_comparison
from seglab.run_record import Artifact, Tag
from seglab.sweeping.status import sweep_statuses
from seglab.tracking import operations
from seglab.tracking.bundles import find_bundle
from seglab.tracking.mlflow_client import mlflow
from seglab.tracking.outbox import Outbox
from seglab.tracking.repair_paths import former_places, relocate
from seglab.tracking.store import Store, open_store
from seglab.tracking.tracker import Tracker


@pytest.fixture
def home(tmp_path: Path) -> tuple[Store, str]:
    """A store with one run that has an artifact and a registered model."""
    store = open_store(None, toys.fresh_store(tmp_path / "before" / "mlruns"))
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{}")
    run_id = begin(store, bundle)
    store.client.create_registered_model("toy")
    model = store.client.get_logged_model(store.run(run_id).outputs.model_outputs[0].model_id)
    store.client.create_model_version("toy", model.artifact_location, run_id, model_id=model.model_id)
    return store, run_id


def begin(store: Store, bundle: Path | None = None) -> str:
    with Tracker(toys.tracking(), store.directory, run_name="Toy", params={}, tags={}) as run:
        run.log_text("hello", "notes/hello.txt")
        if bundle is not None:
            run.log_bundle(bundle, example=np.zeros((1, 4, 4, 1), "f"), prediction=np.zeros((1, 4, 4), "uint8"))
    return run.run_id


@contextlib.contextmanager
def mlflow_on(store: Store) -> Iterator[None]:
    """MLflow's own tools, which know nothing of seglab, on a store."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store.uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def contents(file: Path) -> str:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return "\n".join(database.iterdump())


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_doctor_mends_a_moved_store_for_every_tool(
    home: tuple[Store, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run_id = home
    former = store.directory
    waiting = Outbox(store.work_dir("r2") / "outbox", "r2", store.uri)
    waiting.add(operations.end("FINISHED"))
    moved = tmp_path / "my däta" / "runs of 2026"
    moved.parent.mkdir()
    former.rename(moved)
    before = contents(moved / "mlflow.db")
    with pytest.raises(TrackingError, match="a store that was moved") as caught:
        begin(open_store(None, moved))
    assert "seglab doctor repair=true" in str(caught.value)
    assert not former.exists()

    assert doctor.report(None, moved) == 1
    assert f"looked for in {former}: seglab doctor repair=true" in capsys.readouterr().out
    assert contents(moved / "mlflow.db") == before
    assert doctor.report(None, moved, repair=True) == 0
    output = capsys.readouterr().out
    kept = next(moved.glob("mlflow.db.*.backup"))
    assert f"artifacts are looked for in {moved}; the database before that: {kept}" in output
    assert contents(kept) == before
    assert former.as_uri() in before
    assert former.as_uri() not in contents(moved / "mlflow.db")
    assert str(former) not in (moved / "runs" / "r2" / "outbox" / "address").read_text()

    store = open_store(None, moved)
    with mlflow_on(store):
        artifact = mlflow.artifacts.load_text(f"{store.run(run_id).info.artifact_uri}/notes/hello.txt")
        fetched = {
            Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / name)))
            for name, uri in (("run", f"runs:/{run_id}/model"), ("version", "models:/toy/1"))
        }
    assert artifact == "hello"
    assert all((folder / "data" / "bundle" / "bundle.json").is_file() for folder in fetched)
    new = begin(store)
    assert (moved / "artifacts" / "toys" / new / "artifacts" / "notes" / "hello.txt").is_file()
    assert not former.exists()
    assert doctor.report(None, moved, repair=True) == 0
    assert len(list(moved.glob("mlflow.db.*.backup"))) == 1


def test_a_copied_store_leaves_the_other_alone(home: tuple[Store, str], tmp_path: Path) -> None:
    store, run_id = home
    copy = shutil.copytree(store.directory, tmp_path / "copy")
    before = files(store.directory)
    other = open_store(None, copy)
    with pytest.raises(TrackingError, match="a store that was moved"):
        begin(other)
    assert relocate(other) is not None
    new = begin(other)
    assert (copy / "artifacts" / "toys" / new / "artifacts" / "notes" / "hello.txt").is_file()
    assert find_bundle(run_id, directory=copy).is_relative_to(copy)
    assert files(store.directory) == before
    assert former_places(other) == former_places(store) == []
    assert relocate(store) is None


def test_a_store_without_its_artifacts_is_not_mended(home: tuple[Store, str], tmp_path: Path) -> None:
    store, _ = home
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copyfile(store.directory / "mlflow.db", alone / "mlflow.db")
    before = contents(alone / "mlflow.db")
    with pytest.raises(TrackingError, match="moved without its artifacts") as caught:
        relocate(open_store(None, alone))
    assert f"cp -r {store.directory / 'artifacts'} {alone}" in str(caught.value)
    assert contents(alone / "mlflow.db") == before


def test_a_store_that_somebody_writes_to_is_not_mended_by_half(home: tuple[Store, str], tmp_path: Path) -> None:
    store, _ = home
    copy = shutil.copytree(store.directory, tmp_path / "copy")
    other = open_store(None, copy)
    before = contents(copy / "mlflow.db")
    with contextlib.closing(sqlite3.connect(copy / "mlflow.db")) as busy:
        busy.execute("begin immediate")
        with pytest.raises(TrackingError, match="cannot be rewritten") as caught:
            relocate(other)
    assert "end the runs of this store" in str(caught.value)
    assert contents(copy / "mlflow.db") == before


def test_a_run_of_a_moved_store_is_not_resumed_into_its_former_place(tmp_path: Path) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "before" / "mlruns"))
    cut = Tracker(toys.tracking(), store.directory, run_name="Toy", params={}, tags={})
    with contextlib.suppress(KeyboardInterrupt), cut:
        raise KeyboardInterrupt
    moved = store.directory.rename(tmp_path / "after")
    again = Tracker(toys.tracking(), moved, run_name="Toy", params={}, tags={}, resume=cut.run_id)
    with pytest.raises(TrackingError, match="a store that was moved"), again:
        pass
    assert open_store(None, moved).run(cut.run_id).info.status == "KILLED"
    assert not store.directory.exists()


@pytest.mark.slow
def test_the_page_of_a_moved_sweep_and_its_status_stay_in_its_folder(tmp_path: Path) -> None:
    recorder = Recorder(toys.fresh_store(tmp_path / "before"))
    store = recorder.store
    tags = {Tag.SWEEP_DIGEST: "d" * 64, "sweep_id": "d" * 12, "study": "grid", Tag.SWEEP_JOBS: "3"}
    parent = store.client.create_run(store.experiment_id("seglab"), tags=tags).info.run_id
    jobs = []
    for number, model in enumerate(("UNet", "VNet")):
        job = {"mlflow.parentRunId": parent, "study": "grid", "job_identity": model, "resume_count": "0"}
        recorder.run(level(0.6 + number / 10), model=model, tags=job)
        jobs.append({"job": number, "overrides": [], "identity": model})
    store.client.log_text(parent, json.dumps(jobs), Artifact.SWEEP_JOBS)
    moved = store.directory.rename(tmp_path / "after")
    (status,) = sweep_statuses(moved, "grid")
    assert (status.total, status.finished, status.left) == (3, 2, 1)
    heard = Console(record=True, width=200, file=None)
    run_comparison(CompareSettings(study="grid", out=str(tmp_path / "out")), moved, heard)
    assert "holds the page too" in heard.export_text()
    assert (moved / "artifacts" / "seglab" / parent / "artifacts" / "comparison" / "comparison.html").is_file()
    assert not store.directory.exists()
