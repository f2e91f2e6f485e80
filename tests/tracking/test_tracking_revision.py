"""A store of another MLflow: said with file, revisions and remedy; never changed unasked; brought up by the remedy."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import toys
from mounts import needs_mounts, read_only, within
from old_stores import FIRST, LATE, MIDDLE, RUN, digest, make_old_store

from seglab import doctor
from seglab.config.places import ROOT
from seglab.errors import TrackingError
from seglab.tracking import operations
from seglab.tracking.outbox import Outbox, deliver_all
from seglab.tracking.schema_version import check_revision
from seglab.tracking.store import open_store

HEAD = re.compile(r"expected: revision [0-9a-f]{12}, which MLflow 3\.")


def set_revision(file: Path, revision: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("update alembic_version set version_num = ?", (revision,))


@pytest.mark.parametrize("revision", [FIRST, MIDDLE, LATE])
def test_an_older_store_is_reported_and_left_as_it_is(tmp_path: Path, revision: str) -> None:
    file = make_old_store(tmp_path / "mlruns", revision)
    before = digest(file)
    for _ in range(2):
        with pytest.raises(TrackingError, match="an older MLflow made") as caught:
            open_store(None, tmp_path / "mlruns")
        message = str(caught.value)
        assert f"sqlite:///{file}" in message
        assert f"found:    revision {revision}" in message
        assert HEAD.search(message)
        assert f"cp '{file}' '{file}.backup', then: " in message
        assert f"-m mlflow db upgrade 'sqlite:///{file}'" in message
        assert digest(file) == before
        assert [one.name for one in file.parent.iterdir()] == ["mlflow.db"]


def test_an_older_store_that_lacks_no_table_is_reported_alike(tmp_path: Path) -> None:
    file = toys.fresh_store(tmp_path / "mlruns") / "mlflow.db"
    set_revision(file, "17e22815139b")  # two steps back, of a mere longer column
    with pytest.raises(TrackingError, match="an older MLflow made") as caught:
        open_store(None, file.parent)
    assert "revision 17e22815139b" in str(caught.value)
    assert f"-m mlflow db upgrade 'sqlite:///{file}'" in str(caught.value)


def test_the_remedy_as_it_is_printed_keeps_every_run(tmp_path: Path) -> None:
    file = make_old_store(tmp_path / "my runs")
    before = digest(file)
    with pytest.raises(TrackingError) as caught:
        open_store(None, file.parent)
    copy, upgrade = re.findall(r"(cp '.*?' '.*?'), then: (.*)", caught.value.remedy)[0]
    for command in (copy, upgrade):
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    assert digest(file.with_name("mlflow.db.backup")) == before
    run = open_store(None, file.parent).run(RUN)
    assert (run.info.run_name, run.info.status, run.info.end_time) == ("Old", "FINISHED", 2)


def test_a_newer_store_asks_for_a_newer_mlflow(tmp_path: Path) -> None:
    file = toys.fresh_store(tmp_path) / "mlflow.db"
    set_revision(file, "ffff00001111")
    before = digest(file)
    with pytest.raises(TrackingError, match="a newer MLflow made") as caught:
        open_store(None, tmp_path)
    message = str(caught.value)
    assert "revision ffff00001111" in message
    assert HEAD.search(message)
    assert "use the MLflow that made it" in message
    assert "upgrade" not in message
    assert digest(file) == before


def test_a_newer_store_without_a_table_of_ours_is_no_older_one(tmp_path: Path) -> None:
    file = make_old_store(tmp_path)
    set_revision(file, "ffff00001111")
    with pytest.raises(TrackingError, match="a newer MLflow made"):
        open_store(None, tmp_path)


def test_a_database_of_another_program_gets_no_tables_of_mlflow(tmp_path: Path) -> None:
    file = tmp_path / "search.db"
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("create table studies (study_id integer)")
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values ('v3.2.0.a')")
    before = digest(file)
    with pytest.raises(TrackingError, match="a database of another program") as caught:
        open_store(f"sqlite:///{file}", tmp_path / "mlruns")
    assert "studies" in str(caught.value)
    assert digest(file) == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    check_revision(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert open_store(None, tmp_path).experiment_id("seglab")


HALF_DONE = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("pragma cache_size = 2")  # pages go to the file before the end
database.execute("begin")
database.executemany("insert into tags values (?, 'x', ?)", [(f"key{i}", "f" * 32) for i in range(5000)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_in_the_middle(directory: Path) -> Path:
    """A store in which a process was killed while it wrote; returns the journal that says what is to be undone."""
    file = toys.fresh_store(directory) / "mlflow.db"
    subprocess.run([sys.executable, "-c", HALF_DONE, str(file)], check=False)
    journal = file.with_name("mlflow.db-journal")
    assert journal.stat().st_size > 0
    return journal


def test_what_a_killed_process_left_half_done_is_undone_and_stops_nobody(tmp_path: Path) -> None:
    journal = killed_in_the_middle(tmp_path)
    assert open_store(None, tmp_path).all_runs() == []
    assert not journal.exists()


@needs_mounts
def test_what_cannot_be_undone_in_a_read_only_store_is_reported(tmp_path: Path) -> None:
    killed_in_the_middle(tmp_path / "mlruns")
    command = [sys.executable, str(ROOT / "scripts" / "sweep_status.py"), "any"]
    code, output = within(read_only(tmp_path / "mlruns"), command, tmp_path)
    assert code == 2
    assert "error: the tracking store does not work" in output
    assert "remedy:   make it writable once" in output
    assert "Traceback" not in output


def test_looking_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="unable to open database file"):
        check_revision(f"sqlite:///{tmp_path / 'none.db'}")
    assert not list(tmp_path.iterdir())


def test_waiting_records_are_not_delivered_into_an_older_store(tmp_path: Path) -> None:
    file = make_old_store(tmp_path)
    before = digest(file)
    Outbox(tmp_path / "runs" / RUN / "outbox", RUN, f"sqlite:///{file}").add(operations.end("FINISHED"))
    (found,) = deliver_all(tmp_path)
    assert (found.records, found.left) == (0, 1)
    assert "an older MLflow made" in found.reason
    assert "mlflow db upgrade" in found.reason
    assert digest(file) == before


def test_doctor_names_it_and_looks_at_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = make_old_store(tmp_path / "mlruns")
    before = digest(file)
    assert doctor.report(None, file.parent, repair=True) == 1
    output = capsys.readouterr().out
    assert "! Trouble" in output
    assert "an older MLflow made" in output
    assert "Disk" in output
    assert digest(file) == before
