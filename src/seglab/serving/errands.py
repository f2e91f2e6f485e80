"""A process that does errands for the service: the starter's side, and its own.

Whoever asks waits for the answer. In the middle of a long errand the process may ask whether it is to go on; before the
starter answers it may ask for another errand, which is done first.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from seglab import errors
from seglab.errors import DataError, SeglabError
from seglab.serving.channel import Channel, LineClosed
from seglab.serving.problems import Problem
from seglab.serving.queueing import Abandoned

Later = Callable[[], dict[str, Any]]
"""What is told once the answer is on its way."""
Errand = Callable[
    [dict[str, Any], bytes, Callable[[], None]], tuple[dict[str, Any], bytes] | tuple[dict[str, Any], bytes, Later]
]
"""What was asked with its body, and what is called between two steps, to what is told with its body, and later."""
Answered = Callable[[dict[str, Any], bytes], None]
_PATIENCE = 5.0  # seconds until a process that was told to end is killed


class ProcessDied(Exception):
    """The process has ended before it answered."""


class Errands:
    """A process at the starter's side; it ends with its starter, however that ends.

    Args:
        module: whose `main` is called there with the number of its end of the line and the words.
        words: for it.
    """

    def __init__(self, module: str, words: Sequence[str] = ()):
        self._module = module
        here, there = socket.socketpair()
        code = f"import sys; from {module} import main; main(int(sys.argv[1]), sys.argv[2:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(there.fileno()), *words],
            pass_fds=[there.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        there.close()
        self._channel = Channel(here)

    @property
    def died(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def begun(self) -> dict[str, Any]:
        """Wait until it can be asked: what it tells of itself.

        Raises:
            SeglabError: why it cannot, or that it ended without a word.
        """
        try:
            return self._answer(lambda: None)[0]
        except ProcessDied as error:
            raise DataError(
                "a process of the service that ended before it began",
                code="serve-process-died",
                where=self._module,
                found=str(error),
                expected="enough memory, and files that a runtime can open",
                remedy="free some memory; what it said stands above",
            ) from error

    def ask(
        self, asked: Mapping[str, Any], body: bytes = b"", between: Callable[[], None] = lambda: None
    ) -> tuple[dict[str, Any], bytes]:
        """What it tells, with a body. One thread at a time asks.

        Args:
            asked: the errand: `do` names it.
            body: for it.
            between: called in the middle of it; may ask for another errand, or raise `Abandoned`.

        Raises:
            Problem, SeglabError: why there is no answer.
            Abandoned: `between` raised it.
            ProcessDied: it has ended.
        """
        try:
            self._channel.send(asked, body)
        except LineClosed as error:
            raise ProcessDied(self._how()) from error
        return self._answer(between)

    def ask_twice(
        self, asked: Mapping[str, Any], body: bytes, between: Callable[[], None], answered: Answered
    ) -> dict[str, Any]:
        """As `ask`, of an errand that has something to tell later.

        Args:
            asked, body, between: as for `ask`; so are the errors, of which `ProcessDied` may come after the answer.
            answered: called with the answer.

        Returns:
            What was told later; empty where it could not be.
        """
        answered(*self.ask(asked, body, between))
        try:
            return self._answer(lambda: None)[0]
        except ProcessDied:
            raise
        except Exception as error:  # a defect, or a memory that is full; it costs nobody an answer
            sys.stderr.write(f"{error}\n")
            return {}

    def close(self) -> None:
        """End it, at once where it is idle or when its errand is done; nobody waits for that."""
        self._channel.close()
        threading.Thread(target=self._ended, args=(_PATIENCE,), name="ending", daemon=True).start()

    def end(self) -> None:
        """As `close`, and wait for it, but not for long."""
        self._channel.close()
        self._ended(1.0)

    def kill(self) -> None:
        """End it now; whoever waits for its answer is told that it died."""
        self.process.kill()
        self.process.wait()

    def _ended(self, patience: float) -> None:
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def _answer(self, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        try:
            while True:
                told, body = self._channel.receive()
                kind = told.pop("told")
                if kind == "done":
                    return told, body
                if kind == "between":
                    go_on = True
                    try:
                        between()
                    except Abandoned:
                        go_on = False
                    self._channel.send({"do": "on" if go_on else "stop"})
                elif kind == "stopped":
                    raise Abandoned
                elif kind == "problem":
                    raise Problem(**told)
                elif kind == "refused":
                    raise getattr(errors, told.pop("kind"), SeglabError)(**told)
                elif kind == "missing":
                    raise ModuleNotFoundError(f"no module {told['module']}", name=told["module"])
                else:
                    raise RuntimeError(told["trace"])
        except LineClosed as error:
            raise ProcessDied(self._how()) from error

    def _how(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(_PATIENCE)
            return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return "it closed its line"


class Doing:
    """The process's own side.

    Args:
        line: number of its end of the line.
    """

    def __init__(self, line: int):
        for interruption in (signal.SIGINT, signal.SIGTERM):
            signal.signal(interruption, signal.SIG_IGN)  # the starter drains first
        self._channel = Channel(socket.socket(fileno=line))
        self._errands: Mapping[str, Errand] = {}

    def run(self, begin: Callable[[], tuple[dict[str, Any], Mapping[str, Errand]]]) -> None:
        """Begin, tell what `begin` says, and do its errands until the starter is gone."""
        with suppress(LineClosed):
            try:
                told, self._errands = begin()
            except Exception as error:
                self._channel.send(_failed(error))
                return
            keep_for_good()
            self._channel.send({"told": "done", **told})
            while True:
                self._do(*self._channel.receive())

    def _do(self, asked: dict[str, Any], body: bytes) -> None:
        try:
            told, answer, *later = self._errands[asked.pop("do")](asked, body, self._between)
        except LineClosed:
            raise
        except Exception as error:
            self._channel.send(_failed(error))
            return
        self._channel.send({"told": "done", **told}, answer)
        for telling in later:
            try:
                self._channel.send({"told": "done", **telling()})
            except LineClosed:
                raise
            except Exception as error:
                self._channel.send(_failed(error))

    def _between(self) -> None:
        self._channel.send({"told": "between"})
        while True:
            asked, body = self._channel.receive()
            if asked["do"] == "on":
                return
            if asked["do"] == "stop":
                raise Abandoned
            self._do(asked, body)


def keep_for_good() -> None:
    """Python looks no more for what it can throw away among all that is loaded by now, which takes as long as the
    answer to a small image, and would come in the middle of one."""
    gc.collect()
    gc.freeze()


def _failed(error: Exception) -> dict[str, Any]:
    if isinstance(error, Abandoned):
        return {"told": "stopped"}
    if isinstance(error, Problem):
        return {"told": "problem", **error.to_dict()}
    if isinstance(error, SeglabError):
        told = {name: getattr(error, name) for name in ("what", "code", "where", "found", "expected", "remedy")}
        told = {name: str(text) for name, text in told.items() if text}
        return {"told": "refused", "kind": type(error).__name__, **told}
    if isinstance(error, ModuleNotFoundError):
        return {"told": "missing", "module": error.name or ""}
    return {"told": "failed", "trace": "".join(traceback.format_exception(error))}
