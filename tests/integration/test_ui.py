"""MLflow's pages on a folder of runs: they show what is there, and change no store of another MLflow."""

from __future__ import annotations

import json
import os
import shlex
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

from seglab.config.places import ROOT
from seglab.runtime.terminal import seglab_here
from seglab.tracking.run_addresses import pictures_address, run_address
from seglab.tracking.store import Store, open_store


def command(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / "ui.py"), *words]


def test_a_store_of_an_older_mlflow_is_not_served(tmp_path: Path) -> None:
    file = make_old_store(tmp_path / "mlruns")
    before = digest(file)
    done = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: a store of runs that an older MLflow made")
    assert digest(file) == before


def test_a_port_that_is_taken_is_reported_with_one_that_is_free(tmp_path: Path) -> None:
    toys.fresh_store(tmp_path / "mlruns")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = command("--port", str(port))
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: port already in use")
        assert done.stdout == ""  # no address that leads elsewhere
        other = int(done.stderr.rpartition("port=")[2])
        with socket.create_server(("127.0.0.1", other)):
            pass


def test_two_that_start_at_once_take_two_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has not begun to listen when the second asks; another process takes the port when both are over."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ask = f"import time; from seglab.tracking.port import check_free; check_free({port}); "
    words = [sys.executable, "-c", ask + "print('taken', flush=True); time.sleep(60)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "taken\n"
        second = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        first.kill()
    assert f"seglab ui port={port + 1}" in second.stderr
    assert "port already in use" in second.stderr
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as third:
        assert third.stdout is not None
        assert third.stdout.readline() == "taken\n"
        third.kill()


@pytest.mark.slow
def test_a_variable_that_nothing_follows_is_reported_once(tmp_path: Path) -> None:
    toys.fresh_store(tmp_path / "mlruns")
    code = "from pathlib import Path; from seglab.tracking.store import open_store\n"
    code += "for _ in range(2): open_store(None, Path('mlruns'))"
    fields = {}
    addresses = ["http://me:secret@host:5000", f"sqlite:///{tmp_path / 'other.db'}", "databricks"]
    for address in (*addresses, f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}", ""):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"MLFLOW_TRACKING_URI": address},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        fields[address] = done.stderr
    first, other, cloud, same, unset = fields.values()
    assert first.count("MLFLOW_TRACKING_URI is set and not followed") == 1
    assert f"the store is sqlite:///{tmp_path}/mlruns/mlflow.db" in first
    assert "tracking.uri=http://me:***@host:5000" in first
    assert f"tracking.uri=sqlite:///{tmp_path}/other.db" in other
    assert "tracking.uri=databricks" in cloud
    assert same == unset == ""


def test_what_is_printed_at_the_end_of_a_run_leads_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = toys.fresh_store(tmp_path / "my runs" / "mlruns")
    recorder = Recorder(directory)
    run_id = recorder.run(level(0.6))
    store = open_store(None, directory)
    page = f"/#/experiments/{store.run(run_id).info.experiment_id}/runs/{run_id}"
    monkeypatch.chdir(ROOT)
    command = shlex.join([*seglab_here(), "ui", f"runs={directory}"])
    assert run_address(store, run_id) == f"{command}, then at the address that it prints: {page}"
    monkeypatch.chdir(directory.parent)  # where its runs are the usual ones
    command = shlex.join([*seglab_here(), "ui"])
    assert run_address(store, run_id) == f"{command}, then at the address that it prints: {page}"
    shared = open_store(store.uri, tmp_path / "mlruns")
    assert shlex.join(["ui", f"runs={shared.directory}", f"tracking.uri={store.uri}"]) in run_address(shared, run_id)
    served = Store("http://me:secret@host:5000/", directory, store.client)
    assert run_address(served, run_id) == f"http://me:***@host:5000{page}"
    pictures = Path(pictures_address(store, store.run(run_id).info.artifact_uri))
    assert pictures.parent.parent.parent.is_dir()
    assert "my runs" in str(pictures)
    assert pictures_address(served, f"mlflow-artifacts:/1/{run_id}/artifacts").startswith("kept by the server")


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
