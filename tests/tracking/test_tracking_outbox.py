"""Records that wait on disk: order, refusals, a store that goes and comes, processes that die in between."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import toys
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    TEMPORARILY_UNAVAILABLE,
    UNAUTHENTICATED,
)
from requests import HTTPError, Response
from sqlalchemy.exc import DatabaseError, DataError

from seglab.tracking import courier as couriers
from seglab.tracking import operations, outbox
from seglab.tracking.courier import Courier
from seglab.tracking.mlflow_client import refused
from seglab.tracking.outbox import REFUSED, Outbox, deliver_all, lock_of
from seglab.tracking.store import open_store

GONE = MlflowException("API request failed: connection refused", TEMPORARILY_UNAVAILABLE)
WRONG = MlflowException("Invalid metric name", INVALID_PARAMETER_VALUE)


class FakeClient:
    """Remembers what it is told; raises what it is told to raise, by the step of a metric."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.errors: dict[int, Exception] = {}
        self.away = False

    def log_batch(self, run_id: str, metrics: Any = (), tags: Any = ()) -> None:
        if self.away:
            raise GONE
        for metric in metrics:
            if metric.step in self.errors:
                raise self.errors[metric.step]
            self.seen.append((metric.key, metric.step, metric.value))
        self.seen += [(tag.key, tag.value) for tag in tags]

    def log_artifacts(self, run_id: str, folder: str, path: str | None) -> None:
        self.seen.append((path, sorted(one.name for one in Path(folder).iterdir())))

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        if self.away:
            raise GONE
        self.seen.append(status)


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "runs" / "r1" / "outbox", "r1", "http://host:1")


def test_records_are_delivered_in_order_and_go_away(box: Outbox) -> None:
    client: Any = FakeClient()
    for step in range(12):
        box.add(operations.metrics({"a": step}, step))
    box.add(operations.artifact("figures"), lambda folder: (folder / "x.txt").write_text("x"))
    box.add(operations.end("FINISHED"))
    box.deliver(client)
    assert client.seen == [("a", step, float(step)) for step in range(12)] + [("figures", ["x.txt"]), "FINISHED"]
    assert box.waiting() == []
    assert not list(box.directory.glob("*.files"))
    box.remove()
    assert not box.directory.exists()


def test_a_store_that_is_away_leaves_the_rest_waiting_in_order(box: Outbox) -> None:
    client: Any = FakeClient()
    client.errors[1] = GONE
    for step in range(4):
        box.add(operations.metrics({"a": 0.0}, step))
    with pytest.raises(MlflowException):
        box.deliver(client)
    assert [seen[1] for seen in client.seen] == [0]
    box.remove()
    # Another process, later.
    client.errors.clear()
    again = Outbox.found(box.directory)
    assert (again.run_id, again.uri) == ("r1", "http://host:1")
    again.add(operations.metrics({"a": 0.0}, 4))
    again.deliver(client)
    assert [seen[1] for seen in client.seen] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [WRONG, ValueError("a bug of ours"), FileNotFoundError("attachment")])
def test_a_refused_record_is_set_aside_and_told(box: Outbox, error: Exception, capsys: Any) -> None:
    client: Any = FakeClient()
    client.errors[1] = error
    for step in range(3):
        box.add(operations.metrics({"a": 0.0}, step))
    box.deliver(client)
    assert [seen[1] for seen in client.seen] == [0, 2]
    assert "refused" in capsys.readouterr().err
    aside = box.directory / REFUSED
    assert json.loads((aside / "00000001.json").read_text())["step"] == 1
    assert (aside / "00000001.reason").read_text().startswith(str(getattr(error, "message", error)))
    box.remove()
    assert aside.exists()


def test_a_killed_writer_leaves_no_half_record(box: Outbox) -> None:
    def attach(folder: Path) -> None:
        (folder / "big").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        box.add(operations.artifact(""), attach)
    (box.directory / "00000007.json.part").write_text('{"kind": "met')
    assert box.waiting() == []
    client: Any = FakeClient()
    again = Outbox.found(box.directory)
    again.add(operations.metrics({"a": 1.0}, 1))
    again.deliver(client)
    assert client.seen == [("a", 1, 1.0)]


def test_a_record_keeps_its_time_so_that_sending_twice_stores_once(tmp_path: Path) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    run_id = store.client.create_run(store.experiment_id("twice")).info.run_id
    box = Outbox(store.work_dir(run_id) / "outbox", run_id, store.uri)
    box.add(operations.metrics({"a": 0.25, "b": float("nan")}, 3))
    record = box.waiting()[0].read_text()
    box.deliver(store.client)
    # The store took it, and the process died before it could remove the record.
    (box.directory / "00000000.json").write_text(record)
    box.deliver(store.client)
    assert [(m.step, m.value) for m in store.client.get_metric_history(run_id, "a")] == [(3, 0.25)]
    assert len(store.client.get_metric_history(run_id, "b")) == 1


def test_a_model_that_was_half_uploaded_becomes_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    run_id = store.client.create_run(store.experiment_id("models")).info.run_id
    box = Outbox(store.work_dir(run_id) / "outbox", run_id, store.uri)

    def attach(folder: Path) -> None:
        (folder / "MLmodel").write_text("flavors: {}\nutc_time_created: '2026-11-21 10:00:00.000000'\n")

    box.add(operations.model(), attach)
    with monkeypatch.context() as broken:
        broken.setattr(store.client, "log_model_artifacts", lambda *_: (_ for _ in ()).throw(GONE))
        with pytest.raises(MlflowException):
            box.deliver(store.client)
    box.deliver(store.client)
    outputs = store.client.get_run(run_id).outputs.model_outputs
    listed = store.client.search_logged_models([store.experiment_id("models")])
    assert [one.model_id for one in outputs] == [one.model_id for one in listed]
    assert len(listed) == 1
    assert listed[0].status.name == "READY"


def test_the_courier_survives_a_store_that_goes_and_comes(
    box: Outbox, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "_RETRY_SECONDS", 0.05)
    client: Any = FakeClient()
    courier = Courier(box, client)
    courier.start()
    box.add(operations.metrics({"a": 0.0}, 0))
    until(lambda: len(client.seen) == 1)
    client.away = True
    for step in (1, 2):
        box.add(operations.metrics({"a": 0.0}, step))
    time.sleep(0.3)
    assert len(client.seen) == 1
    client.away = False
    until(lambda: len(client.seen) == 3)
    box.add(operations.end("FINISHED"))
    assert courier.finish(patience=5)
    assert client.seen[-1] == "FINISHED"
    told = capsys.readouterr().err
    assert told.count("does not answer") == 1
    assert told.count("answers again") == 1


def test_the_courier_gives_up_after_its_patience(box: Outbox) -> None:
    client: Any = FakeClient()
    client.away = True
    courier = Courier(box, client)
    courier.start()
    box.add(operations.end("FINISHED"))
    start = time.monotonic()
    assert not courier.finish(patience=1)
    assert 0.9 < time.monotonic() - start < 5
    assert len(box.waiting()) == 1
    assert not courier.is_alive()


def test_a_run_that_was_told_to_stop_does_not_wait_for_a_slow_store(box: Outbox) -> None:
    release = threading.Event()
    client: Any = FakeClient()
    client.set_terminated = lambda *_: release.wait(20)
    courier = Courier(box, client)
    courier.start()
    box.add(operations.end("KILLED"))
    start = time.monotonic()
    assert not courier.finish(patience=10, at_most=0.5)
    assert time.monotonic() - start < 5
    release.set()


def test_sync_delivers_what_dead_runs_left_and_leaves_live_ones_alone(
    box: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = FakeClient()
    monkeypatch.setattr(outbox, "client_of", lambda uri: client)
    box.add(operations.metrics({"a": 0.0}, 0))
    box.add(operations.end("FINISHED"))
    with lock_of(box.directory.parent):
        assert [(one.records, one.left, one.reason) for one in deliver_all(tmp_path)] == [
            (0, 2, "its run is alive and delivers itself")
        ]
    client.away = True
    assert [(one.records, one.left) for one in deliver_all(tmp_path)] == [(0, 2)]
    client.away = False
    assert [(one.run_id, one.records, one.left, one.reason) for one in deliver_all(tmp_path)] == [("r1", 2, 0, "")]
    assert client.seen[-1] == "FINISHED"
    assert deliver_all(tmp_path) == []
    assert not box.directory.exists()


def test_sync_makes_no_new_store_in_the_place_of_a_lost_one(tmp_path: Path) -> None:
    lost = Outbox(tmp_path / "runs" / "r1" / "outbox", "r1", f"sqlite:///{tmp_path}/mlflow.db")
    lost.add(operations.end("FINISHED"))
    (found,) = deliver_all(tmp_path)
    assert (found.records, found.left) == (0, 1)
    assert "is gone" in found.reason
    assert not (tmp_path / "mlflow.db").exists()


def test_what_was_refused_is_told_and_can_be_tried_again(
    box: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = FakeClient()
    monkeypatch.setattr(outbox, "client_of", lambda uri: client)
    client.errors = {1: WRONG, 3: WRONG}
    for step in range(4):
        box.add(operations.metrics({"a": 0.0}, step))
    (first,) = deliver_all(tmp_path)
    assert (first.records, first.left, first.refused, first.kept_in) == (2, 0, 2, box.directory / REFUSED)
    (still,) = deliver_all(tmp_path)  # not forgotten, and not tried unasked
    assert (still.records, still.left, still.refused) == (0, 0, 2)
    del client.errors[3]
    (again,) = deliver_all(tmp_path, refused_too=True)
    assert (again.records, again.left, again.refused) == (1, 0, 1)
    client.errors.clear()
    (last,) = deliver_all(tmp_path, refused_too=True)
    assert (last.records, last.left, last.refused) == (1, 0, 0)
    assert [seen[1] for seen in client.seen] == [0, 2, 3, 1]
    assert not box.directory.exists()
    assert deliver_all(tmp_path) == []


def test_a_record_that_the_disk_has_lost_holds_nothing_up(box: Outbox, tmp_path: Path) -> None:
    client: Any = FakeClient()
    for step in range(3):
        box.add(operations.metrics({"a": 0.0}, step))
    box.waiting()[1].write_bytes(bytes(40))
    box.deliver(client)
    assert [seen[1] for seen in client.seen] == [0, 2]
    assert [path.name for path in box.refused()] == ["00000001.json"]
    (box.directory / "address").write_bytes(bytes(40))
    assert deliver_all(tmp_path) == []  # told on stderr


def answered(status: int, text: str = "") -> HTTPError:
    response = Response()
    response.status_code = status
    response._content = text.encode()
    return HTTPError("upload failed", response=response)


def of_database(cause: Exception) -> MlflowException:
    error = MlflowException(str(cause), BAD_REQUEST)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (WRONG, True),
        (GONE, False),
        (MlflowException("internal"), False),
        (MlflowException("who are you", UNAUTHENTICATED), False),
        (MlflowException("not for you", PERMISSION_DENIED), False),
        (MlflowException("error code 400 != 200. Response body: '<html>'", BAD_REQUEST), False),
        (RestException({"error_code": "BAD_REQUEST", "message": "no"}), True),
        (of_database(DataError("insert", {}, ValueError("too long"))), True),
        (of_database(DatabaseError("insert", {}, ValueError("database disk image is malformed"))), False),
        (answered(413), True),
        (answered(401), False),
        (answered(403), False),
        (answered(404), False),
        (answered(400, '{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such path"}'), True),
        (answered(429), False),
        (answered(503), False),
        (ConnectionError("reset"), False),
        (OSError(28, "No space left on device"), False),
        (FileNotFoundError("x"), True),
    ],
)
def test_what_is_worth_another_try(error: Exception, final: bool) -> None:
    assert refused(error) is final


def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
