"""Runs of one composition together, its seeds as replicates; compositions told apart by the settings that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seglab.comparison.runs import Run

# What a composition is repeated over, and what cannot change a result.
REPLICATES = ("seed", "data.fold", "data.split_seed")
_NO_PART = ("run_name", "resume", "tracking", "data.cache_dir", "data.cache_gb", "data.workers", "trainer.profile")
_NAMED = ("model", "loss", "optimizer")
FACTORS = {"augment": "augmentation"}


@dataclass(frozen=True)
class Composition:
    """Runs that differ in seed, fold or split alone.

    Attributes:
        label: short and unique among those compared.
        runs: oldest first.
        parts: for each group of the config (`loss`, `model`, …) the level it has here, as `levels` names it; only the
            groups that differ among the compositions.
    """

    label: str
    runs: list[Run]
    parts: Mapping[str, str]


def settings_of(run: Run) -> dict[str, str]:
    """The params that make a run's composition."""
    return {
        key: value
        for key, value in run.params.items()
        if key not in REPLICATES and key not in _NO_PART and key.partition(".")[0] not in _NO_PART
    }


def compose(runs: Sequence[Run]) -> list[Composition]:
    """Compositions in the order in which their first run began."""
    gathered: dict[frozenset[tuple[str, str]], list[Run]] = {}
    for run in runs:
        gathered.setdefault(frozenset(settings_of(run).items()), []).append(run)
    settings = [dict(key) for key in gathered]
    groups = list(dict.fromkeys(key.partition(".")[0] for found in settings for key in sorted(found)))
    named = {group: levels([_of_group(found, group) for found in settings]) for group in groups}
    varying = [group for group in groups if len(set(named[group])) > 1]
    compositions = []
    for i, members in enumerate(gathered.values()):
        if all(f"{group}.name" in members[0].params for group in _NAMED):
            label = "_".join(named[group][i] for group in _NAMED)
        else:
            label = members[0].name
        further = [named[group][i] for group in varying if group not in _NAMED]
        compositions.append(
            Composition(" · ".join([label, *further]), members, {group: named[group][i] for group in varying})
        )
    return compositions


def levels(parts: Sequence[Mapping[str, str]]) -> list[str]:
    """A name for each of the parts, the same for equal parts alone.

    A part's own `name`; where several parts share it, with the keys in which they differ: `TverskyLoss (alpha=0.3)`.
    """
    distinct: dict[str, list[Mapping[str, str]]] = {}
    for part in parts:
        alike = distinct.setdefault(part.get("name", ""), [])
        if part not in alike:
            alike.append(part)
    names = []
    for part in parts:
        name = part.get("name", "")
        alike = distinct[name]
        keys = sorted({key for other in alike for key in other})
        differing = [key for key in keys if len({other.get(key) for other in alike}) > 1]
        said = ", ".join(f"{key or 'value'}={part.get(key, 'not set')}" for key in differing)
        if name:
            names.append(f"{name} ({said})" if said else name)
        else:
            names.append(said or "as everywhere")
    return names


def _of_group(settings: Mapping[str, str], group: str) -> dict[str, str]:
    """The settings of one group, without its name in front; a setting of the root stands under the empty key."""
    return {
        key.partition(".")[2]: value for key, value in settings.items() if key == group or key.startswith(f"{group}.")
    }
