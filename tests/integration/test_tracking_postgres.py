"""Runs in a PostgreSQL that starts empty. Needs its server and a driver here, else nothing of this is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import needs_postgres, postgres

from seglab.errors import TrackingError
from seglab.tracking.store import open_store

pytestmark = needs_postgres

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
    with postgres() as address:
        yield address


@pytest.mark.slow
def test_first_runs_in_an_empty_database_all_succeed_from_folders_of_their_own(address: str, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / str(number) / "mlruns"), address],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    output = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4, output
    runs = open_store(address, tmp_path / "more").all_runs()
    assert [(run.info.status, run.data.metrics) for run in runs] == [("FINISHED", {"val_dice": 0.5})] * 4


@pytest.mark.parametrize(
    ("right", "wrong"), [(":secret@", ":wrong@"), ("//postgres", "//nobody"), ("/postgres", "/no")]
)
def test_who_is_not_let_in_is_advised_to_touch_no_data(address: str, tmp_path: Path, right: str, wrong: str) -> None:
    start, _, end = address.rpartition(right)
    with pytest.raises(TrackingError) as caught:
        open_store(start + wrong + end, tmp_path / "mlruns")
    assert "correct user, password and database name" in caught.value.remedy
    assert "secret" not in str(caught.value)
