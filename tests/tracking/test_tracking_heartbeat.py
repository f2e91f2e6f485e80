"""Which runs are dead, and what becomes of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import toys

from seglab.run_record import Tag
from seglab.tracking import operations
from seglab.tracking.clockless_heartbeat import PeerSightings
from seglab.tracking.heartbeat import MISSED_HEARTBEATS, STALE_REASON, Heartbeat, alive, beat, identity, mark_stale_runs
from seglab.tracking.outbox import Outbox
from seglab.tracking.store import Store, open_store

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(None, toys.fresh_store(tmp_path_factory.mktemp("store") / "mlruns"))


@pytest.fixture(scope="module")
def dead() -> dict[str, str]:
    """Tags of a process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = psutil.Process(child.pid).create_time()
        child.communicate(b"\n")
    return {**identity(), **beat(30), "pid": str(child.pid), "process_started": f"{started:.2f}"}


def elsewhere(sign: float = NOW, interval: float = 30.0) -> dict[str, str]:
    tags = {**identity(), "host": "far-away", "machine": "other"}
    return tags | {Tag.HEARTBEAT: f"{sign:.3f}", "heartbeat_seconds": f"{interval:g}"}


def test_this_process_lives_whatever_its_heartbeat() -> None:
    assert alive({**identity(), Tag.HEARTBEAT: "0", "heartbeat_seconds": "1"}) is True


def test_a_process_of_this_machine_that_ended_is_dead_at_once(dead: dict[str, str]) -> None:
    assert alive(dead) is False


def test_another_process_with_the_same_number_is_not_it() -> None:
    assert alive({**identity(), **beat(30), "process_started": "1000.00"}) is False


@pytest.mark.parametrize("apart", [-86400.0, -360.0, 0.0, 360.0, 86400.0])
def test_clocks_of_two_machines_are_not_compared(apart: float, tmp_path: Path) -> None:
    now = time.time()
    assert alive(elsewhere(now + apart)) is True
    clock = [1000.0]
    sightings = PeerSightings(tmp_path / "seen.json", lambda: clock[0])
    for beats in range(100):
        assert alive(elsewhere(now + apart + 30 * beats), sightings) is True
        clock[0] += 30


def test_elsewhere_a_heartbeat_that_stands_still_for_long_enough_is_death(tmp_path: Path) -> None:
    clock = [1000.0]

    def still_alive(sign: float, interval: float = 30.0) -> bool | None:
        # Each look is a command of its own, which knows what the one before has left.
        return alive(elsewhere(sign, interval), PeerSightings(tmp_path / "seen.json", lambda: clock[0]))

    assert still_alive(NOW) is True
    clock[0] += 30 * MISSED_HEARTBEATS
    assert still_alive(NOW) is True
    clock[0] += 1
    assert still_alive(NOW) is False
    assert still_alive(NOW, interval=60) is True
    assert still_alive(NOW - 5) is True  # whichever way it moves, as after its clock was set
    clock[0] += 30 * MISSED_HEARTBEATS + 1
    assert still_alive(NOW - 5) is False


def test_sightings_that_cannot_be_kept_or_read_call_nobody_dead(tmp_path: Path) -> None:
    clock = [1000.0]
    (tmp_path / "file").write_text("")
    lost = PeerSightings(tmp_path / "file" / "seen.json", lambda: clock[0])
    assert lost.still_for("one", "1") == 0
    clock[0] += 50
    assert lost.still_for("one", "1") == 50  # at least this process knows
    broken = tmp_path / "seen.json"
    for text in ("", "[1]", '{"one": 3}', "\0" * 20):
        broken.write_text(text)
        assert PeerSightings(broken, lambda: clock[0]).still_for("one", "1") == 0
        assert PeerSightings(broken, lambda: clock[0] + 7).still_for("one", "1") == 7


def test_the_same_name_in_another_container_is_another_machine() -> None:
    tags = {**identity(), **beat(30), "machine": "another boot pid:[1]", "pid": "1"}
    assert alive(tags) is True


def test_a_run_without_heartbeat_is_not_judged() -> None:
    assert alive({}) is None


def test_only_runs_without_process_are_marked(store: Store, dead: dict[str, str]) -> None:
    experiment = store.experiment_id("stale")
    start = int((time.time() - 5000) * 1000)

    def run(tags: dict[str, str]) -> str:
        return store.client.create_run(experiment, tags=tags, start_time=start).info.run_id

    sign = time.time() - 4000
    killed = run({**dead, Tag.HEARTBEAT: f"{sign:.0f}"})
    silent = run({**elsewhere(sign, interval=0.05)})
    living = run({**identity(), **beat(30)})
    foreign = run({})
    assert {one.info.run_id for one in mark_stale_runs(store)} == {killed}
    time.sleep(0.05 * MISSED_HEARTBEATS + 0.1)
    assert {one.info.run_id for one in mark_stale_runs(store)} == {silent}
    found = {run_id: store.run(run_id) for run_id in (killed, silent, living, foreign)}
    assert [one.info.status for one in found.values()] == ["KILLED", "KILLED", "RUNNING", "RUNNING"]
    assert found[killed].info.end_time == pytest.approx(sign * 1000, abs=1000)
    assert "process is gone" in found[killed].data.tags["end_reason"]
    assert mark_stale_runs(store) == []


def test_an_end_that_waits_on_disk_is_the_end_of_the_run(store: Store, dead: dict[str, str]) -> None:
    run_id = store.client.create_run(store.experiment_id("stale"), tags=dead).info.run_id
    box = Outbox(store.work_dir(run_id) / "outbox", run_id, store.uri)
    box.add(operations.metrics({"val_dice": 0.5}, 3))
    box.add(operations.end("FINISHED"))
    assert mark_stale_runs(store) == []
    assert store.run(run_id).info.status == "FINISHED"
    assert store.run(run_id).data.metrics == {"val_dice": 0.5}
    # Killed between two records: what it could still tell is delivered, and its end is ours.
    other = store.client.create_run(store.experiment_id("stale"), tags=dead).info.run_id
    Outbox(store.work_dir(other) / "outbox", other, store.uri).add(operations.metrics({"val_dice": 0.5}, 1))
    assert [one.info.run_id for one in mark_stale_runs(store)] == [other]
    assert store.run(other).data.metrics == {"val_dice": 0.5}


def test_a_heart_beats(store: Store) -> None:
    tags = {**identity(), Tag.HEARTBEAT: "0", "heartbeat_seconds": "0.1"}
    run_id = store.client.create_run(store.experiment_id("stale"), tags=tags).info.run_id
    heart = Heartbeat.of_run(store.client, run_id, 0.1)
    heart.start()
    end = time.monotonic() + 10
    while store.run(run_id).data.tags[Tag.HEARTBEAT] == "0":
        assert time.monotonic() < end
        time.sleep(0.05)
    heart.finish()
    heart.join(5)
    assert abs(float(store.run(run_id).data.tags[Tag.HEARTBEAT]) - time.time()) < 10
    store.client.set_terminated(run_id)


def test_a_live_run_takes_back_what_others_took_for_its_end(store: Store) -> None:
    tags = {**identity(), **beat(0.1)}
    run_id = store.client.create_run(store.experiment_id("stale"), tags=tags).info.run_id
    store.client.set_tag(run_id, "end_reason", STALE_REASON)
    store.client.set_terminated(run_id, "KILLED")
    heart = Heartbeat.of_run(store.client, run_id, 0.1)
    heart.start()
    end = time.monotonic() + 10
    while store.run(run_id).info.status != "RUNNING":
        assert time.monotonic() < end
        time.sleep(0.05)
    heart.finish()
    assert not heart.is_alive()
    assert store.run(run_id).data.tags["end_reason"] == ""
    # Its own end stays, and so does that of another process that went on with the run.
    for end_reason, pid in (("Terminated", tags["pid"]), (STALE_REASON, "1")):
        store.client.set_tag(run_id, "end_reason", end_reason)
        store.client.set_tag(run_id, "pid", pid)
        store.client.set_terminated(run_id, "KILLED")
        heart = Heartbeat.of_run(store.client, run_id, 0.05)
        heart.start()
        time.sleep(0.5)
        heart.finish()
        assert store.run(run_id).info.status == "KILLED"
    # An end that was kept while the store was away says its own reason, or that there is none.
    operations.apply(store.client, run_id, operations.end("FINISHED", ""), None)
    assert store.run(run_id).data.tags["end_reason"] == ""


def test_a_slurm_job_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    assert not any(name.startswith("slurm") for name in identity())
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert identity()["slurm_job_id"] == "17"
    assert identity()["slurm_array_task_id"] == "3"


def test_a_store_elsewhere_is_left_without_folders_here(store: Store, tmp_path: Path) -> None:
    # Looking for dead runs makes nothing on disk for runs of other machines.
    before = sorted(store.directory.rglob("*"))
    mark_stale_runs(store)
    assert sorted(store.directory.rglob("*")) == before
