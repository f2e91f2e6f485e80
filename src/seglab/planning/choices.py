"""Settings with their reasons: what a rule chose, or what the user said in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from omegaconf import OmegaConf

AS_GIVEN = "as given"


@dataclass(frozen=True)
class Choice:
    """One setting of a study.

    Attributes:
        key: dotted, or the name of a group: `data.size`, `model`.
        value: plain: a number, a text, a list of them, or None.
        reason: why, in a sentence.
    """

    key: str
    value: Any
    reason: str

    @property
    def shown(self) -> str:
        """The value as yaml and the command line have it."""
        return shown(self.value)

    @property
    def word(self) -> str:
        """As it is said on the command line."""
        return f"{self.key}={self.shown}"


class Choices:
    """The choices of a plan in the making; what the user said goes before every rule.

    Args:
        given: values by their dotted keys.
        begun: what was chosen before, such as what several configurations share.
    """

    def __init__(self, given: Mapping[str, Any], begun: Mapping[str, Choice] | None = None):
        self.given = given
        self.made: dict[str, Choice] = dict(begun or {})

    def choose(self, key: str, value: Any, reason: str) -> Any:
        """Note a setting and return what it is: later rules go by that."""
        if key in self.given:
            own = "" if self.given[key] == value else f"; the plan's own would be {shown(value)}: {reason}"
            value, reason = self.given[key], AS_GIVEN + own
        self.made[key] = Choice(key, value, reason)
        return value


def shown(value: Any) -> str:
    """A value in one line of yaml."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, str):
        text = _dumped(value)
        if "${" in value:  # to Hydra, the begin of another value
            return _dumped(value, "'")
        # `1e3` is a text to YAML, and a number to Hydra.
        return text if OmegaConf.to_container(OmegaConf.create(f"- {text}")) == [value] else _dumped(value, "'")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(one)}" for key, one in value.items()) + "}"
    return str(value)


def _dumped(text: str, style: str | None = None) -> str:
    found: str = yaml.safe_dump(text, default_flow_style=True, default_style=style, allow_unicode=True, width=10**6)
    return found.removesuffix("\n").removesuffix("\n...")
