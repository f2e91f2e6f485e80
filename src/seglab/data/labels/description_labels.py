"""The `labels` of a `dataset.json`: value → name (Decathlon, nnU-Net), or name → value or values (nnU-Net v2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.data.labels.label_map import LabelMap
from seglab.data.labels.label_schema import Classes
from seglab.data.labels.regions import declared_regions
from seglab.errors import DataError

_IGNORE = "ignore"  # nnU-Net's name of what is never trained on
_LARGEST = 2**31 - 1


def declared_labels(labels: Mapping[str, Any], file: Path, order: Any = None) -> Classes:
    """The classes of a description, in the order of their (first) values.

    A name with several values, a region of nnU-Net v2, is one class of all of them, and is written as the value that
    `order` says, or else as the smallest. Where regions overlap, each value is a class, and the regions are what is
    learnt and scored. `ignore` is no class: its voxels are never trained on and never scored.

    Args:
        labels: as the description has them.
        file: the description, for messages.
        order: its `regions_class_order`, a value for each region, without which regions may not overlap.

    Raises:
        DataError: values that are no whole numbers, or stand under two names; version 2 without a background of 0;
            regions that `declared_regions` refuses.
    """
    remedy = f'declare it under "labels" in {file}, or correct the label file'
    if all(isinstance(name, str) for name in labels.values()):
        names = {_number(key, file): str(name) for key, name in labels.items()}
        if len(set(names.values())) < len(labels):
            raise _malformed(file, labels, "a value and a name of its own for each class")
        values = tuple(sorted(names))
        return Classes(LabelMap(values, remedy=remedy), tuple(names[value] for value in values))
    regions = {name: _values(name, given, file) for name, given in labels.items()}
    ignored = regions.pop(_IGNORE, None)
    if ignored is not None and (len(ignored) > 1 or ignored[0] == 0):
        raise _malformed(file, {_IGNORE: labels[_IGNORE]}, f'"{_IGNORE}": one number above those of the classes')
    if order is not None:
        _check_whole(order, file)
    if order is not None and _overlap(regions):
        return _of_regions(regions, order, None if ignored is None else ignored[0], file, remedy)
    _refuse_overlap({**regions, **({} if ignored is None else {_IGNORE: ignored})}, file)
    names_in_order = sorted(regions, key=lambda name: regions[name])
    if not names_in_order or 0 not in regions[names_in_order[0]]:
        raise _malformed(file, labels, '"background": 0 among them; what has no label is background')
    if len(names_in_order) < 2:
        raise _malformed(file, labels, "the background and one class or more")
    class_of = {value: k for k, name in enumerate(names_in_order) for value in regions[name]}
    smallest = {value: of_one[0] for of_one in regions.values() for value in of_one}
    painted = order or []
    # A mask is written with the first value of a class: a painted one takes the place of the smallest.
    values = tuple(
        sorted(class_of, key=lambda value: (smallest[value] if value in painted else value, value not in painted))
    )
    plain = all(len(of_one) == 1 for of_one in regions.values())
    label_map = LabelMap(
        values,
        None if ignored is None else ignored[0],
        remedy=remedy,
        class_ids=() if plain else tuple(class_of[value] for value in values),
    )
    if order is not None:
        foreground = {name: of for name, of in regions.items() if name != names_in_order[0]}
        declared_regions(foreground, order, label_map, str(file))
    return Classes(label_map, tuple(names_in_order))


def _overlap(regions: Mapping[str, tuple[int, ...]]) -> bool:
    return sum(map(len, regions.values())) > len(set().union(*regions.values()))


def _of_regions(
    regions: Mapping[str, tuple[int, ...]], order: list[int], ignored: int | None, file: Path, remedy: str
) -> Classes:
    """A class for each value, under the name of the region that is this value alone, and the regions of the rest."""
    background = next((name for name, values in regions.items() if values == (0,)), None)
    if background is None:
        raise _malformed(file, {name: list(of) for name, of in regions.items()}, '"background": 0 among them')
    alone = {values[0]: name for name, values in regions.items() if len(values) == 1}
    values = tuple(sorted(set().union(*regions.values())))
    label_map = LabelMap(values, ignored, remedy=remedy)
    wide = {name: of for name, of in regions.items() if name != background}
    return Classes(
        label_map,
        tuple(alone.get(value, f"label_{value}") for value in values),
        regions=declared_regions(wide, order, label_map, str(file)),
    )


def _check_whole(order: Any, file: Path) -> None:
    if not isinstance(order, list) or not all(type(value) is int for value in order):
        key = "regions_class_order"
        raise _malformed(file, order, f'"{key}": [1, 2, …], a list of whole numbers without quotes', key)


def _values(name: str, given: Any, file: Path) -> tuple[int, ...]:
    values = given if isinstance(given, list) else [given]
    if not values or not all(type(value) is int and 0 <= value <= _LARGEST for value in values):
        raise _malformed(file, {name: given}, "a whole number of 0 or more for each name, or a list of such")
    return tuple(sorted(set(values)))


def _refuse_overlap(regions: Mapping[str, tuple[int, ...]], file: Path) -> None:
    first: dict[int, str] = {}
    for other, others in regions.items():
        one = next((first[value] for value in others if value in first), None)
        first.update(dict.fromkeys(others, other))
        if one is None:
            continue
        values = regions[one]
        if len(values) == len(others) == 1:
            raise _malformed(file, {one: values[0], other: others[0]}, "a value of its own for each name")
        alone = {of_one[0]: name for name, of_one in regions.items() if len(of_one) == 1}
        every = sorted({value for of_one in regions.values() for value in of_one})
        plain = {alone.get(value, f"label_{value}"): value for value in every}
        raise DataError(
            "regions that overlap, and nothing says which value each paints into a mask",
            code="regions-overlap",
            where=str(file),
            found=f"{one} {list(values)} and {other} {list(others)}",
            expected='"regions_class_order", a value for each region, or each value under one name in "labels"',
            remedy='add "regions_class_order", as nnU-Net has it; or declare the values themselves, by names of your '
            f'own: "labels": {json.dumps(plain)}; the scores are then those of the parts, and not of the regions',
        )


def _number(key: str, file: Path) -> int:
    if not key.isdecimal() or len(key) > len(str(_LARGEST)):
        raise _malformed(file, {key: "…"}, 'whole numbers as keys: {"0": "background", …}, or {"background": 0, …}')
    return int(key)


def _malformed(file: Path, given: Any, expected: str, key: str = "labels") -> DataError:
    text = json.dumps(given, ensure_ascii=False)
    return DataError(
        "a dataset.json that cannot be used",
        code="dataset-json-invalid",
        where=str(file),
        found=f'"{key}": {text[:200]}' + ("…" if len(text) > 200 else ""),
        expected=expected,
        remedy="write it as the Medical Segmentation Decathlon or nnU-Net does",
    )
