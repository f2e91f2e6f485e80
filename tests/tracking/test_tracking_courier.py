"""What delivers the records: a store that goes and comes, dead runs, refused records."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from outboxes import WRONG, FakeClient, box

from seglab.tracking import courier as couriers
from seglab.tracking import operations, outbox
from seglab.tracking.courier import Courier
from seglab.tracking.outbox import REFUSED, Outbox, deliver_all, lock_of

__all__ = ["box"]


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
    output = capsys.readouterr().err
    assert output.count("does not answer") == 1
    assert output.count("answers again") == 1


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


def test_a_run_that_was_asked_to_stop_does_not_wait_for_a_slow_store(box: Outbox) -> None:
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


def test_what_was_refused_is_reported_and_can_be_tried_again(
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


def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
