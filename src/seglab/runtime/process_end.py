"""How the processes of a run end together: an error of one is told to the others, and each says why it ends."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from seglab.errors import EXIT_INTERRUPTED, EXIT_MISTAKE, SeglabError, TrainingError
from seglab.runtime.process_group import ProcessGroup
from seglab.runtime.process_meeting import LOST, LOST_EXPECTED, tell_failure

# What the libraries say that add up numbers of several processes, where one of them is gone.
_LOST = (
    "Gloo",
    "NCCL",
    "nccl",
    "coordination service",
    "CoordinationService",
    "heartbeat",
    "Connection closed by peer",
)
_REMEDY = "see what the other one said last; then start all of them again with resume=<run id>"

# What C calls as long as the process lives.
_kept: list[Any] = []
_within = False


def is_lost(error: BaseException) -> bool:
    """Whether an error of a step says that another process is gone."""
    import jax

    return jax.distributed.is_initialized() and any(words in str(error) for words in _LOST)


def lost(error: BaseException) -> TrainingError:
    """The error of a process whose companion is gone."""
    return TrainingError(
        LOST,
        code="process-lost",
        where="training of several processes",
        found=str(error).strip().partition("\n")[0][:200],
        expected=LOST_EXPECTED,
        remedy=_REMEDY,
    )


@contextmanager
def ending_together(group: ProcessGroup) -> Iterator[None]:
    """Within this context an error of this process ends the others soon, and theirs ends this one with a sentence.

    JAX waits for the others when a process exits, and aborts with words of its own when one of them is gone. A process
    that fails before they have met still meets them, to tell. A context within another one does nothing.

    Raises:
        TrainingError: another process is gone.
    """
    global _within
    if group.alone or _within:
        yield
        return
    import jax  # noqa: F401 - what it does at the exit is registered before what is here

    _say_at_abort()
    _within = True
    try:
        yield
    except BaseException as error:
        code = _code(error)
        if code == 0:
            raise
        tell_failure(group, error)
        atexit.register(_leave, code)
        if not isinstance(error, SeglabError) and is_lost(error):
            raise lost(error) from error
        raise
    finally:
        _within = False


def _say_at_abort() -> None:
    sentence = lost(RuntimeError("it gives no sign of life")).for_terminal().encode() + b"\n"

    def aborted(_: int) -> None:
        os.write(2, sentence)
        os._exit(EXIT_MISTAKE)

    kept = ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted)
    c = ctypes.CDLL(None)
    c.signal.restype = ctypes.c_void_p
    c.signal(signal.SIGABRT, kept)
    _kept.append(kept)


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _code(error: BaseException) -> int:
    """With which a command leaves after an error."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, SeglabError) or is_lost(error):
        return EXIT_MISTAKE
    return int(getattr(error, "exit_code", EXIT_INTERRUPTED)) if isinstance(error, KeyboardInterrupt) else 1
