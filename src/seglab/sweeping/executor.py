"""Where the process of a job runs, and how many there may be at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import psutil

from seglab.errors import ConfigError
from seglab.runtime.memory import available_bytes
from seglab.runtime.reproducibility import threads_environment

# How long a job that was told to stop may take to save and to tell the store.
_STOP_SECONDS = 60.0
# A job's memory counts as measured when it has grown by less than a twentieth for so long, or when it has ended.
_SETTLED_SECONDS = 5.0
_SETTLED_GROWTH = 1.05
_SPARE_SHARE = 1.1


class NoRoomNow(Exception):
    """A queue takes no more jobs for now; the job is started later."""


@dataclass(frozen=True)
class Command:
    """A process to start.

    Attributes:
        words: program and arguments.
        environment: variables beside those that the launcher has.
        log: the file that takes what it says.
        lock: descriptor of the job's lock, which the process holds as long as it lives.
        name: of the job, where a queue shows it.
        identity: of the job.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    lock: int
    name: str
    identity: str


class RunningJob(Protocol):
    """A process that was started."""

    def code(self) -> int | None:
        """Exit code, None while it runs."""
        ...

    def reason(self) -> str:
        """What is known about its end beside the log."""
        ...

    def interrupt(self) -> None:
        """Tell it to save and end."""
        ...

    def stop(self) -> None:
        """Wait for its end, and end it when that takes too long."""
        ...


class Executor(Protocol):
    """Starts processes.

    Attributes:
        local: True when they run on this machine.
        jobs: at most so many at once.
    """

    local: bool
    jobs: int

    @property
    def name(self) -> str:
        """What its option of `launcher=` is called."""
        ...

    @property
    def threads(self) -> int:
        """How many threads each process has."""
        ...

    def room(self, running: Sequence[RunningJob]) -> bool:
        """True when one more may start beside those."""
        ...

    def busy(self, identity: str) -> str:
        """Who has queued or runs a job of this identity already; empty when nobody is known."""
        ...

    def start(self, command: Command) -> RunningJob:
        """Start one; raises `NoRoomNow` where it has to wait after all, until `room` says otherwise."""
        ...


class LocalProcess:
    """A process on this machine; measures the memory of it and its children."""

    def __init__(self, command: Command):
        with open(command.log, "ab") as log:
            self._process = subprocess.Popen(
                list(command.words),
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[command.lock],
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which tells its jobs
            )
        self.peak_bytes = 0
        self._reference, self._since = 0, time.monotonic()

    def code(self) -> int | None:
        self.measure()
        return self._process.poll()

    def reason(self) -> str:
        code = self._process.poll()
        return f"ended by signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"

    def measure(self) -> None:
        """Take note of the memory that it has now."""
        try:
            process = psutil.Process(self._process.pid)
            total = sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
        except psutil.NoSuchProcess:
            return
        self.peak_bytes = max(self.peak_bytes, total)
        if self.peak_bytes > self._reference * _SETTLED_GROWTH:
            self._reference, self._since = self.peak_bytes, time.monotonic()

    @property
    def settled(self) -> bool:
        """True when it is not likely to take more memory than it has taken."""
        return self._process.poll() is not None or time.monotonic() - self._since > _SETTLED_SECONDS

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class LocalExecutor:
    """This machine: at most `jobs` at once, each with `threads` threads, as many as the memory holds.

    The first job runs alone until its memory is measured; one more starts only where that much is free.

    Args:
        jobs: at most so many at once.
        threads: of each job; None shares the cores between them. One job at a time has all of them.

    Raises:
        ConfigError: a number that is not above 0.
    """

    local = True

    def __init__(self, jobs: int, threads: int | None = None):
        check_positive("launcher", jobs=jobs, threads=1 if threads is None else threads)
        self.jobs, self._given = jobs, threads
        self._first: LocalProcess | None = None
        self._peak = 0
        self._reported = False

    @property
    def name(self) -> str:
        return "in_order" if self.jobs == 1 else "local"

    @property
    def threads(self) -> int:
        return self._share() or len(os.sched_getaffinity(0))

    def room(self, running: Sequence[RunningJob]) -> bool:
        if not running:
            return True
        if len(running) >= self.jobs:
            return False
        assert self._first is not None
        if self._peak == 0 and not self._first.settled:
            return False
        processes = [one for one in running if isinstance(one, LocalProcess)]
        self._peak = max([self._peak, self._first.peak_bytes, *(one.peak_bytes for one in processes)])
        # Those that have just begun will still take what they have not taken yet.
        promised = sum(max(0, self._peak - one.peak_bytes) for one in processes)
        free = available_bytes() - promised
        if free >= self._peak * _SPARE_SHARE:
            return True
        if not self._reported:
            self._reported = True
            print(
                f"memory: {len(running)} of {self.jobs} jobs at once; each takes {self._peak / 2**30:.1f} GiB "
                f"and {max(free, 0) / 2**30:.1f} GiB are free",
                file=sys.stderr,
            )
        return False

    def busy(self, identity: str) -> str:
        return ""  # who works on this machine holds the job's lock

    def start(self, command: Command) -> LocalProcess:
        variables = {**threads_environment(self._share()), **command.environment}
        process = LocalProcess(replace(command, environment=variables))
        self._first = self._first or process
        return process

    def _share(self) -> int | None:
        if self._given is not None or self.jobs == 1:
            return self._given
        return max(1, len(os.sched_getaffinity(0)) // self.jobs)


def check_positive(group: str, **settings: float) -> None:
    """Refuse settings of a group that are not above zero; raises `ConfigError`."""
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigError(
                "a value that is not allowed",
                code="value-not-allowed",
                where=f"{group}.{name}",
                found=repr(value),
                expected="a number above 0",
                remedy=f"{group}.{name}=1",
            )
