"""compose.yaml as data: its services, with variables filled in as an engine does it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.check.telling import Failed

_MORE_PATIENCE = 600.0  # than start_period: this is no check of speed, and the machine may be at other work
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-?])([^}]*))?\})")


@dataclass(frozen=True)
class Volume:
    """A volume or a file of a service: a name or a path of this machine, and where it is mounted."""

    source: str
    target: str
    read_only: bool

    @property
    def named(self) -> bool:
        """Whether it is a volume with a name and no path."""
        return not self.source.startswith((".", "/"))


@dataclass(frozen=True)
class Service:
    """A service.

    Attributes:
        image, target: what it runs: the name of an image, and the stage of the Dockerfile that makes it, if any.
        command, environment, volumes, secrets, profiles: as the file has them.
        health: words that leave with 0 where it is healthy; None where nothing is said.
        patience: seconds until it has to be.
        after: services that are healthy before.
        ports: addresses and ports of this machine, by its own port.
        grace: seconds from SIGTERM until it is killed.
    """

    name: str
    image: str
    target: str | None
    command: list[str]
    environment: dict[str, str]
    volumes: list[Volume]
    secrets: dict[str, str]
    health: list[str] | None
    patience: float
    after: list[str]
    ports: dict[int, tuple[str, int]]
    grace: float
    profiles: list[str]


def read(file: Path, environment: Mapping[str, str]) -> dict[str, Service]:
    """The services in the order in which they start; raises `Failed` with the names of variables that are missing."""
    text = file.read_text()
    missing = sorted({
        name for name, sign, _ in _VARIABLE.findall(text) if sign in (":?", "?") and not environment.get(name)
    })  # fmt: skip
    if missing:
        raise Failed(
            f"{file.name} needs {', '.join(missing)}, which the environment does not have",
            "set each, or write them to deploy/.env (docs/deploy.md)",
        )
    content = yaml.safe_load(text)
    secrets = {name: environment.get(one["environment"], "") for name, one in content.get("secrets", {}).items()}
    services = {name: _service(name, _filled(one, environment), secrets) for name, one in content["services"].items()}
    return {name: services[name] for name in _in_order(services)}


def variables(file: Path) -> dict[str, str]:
    """Every variable that a file reads, with `?` where it is required, else its default."""
    found: dict[str, str] = {}
    for name, sign, default in _VARIABLE.findall(file.read_text()):
        if name:
            found[name] = "?" if "?" in sign else default
    return found


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, environment) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, environment) for one in value]
    if not isinstance(value, str):
        return value

    def one(found: re.Match[str]) -> str:
        name, sign, default = found.groups()
        if name is None:
            return "$"
        return environment.get(name) or (default if sign and "-" in sign else "")

    return _VARIABLE.sub(one, value)


def _service(name: str, entry: dict[str, Any], secrets: Mapping[str, str]) -> Service:
    health = entry.get("healthcheck", {})
    depends = entry.get("depends_on", [])
    return Service(
        name=name,
        image=entry["image"],
        target=entry.get("build", {}).get("target"),
        command=_words(entry.get("command", [])),
        environment={key: str(value) for key, value in entry.get("environment", {}).items()},
        volumes=[_volume(one) for one in entry.get("volumes", [])],
        secrets={one: secrets[one] for one in entry.get("secrets", [])},
        health=_words(health["test"][1:]) if health.get("test") else None,
        patience=_seconds(health.get("start_period", "60s")) + _MORE_PATIENCE,
        after=list(depends),
        ports=dict(_port(str(one)) for one in entry.get("ports", [])),
        grace=_seconds(entry.get("stop_grace_period", "10s")),
        profiles=entry.get("profiles", []),
    )


def _words(value: str | Sequence[str]) -> list[str]:
    return shlex.split(value) if isinstance(value, str) else [str(one) for one in value]


def _volume(text: str) -> Volume:
    source, target, *how = text.split(":")
    return Volume(source, target, "ro" in how)


def _port(text: str) -> tuple[int, tuple[str, int]]:
    *address, outer, inner = text.split(":")
    return int(inner), (":".join(address) or "0.0.0.0", int(outer))


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * (60 if unit == "m" else 1)


def _in_order(services: Mapping[str, Service]) -> list[str]:
    found: list[str] = []

    def add(name: str) -> None:
        for before in services[name].after:
            add(before)
        if name not in found:
            found.append(name)

    for name in services:
        add(name)
    return found
