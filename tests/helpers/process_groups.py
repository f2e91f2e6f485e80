"""Processes of one group over loopback, each with JAX on logical devices of a CPU."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
PLACES = os.pathsep.join(map(str, (TESTS.parent / "src", TESTS / "helpers", TESTS / "training")))
ENVIRONMENT = {"KERAS_BACKEND": "jax", "PJRT_NPROC": "1", "PYTHONPATH": PLACES}


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def started(
    commands: Sequence[Sequence[str]],
    devices: Sequence[int] = (),
    folders: Sequence[Path] = (),
    coordinator: str = "",
    variables: Mapping[str, str] | None = None,
) -> list[subprocess.Popen[str]]:
    """The processes of one group.

    Args:
        commands: words behind Python, of each.
        devices: of each; by default one.
        folders: of each; by default this one.
        coordinator: address of the first one; by default a free port of 127.0.0.1.
        variables: of all.
    """
    count, pipe = len(commands), subprocess.PIPE
    group = {"SEGLAB_PROCESSES": str(count), "SEGLAB_COORDINATOR": coordinator or f"127.0.0.1:{free_port()}"}
    shared = os.environ | ENVIRONMENT | group | dict(variables or {})
    options: Any = {"stdout": pipe, "stderr": pipe, "text": True}
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env=shared
            | {"SEGLAB_PROCESS": str(number)}
            | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices[number] if devices else 1}"},
            cwd=folders[number] if folders else None,
            **options,
        )
        for number, words in enumerate(commands)
    ]


def ends(processes: Sequence[subprocess.Popen[str]]) -> list[subprocess.CompletedProcess[str]]:
    """What became of processes."""
    try:
        return [
            subprocess.CompletedProcess(process.args, process.returncode, out, error)
            for process in processes
            for out, error in [process.communicate(timeout=1200)]
        ]
    finally:
        for process in processes:
            process.kill()


def ended(commands: Sequence[Sequence[str]], devices: int = 1) -> list[subprocess.CompletedProcess[str]]:
    """What became of the processes of one group."""
    return ends(started(commands, [devices] * len(commands)))
