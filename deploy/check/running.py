"""Processes of services: started, waited for, ended; and what to say of one that does not start."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.check.telling import Failed

_LINES = 20
# What the end of a log says, and what to do about it.
_REMEDIES = (
    (
        "password authentication failed",
        "give the POSTGRES_PASSWORD that the volume was made with, which another variable does not change; or set it "
        "in the database: ALTER USER seglab PASSWORD '…'",
    ),
    (
        "[store-older]",
        "keep a copy first (seglab backup), then: docker compose run --rm lab mlflow db upgrade "
        "postgresql+psycopg://seglab@postgres/seglab",
    ),
    ("Address already in use", "end what listens at that port, or give the service another (docs/deploy.md)"),
    ("address already in use", "end what listens at that port, or give the service another (docs/deploy.md)"),
    ("port-taken", "end what listens at that port, or give the service another (docs/deploy.md)"),
    ("No space left on device", "make room on the disk that holds the volumes"),
    ("cannot write to", "give the folder to the container's user: chown -R 10001 <folder>; or use a named volume"),
    ("Permission denied", "give the folder to the container's user: chown -R 10001 <folder>; or use a named volume"),
    ("serve-keys", "set SEGLAB_API_KEYS to keys of 16 characters or more"),
)


@dataclass
class Running:
    """A process of a service, and the file that takes what it says."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def start(name: str, words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Running:
    """Start a service."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True,
        )  # fmt: skip
    return Running(name, process, log)


def wait(running: Running, healthy: Callable[[], bool], seconds: float) -> float:
    """Wait until a service is healthy; the seconds that it took. Raises `Failed` where it ends, or takes longer."""
    began = time.monotonic()
    while True:
        code = running.process.poll()
        if code is not None:
            raise _failed(running, f"service {running.name} did not start: it left with {code}")
        if healthy():
            return time.monotonic() - began
        if time.monotonic() > began + seconds:
            raise _failed(running, f"service {running.name} did not become healthy in {seconds:.0f} s")
        time.sleep(0.2)


def stop(running: Running, seconds: float) -> int:
    """End a service as an engine does: SIGTERM, and SIGKILL where it takes longer; its exit code."""
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
    try:
        return running.process.wait(seconds)
    except subprocess.TimeoutExpired:
        running.process.kill()
        running.process.wait()
        raise _failed(running, f"service {running.name} did not end in {seconds:.0f} s") from None


def check_ports(ports: Iterable[tuple[str, str, int]]) -> None:
    """That nobody listens where services will: names, addresses, ports; raises `Failed` with all that are taken."""
    taken = []
    for name, address, port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                taken.append(f"{port} ({name})")
    if taken:
        what = "a port that is" if len(taken) == 1 else "ports that are"
        raise Failed(
            f"{what} taken on this machine: {', '.join(taken)}",
            "end what listens there, or set others: MLFLOW_PORT, SERVICE_PORT, APP_PORT, PROMETHEUS_PORT, GRAFANA_PORT",
        )


def _failed(running: Running, what: str) -> Failed:
    text = running.log.read_text(errors="replace")
    remedy = next((remedy for words, remedy in _REMEDIES if words in text), "")
    return Failed(what, remedy, "\n".join(f"    {line}" for line in text.splitlines()[-_LINES:]))
