"""Names that configs of former versions use, and those of today: stored runs and a user's own yaml are still read.

Every reader of a stored config passes it through here, so that runs from before a move and after it have one spelling
and pair in comparisons. `CHANGELOG.md` has the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TARGETS = {
    "seglab.data.camvid.CamVid": "seglab.data.sources.camvid.CamVid",
    "seglab.data.cityscapes.Cityscapes": "seglab.data.sources.cityscapes.Cityscapes",
    "seglab.data.image_folder.ImageFolder": "seglab.data.sources.image_folder.ImageFolder",
    "seglab.data.nifti.Nifti": "seglab.data.sources.nifti.Nifti",
    "seglab.data.synthetic.Synthetic2D": "seglab.data.synthetic.shapes.Synthetic2D",
    "seglab.data.synthetic.Synthetic3D": "seglab.data.synthetic.shapes.Synthetic3D",
    "seglab.data.tables.Csv": "seglab.data.sources.csv_tables.Csv",
}
# Settings by the group that they stand in.
SETTINGS = {"data": {"fit": "resize_mode"}}
_TARGET = "_target_"


def current_target(target: str) -> str:
    """The dotted path of today for a `_target_`; one that was never moved as it is."""
    return TARGETS.get(target, target)


def current_section(group: str, section: Any) -> Any:
    """A group of a config in the names of today; anything but a mapping is returned as it is."""
    if not isinstance(section, Mapping):
        return section
    former = {old: new for old, new in SETTINGS.get(group, {}).items() if new not in section}
    named = {former.get(key, key): value for key, value in section.items()}
    if isinstance(named.get(_TARGET), str):
        named[_TARGET] = current_target(named[_TARGET])
    return named


def current_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A whole config in the names of today, its keys in their order."""
    return {key: current_section(key, section) for key, section in config.items()}


def current_params(params: Mapping[str, str]) -> dict[str, str]:
    """The params of a run, `group.setting` → text, in the names of today."""
    named = {}
    for key, value in params.items():
        key = current_setting(key, params)
        named[key] = current_target(value) if key.rpartition(".")[2] == _TARGET else value
    return named


def current_setting(key: str, beside: Mapping[str, Any] | None = None) -> str:
    """The dotted key of today for a setting; a former one that stands `beside` its new one is left as it is."""
    group, _, name = key.partition(".")
    new = f"{group}.{SETTINGS.get(group, {}).get(name, name)}"
    return key if new == key or (beside and new in beside) or not name else new
