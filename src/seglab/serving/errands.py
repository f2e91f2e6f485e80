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
from seglab.serving.service_log import write_line

Later = Callable[[], dict[str, Any]]
"""What is sent once the answer is on its way."""
Errand = Callable[
    [dict[str, Any], bytes, Callable[[], None]], tuple[dict[str, Any], bytes] | tuple[dict[str, Any], bytes, Later]
]
"""A request with its body, and what is called between two steps, to a reply with its body, and what follows later."""
Answered = Callable[[dict[str, Any], bytes], None]
_PATIENCE = 5.0  # seconds until a process that is ending is killed


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
                remedy="free some memory; its output is above",
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
            write_line(str(error))
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
                fields, body = self._channel.receive()
                kind = fields.pop("message")
                if kind == "done":
                    return fields, body
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
                    raise Problem(**fields)
                elif kind == "refused":
                    raise getattr(errors, fields.pop("kind"), SeglabError)(**fields)
                elif kind == "missing":
                    raise ModuleNotFoundError(f"no module {fields['module']}", name=fields["module"])
                else:
                    raise RuntimeError(fields["trace"])
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
        """Begin, send the fields of `begin`, and do its errands until the starter is gone."""
        with suppress(LineClosed):
            try:
                fields, self._errands = begin()
            except Exception as error:
                self._channel.send(_failed(error))
                return
            keep_for_good()
            self._channel.send({"message": "done", **fields})
            while True:
                self._do(*self._channel.receive())

    def _do(self, asked: dict[str, Any], body: bytes) -> None:
        try:
            fields, answer, *later = self._errands[asked.pop("do")](asked, body, self._between)
        except LineClosed:
            raise
        except Exception as error:
            self._channel.send(_failed(error))
            return
        self._channel.send({"message": "done", **fields}, answer)
        for telling in later:
            try:
                self._channel.send({"message": "done", **telling()})
            except LineClosed:
                raise
            except Exception as error:
                self._channel.send(_failed(error))

    def _between(self) -> None:
        self._channel.send({"message": "between"})
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
        return {"message": "stopped"}
    if isinstance(error, Problem):
        return {"message": "problem", **error.to_dict()}
    if isinstance(error, SeglabError):
        fields = {name: getattr(error, name) for name in ("what", "code", "where", "found", "expected", "remedy")}
        fields = {name: str(text) for name, text in fields.items() if text}
        return {"message": "refused", "kind": type(error).__name__, **fields}
    if isinstance(error, ModuleNotFoundError):
        return {"message": "missing", "module": error.name or ""}
    return {"message": "failed", "trace": "".join(traceback.format_exception(error))}
