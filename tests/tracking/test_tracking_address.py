"""A store in a folder of any name: its database lies there and nowhere else, and what is told of it exists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._model_registry.utils import _get_store_registry
from mlflow.tracking._tracking_service.utils import _tracking_store_registry

from seglab.errors import TrackingError
from seglab.tracking.bundles import download_artifact, latest_model, local_path
from seglab.tracking.sqlite_address import sqlite_file, sqlite_uri
from seglab.tracking.store import open_store
from seglab.tracking.tracker import Tracker

ODD = ["50% off", "lab #1", "what?", "a&b=c", "what?x=1", "100%3F", "Müller", "q?a=b&c#d%20", "a%20b", "x;y"]


@pytest.mark.parametrize("name", ODD)
def test_an_address_names_the_file_that_it_was_made_of(name: str) -> None:
    path = Path("/data") / name / "mlflow.db"
    assert sqlite_file(sqlite_uri(path)) == path


def test_addresses_of_users_and_of_others() -> None:
    assert sqlite_file("sqlite:////x/a.db?timeout=3") == Path("/x/a.db")
    assert sqlite_file("sqlite:////x/what?/a.db") == Path("/x/what?/a.db")
    assert sqlite_file("http://host:5000") is None


@pytest.mark.parametrize("uri", ["azureml://region/subscriptions/1", "databricks", "databricks://profile", "lab://x"])
def test_the_address_of_a_plug_in_of_mlflow_is_passed_through(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plug-in is one that keeps its runs in a file; it alone says where artifacts go."""
    behind = open_store(None, toys.fresh_store(tmp_path / "behind")).uri
    asked: list[str] = []

    def plug_in(store_uri: str | None = None, *_: object, **__: object) -> SqlAlchemyStore:
        asked.append(str(store_uri))
        return SqlAlchemyStore(behind, (tmp_path / "artifacts").as_uri())

    scheme = uri.partition("://")[0]
    for registry in (_tracking_store_registry, _get_store_registry()):
        monkeypatch.setitem(registry._registry, scheme, plug_in)
    with Tracker(toys.tracking(uri=uri), tmp_path / "mlruns", run_name="Toy", params={}, tags={}) as tracker:
        tracker.emit({"val_dice": 0.5}, 1)
    store = open_store(uri, tmp_path / "mlruns")
    assert (store.uri, store.served, {*asked}) == (uri, True, {uri})
    run = store.run(tracker.run_id)
    assert (run.info.status, run.data.metrics["val_dice"]) == ("FINISHED", 0.5)
    assert run.info.artifact_uri.startswith((tmp_path / "artifacts").as_uri())


def test_a_plug_in_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrackingError) as caught:
        open_store("azureml://region/subscriptions/2", tmp_path)
    assert "pip install azureml-mlflow" in caught.value.remedy


@pytest.mark.parametrize("name", ODD)
def test_a_run_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    with Tracker(toys.tracking(), home / "mlruns", run_name="Toy", params={}, tags={}) as tracker:
        tracker.emit({"val_dice": 0.5}, 1)
        tracker.log_text("text", "pictures/note.txt")
        bundle = tracker.work_dir / "bundle"
        bundle.mkdir()
        (bundle / "weights").write_text("w")
        image = np.zeros((1, 8, 8, 1), np.float32)
        tracker.log_bundle(bundle, example=image, prediction=np.zeros((1, 8, 8), np.uint8))
    store = open_store(None, home / "mlruns")
    run = store.run(tracker.run_id)
    assert (run.info.status, run.data.metrics["val_dice"]) == ("FINISHED", 0.5)
    place = local_path(store, run.info.artifact_uri)
    assert place is not None
    assert (
        next(download_artifact(store, latest_model(store, run).artifact_location).rglob("weights")).read_text() == "w"
    )
    assert (place / "pictures" / "note.txt").read_text() == "text"
    assert place.is_relative_to(home / "mlruns")
    assert [path.name for path in tmp_path.iterdir()] == [name]  # no stray file beside it


@pytest.mark.parametrize("name", ["50% off", "what?x=1", "a%20b"])
def test_a_refusal_names_the_file_of_the_database(name: str, tmp_path: Path) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / name))
    with pytest.raises(TrackingError) as caught:
        store.run("0" * 32)
    assert Path(caught.value.where.removeprefix("store ")).is_file()
