"""The page that says whether machine and store are fit."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import toys

from seglab import doctor
from seglab.tracking import operations
from seglab.tracking.heartbeat import HEARTBEAT, identity
from seglab.tracking.outbox import Outbox
from seglab.tracking.store import open_store


def page(uri: str | None, directory: Path) -> dict[str, doctor.Finding]:
    return {finding.label: finding for finding in doctor.examine(uri, directory)}


def test_a_machine_without_store_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--runs", str(tmp_path / "mlruns")]) == 0
    told = capsys.readouterr().out
    for word in ("Python", "tensorflow 2", "keras 3", "cores", "AMX-BF16", "AVX512-BF16", "auto is ", "GB free"):
        assert word in told
    assert "the first run makes it" in told
    assert not (tmp_path / "mlruns").exists()


def test_stale_runs_are_marked_and_waiting_records_told(tmp_path: Path) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    tags = {**identity(), HEARTBEAT: f"{time.time():.0f}", "heartbeat_seconds": "30", "process_started": "1.00"}
    dead = store.client.create_run(store.experiment_id("seglab"), tags=tags, run_name="Dead").info.run_id
    Outbox(store.work_dir("other") / "outbox", "other", "http://away:1").add(operations.end("FINISHED"))
    found = page(None, store.directory)
    assert "1 KILLED" in found["Store"].text
    assert dead in found["Stale run"].text
    assert "run other: 1 records wait (make sync)" in found["Outbox"].text
    assert all(finding.ok for finding in found.values())
    assert store.run(dead).info.status == "KILLED"
    assert "Stale run" not in page(None, store.directory)


def test_a_moved_store_must_be_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = toys.fresh_store(tmp_path / "before")
    open_store(None, before).experiment_id("seglab")
    after = before.rename(tmp_path / "after")
    assert doctor.main(["--runs", str(after)]) == 1
    told = capsys.readouterr().out
    assert f"! Artifacts   looked for in {before}" in told
    assert f"ln -s {after} {before}" in told


def test_a_store_that_is_away_is_one_finding_among_the_others(tmp_path: Path) -> None:
    found = page("http://127.0.0.1:1", tmp_path / "mlruns")
    assert not found["Trouble"].ok
    assert "cannot be reached" in found["Trouble"].text
    assert found["Disk"].ok
    assert found["Precision"].ok


def test_little_room_must_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_DISK_GB", 1e9)
    assert not page(None, tmp_path)["Disk"].ok
