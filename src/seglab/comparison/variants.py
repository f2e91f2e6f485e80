"""Runs of one variant together, its seeds as replicates; variants told apart by the settings that differ."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seglab.comparison.runs import StoredRun
from seglab.config.identity import BY_DEFAULT
from seglab.config.targets import places_of
from seglab.errors import ConfigError
from seglab.run_record import RunRecord, Tag

# What a variant is repeated over, and what cannot change a result.
REPLICATES = ("seed", "data.fold", "data.split_seed")
NO_PART = (
    "run_name",
    "resume",
    "tracking",
    "metrics",
    "data.cache_dir",
    "data.cache_gb",
    "data.workers",
    "trainer.profile",
)
# Params that runs of before there was the setting do not have, with the text of its default.
_BY_DEFAULT = {(key, value if isinstance(value, str) else json.dumps(value)) for key, value in BY_DEFAULT.items()}
_SAME_CODE = (Tag.GIT_COMMIT, Tag.GIT_DIRTY, Tag.PRECISION)
_NAMED = ("model", "loss", "optimizer")
_WHOLE = re.compile(r"-?[0-9]+\.0")
_BUILDER, _ENCODER = "model._target_", "model.encoder"
# What is chosen; the rest may be settled by it, as the epochs that one budget allows each network.
_CHOSEN = {"model": "model", "encoder": "encoder", "loss": "loss", "optimizer": "optimizer", "augment": "augmentation"}


@dataclass(frozen=True)
class Variant:
    """Runs that differ in seed, fold or split alone.

    Attributes:
        label: short and unique among those compared.
        runs: oldest first.
        parts: for each factor the level it has here, as `levels` names it. A factor is a group of the config (`loss`,
            `augmentation`, …) that differs among the variants. The encoder is one of its own where a network comes
            with several, and a group that another choice settles is none: `model with trainer`.
    """

    label: str
    runs: list[StoredRun]
    parts: Mapping[str, str]

    @property
    def allowed(self) -> str:
        """Findings of the data check that were allowed to pass in one of the runs; empty without any."""
        return ", ".join(sorted({RunRecord.of(run).data_allowed for run in self.runs} - {""}))

    @property
    def mixed(self) -> bool:
        """Whether its runs are of more than one commit or number format, so that more than the seed differs."""
        return any(len({run.tags.get(tag) for run in self.runs}) > 1 for tag in _SAME_CODE)


def settings_of(run: StoredRun) -> dict[str, str]:
    """The params that make a run's variant; where its data lay is none, their digest stands for them."""
    digest = run.tags.get(Tag.DATA_DIGEST)
    kept = {
        key: value for key, value in what_counts(run.params, known=digest is not None).items() if key not in REPLICATES
    }
    return {**kept, "data.contents": digest} if digest else kept


def what_counts(params: Mapping[str, str], known: bool = True) -> dict[str, str]:
    """The params that can change a result; where the data lie is none when their contents are `known`."""
    left_out = set(NO_PART)
    if known:
        left_out |= {f"data.{name}" for name in places(params.get("data._target_", ""))}
    return {
        key: _one_spelling(value)
        for key, value in params.items()
        if key not in left_out and key.partition(".")[0] not in NO_PART and (key, value) not in _BY_DEFAULT
    }


def places(target: str) -> set[str]:
    """Settings of a reader that name files or folders; of another's code nothing is read."""
    try:
        return places_of(target, "data._target_") if target.startswith("seglab.") else {"root"}
    except ConfigError:  # a reader of an older version
        return {"root"}


def _one_spelling(value: str) -> str:
    """1.0 as 1: they set the same."""
    return value[:-2] if value.endswith(".0") and _WHOLE.fullmatch(value) else value


def runs_by_variant(runs: Sequence[StoredRun]) -> list[list[StoredRun]]:
    """Runs of one variant together, in the order in which the first of each began."""
    gathered: dict[frozenset[tuple[str, str]], list[StoredRun]] = {}
    for run in runs:
        gathered.setdefault(frozenset(settings_of(run).items()), []).append(run)
    return list(gathered.values())


def variants_of(runs: Sequence[StoredRun]) -> list[Variant]:
    """Variants in the order in which their first run began."""
    gathered = runs_by_variant(runs)
    settings = [settings_of(members[0]) for members in gathered]
    named = _named(settings)
    apart = _encoders_apart(settings)
    factors = _factors(_varying(named if apart is settings else _named(apart)))
    further = [names for group, names in _varying(named).items() if group not in _NAMED]
    variants = []
    for i, members in enumerate(gathered):
        if all(f"{group}.name" in members[0].params for group in _NAMED):
            label = "_".join(named[group][i] for group in _NAMED)
        else:
            label = members[0].name
        label = " · ".join([label, *(names[i] for names in further)])
        variants.append(Variant(label, members, {factor: names[i] for factor, names in factors.items()}))
    return variants


def levels(parts: Sequence[Mapping[str, str]]) -> list[str]:
    """A name for each of the parts, the same for equal parts alone.

    A part's own `name`; where several parts share it, with the keys in which they differ: `TverskyLoss (alpha=0.3)`.
    """
    sharing: dict[str, list[Mapping[str, str]]] = {}
    for part in parts:
        sharing.setdefault(part.get("name", ""), []).append(part)
    differing = {name: _differing(alike) for name, alike in sharing.items()}
    names = []
    for part in parts:
        name = part.get("name", "")
        settings = ", ".join(f"{key or 'value'}={part.get(key, 'not set')}" for key in differing[name])
        if name:
            names.append(f"{name} ({settings})" if settings else name)
        else:
            names.append(settings or "as everywhere")
    return names


def _differing(parts: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys in which some of the parts differ, in order."""
    keys = sorted({key for part in parts for key in part})
    return [key for key in keys if len({part.get(key) for part in parts}) > 1]


def _named(settings: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """For each group of the config the level that each of these settings has."""
    parts = [_by_group(found) for found in settings]
    groups = dict.fromkeys(group for part in parts for group in part)
    return {group: levels([part.get(group, {}) for part in parts]) for group in groups}


def _varying(named: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {group: names for group, names in named.items() if len(set(names)) > 1}


def _factors(varying: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The groups under the names of the factors that they are; one that a choice settles goes with that choice."""
    followers: dict[str, list[str]] = {group: [] for group in varying}
    for group in varying:
        if group not in _CHOSEN:
            settling = [choice for choice in _CHOSEN if choice in varying and _settles(varying[choice], varying[group])]
            if settling:
                followers[settling[0]].append(group)
                del followers[group]
    return {
        " with ".join([_CHOSEN.get(group, group), *([" and ".join(along)] if along else [])]): varying[group]
        for group, along in followers.items()
    }


def _settles(levels_of_one: Sequence[str], levels_of_other: Sequence[str]) -> bool:
    return len(set(zip(levels_of_one, levels_of_other, strict=True))) == len(set(levels_of_one))


def _encoders_apart(settings: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
    """The settings, with the encoder as a group beside `model` for the networks that come with several.

    Such a network's own name is what its encoders leave of it: the display name where they share one, else that of the
    function which builds it, for `VGG16UNet` and `ResNet50UNet` are one network.
    """
    families: dict[str, list[Mapping[str, str]]] = {}
    for found in settings:
        if _ENCODER in found:
            families.setdefault(found.get(_BUILDER, ""), []).append(found)
    several = {of for of, members in families.items() if len({member[_ENCODER] for member in members}) > 1}
    if not several:
        return settings
    apart = []
    for found in settings:
        of = found.get(_BUILDER, "")
        rest = {key: value for key, value in found.items() if key != _ENCODER}
        rest["encoder.name"] = found.get(_ENCODER, "none")
        if of in several and len({member.get("model.name") for member in families[of]}) > 1:
            rest["model.name"] = of.rpartition(".")[2]
        apart.append(rest)
    return apart


def _by_group(settings: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The settings of each group, without its name in front; a setting of the root stands under the empty key."""
    groups: dict[str, dict[str, str]] = {}
    for key in sorted(settings):
        group, _, rest = key.partition(".")
        groups.setdefault(group, {})[rest] = settings[key]
    return groups
