"""How the processes of a run meet, tell each other what they must know, and part.

JAX brings them together and watches that each is alive. Each comes, also one that has failed before: it says so, and
the others need not wait for it until their time is up.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from seglab.errors import SeglabError, TrainingError
from seglab.runtime.process_group import COORDINATOR, PROCESS, PROCESSES, ProcessGroup
from seglab.runtime.terminal import tell
from seglab.safety.secrets import redacted

_MEET_SECONDS = 300
# So long one that has failed waits for others to tell it to.
_TELL_SECONDS = 60
# A process that is not heard of for so long is taken for dead.
_DEAD_SECONDS = 60
# How often one that waits for what another says looks whether it is told to stop.
_LOOK_MILLISECONDS = 1000
_LONGEST = 1000
# What gRPC, by which they meet, takes for its way to them; a proxy knows no address of a cluster.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")

LOST = "another process of this run has ended, so this one ends too"
LOST_EXPECTED = "all processes to the end of the training"

_came = False


def join(group: ProcessGroup) -> bool:
    """Meet the others. Nothing of JAX may have been computed before.

    Returns:
        Whether there is anything to do: False where the first one says that there is not.

    Raises:
        TrainingError: they did not all come in time, or one came only to say that it has failed.
    """
    _meet(group, _MEET_SECONDS)
    return _agreed(group, None)


def decline(group: ProcessGroup) -> None:
    """The first process: let the others know, when they come, that there is nothing left to do."""
    with suppress(TrainingError):
        _meet(group, _MEET_SECONDS)
        _agreed(group, "")


def tell_failure(group: ProcessGroup, error: BaseException) -> None:
    """Come to the meeting, if this process has not been there, only to say why it will not train."""
    if _came:
        return
    cause = error.__context__ if isinstance(error, SystemExit) else error
    if isinstance(cause, SeglabError):
        words = "; ".join(" ".join(line.split()) for line in str(cause).splitlines())
    elif isinstance(cause, KeyboardInterrupt):
        words = "it was told to stop"
    else:
        words = f"{type(cause or error).__name__}: {cause or error}"
    tell("telling the other processes that this one has failed")
    with suppress(TrainingError):
        _meet(group, _TELL_SECONDS)
        _agreed(group, redacted(words)[:_LONGEST])


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
    """What another tells of a topic, as soon as it does; it may read and draw its data before. Its death is noticed."""
    while True:
        try:
            return json.loads(_client().blocking_key_value_get(f"seglab/{topic}", _LOOK_MILLISECONDS))
        except RuntimeError as error:  # JAX has no kind of its own for it
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def _meet(group: ProcessGroup, seconds: int) -> None:
    import jax

    global _came
    _came = True
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM for itself, which is to end a run that then goes on where it has saved.
    jax.config.update("jax_enable_preemption_service", False)
    where = group.coordinator or _of_slurm()
    host, _, port = where.rpartition(":")
    here = where if host in ("localhost", "[::1]") or host.startswith("127.") else None
    try:
        _see_that_it_knows_its_name()
        if group.first:
            _see_that_it_is_free(host if here else "", int(port))
        with _no_proxy(), _interruptible():
            jax.distributed.initialize(
                where,
                group.count,
                group.number,
                local_device_ids=[],  # all that this process sees
                initialization_timeout=seconds,
                heartbeat_timeout_seconds=_DEAD_SECONDS,
                coordinator_bind_address=here,  # else every address of the machine
            )
    except (RuntimeError, ValueError, OSError) as error:
        raise TrainingError(
            "processes that did not meet",
            code="processes-not-met",
            where=f"process {group.number} of {group.count}",
            found=str(error).strip().partition("\n")[0][:300],
            expected=f"all {group.count} within {seconds} seconds at {where}",
            remedy=f"give each the same {PROCESSES} and {COORDINATOR}, with a free port that all reach, and its own "
            f"{PROCESS}; what the others said last may tell why they ended",
        ) from error


def _agreed(group: ProcessGroup, words: str | None) -> bool:
    """Whether all have come to train.

    Args:
        words: of this process: None to train, empty where it knows that nothing is left to do, else why it cannot.
    """
    import jax

    publish(f"begins/{group.number}", words)
    reasons = {number: receive(f"begins/{number}") for number in range(group.count)}
    if all(one is None for one in reasons.values()):
        return True
    with suppress(RuntimeError):
        jax.distributed.shutdown()  # when all have heard
    failed = {number: one for number, one in reasons.items() if one}
    if failed and not words:
        raise TrainingError(
            LOST,
            code="process-lost",
            where=", ".join(f"process {number} of {group.count}" for number in failed),
            found=" | ".join(failed.values()),
            expected=LOST_EXPECTED,
            remedy="mend what that process says, then start all of them again",
        )
    return False


def _of_slurm() -> str:
    """Address and port of the first process of this step, which JAX makes of the nodes and the number of the job."""
    from jax._src.clusters.slurm_cluster import SlurmCluster

    return str(SlurmCluster.get_coordinator_address(None, os.environ.get("JAX_COORDINATOR_PORT")))


def _see_that_it_knows_its_name() -> None:
    """On a CPU each tells the others the address that the name of its machine leads to.

    Raises:
        OSError: it leads nowhere.
    """
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        raise OSError(f"{name}, the name of this machine, has no address here (/etc/hosts): {error}") from error


def _see_that_it_is_free(host: str, port: int) -> None:
    """JAX shares a port with whatever has it, which ends that, or breaks where it cannot.

    Args:
        host: of this machine; empty for all of its addresses.
        port: that the others come to.

    Raises:
        OSError: another program has it.
    """
    both = not host and socket.has_dualstack_ipv6()
    kind = socket.AF_INET6 if both or host.startswith("[") else socket.AF_INET
    socket.create_server((host.strip("[]"), port), family=kind, dualstack_ipv6=both).close()


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Processes of a run meet each other, not a proxy, whatever the environment says of the way out of the cluster."""
    import jax

    jax.config.update("jax_check_proxy_envs", False)
    kept = {name: os.environ.pop(name) for name in _PROXIES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the process at once, which has nothing to save yet: JAX does not look for one while it waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)


def _client() -> Any:
    from jax._src.distributed import global_state

    return global_state.client
