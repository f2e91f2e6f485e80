"""What an imported run would do on this machine if it were trained again: shown, and done only after a yes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml
from mlflow.entities import Run

from seglab.config.former_names import TARGETS
from seglab.config.places import CONF
from seglab.errors import ConfigError, TrackingError
from seglab.safety.untrusted_files import leaving
from seglab.tracking.imports import former_id

YES = "trust_diff=true"


def check_consent(run: Run, diff: str, config: Mapping[str, Any], settings: Mapping[str, Any], *, given: bool) -> None:
    """See that the code of an imported run may run here.

    Args:
        run: to be trained again.
        diff: changes of the code that came with it.
        config: that came with it.
        settings: variables of the environment that came with it.
        given: whether somebody has read them and said yes.

    Raises:
        TrackingError: nobody has; shows what would run.
    """
    former = former_id(run)
    if former is None or given:
        return
    lines = diff.splitlines()
    shown = [f"{len(lines)} lines of changes to the code of its commit{':' if lines else ''}", *lines]
    targets = [f"{where}: {target}" for where, target in _targets(config) if target not in known_targets()]
    if targets:
        shown += ["parts that no yaml in conf/ names:", *targets]
    if settings:
        shown += ["variables of the environment:", *(f"{key}={value}" for key, value in settings.items())]
    raise TrackingError(
        "an imported run contains code that nobody here has allowed to run",
        code="imported-code",
        where=f"run {run.info.run_id} ({run.info.run_name}), imported, formerly {former}",
        found="\n".join(shown),
        expected="the consent of somebody who has read it and trusts its author",
        remedy=f"read it; then: seglab reproduce {run.info.run_id} {YES}",
    )


def check_settings(where: str, config: Any) -> None:
    """See that a stored config speaks of itself alone: an interpolation of this machine's variables would keep them.

    Raises:
        ConfigError: it does not.
    """
    for place in leaving(config):
        raise ConfigError(
            "a stored config that reads what is not in it",
            code="unsafe-interpolation",
            where=where,
            found=place,
            expected="settings with values, or references to one another",
            remedy="do not use this run: seglab stores no such config",
        )


@lru_cache(maxsize=1)
def known_targets() -> frozenset[str]:
    """Each `_target_` that a yaml in `conf/` names: what somebody here has chosen to have, also
    by the name that it had before."""
    found: set[str] = set()
    for file in CONF.rglob("*.yaml"):
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
        found |= {target for _, target in _targets(described)}
    return frozenset(found | {former for former, now in TARGETS.items() if now in found})


def _targets(config: Any, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == "_target_":
                yield f"{where}{key}", str(value)
            else:
                yield from _targets(value, f"{where}{key}.")
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from _targets(value, f"{where}{index}.")
