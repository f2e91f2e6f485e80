"""A backup of runs and artifacts is whole, is put back as it was, and never goes over anything."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mounts import needs_mounts, small, within
from old_stores import make_old_store
from recorded_runs import CASES, Recorder

from seglab.cli import backup
from seglab.cli import restore as restoring
from seglab.errors import TrackingError
from seglab.tracking.backup import make_backup
from seglab.tracking.backup_files import SUMS, read_sums, sums_content
from seglab.tracking.restore import restore
from seglab.tracking.store import open_store


def silent(done: int, total: int) -> None:
    pass


def filled(directory: Path, count: int = 2) -> Recorder:
    recorder = Recorder(directory)
    for seed in range(count):
        run_id = recorder.run(dict.fromkeys(CASES, 0.5 + seed / 1000), seed=seed)
        recorder.store.client.log_text(run_id, f"picture {seed}\n" * 100, f"pictures/é {seed}.txt")
    work = directory / "runs" / "abc" / "outbox"
    work.mkdir(parents=True)
    (work / "0.json").write_text("{}")
    (directory / "promotions.jsonl").write_text("{}\n")
    return recorder


def rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table but addresses, which are of a place."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        taken = {}
        for name in names:
            columns = [row[1] for row in database.execute(f"pragma table_info({name})")]
            columns = [one for one in columns if one not in ("artifact_location", "artifact_uri", "source")]
            taken[name] = sorted(database.execute(f"select {', '.join(columns)} from {name}"), key=repr)
        return taken


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_was_backed_up_is_restored_elsewhere_and_found_there(tmp_path: Path) -> None:
    filled(tmp_path / "mlruns")
    made = make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent)
    assert (made.runs, made.database) == (2, "sqlite")
    output = subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=tmp_path / "kept", check=False)
    assert output.returncode == 0
    expected, artifacts = rows(tmp_path / "mlruns/mlflow.db"), contents(tmp_path / "mlruns/artifacts")
    shutil.rmtree(tmp_path / "mlruns")
    restore(tmp_path / "kept", tmp_path / "other", None, None, silent)
    assert rows(tmp_path / "other/mlflow.db") == expected
    assert contents(tmp_path / "other/artifacts") == artifacts
    assert {"promotions.jsonl", "runs", "artifacts", "mlflow.db"} == {
        one.name for one in (tmp_path / "other").iterdir() if one.name != ".lock"
    }
    store = open_store(None, tmp_path / "other")
    found = store.all_runs()
    assert len(found) == 2
    text = Path(store.client.download_artifacts(found[0].info.run_id, "pictures", str(tmp_path)))
    assert len(list(text.iterdir())) == 1  # they are looked for in the new place


@pytest.mark.slow
def test_a_hundred_runs_come_back_as_they_were(tmp_path: Path) -> None:
    filled(tmp_path / "mlruns", 100)
    began = time.perf_counter()
    make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent)
    backed_up = time.perf_counter() - began
    began = time.perf_counter()
    restore(tmp_path / "kept", tmp_path / "other", None, None, silent)
    print(f"\n100 runs: backup {backed_up:.1f} s, restore {time.perf_counter() - began:.1f} s")
    assert rows(tmp_path / "other/mlflow.db") == rows(tmp_path / "mlruns/mlflow.db")
    assert contents(tmp_path / "other/artifacts") == contents(tmp_path / "mlruns/artifacts")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    filled(tmp_path / "mlruns", 1)
    make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent)
    before = contents(tmp_path / "mlruns"), contents(tmp_path / "kept")
    for call, code in (
        (lambda: make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent), "backup-exists"),
        (lambda: make_backup(tmp_path / "mlruns/runs/b", tmp_path / "mlruns", None, None, silent), "backup-exists"),
        (lambda: restore(tmp_path / "kept", tmp_path / "mlruns", None, None, silent), "restore-occupied"),
    ):
        with pytest.raises(TrackingError) as caught:
            call()
        assert caught.value.code == code
    assert (contents(tmp_path / "mlruns"), contents(tmp_path / "kept")) == before


@pytest.mark.parametrize("part", ["artifact", "database", "card", "gone", "list", "outside", "link"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(part: str, tmp_path: Path) -> None:
    filled(tmp_path / "mlruns", 1)
    kept = tmp_path / "kept"
    make_backup(kept, tmp_path / "mlruns", None, None, silent)
    artifact = next(path for path in (kept / "artifacts").rglob("*.txt"))
    if part == "artifact":
        artifact.write_bytes(artifact.read_bytes()[:-1] + b"!")
    elif part == "database":
        content = bytearray((kept / "mlflow.db").read_bytes())
        content[5000] ^= 1
        (kept / "mlflow.db").write_bytes(bytes(content))
    elif part == "card":
        (kept / "backup.json").write_text((kept / "backup.json").read_text().replace('"runs": 1', '"runs": 2'))
    elif part == "gone":
        artifact.unlink()
    elif part == "list":
        (kept / SUMS).unlink()
    elif part == "outside":
        (tmp_path / "outside").write_text("x")
        sums = read_sums(kept)
        (kept / SUMS).write_bytes(sums_content({**sums, "../outside": "0" * 64}))
    else:
        artifact.rename(tmp_path / "elsewhere")
        artifact.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrackingError) as caught:
        restore(kept, tmp_path / "other", None, None, silent)
    assert caught.value.code == "backup-damaged"
    assert not contents(tmp_path / "other") or set(contents(tmp_path / "other")) == {".lock"}


def test_names_with_a_line_break_are_listed_as_sha256sum_does(tmp_path: Path) -> None:
    (tmp_path / "a\nb").write_text("1")
    (tmp_path / "c\\nd").write_text("2")
    for name in ("e\rf", "g\u2028h", "i\x85j", "k\x0bl", os.fsdecode(b"m\xe9n")):  # the last is not UTF-8
        (tmp_path / name).write_text(name[0])
    from seglab.runtime.file_digest import sha256_of

    sums = {path.name: sha256_of(path) for path in tmp_path.iterdir()}
    (tmp_path / SUMS).write_bytes(sums_content(sums))
    assert read_sums(tmp_path) == sums
    assert subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=tmp_path, check=False).returncode == 0


def _write(directory: Path, stop: multiprocessing.synchronize.Event, count: multiprocessing.Value) -> None:
    recorder = Recorder(directory)
    while not stop.is_set():
        run_id = recorder.run({"case00": 0.5}, seed=recorder.count)
        recorder.store.client.log_text(run_id, "late", "late.txt")
        count.value += 1


def test_runs_go_on_while_a_backup_is_made(tmp_path: Path) -> None:
    filled(tmp_path / "mlruns", 1)
    begun = multiprocessing.get_context("spawn")
    stop, count = begun.Event(), begun.Value("i", 0)
    writer = begun.Process(target=_write, args=(tmp_path / "mlruns", stop, count))
    writer.start()
    try:
        while not count.value:
            writer.join(0.05)
        first = count.value
        made = make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent)
        while count.value == first:
            writer.join(0.05)
    finally:
        stop.set()
        writer.join()
    assert writer.exitcode == 0
    restore(tmp_path / "kept", tmp_path / "other", None, None, silent)
    store = open_store(None, tmp_path / "other")
    runs = store.all_runs()
    assert len(runs) == made.runs > first
    for one in runs:  # what the database knows to be finished is there
        assert (tmp_path / "other" / "artifacts").is_dir()
        if one.info.status == "FINISHED" and one.data.params.get("seed") != str(made.runs - 1):
            assert store.client.list_artifacts(one.info.run_id)


def test_there_is_no_store_or_no_backup(tmp_path: Path) -> None:
    for call, code in (
        (lambda: make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent), "store-missing"),
        (lambda: make_backup(tmp_path / "kept", tmp_path, "http://localhost:1", None, silent), "backup-of-server"),
        (
            lambda: make_backup(tmp_path / "kept", tmp_path, "postgresql+psycopg://h/d", None, silent),
            "backup-without-artifacts",
        ),
        (lambda: restore(tmp_path, tmp_path / "mlruns", None, None, silent), "backup-missing"),
    ):
        with pytest.raises(TrackingError) as caught:
            call()
        assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_of_its_kind_of_database(tmp_path: Path) -> None:
    filled(tmp_path / "mlruns", 1)
    make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent)
    with pytest.raises(TrackingError) as caught:
        restore(tmp_path / "kept", tmp_path / "other", "postgresql+psycopg://h/d", None, silent)
    assert caught.value.code == "backup-other-database"


def test_an_old_store_is_kept_as_it_is_with_how_to_upgrade_it(tmp_path: Path) -> None:
    make_old_store(tmp_path / "mlruns")
    make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent)
    with pytest.raises(TrackingError) as caught:
        restore(tmp_path / "kept", tmp_path / "other", None, None, silent)
    assert caught.value.code == "store-older"
    assert "mlflow db upgrade" in caught.value.remedy
    assert rows(tmp_path / "other/mlflow.db") == rows(tmp_path / "mlruns/mlflow.db")


@needs_mounts
@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_a_full_disk_leaves_nothing_half_made(verb: str, tmp_path: Path) -> None:
    filled(tmp_path / "mlruns", 1)
    make_backup(tmp_path / "kept", tmp_path / "mlruns", None, None, silent)
    disk = tmp_path / "disk"
    disk.mkdir()
    words = [f"out={disk}/copy"] if verb == "backup" else [f"from={tmp_path}/kept", f"runs={disk}/copy"]
    command = [sys.executable, "-m", "seglab", verb, *words]
    code, output = within(small(disk, "300k"), command, tmp_path, after=f"find {disk} -type f ! -name .lock")
    assert code == 2
    assert "[no-room]" in output
    assert str(disk / "copy/") not in output.partition("nothing half-written")[2]


def test_the_verbs_say_what_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    filled(tmp_path / "mlruns", 1)
    monkeypatch.chdir(tmp_path)
    backup.run(["out=kept"])
    assert capsys.readouterr().out.startswith("1 runs, ")
    restoring.run(["from=kept", "runs=other"])
    assert "every digest as it was: now in other" in capsys.readouterr().out
    assert json.loads((tmp_path / "kept/backup.json").read_text())["format"] == 1
