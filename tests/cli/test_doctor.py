"""The page that says whether machine and store are fit."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import toys

from seglab import doctor
from seglab.errors import TrackingError
from seglab.run_record import Tag
from seglab.tracking import health, operations
from seglab.tracking.heartbeat import identity
from seglab.tracking.outbox import Outbox
from seglab.tracking.store import open_store


def page(uri: str | None, directory: Path) -> dict[str, doctor.Finding]:
    return {finding.label: finding for finding in doctor.examine(uri, directory)}


def test_a_machine_without_store_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.report(None, tmp_path / "mlruns") == 0
    output = capsys.readouterr().out
    for word in ("Python", "tensorflow 2", "keras 3", "cores", "AMX-BF16", "AVX512-BF16", "auto is ", "GB free"):
        assert word in output
    assert "the first run makes it" in output
    assert not (tmp_path / "mlruns").exists()


def test_stale_runs_are_marked_and_waiting_records_reported(tmp_path: Path) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    tags = {**identity(), Tag.HEARTBEAT: f"{time.time():.0f}", "heartbeat_seconds": "30", "process_started": "1.00"}
    dead = store.client.create_run(store.experiment_id("seglab"), tags=tags, run_name="Dead").info.run_id
    Outbox(store.work_dir("other") / "outbox", "other", "http://away:1").add(operations.end("FINISHED"))
    found = page(None, store.directory)
    assert "1 KILLED" in found["Store"].text
    assert dead in found["Stale run"].text
    assert "run other: 1 records wait (seglab sync)" in found["Outbox"].text
    assert all(finding.ok for finding in found.values())
    assert store.run(dead).info.status == "KILLED"
    assert "Stale run" not in page(None, store.directory)


def test_a_moved_store_must_be_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = toys.fresh_store(tmp_path / "before")
    open_store(None, before).experiment_id("seglab")
    after = before.rename(tmp_path / "after")
    assert doctor.report(None, after) == 1
    output = capsys.readouterr().out
    assert f"! Artifacts   looked for in {before}" in output
    assert f"ln -s {after} {before}" in output


def test_a_store_that_is_away_is_one_finding_among_the_others(tmp_path: Path) -> None:
    found = page("http://127.0.0.1:1", tmp_path / "mlruns")
    assert not found["Trouble"].ok
    assert "cannot be reached" in found["Trouble"].text
    assert found["Disk"].ok
    assert found["Precision"].ok


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def page_zeroed(file: Path) -> None:
    with open(file, "r+b") as opened:
        opened.seek(5 * 4096)
        opened.write(bytes(20 * 4096))


def emptied(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [zeroed, page_zeroed, emptied])
@pytest.mark.parametrize("named", [False, True])
def test_a_database_that_lost_its_contents_is_not_fine(tmp_path: Path, damage: Any, named: bool) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    store.client.create_run(store.experiment_id("seglab"))
    file = store.directory / "mlflow.db"
    damage(file)
    before = file.read_bytes()
    found = page(store.uri if named else None, store.directory)
    assert not found["Store"].ok
    assert str(file) in found["Store"].text
    assert "restore it from a copy" in found["Store"].text
    assert file.read_bytes() == before


HALF_DONE = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("pragma cache_size = 2")  # pages go to the file before the end
database.execute("begin")
database.executemany("insert into tags values (?, 'x', ?)", [(f"key{i}", "f" * 32) for i in range(5000)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_database_that_was_left_half_written_or_is_busy_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toys.fresh_store(tmp_path / "mlruns") / "mlflow.db"
    subprocess.run([sys.executable, "-c", HALF_DONE, str(file)], check=False)
    assert file.with_name("mlflow.db-journal").stat().st_size > 0
    assert health.check_file(file) == ""
    assert not file.with_name("mlflow.db-journal").exists()
    monkeypatch.setattr(health, "_BUSY_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as busy:
        busy.execute("begin exclusive")
        assert health.check_file(file) == ""


def test_runs_whose_artifacts_lie_here_are_missed(tmp_path: Path) -> None:
    directory = toys.fresh_store(tmp_path / "mlruns")
    lost = directory / "artifacts" / "seglab" / ("a" * 32)
    lost.mkdir(parents=True)
    found = page(None, directory)
    assert not found["Lost runs"].ok
    assert "artifacts of 1 runs" in found["Lost runs"].text
    # An empty file does not become a new store beside them.
    emptied(directory / "mlflow.db")
    with pytest.raises(TrackingError, match="lost its contents"):
        open_store(None, directory)
    assert (directory / "mlflow.db").stat().st_size == 0


def test_every_run_is_counted(tmp_path: Path) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    run_id = store.client.create_run(store.experiment_id("seglab")).info.run_id
    store.client.set_terminated(run_id)
    with contextlib.closing(sqlite3.connect(store.directory / "mlflow.db")) as database:
        names = [row[1] for row in database.execute("pragma table_info(runs)")]
        columns = ", ".join(f"? || '{run_id[4:]}'" if name == "run_uuid" else name for name in names)
        copy = f"insert into runs ({', '.join(names)}) select {columns} from runs where run_uuid = '{run_id}'"
        wanted = [number for number in range(2101) if f"{number:04x}" != run_id[:4]][:2100]
        database.executemany(copy, [(f"{number:04x}",) for number in wanted])
        database.commit()
    assert "runs: 2101 FINISHED" in page(None, store.directory)["Store"].text


def test_records_that_were_refused_are_reported_with_the_command_that_tries_again(tmp_path: Path) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    box = Outbox(store.work_dir("other") / "outbox", "other", store.uri)
    box.add(operations.metrics({"val_dice": 0.5}, 1))  # of a run that the store does not know
    box.deliver(store.client)
    found = page(None, store.directory)["Outbox"]
    assert not found.ok
    assert "0 records wait (seglab sync), 1 were refused" in found.text
    assert "seglab sync refused=true" in found.text


def test_little_room_must_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_DISK_GB", 1e9)
    assert not page(None, tmp_path)["Disk"].ok
