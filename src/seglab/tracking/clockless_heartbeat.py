"""When this machine last saw a sign of life of another one move: clocks of two machines are never compared."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from seglab.runtime.atomic_files import write_json
from seglab.safety.untrusted_files import read_json

_KEPT_SECONDS = 30 * 24 * 3600.0


class PeerSightings:
    """What was seen of each process elsewhere, and for how long it has stayed the same by the clock of this machine.

    Args:
        file: where it is kept from one command to the next; None to know only what this process has seen. One that
            cannot be written is no harm: then nobody is taken for dead before this process has watched for long enough.
        clock: seconds since this machine was started, which nobody sets.
    """

    def __init__(self, file: Path | None = None, clock: Callable[[], float] | None = None):
        self._file, self._clock = file, clock or _since_boot
        self._seen: dict[str, tuple[str, float]] = {}

    @classmethod
    def kept_in(cls, directory: Path) -> PeerSightings:
        """Those of this machine, in a file of its own: other machines may share the folder of runs."""
        name = hashlib.sha256(machine().encode()).hexdigest()[:12]
        return cls(directory / "sightings" / f"{name}.json")

    def still_for(self, process: str, sign: str) -> float:
        """Seconds for which a process has been giving this very sign; 0 when it is new."""
        now = self._clock()
        self._read()
        known, since = self._seen.get(process, ("", now))
        if known == sign and since <= now:
            return now - since
        self._seen[process] = sign, now
        self._write(now)
        return 0.0

    def _read(self) -> None:
        if self._file is None:
            return
        with suppress(OSError, ValueError, TypeError):
            found = read_json(self._file)
            self._seen = {str(name): (str(sign), float(since)) for name, (sign, since) in found.items()}

    def _write(self, now: float) -> None:
        self._seen = {name: one for name, one in self._seen.items() if now - one[1] < _KEPT_SECONDS}
        if self._file is None:
            return
        with suppress(OSError):
            self._file.parent.mkdir(exist_ok=True)
            write_json(self._file, self._seen)


def machine() -> str:
    """What a pid is valid in: one boot of one kernel, one pid namespace (a container has its own)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _since_boot() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # on Linux; it counts while the machine sleeps, too
    return time.monotonic() if clock is None else time.clock_gettime(clock)
