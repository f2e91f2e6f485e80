"""Finding the store: made once, refused in seconds when it cannot work, noticed when it was moved."""

from __future__ import annotations

import os
import socket
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import toys

from seglab.errors import TrackingError
from seglab.tracking import repair_paths, store_making
from seglab.tracking.databases import database_remedy
from seglab.tracking.store import Store, open_store


@pytest.fixture
def mlruns(tmp_path: Path) -> Path:
    return toys.fresh_store(tmp_path / "mlruns")


def start_run(opened: Store, experiment: str = "seglab") -> str:
    return opened.client.create_run(opened.experiment_id(experiment)).info.run_id


def test_the_embedded_store_lies_below_its_folder(mlruns: Path, tmp_path: Path) -> None:
    opened = open_store(None, mlruns)
    assert opened.uri == f"sqlite:///{mlruns / 'mlflow.db'}"
    run_id = start_run(opened)
    file = tmp_path / "hello.txt"
    file.write_text("hello")
    opened.client.log_artifact(run_id, str(file))
    assert (mlruns / "artifacts" / "seglab" / run_id / "artifacts" / "hello.txt").read_text() == "hello"
    assert sorted(one.name for one in mlruns.iterdir()) == [".lock", "artifacts", "mlflow.db"]


def test_what_an_interrupted_start_left_is_no_store(tmp_path: Path) -> None:
    directory = tmp_path / "mlruns"
    directory.mkdir()
    (directory / "mlflow.db.part").write_bytes(b"half a database")
    opened = open_store(None, directory)
    assert start_run(opened)
    assert not (directory / "mlflow.db.part").exists()


def test_an_experiment_is_made_once_whatever_its_name(mlruns: Path) -> None:
    opened = open_store(None, mlruns)
    assert opened.experiment_id("my study/ü 1") == opened.experiment_id("my study/ü 1")
    assert opened.experiment_id("other") != opened.experiment_id("my study/ü 1")
    assert opened.artifact_location("my study/ü 1") == (mlruns / "artifacts" / "my_study_ü_1").as_uri()


def test_a_deleted_experiment_is_refused(mlruns: Path) -> None:
    opened = open_store(None, mlruns)
    opened.client.delete_experiment(opened.experiment_id("gone"))
    with pytest.raises(TrackingError, match="a deleted experiment"):
        opened.experiment_id("gone")


def test_a_moved_store_is_noticed_and_a_link_mends_it(mlruns: Path, tmp_path: Path) -> None:
    open_store(None, mlruns).experiment_id("seglab")
    moved = tmp_path / "elsewhere" / "mlruns"
    moved.parent.mkdir()
    mlruns.rename(moved)
    with pytest.raises(TrackingError, match="a store that was moved") as caught:
        open_store(None, moved).experiment_id("seglab")
    assert f"ln -s {moved} {mlruns}" in str(caught.value)
    mlruns.symlink_to(moved)
    assert open_store(None, moved).experiment_id("seglab")


@pytest.mark.parametrize("uri", ["./mlruns", "file:./mlruns", "mlruns"])
def test_a_folder_is_no_store_any_more(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError, match=r"tracking\.uri=null"):
        open_store(uri, tmp_path / "mlruns")


def test_a_file_that_is_no_database_is_one_message(tmp_path: Path) -> None:
    directory = tmp_path / "mlruns"
    directory.mkdir()
    (directory / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(TrackingError, match=r"mlflow\.db") as caught:
        open_store(None, directory)
    assert "file is not a database" in str(caught.value)
    assert "move it away" in str(caught.value)


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ('FATAL: password authentication failed for user "me"', "correct user, password"),
        ('FATAL: role "me" does not exist', "correct user, password"),
        ('FATAL: database "seglab" does not exist', "correct user, password"),
        ("(1045, \"Access denied for user 'me'@'host'\")", "correct user, password"),
        ("FATAL: sorry, too many clients already", "start again in a minute"),
        ('duplicate key value violates unique constraint "pg_type_typname_nsp_index"', "start again"),
        ('relation "experiments" already exists', "start again"),
        ('relation "alembic_version" does not exist', "start again"),
        ("permission denied for schema public", "ask its administrator"),
    ],
)
def test_a_database_that_a_server_keeps_is_never_to_be_moved_away(message: str, remedy: str) -> None:
    remedy_text = database_remedy(message, file=False)
    assert remedy in remedy_text
    assert "what it holds is not in question" in remedy_text
    assert "move it away" not in remedy_text
    assert "restore" not in remedy_text


def test_a_file_that_is_only_busy_is_not_to_be_moved_away() -> None:
    assert "wait for" in database_remedy("(sqlite3.OperationalError) database is locked", file=True)
    assert "move it away" in database_remedy("(sqlite3.DatabaseError) database disk image is malformed", file=True)


def test_two_folders_share_a_database_and_each_experiment_stays_where_it_was_made(mlruns: Path, tmp_path: Path) -> None:
    shared = f"sqlite:///{mlruns.rename(tmp_path / 'db')}/mlflow.db"
    first, second = (open_store(shared, tmp_path / name) for name in ("first", "second"))
    run = first.client.get_run(start_run(first))
    assert second.client.get_run(start_run(second)).info.artifact_uri.startswith(
        (first.directory / "artifacts").as_uri()
    )
    second.check_writable(run)
    assert repair_paths.former_places(second) == []
    assert repair_paths.relocate(second) is None
    # On another machine that folder is not there: what to do then is no repair of a store that was never moved.
    first.directory.rename(tmp_path / "gone")
    with pytest.raises(TrackingError) as caught:
        second.experiment_id("seglab")
    assert "kept in a folder that is not here" in str(caught.value)
    assert "--repair" not in str(caught.value)
    other = caught.value.remedy.split()[0].partition("=")[2]
    assert second.experiment_id(other)


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="the folder of runs cannot be made"):
        open_store(None, tmp_path / "file" / "mlruns")


@pytest.fixture
def port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_not_there_stops_within_seconds(tmp_path: Path, port: int, scheme: str) -> None:
    start = time.monotonic()
    with pytest.raises(TrackingError, match="cannot be reached") as caught:
        open_store(f"{scheme}://me:secret@127.0.0.1:{port}/x", tmp_path / "mlruns")
    assert time.monotonic() - start < 5
    text = str(caught.value)
    assert "secret" not in text
    assert "tracking.uri=null" in text


@pytest.mark.skipif(find_spec("psycopg") is not None, reason="the driver is there")
def test_a_database_without_its_driver_says_what_to_install(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql://me:secret@127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(TrackingError, match=r"pip install 'psycopg\[binary\]'") as caught:
            open_store(address, tmp_path / "mlruns")
    assert "secret" not in str(caught.value)


def test_a_host_without_address_stops_too(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="cannot be reached"):
        open_store("http://no-such-host.invalid:5000", tmp_path / "mlruns")


def test_a_server_that_never_answers_stops_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_making, "_ANSWER_SECONDS", 1)
    before = os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(TrackingError, match="the tracking store does not work"):
            open_store(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path / "mlruns")
    assert time.monotonic() - start < 8
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == before
