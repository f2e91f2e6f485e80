"""Several processes that train one network together: which of them this is, how they meet, and how they end.

JAX brings them together and watches that each is alive; here is what a user says, and what a user is told.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from seglab.errors import EXIT_INTERRUPTED, EXIT_MISTAKE, ConfigError, SeglabError, TrainingError

# How many processes there are, or `slurm`; which of them this is, from 0; where the first one is to be met.
PROCESSES, PROCESS, COORDINATOR = "SEGLAB_PROCESSES", "SEGLAB_PROCESS", "SEGLAB_COORDINATOR"
SLURM = "slurm"
_SLURM_COUNT, _SLURM_NUMBER = "SLURM_NTASKS", "SLURM_PROCID"

_MEET_SECONDS = 300
# A process that is not heard of for so long is taken for dead.
_DEAD_SECONDS = 60
# How long one waits for what the first one tells it: that one may read and draw its data. Its death is noticed before.
_RECEIVE_MILLISECONDS = 24 * 3600 * 1000
# What the libraries say that add up numbers of several processes, where one of them is gone.
_LOST = ("Gloo", "NCCL", "nccl", "coordination service", "heartbeat", "Connection closed by peer")


@dataclass(frozen=True)
class ProcessGroup:
    """What a process knows of those that it works with.

    Attributes:
        count: of processes.
        number: of this one, from 0; the first one records the run, the others only compute.
        coordinator: `host:port` of the first one; None where SLURM knows it.
    """

    count: int = 1
    number: int = 0
    coordinator: str | None = None

    @property
    def alone(self) -> bool:
        return self.count == 1

    @property
    def first(self) -> bool:
        return self.number == 0


def own_group(variables: Mapping[str, str] = os.environ) -> ProcessGroup:
    """What the variables of this process say; without `SEGLAB_PROCESSES` it is alone.

    Raises:
        ConfigError: they do not say enough, or what cannot be.
    """
    given = variables.get(PROCESSES, "")
    if not given:
        return ProcessGroup()
    if given == SLURM:
        count, number = _whole(variables, _SLURM_COUNT), _whole(variables, _SLURM_NUMBER)
        coordinator = None
    else:
        count = _whole(variables, PROCESSES)
        number = 0 if count == 1 else _whole(variables, PROCESS)
        coordinator = variables.get(COORDINATOR)
    if count < 1 or not 0 <= number < count:
        raise _unclear(PROCESS, str(number), f"a number from 0 to {max(count - 1, 0)}, another for each process")
    host, _, port = (coordinator or "").rpartition(":")
    if count > 1 and given != SLURM and not (host and port.isdecimal()):
        raise _unclear(COORDINATOR, coordinator, "address and port of the first process, such as 127.0.0.1:9911")
    return ProcessGroup(count, number, coordinator)


def refuse_sweep(variables: Mapping[str, str] = os.environ) -> None:
    """Refuse a sweep by several processes, each of which would start all its runs, and none of them its own process.

    Raises:
        ConfigError: this process is one of several.
    """
    if not (group := own_group(variables)).alone:
        raise ConfigError(
            "settings that exclude each other",
            code="settings-exclude",
            where=PROCESSES,
            found=f"a sweep (-m) by {group.count} processes",
            expected="one process, which starts all runs",
            remedy="launcher=slurm launcher.nodes=… for jobs of several processes; else each run by itself, without -m",
        )


def join(group: ProcessGroup) -> None:
    """Meet the others. Nothing of JAX may have been computed before.

    Raises:
        TrainingError: they did not all come in time.
    """
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM for itself, which is to end a run that then goes on where it has saved.
    jax.config.update("jax_enable_preemption_service", False)
    host = (group.coordinator or "").rpartition(":")[0]
    here = group.coordinator if host == "localhost" or host.startswith("127.") else None
    where = group.coordinator or "the first node of the step"
    try:
        jax.distributed.initialize(
            group.coordinator,
            group.count,
            group.number,
            local_device_ids=[],  # all that this process sees
            initialization_timeout=_MEET_SECONDS,
            heartbeat_timeout_seconds=_DEAD_SECONDS,
            coordinator_bind_address=here,  # else every address of the machine
        )
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            "processes that did not meet",
            code="processes-not-met",
            where=f"process {group.number} of {group.count}",
            found=str(error).strip().partition("\n")[0][:300],
            expected=f"all {group.count} within {_MEET_SECONDS} seconds at {where}",
            remedy=f"give each the same {PROCESSES} and {COORDINATOR}, with a free port that all reach, and its own "
            f"{PROCESS}; what the others said last may tell why they ended",
        ) from error


def leave() -> None:
    """Leave the others, when each has come to this point: from then on the end of one is none for the others."""
    import jax
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("leave")
    jax.distributed.shutdown()
    ctypes.CDLL(None).signal(signal.SIGABRT, None)  # what aborts from here on is no other process's end


def publish(topic: str, words: Any) -> None:
    """Let the others know something, as JSON."""
    _client().key_value_set(f"seglab/{topic}", json.dumps(words))


def receive(topic: str) -> Any:
    """What the first one tells of a topic, as soon as it does."""
    return json.loads(_client().blocking_key_value_get(f"seglab/{topic}", _RECEIVE_MILLISECONDS))


def is_lost(error: BaseException) -> bool:
    """Whether an error of a step says that another process is gone."""
    import jax

    return jax.distributed.is_initialized() and any(words in str(error) for words in _LOST)


def lost(error: BaseException) -> TrainingError:
    """The error of a process whose companion is gone."""
    return TrainingError(
        _LOST_TITLE,
        code="process-lost",
        where="training of several processes",
        found=str(error).strip().partition("\n")[0][:200],
        expected=_LOST_EXPECTED,
        remedy=_LOST_REMEDY,
    )


_LOST_TITLE = "another process of this run has ended, so this one ends too"
_LOST_EXPECTED = "all processes to the end of the training"
_LOST_REMEDY = "see what the other one said last; then start all of them again with resume=<run id>"


@contextmanager
def ending_together(group: ProcessGroup) -> Iterator[None]:
    """Within this context an error of this process ends the others soon, and theirs ends this one with a sentence.

    JAX waits for the others when a process exits, and aborts with words of its own when one of them is gone.
    """
    import jax  # noqa: F401 - what it does at the exit is registered before what is here

    sentence = lost(RuntimeError("it gives no sign of life")).for_terminal().encode() + b"\n"

    def aborted(_: int) -> None:
        os.write(2, sentence)
        os._exit(EXIT_MISTAKE)

    kept = ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted)
    c = ctypes.CDLL(None)
    c.signal.restype = ctypes.c_void_p
    c.signal(signal.SIGABRT, kept)
    _kept.append(kept)  # C may call it as long as the process lives
    try:
        yield
    except BaseException as error:
        atexit.register(_leave, _code(error))
        if not isinstance(error, SeglabError) and is_lost(error):
            raise lost(error) from error
        raise


_kept: list[Any] = []


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _code(error: BaseException) -> int:
    """With which a command leaves after an error."""
    if isinstance(error, SeglabError) or is_lost(error):
        return EXIT_MISTAKE
    return int(getattr(error, "exit_code", EXIT_INTERRUPTED)) if isinstance(error, KeyboardInterrupt) else 1


def _client() -> Any:
    from jax._src.distributed import global_state

    return global_state.client


def _whole(variables: Mapping[str, str], name: str) -> int:
    text = variables.get(name, "")
    if not text.isdecimal():
        expected = f"a number, or {SLURM} under srun" if name == PROCESSES else "a number"
        raise _unclear(name, text or None, expected)
    return int(text)


def _unclear(where: str, found: str | None, expected: str) -> ConfigError:
    return ConfigError(
        "processes that are to train together, and do not know of each other",
        code="processes-unclear",
        where=where,
        found="not set" if found is None else found,
        expected=expected,
        remedy=f"set {PROCESSES}, {PROCESS} and {COORDINATOR} for each process, or {PROCESSES}={SLURM} under srun, or "
        f"none of them for a run of one process",
    )
