"""A server that dies midway or lets nobody in costs no record."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_stores import Server, script, server, until

from seglab.config.sections import TrackingSettings
from seglab.tracking import courier as couriers
from seglab.tracking import outbox, tracker
from seglab.tracking.mlflow_client import mlflow
from seglab.tracking.store import open_store
from seglab.tracking.tracker import Tracker

__all__ = ["server"]


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
    output = capsys.readouterr().err
    assert f"run {run.run_id} is FINISHED" in output
    assert "seglab sync" in output
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


@pytest.mark.slow
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
    output = capsys.readouterr().err
    assert "does not let this run in" in output
    assert "MLFLOW_TRACKING_TOKEN" in output
    assert f"run {run.run_id} is FINISHED; 3 of its records wait" in output
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
