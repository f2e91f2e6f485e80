"""What goes wrong with runs in real life, with real processes and a real server."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mounts
import numpy as np
import pytest
import toys

from seglab.config.places import ROOT
from seglab.config.sections import TrackingSettings
from seglab.tracking import courier as couriers
from seglab.tracking import outbox, tracker
from seglab.tracking.heartbeat import mark_stale_runs
from seglab.tracking.mlflow_client import mlflow
from seglab.tracking.store import open_store
from seglab.tracking.tracker import Tracker

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


def light(directory: Path, then: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LIGHT, str(directory), then]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# A run that tells until its disk is full, as a command of the laboratory: then says what the disk is, and waits.
FILLING = """
import sys, time
from pathlib import Path
from seglab.errors import run_script
from seglab.config.sections import TrackingSettings
from seglab.tracking.tracker import Tracker
settings = TrackingSettings(uri=None, experiment="light", system_metrics=False, heartbeat_seconds=0.5)
def main():
    with Tracker(settings, Path(sys.argv[1]), run_name="Filling", params={"seed": 1}, tags={}) as run:
        print(run.run_id, flush=True)
        run.emit({"val_dice": 0.5}, 1)
        time.sleep(1)
        exec(sys.argv[2])
        for number in range(100_000):
            run.emit({f"metric_{number}": 0.5}, number)
            run.log_text("x" * 3000, f"texts/{number}.txt")
run_script(main)
"""


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_first_runs_that_start_at_once_all_succeed(tmp_path: Path) -> None:
    directory = tmp_path / "mlruns"
    started = [light(directory, "end") for _ in range(3)]
    said = [process.communicate(timeout=180) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    store = open_store(None, directory)
    for out, err in said:
        run = store.run(out.strip())
        assert (run.info.status, run.data.metrics) == ("FINISHED", {"val_dice": 0.5})
        assert err == ""  # no migrations, addresses or warnings of MLflow's
    assert [one.name for one in store.client.search_experiments() if one.name == "light"] == ["light"]


def test_a_killed_run_is_marked_by_the_next_start_and_a_live_one_is_left_alone(tmp_path: Path) -> None:
    directory = toys.fresh_store(tmp_path / "mlruns")
    with light(directory, "sleep") as killed, light(directory, "sleep") as living:
        assert killed.stdout is not None
        assert living.stdout is not None
        dead, alive = killed.stdout.readline().strip(), living.stdout.readline().strip()
        killed.kill()
        killed.wait()
        store = open_store(None, directory)
        assert store.run(dead).info.status == "RUNNING"
        with light(directory, "end") as third:
            assert third.wait(60) == 0
        assert store.run(dead).info.status == "KILLED"
        assert store.run(dead).data.metrics == {"val_dice": 0.5}
        assert store.run(alive).info.status == "RUNNING"
        living.terminate()
        living.wait(30)
    assert store.run(alive).info.status == "KILLED"


@pytest.mark.slow
def test_a_machine_whose_clock_is_six_minutes_off_loses_no_run(tmp_path: Path) -> None:
    directory = toys.fresh_store(tmp_path / "mlruns")
    store = open_store(None, directory)
    elsewhere = "import socket, time\nnow = time.time\ntime.time = lambda: now() - 360\n"
    elsewhere += "socket.gethostname = lambda: 'far-away'\n"
    # It shares the store and no folder.
    other = LIGHT.replace("uri=None", f"uri={store.uri!r}").replace('"light"', '"far"').replace("0.2", "0.5")
    command = [sys.executable, "-c", elsewhere + other, str(tmp_path / "far"), "sleep"]
    far = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert far.stdout is not None
        run_id = far.stdout.readline().strip()
        for _ in range(2):
            with light(directory, "end") as near:
                assert near.wait(60) == 0
            assert store.run(run_id).info.status == "RUNNING"
        # Its machine stands still for longer than ten heartbeats, as one does whose network is gone.
        sign = store.run(run_id).data.tags["heartbeat"]
        until(lambda: store.run(run_id).data.tags["heartbeat"] != sign)
        time.sleep(0.1)  # between two beats: a process that is stopped while it writes keeps the file locked
        far.send_signal(signal.SIGSTOP)
        assert mark_stale_runs(store) == []
        time.sleep(5.5)
        assert [run.info.run_id for run in mark_stale_runs(store)] == [run_id]
        assert store.run(run_id).info.status == "KILLED"
        far.send_signal(signal.SIGCONT)
        until(lambda: store.run(run_id).info.status == "RUNNING")
        assert store.run(run_id).data.tags["end_reason"] == ""
        assert store.run(run_id).data.tags["host"] == "far-away"
        far.terminate()
        _, told = far.communicate(timeout=30)
    finally:
        far.kill()
    assert "taken for dead by another process" in told
    assert store.run(run_id).data.tags["end_reason"] == "Terminated"


@pytest.mark.slow
def test_doctor_marks_a_killed_run(tmp_path: Path) -> None:
    directory = toys.fresh_store(tmp_path / "mlruns")
    with light(directory, "sleep") as killed:
        assert killed.stdout is not None
        dead = killed.stdout.readline().strip()
        killed.kill()
    page = script("doctor", "--runs", str(directory))
    assert f"{dead} (Light): its process is gone; marked KILLED" in page.stdout
    assert page.returncode == 0, page.stdout
    for label in ("Code", "Packages", "CPU flags", "Precision", "Store", "Artifacts", "Disk"):
        assert f"  {label} " in page.stdout
    assert "Stale" not in script("doctor", "--runs", str(directory)).stdout
    assert "auto is" in page.stdout


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_told_to_stop_ends_killed(tmp_path: Path, sign: signal.Signals, code: int) -> None:
    directory = toys.fresh_store(tmp_path / "mlruns")
    with light(directory, "sleep") as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        process.send_signal(sign)
        assert process.wait(60) == code
    run = open_store(None, directory).run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.metrics == {"val_dice": 0.5}
    assert run.info.end_time >= run.info.start_time


@pytest.mark.slow
def test_a_training_that_is_told_to_stop_ends_killed_with_its_state(tmp_path: Path) -> None:
    toys.fresh_store(tmp_path / "mlruns")

    def stopped(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, toys.__file__, str(tmp_path), "--die-at", f"2,3,{name}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    processes = {name: stopped(name) for name in ("SIGTERM", "SIGINT")}
    said = {name: process.communicate(timeout=180) for name, process in processes.items()}
    codes = {name: process.returncode for name, process in processes.items()}
    assert codes == {"SIGTERM": 143, "SIGINT": 130}, said
    store = open_store(None, tmp_path / "mlruns")
    for out, _ in said.values():
        run = store.run(out.split()[1])
        assert run.info.status == "KILLED"
        assert run.data.tags["end_reason"] in ("Terminated", "KeyboardInterrupt")
        assert (store.work_dir(run.info.run_id) / "state.npz").exists()
        assert [m.step for m in store.client.get_metric_history(run.info.run_id, "val_dice")] == [1]


@mounts.needs_mounts
@pytest.mark.parametrize("what", ["blocks", pytest.param("inodes", marks=pytest.mark.slow)])
def test_a_full_disk_is_one_sentence_and_the_end_is_told_when_there_is_room(tmp_path: Path, what: str) -> None:
    template, directory = toys.fresh_store(tmp_path / "template"), tmp_path / "mlruns"
    directory.mkdir()
    limit = {"blocks": "4m", "inodes": "60m,nr_inodes=60"}[what]
    prepared = f"{mounts.small(directory, limit)} && cp {template}/mlflow.db {directory}/"
    ask = "from pathlib import Path\nimport sys\nfrom seglab.tracking.store import open_store\n"
    ask += "from seglab.tracking.heartbeat import mark_stale_runs\n"
    ask += "store = open_store(None, Path(sys.argv[1]))\nmark_stale_runs(store)\n"
    ask += "for run in store.all_runs(): print('END', run.info.status, run.data.tags.get('end_reason'))\n"
    room = f"mount -o remount,size=60m,nr_inodes=10000 {directory}"
    after = f"echo CODE $code; {room}; {shlex.join([sys.executable, '-c', ask, str(directory)])}"
    code, said = mounts.within(prepared, [sys.executable, "-c", FILLING, str(directory), "pass"], after=after)
    assert code == 2, said
    assert "Traceback" not in said
    assert said.count("error: records of the run cannot be kept on disk") == 1
    assert "No space left on device" in said
    assert "make room, then go on with: seglab train resume=" in said
    assert "END FAILED TrackingError: records of the run cannot be kept on disk" in said


def test_a_folder_of_runs_that_is_removed_under_a_run_is_one_sentence(tmp_path: Path) -> None:
    directory = toys.fresh_store(tmp_path / "mlruns")
    command = [sys.executable, "-c", FILLING, str(directory), "import shutil; shutil.rmtree(sys.argv[1])"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: the folder of the run was removed while it ran" in done.stderr


class Gate:
    """A proxy before a server, which can answer by itself as one does whose users must log in, or that knows no MLflow.

    Attributes:
        answers: status, kind and text that are given to everything; None to let the server behind answer.
    """

    def __init__(self, behind: str):
        self.answers: tuple[int, str, str] | None = None
        self.turned_away = 0
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if gate.answers is not None:
                    gate.turned_away += 1
                    status, kind, text = gate.answers
                    self.reply(status, kind, text.encode())
                    return
                request = urllib.request.Request(behind + self.path, body or None, method=self.command)
                request.add_header("Content-Type", self.headers.get("Content-Type", "application/json"))
                try:
                    with urllib.request.urlopen(request, timeout=60) as got:
                        self.reply(got.status, got.headers.get_content_type(), got.read())
                except urllib.error.HTTPError as error:
                    self.reply(error.code, error.headers.get_content_type(), error.read())

            def reply(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *args: Any) -> None:
                pass

        self.listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.listening.server_port}"
        threading.Thread(target=self.listening.serve_forever, daemon=True).start()


class Server:
    """A real MLflow server that can be killed and started again."""

    def __init__(self, folder: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=os.environ | quiet
            )
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return
            time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text()[-3000:])

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


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


@pytest.mark.server
def test_a_server_that_dies_midway_gets_everything_in_the_end(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(couriers, "_RETRY_SECONDS", 0.3)
    monkeypatch.setattr(tracker, "_PATIENCE_SECONDS", 1.0)
    directory = tmp_path / "mlruns"
    settings = TrackingSettings(uri=server.uri, experiment="served", system_metrics=False, heartbeat_seconds=0.5)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "weights.txt").write_text("weights")
    example = np.zeros((1, 8, 8, 1), "float32")
    with Tracker(settings, directory, run_name="Served", params={"seed": 1}, tags={"a": "b"}) as run:
        box = run.work_dir / "outbox"
        run.emit({"val_dice": 0.1}, 1)
        run.log_text("first", "texts/first.txt")
        until(lambda: not list(box.glob("*.json")))
        server.kill()
        start = time.perf_counter()
        run.emit({"val_dice": 0.2, "val_iou": float("nan")}, 2)
        run.set_tags({"device": "cpu"})
        assert time.perf_counter() - start < 1  # training does not wait for a server that is gone
        until(lambda: "does not answer" in capsys.readouterr().err)
        server.start()
        until(lambda: not list(box.glob("*.json")))
        assert run.store.run(run.run_id).data.metrics["val_dice"] == 0.2
        server.kill()
        run.emit({"val_dice": 0.3}, 3)
        run.log_text("second", "second.txt")
        run.log_dataset("toys/train", "d" * 64, "training", "nowhere", {"cases": 2})
        run.log_bundle(bundle, example=example, prediction=np.zeros((1, 8, 8), "uint8"))
    told = capsys.readouterr().err
    assert f"run {run.run_id} is FINISHED" in told
    assert "seglab sync" in told
    assert len(list(box.glob("*.json"))) == 6  # metrics, text, data set and its tag, model, end

    away = script("sync", "--runs", str(directory))
    assert away.returncode == 1
    assert f"run {run.run_id}: 0 records delivered, 6 left" in away.stdout
    server.start()
    synced = script("sync", "--runs", str(directory))
    assert synced.returncode == 0, synced.stdout + synced.stderr
    assert f"run {run.run_id}: 6 records delivered\n" in synced.stdout
    assert "nothing waits" in script("sync", "--runs", str(directory)).stdout

    client = open_store(server.uri, directory).client
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert [(m.step, m.value) for m in client.get_metric_history(run.run_id, "val_dice")] == [
        (1, 0.1),
        (2, 0.2),
        (3, 0.3),
    ]
    assert (found.data.tags["device"], found.data.tags["dataset_digest_training"]) == ("cpu", "d" * 64)
    assert [one.path for one in client.list_artifacts(run.run_id)] == ["second.txt", "texts"]
    assert [one.dataset.name for one in found.inputs.dataset_inputs] == ["toys/train"]
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server.uri)
    try:
        got = Path(mlflow.artifacts.download_artifacts(run.model_uri, dst_path=str(tmp_path / "got")))
    finally:
        mlflow.set_tracking_uri(before)
    assert (got / "data" / "bundle" / "weights.txt").read_text() == "weights"
    assert not box.exists()


LOCKED = [
    (401, "text/html", "<html>You are not authenticated.</html>"),
    (403, "text/plain", "Permission denied"),
    (401, "application/json", json.dumps({"error_code": "UNAUTHENTICATED", "message": "who are you?"})),
    (403, "application/json", json.dumps({"error_code": "PERMISSION_DENIED", "message": "not for you"})),
    (404, "text/html", "<html>default backend</html>"),
    (400, "text/html", "<html>The plain HTTP request was sent to HTTPS port</html>"),
    (407, "text/html", "<html>proxy authentication</html>"),
    (200, "text/html", "<html>Please accept the terms</html>"),
]


@pytest.mark.server
def test_what_a_server_answers_that_lets_nobody_in_costs_no_record(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(couriers, "_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(couriers, "_RETRY_SECONDS_AT_MOST", 0.2)
    monkeypatch.setattr(tracker, "_PATIENCE_SECONDS", 0.5)
    gate = Gate(server.uri)
    directory = tmp_path / "mlruns"
    settings = TrackingSettings(uri=gate.uri, experiment="gated", system_metrics=False, heartbeat_seconds=0.5)
    with Tracker(settings, directory, run_name="Gated", params={"seed": 1}, tags={}) as run:
        box = run.work_dir / "outbox"
        for number, answer in enumerate(LOCKED):
            gate.answers = answer
            before = gate.turned_away
            run.emit({"val_dice": 0.1 * number}, number)
            run.log_text("text", f"texts/{number}.txt")
            until(lambda before=before: gate.turned_away >= before + 3)
            assert not (box / outbox.REFUSED).exists(), answer
            gate.answers = None
            until(lambda: not list(box.glob("*.json")))
        gate.answers = LOCKED[0]
        run.emit({"val_dice": 0.9}, 99)
        run.log_text("text", "last.txt")
    told = capsys.readouterr().err
    assert "does not let this run in" in told
    assert "MLFLOW_TRACKING_TOKEN" in told
    assert f"run {run.run_id} is FINISHED; 3 of its records wait" in told
    shut = script("sync", "--runs", str(directory))
    assert (shut.returncode, "3 left" in shut.stdout) == (1, True), shut.stdout
    assert "MLFLOW_TRACKING_TOKEN" in shut.stdout
    gate.answers = None
    assert f"run {run.run_id}: 3 records delivered\n" in script("sync", "--runs", str(directory)).stdout
    client = open_store(server.uri, directory).client
    assert client.get_run(run.run_id).info.status == "FINISHED"
    steps = [metric.step for metric in client.get_metric_history(run.run_id, "val_dice")]
    assert steps == [*range(len(LOCKED)), 99]
    assert len(client.list_artifacts(run.run_id, "texts")) == len(LOCKED)
