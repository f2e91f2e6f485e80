"""What of a configuration may travel: what makes the model, and nothing of the machine and the people that made it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

WITHHELD = "(a place on the machine that trained it)"
# Sections that say where and by whom, and nothing of the model.
_PRIVATE = ("tracking", "launcher", "hydra", "resume")
_PLACE = re.compile(r"(/|~|\\\\|[A-Za-z]:[\\/]|[A-Za-z][\w+.-]*://)")


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without its private sections, and with `WITHHELD` in the place of every absolute path, home
    folder and address."""
    return {key: _public(value) for key, value in config.items() if key not in _PRIVATE}


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _public(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_public(one) for one in value]
    return WITHHELD if isinstance(value, str) and _PLACE.match(value.strip()) else value
