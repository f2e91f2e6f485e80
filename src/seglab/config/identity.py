"""What of a config can change a result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.config.targets import places_of
from seglab.runtime.file_digest import sha256_of

# Settings that cannot change a result.
_NOT_IDENTITY = ("run_name", "resume", "tracking", "metrics")
_NOT_DATA_IDENTITY = ("cache_dir", "cache_gb", "workers")
# Settings that say nothing by a value: what is identical without them has its digest of before.
BY_DEFAULT = {
    "data.regions": None,
    "data.regions_class_order": None,
    "trainer.fit_memory": False,
    "trainer.keep": "best",
    "trainer.xla": False,
}
# Groups with a `_target_` beside the data, whose files count by what they hold.
_PARTS = ("model", "loss", "optimizer", "schedule", "augment")


def identity_of(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The whole config less names, store, resume, cache, workers, devices and places.

    What lies in the places of the data is not in here; of a model's file it is the contents that count.
    """
    kept = {key: value for key, value in resolved.items() if key not in _NOT_IDENTITY}
    elsewhere = {*_NOT_DATA_IDENTITY, *places_of(str(kept["data"]["_target_"]), "data._target_")}
    # The same batches and sums on any number of devices.
    kept["trainer"] = {
        key: value
        for key, value in kept["trainer"].items()
        if key != "devices" and not _by_default("trainer", key, value)
    }
    kept["data"] = {
        key: value
        for key, value in kept["data"].items()
        if key not in elsewhere and not _by_default("data", key, value)
    }
    for group in _PARTS:
        for key in places_of(str(kept[group]["_target_"]), f"{group}._target_") & set(kept[group]):
            kept[group] = {**kept[group], key: _contents(kept[group][key])}
    return dict(_one_spelling(kept))


def _by_default(group: str, key: str, value: Any) -> bool:
    name = f"{group}.{key}"
    return name in BY_DEFAULT and value == BY_DEFAULT[name]


def _contents(place: Any) -> Any:
    """The SHA-256 of the file that is named; a word that is no file stands for itself."""
    if not isinstance(place, str) or not Path(place).is_file():
        return place
    return sha256_of(Path(place))


def _one_spelling(value: Any) -> Any:
    """The value with whole numbers written one way: 1 and 1.0 set the same."""
    if isinstance(value, Mapping):
        return {key: _one_spelling(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_one_spelling(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
