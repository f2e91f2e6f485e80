"""MLflow's pages on a folder of runs: they show what is there, and change no store of another MLflow."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
import toys
from old_stores import digest, make_old_store
from recorded_runs import Recorder, level

from seglab.command import ROOT


def command(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / "ui.py"), *words]


def test_a_store_of_an_older_mlflow_is_not_served(tmp_path: Path) -> None:
    file = make_old_store(tmp_path / "mlruns")
    before = digest(file)
    done = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: a store of runs that an older MLflow made")
    assert digest(file) == before


@pytest.mark.slow
@pytest.mark.server
def test_the_runs_are_served(tmp_path: Path) -> None:
    run_id = Recorder(toys.fresh_store(tmp_path / "mlruns")).run(level(0.6))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            command("--port", str(port)), cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):
                break
            time.sleep(0.2)
        with urllib.request.urlopen(f"{address}/api/2.0/mlflow/runs/get?run_id={run_id}", timeout=20) as answer:
            assert json.load(answer)["run"]["info"]["run_name"] == "UNet_DiceLoss_Adam"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
