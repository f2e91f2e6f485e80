"""Processes that do one kind of task, one request at a time, and can be told apart when one of them dies.

They are started anew, not forked: TensorFlow's threads and locks do not come along, and neither does its import. They
are no `multiprocessing` children either, which would run the program's main file once more. Memory is shared without
a name, so that there is nothing to clean up after a kill.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from seglab.errors import SeglabError
from seglab.runtime.reproducibility import keep_freed_memory

Task = Callable[[Any, memoryview | None], Any]
"""What a worker does: called with a request and the memory it shares with its starter, returns the answer.
Task, requests and answers are pickled."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_OUTPUT_AT_MOST = 4000
PATIENCE = 600.0  # seconds; a disk of the network that is gone, or a lock, would let a training stand for ever
_STACK_SECONDS = 2.0


class WorkerFailure(Exception):
    """A worker that could not answer.

    Attributes:
        died: the process has ended; otherwise the task raised.
        reason: the signal or exit code with what it said last, the traceback of the task, or where a task stood that
            took too long.
    """

    def __init__(self, died: bool, reason: str):
        super().__init__(reason)
        self.died, self.reason = died, reason


class WorkerProcess:
    """One process. It ends with its starter, however that ends, and leaves Ctrl-C and SIGTERM to it.

    Args:
        task: what it does.
        shared_bytes: memory that both see; `memory` here.
    """

    def __init__(self, task: Task, shared_bytes: int = 0):
        self._task: Task | None = task
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115  a pipe that nobody reads would fill up
        here, there = socket.socketpair()
        passed = [there.fileno()]
        self.memory: mmap.mmap | None = None
        shared = None
        if shared_bytes:
            shared = _nameless(shared_bytes)
            self.memory = mmap.mmap(shared, shared_bytes)
            passed.append(shared)
        code = f"from seglab.data.worker_processes import serve; serve({there.fileno()}, {shared}, {shared_bytes})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        there.close()
        if shared is not None:
            os.close(shared)
        self._connection = Connection(here.detach())

    def ask(self, request: Any) -> Any:
        """Send a request and wait for the answer, for `PATIENCE` seconds; after them the process is ended.

        Raises:
            SeglabError: the task raised it.
            WorkerFailure: the task raised something else or did not come back, or the process died.
        """
        try:
            if self._task is not None:  # late, so that many workers can start at the same time
                self._connection.send(self._task)
                self._task = None
            self._connection.send(request)
            if not self._connection.poll(PATIENCE):
                raise WorkerFailure(False, self._standstill())
            kind, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerFailure(True, self._last_words()) from error
        if kind == "raised":
            raise value
        if kind == "failed":
            raise WorkerFailure(False, value)
        return value

    def _standstill(self) -> str:
        self.process.send_signal(signal.SIGUSR1)  # it writes its stack
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_STACK_SECONDS)
        self._output.seek(0)
        output = self._output.read()[-_OUTPUT_AT_MOST:].strip() or "nothing, so it is stopped, or waits for a disk"
        self.process.kill()
        return f"no answer within {PATIENCE:g} s; where the process stands:\n{output}"

    def _last_words(self) -> str:
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        self._output.seek(0)
        output = self._output.read()[-_OUTPUT_AT_MOST:].strip()
        ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{ended}, with the last output:\n{output}" if output else ended

    def close(self) -> None:
        """End the process now."""
        self._connection.close()
        self.process.kill()
        self.process.wait()
        self._output.close()


class WorkerPool:
    """Workers that are borrowed, each by one thread at a time. Ends them when it is collected or the program ends."""

    def __init__(self, task: Task, count: int, shared_bytes: int = 0):
        self.workers = [WorkerProcess(task, shared_bytes) for _ in range(count)]
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        for worker in self.workers:
            self._idle.put(worker)
        self.close = weakref.finalize(self, _close, self.workers)

    @contextmanager
    def borrow(self) -> Iterator[WorkerProcess]:
        """An idle worker, waited for. One that has died comes back too, and fails whoever asks it next."""
        worker = self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put(worker)


def _close(workers: list[WorkerProcess]) -> None:
    for worker in workers:
        worker.close()


def _nameless(size: int) -> int:
    """A file descriptor of memory that no path leads to."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("seglab")
    else:
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    os.truncate(number, size)
    return number


def serve(connection: int, shared: int | None, shared_bytes: int) -> None:
    """The worker's side: take the task, then answer requests until the starter is gone."""
    for interruption in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interruption, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1)
    import cv2

    cv2.setNumThreads(1)
    keep_freed_memory()
    line = Connection(connection)
    memory = memoryview(mmap.mmap(shared, shared_bytes)) if shared is not None else None
    try:
        task: Task | Exception = line.recv()
    except EOFError:
        return
    except Exception as error:  # told with the first answer
        error.add_note("".join(traceback.format_exception(error)))
        task = error
    while True:
        try:
            request = line.recv()
        except (EOFError, OSError):
            return
        try:
            if isinstance(task, Exception):
                raise task
            answer = "done", task(request, memory)
        except SeglabError as error:
            answer = "raised", error
        except Exception:
            answer = "failed", traceback.format_exc().strip()
        try:
            line.send_bytes(pickle.dumps(answer))
        except OSError:
            return
