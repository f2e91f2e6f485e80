"""What stands in the place of a model where none is served: a service of prompts, and of images, alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from seglab.serving.problems import Problem
from seglab.serving.served import ServedModel


class NoModel:
    """Answers as `Models` of `running_models` does, for no model: whatever needs one is refused with a `Problem`.

    Attributes:
        label: of no model.
        alive: nothing has to begin before requests are welcome.
    """

    label, alive = "", True

    def __init__(self) -> None:
        self.restarted: Callable[[], None] = lambda: None

    @property
    def watched(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @property
    def served(self) -> ServedModel:
        """There is none."""
        self._refuse()

    def ask(self, *_: object) -> NoReturn:
        """Nobody to ask."""
        self._refuse()

    ask_twice = ask

    def revive(self) -> None:
        """Nothing has ended."""

    def kill(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing was begun."""

    def _refuse(self) -> NoReturn:
        raise Problem(
            404,
            "model-missing",
            "a service that serves no model",
            "it answers clicks and boxes: POST /sessions",
            remedy="whoever runs it names a model: seglab serve <exported folder, run, or models:/name@alias> …",
        )
