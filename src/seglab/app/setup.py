"""What the pages need to know of the process that they run in. There is one of it in a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from seglab.app.api_client import Client


@dataclass(frozen=True)
class Setup:
    """Of this process.

    Attributes:
        client: asks the API.
        root_path: before every address that a browser is given, behind a proxy.
        others: models beside the first, by name: they are asked so.
        ui: address of MLflow's own pages, for links; empty for none.
        runs: is asked for runs and sweeps, and answers from a process of its own; None where none are shown.
        serves: whether there is a model.
        interactive: whether there are prompts.
        rows: where the service keeps what it answered; empty where it keeps nothing.
    """

    client: Client
    root_path: str = ""
    others: Mapping[str, Client] = field(default_factory=dict)
    ui: str = ""
    runs: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    serves: bool = True
    interactive: bool = False
    rows: str = ""

    def public(self, path: str) -> str:
        """An address as a browser needs it."""
        return self.root_path + path


_current: list[Setup] = []


def begin(setup: Setup) -> None:
    """Set what the pages read from now on."""
    _current[:] = [setup]


def current() -> Setup:
    """What `begin` was given last."""
    return _current[0]
