"""Runs in a PostgreSQL that starts empty. Needs its server and a driver here, else nothing of this is run."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from seglab.errors import TrackingError
from seglab.tracking.store import open_store

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
DRIVER = next((name for name in ("psycopg", "psycopg2") if find_spec(name)), None)
pytestmark = pytest.mark.skipif(
    not (PROGRAMS and DRIVER and (os.geteuid() or shutil.which("runuser"))), reason="no PostgreSQL, or no driver of it"
)

RUN = """
import sys
from pathlib import Path
from seglab.errors import run_script
from seglab.config.sections import TrackingSettings
from seglab.tracking.tracker import Tracker
settings = TrackingSettings(uri=sys.argv[2], experiment="shared", system_metrics=False, heartbeat_seconds=5.0)
def main():
    with Tracker(settings, Path(sys.argv[1]), run_name="Light", params={"seed": 1}, tags={}) as run:
        run.emit({"val_dice": 0.5}, 1)
        run.log_text("text", "text.txt")
run_script(main)
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server with an empty database, for user postgres with the password `secret`."""
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    (folder / "password").write_text("secret")
    person = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if person:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bin_folder, data = PROGRAMS[-1].parent, folder / "data"
    made = [bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder}/password"]
    subprocess.run([*person, *made], check=True, capture_output=True)
    control = [*person, bin_folder / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", shlex.join(["-p", str(port), "-k", str(folder)]), "start"], check=True)
    yield f"postgresql+{DRIVER}://postgres:secret@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def test_first_runs_in_an_empty_database_all_succeed_from_folders_of_their_own(address: str, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / str(number) / "mlruns"), address],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    runs = open_store(address, tmp_path / "more").all_runs()
    assert [(run.info.status, run.data.metrics) for run in runs] == [("FINISHED", {"val_dice": 0.5})] * 4


@pytest.mark.parametrize(
    ("right", "wrong"), [(":secret@", ":wrong@"), ("//postgres", "//nobody"), ("/postgres", "/no")]
)
def test_who_is_not_let_in_is_told_to_touch_no_data(address: str, tmp_path: Path, right: str, wrong: str) -> None:
    start, _, end = address.rpartition(right)
    with pytest.raises(TrackingError) as caught:
        open_store(start + wrong + end, tmp_path / "mlruns")
    assert "correct user, password and database name" in caught.value.remedy
    assert "secret" not in str(caught.value)
