"""What goes wrong with runs in real life, with real processes and a real server."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import mounts
import pytest
import toys
from faulty_stores import LIGHT, script, until

from seglab.tracking.heartbeat import mark_stale_runs
from seglab.tracking.store import open_store


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


@pytest.mark.slow
def test_first_runs_that_start_at_once_all_succeed(tmp_path: Path) -> None:
    directory = tmp_path / "mlruns"
    started = [light(directory, "end") for _ in range(3)]
    output = [process.communicate(timeout=180) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], output
    store = open_store(None, directory)
    for out, err in output:
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
        _, output = far.communicate(timeout=30)
    finally:
        far.kill()
    assert "taken for dead by another process" in output
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
def test_a_run_that_is_asked_to_stop_ends_killed(tmp_path: Path, sign: signal.Signals, code: int) -> None:
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
def test_a_training_that_is_asked_to_stop_ends_killed_with_its_state(tmp_path: Path) -> None:
    toys.fresh_store(tmp_path / "mlruns")

    def stopped(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, toys.__file__, str(tmp_path), "--die-at", f"2,3,{name}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    processes = {name: stopped(name) for name in ("SIGTERM", "SIGINT")}
    output = {name: process.communicate(timeout=180) for name, process in processes.items()}
    codes = {name: process.returncode for name, process in processes.items()}
    assert codes == {"SIGTERM": 143, "SIGINT": 130}, output
    store = open_store(None, tmp_path / "mlruns")
    for out, _ in output.values():
        run = store.run(out.split()[1])
        assert run.info.status == "KILLED"
        assert run.data.tags["end_reason"] in ("Terminated", "KeyboardInterrupt")
        assert (store.work_dir(run.info.run_id) / "state.npz").exists()
        assert [m.step for m in store.client.get_metric_history(run.info.run_id, "val_dice")] == [1]


@mounts.needs_mounts
@pytest.mark.parametrize("what", ["blocks", pytest.param("inodes", marks=pytest.mark.slow)])
def test_a_full_disk_is_one_sentence_and_the_end_is_reported_when_there_is_room(tmp_path: Path, what: str) -> None:
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
    code, output = mounts.within(prepared, [sys.executable, "-c", FILLING, str(directory), "pass"], after=after)
    assert code == 2, output
    assert "Traceback" not in output
    assert output.count("error: records of the run cannot be kept on disk") == 1
    assert "No space left on device" in output
    assert "make room, then go on with: seglab train resume=" in output
    assert "END FAILED TrackingError: records of the run cannot be kept on disk" in output


@pytest.mark.slow
def test_a_folder_of_runs_that_is_removed_under_a_run_is_one_sentence(tmp_path: Path) -> None:
    directory = toys.fresh_store(tmp_path / "mlruns")
    command = [sys.executable, "-c", FILLING, str(directory), "import shutil; shutil.rmtree(sys.argv[1])"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: the folder of the run was removed while it ran" in done.stderr
