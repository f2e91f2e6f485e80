"""Shared by the tests of tracking faults: scripts that record a run, and a server that can be cut off."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toys
from mlflow_server import MlflowServer as Server

from seglab.config.places import ROOT

# A run without training, which starts in a second: says its id, then does what its second argument says.
LIGHT = """
import sys, time
from pathlib import Path
from seglab.config.sections import TrackingSettings
from seglab.tracking.tracker import Tracker
settings = TrackingSettings(uri=None, experiment="light", system_metrics=False, heartbeat_seconds=0.2)
try:
    with Tracker(settings, Path(sys.argv[1]), run_name="Light", params={"seed": 1}, tags={}) as run:
        run.emit({"val_dice": 0.5}, 1)
        print(run.run_id, flush=True)
        if sys.argv[2] == "sleep":
            time.sleep(120)
except KeyboardInterrupt as stop:
    sys.exit(getattr(stop, "exit_code", 130))
"""


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = toys.fresh_store(tmp_path / "server")
    served = Server(folder)
    served.start()
    yield served
    served.kill()


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
