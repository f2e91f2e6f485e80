"""Records that wait on disk: order, refusals, a store that goes and comes, processes that die in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toys
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
)
from outboxes import GONE, WRONG, FakeClient, box
from requests import HTTPError, Response
from sqlalchemy.exc import DatabaseError, DataError

from seglab.tracking import operations
from seglab.tracking.mlflow_client import refused
from seglab.tracking.outbox import REFUSED, Outbox, deliver_all
from seglab.tracking.store import open_store

__all__ = ["box"]


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
def test_a_refused_record_is_set_aside_and_reported(box: Outbox, error: Exception, capsys: Any) -> None:
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
