"""Several processes that train one network together: which of them this is, by what a user or SLURM says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from seglab.errors import ConfigError

# How many processes there are, or `slurm`; which of them this is, from 0; where the first one is to be met.
PROCESSES, PROCESS, COORDINATOR = "SEGLAB_PROCESSES", "SEGLAB_PROCESS", "SEGLAB_COORDINATOR"
SLURM = "slurm"
_SLURM_COUNT, _SLURM_NUMBER = "SLURM_NTASKS", "SLURM_PROCID"


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
    bracketed = host.startswith("[") and host.endswith("]")
    if count > 1 and given != SLURM and not (host and port.isdecimal() and (bracketed or ":" not in host)):
        raise _unclear(
            COORDINATOR, coordinator, "address and port of the first process, such as node1:9911 or [::1]:9911"
        )
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
