"""How many jobs run at once, with how many threads, and what is known of them while they run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sweep_configs import identity

from seglab.command import JOB_VARIABLE
from seglab.errors import ConfigError
from seglab.runtime.memory import available_bytes
from seglab.runtime.reproducibility import threads_environment
from seglab.sweeping import executor as executors
from seglab.sweeping.executor import Command, LocalExecutor
from seglab.sweeping.job_runner import last_step, last_words
from seglab.sweeping.parent import locked
from seglab.sweeping.status import SweepStatus, duration, seconds_a_job

__all__ = ["identity"]


class Job:
    """A process of the test's own: allocates so many MiB and sleeps."""

    def __init__(self, folder: Path, mebibytes: int):
        code = (
            f"import time; held = bytearray({mebibytes} << 20); held[::4096] = b'1' * len(held[::4096]); time.sleep(60)"
        )
        self.command = Command([sys.executable, "-c", code], {}, folder / "log", 2, "job", "identity")


def test_so_many_jobs_at_once_as_the_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(executors, "_SETTLED_SECONDS", 0.5)
    free = 10 << 30
    monkeypatch.setattr(executors, "available_bytes", lambda: free)
    executor = LocalExecutor(jobs=3)
    running: list[Any] = [executor.start(Job(tmp_path, 100).command)]
    try:
        assert not executor.room(running)  # not measured yet
        end = time.monotonic() + 60
        while not executor.room(running) or running[0].peak_bytes < 100 << 20:
            assert running[0].code() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        assert running[0].peak_bytes < 300 << 20
        running.append(executor.start(Job(tmp_path, 100).command))
        free = int(running[0].peak_bytes * 1.5)  # the second has not taken its share yet
        assert not executor.room(running)
        assert "memory: 2 of 3 jobs at once" in capsys.readouterr().err
        free = 10 << 30
        assert executor.room(running)
        assert not executor.room([*running, running[0]])  # three run
    finally:
        for process in running:
            process.interrupt()
            process.stop()
    assert all(process.code() is not None for process in running)
    assert running[0].reason() == "ended by signal SIGTERM"


def test_the_memory_of_a_container_is_its_limit(tmp_path: Path) -> None:
    assert available_bytes(tmp_path / "none") > 0
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert available_bytes(tmp_path) == 1000 - 700 + 150
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) > 1000


def test_cores_are_shared_between_jobs() -> None:
    cores = len(os.sched_getaffinity(0))
    assert LocalExecutor(1).threads == cores
    assert LocalExecutor(2).threads == max(1, cores // 2)
    assert LocalExecutor(4 * cores).threads == 1
    assert LocalExecutor(2, threads=7).threads == 7


@pytest.mark.parametrize(("jobs", "threads", "expected"), [(2, 3, "3"), (4096, None, "1"), (1, None, "as before")])
def test_a_job_is_started_with_its_share_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, threads: int | None, expected: str
) -> None:
    names = list(threads_environment(1))
    for name in names:
        monkeypatch.setenv(name, "as before")
    words = [sys.executable, "-c", f"import os; print(*(os.environ[name] for name in {names}), sep=',')"]
    process = LocalExecutor(jobs, threads).start(Command(words, {}, tmp_path / "log", 2, "job", "identity"))
    process.stop()
    assert (tmp_path / "log").read_text().strip().split(",") == [expected] * len(names)


@pytest.mark.parametrize("value", [0, -1, "two", True])
def test_a_launcher_without_jobs_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"launcher\.jobs"):
        LocalExecutor(value)


def test_a_lock_is_held_by_the_process_that_was_started_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = locked(path)
    assert lock is not None
    assert locked(path) is None
    command = Command(
        [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "log", lock, "job", "identity"
    )
    holder = LocalExecutor(1).start(command)
    os.close(lock)
    assert locked(path) is None
    holder.interrupt()
    holder.stop()
    again = locked(path)
    assert again is not None
    os.close(again)


def test_a_job_does_not_outlive_its_launcher() -> None:
    code = "import sys; from seglab.command import _end_with_launcher; _end_with_launcher(); print('on'); input()"
    gone = subprocess.run([sys.executable, "-c", code], env={**os.environ, JOB_VARIABLE: '{"tags": {}, "launcher": 1}'})
    assert gone.returncode == 143
    mine = {**os.environ, JOB_VARIABLE: f'{{"tags": {{}}, "launcher": {os.getpid()}}}'}
    stays = subprocess.run([sys.executable, "-c", code], env=mine, input=b"\n", capture_output=True)
    assert stays.returncode == 0
    assert stays.stdout == b"on\n"


def test_last_words_are_of_this_attempt(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_words(log) == ""
    log.write_text("error: old\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("epoch 1\n")
    assert last_words(log, start) == ""
    with log.open("a") as file:
        file.write("error: no such file\n  where:    here\n")
    assert last_words(log, start) == "no such file\n  where:    here"
    log.write_text("Traceback (most recent call last):\n  File\nValueError: boom\n")
    assert last_words(log) == "ValueError: boom"


def test_time_left_counts_running_jobs_as_half_done() -> None:
    # 10 jobs of 60 s, 4 done, 2 running, 1 failed: 3 left and 2 halves, two at once: 60 * (3 + 1) / 2 = 120 s.
    status = SweepStatus("s", "i", 10, 4, 0, 1, 2, True, 60.0, ())
    assert status.left == 3
    assert status.seconds_left == 60 * (3 + 1)
    # Two at once, each a minute and ten seconds of getting ready; then a night, then one more pair.
    starts = [0.0, 1.0, 70.0, 71.0, 140.0, 141.0, 30000.0, 30001.0]
    assert seconds_a_job(starts, 60.0) == pytest.approx((141 + 1) / 6)
    assert seconds_a_job([5.0], 60.0) == 60
    assert seconds_a_job([5.0], 0.0) is None
    assert duration(120) == "about 2 min"
    assert duration(7500) == "about 2 h 5 min"
    assert duration(None) == "unknown"


def test_what_a_job_does_is_the_last_line_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    assert last_step(log) == ""
    log.write_text("… of the launch before\n")
    start = log.stat().st_size
    assert last_step(log, start) == ""
    with log.open("a") as file:
        file.write("… loading TensorFlow\n  epoch 3/9  train_loss 0.4  \n\n")
    assert last_step(log, start) == "epoch 3/9  train_loss 0.4"
    log.write_text("x" * 9000 + "\n… the last\n")
    assert last_step(log) == "the last"
