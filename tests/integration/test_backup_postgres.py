"""A hundred runs in PostgreSQL, backed up and restored: the same rows, the same files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import DRIVER, needs_postgres, postgres
from recorded_runs import CASES, Recorder
from sqlalchemy import create_engine, inspect, text

from seglab.errors import TrackingError
from seglab.tracking.backup import make_backup
from seglab.tracking.restore import restore

pytestmark = [needs_postgres, pytest.mark.slow]


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgres() as address:
        yield address


def empty(address: str, name: str) -> str:
    """A new, empty database beside the one of the address."""
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return address.rpartition("/")[0] + f"/{name}"


def rows(address: str) -> dict[str, list[str]]:
    engine = create_engine(address)
    with engine.connect() as connection:
        found = {
            name: sorted(map(repr, connection.execute(text(f'SELECT * FROM "{name}"'))))
            for name in inspect(engine).get_table_names()
        }
    engine.dispose()
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_hundred_runs_come_back_as_they_were(address: str, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "mlruns", address)
    for seed in range(100):
        run_id = recorder.run(dict.fromkeys(CASES, 0.5 + seed / 1000), seed=seed)
        recorder.store.client.log_text(run_id, f"weights of {seed}" * 50_000, "bundle/model.txt")
    began = time.perf_counter()
    made = make_backup(tmp_path / "kept", tmp_path / "mlruns", address, None, silent)
    backed_up = time.perf_counter() - began
    goal = empty(address, "restored")
    began = time.perf_counter()
    restore(tmp_path / "kept", tmp_path / "other", goal, None, silent)
    print(f"\n{made.runs} runs, {made.bytes / 1e6:.0f} MB: backup {backed_up:.1f} s, ", end="")
    print(f"restore {time.perf_counter() - began:.1f} s")
    assert made.runs == 100
    assert rows(goal) == rows(address)
    assert contents(tmp_path / "other/artifacts") == contents(tmp_path / "mlruns/artifacts")
    with pytest.raises(TrackingError) as caught:  # a second time, into what is full now
        restore(tmp_path / "kept", tmp_path / "third", goal, None, silent)
    assert caught.value.code == "restore-occupied"
    assert "secret" not in str(caught.value)


def test_a_wrong_password_touches_nothing(address: str, tmp_path: Path) -> None:
    (tmp_path / "mlruns/artifacts").mkdir(parents=True)
    with pytest.raises(TrackingError) as caught:
        make_backup(tmp_path / "kept", tmp_path / "mlruns", address.replace(":secret@", ":wrong@"), None, silent)
    assert caught.value.code == "backup-failed"
    assert "correct user, password" in caught.value.remedy
    assert "wrong" not in str(caught.value)
    assert not (tmp_path / "kept").exists()


def test_without_the_client_it_says_what_to_install(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlruns/artifacts").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrackingError) as caught:
        make_backup(tmp_path / "kept", tmp_path / "mlruns", address, None, silent)
    assert "postgresql-client" in caught.value.remedy


def test_a_restore_that_fails_leaves_the_database_empty(address: str, tmp_path: Path) -> None:
    Recorder(tmp_path / "mlruns", empty(address, "small")).run({"case00": 0.5})
    store = address.rpartition("/")[0] + "/small"
    make_backup(tmp_path / "kept", tmp_path / "mlruns", store, None, silent)
    artifact = next(path for path in (tmp_path / "kept/artifacts").rglob("*") if path.is_file())
    artifact.write_text("changed")
    goal = empty(address, "second")
    with pytest.raises(TrackingError) as caught:
        restore(tmp_path / "kept", tmp_path / "other", goal, None, silent)
    assert caught.value.code == "backup-damaged"
    assert rows(goal) == {}
    assert DRIVER
