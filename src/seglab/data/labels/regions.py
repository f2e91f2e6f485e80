"""Regions, which are unions of classes and may overlap, as nnU-Net's `dataset.json` and `data.regions` say them.

A region is declared by a name and the values that it is made of, in the order in which regions are painted into a mask;
`regions_class_order` says which value each one paints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from seglab.data.labels.label_map import LabelMap
from seglab.data.labels.label_schema import Classes
from seglab.errors import ConfigError, DataError
from seglab.task import Region

_EXAMPLE = "data.regions='{whole: [1, 2, 3], core: [2, 3], enhancing: 3}' data.regions_class_order=[1,2,3]"


def with_regions(
    classes: Classes, regions: Mapping[str, int | Sequence[int]] | None, order: Sequence[int] | None
) -> Classes:
    """The classes with the regions of the settings, where there are such.

    Args:
        classes: of the data set.
        regions, order: as of `seglab.data.sources.nifti.Nifti`.

    Raises:
        ConfigError: one without the other, or what `declared_regions` refuses.
    """
    if regions is None and order is None:
        return classes
    if classes.regions:
        raise ConfigError(
            "regions declared in two places",
            code="labels-declared-twice",
            where="data.regions",
            found=f"data.regions, and {', '.join(one.name for one in classes.regions)} in dataset.json",
            expected="one of both",
            remedy="data.regions=null data.regions_class_order=null, or correct dataset.json",
        )
    if not isinstance(regions, Mapping) or not regions or order is None:
        raise ConfigError(
            "regions without the values that they paint, or these without regions",
            code="regions-invalid",
            where="data.regions, data.regions_class_order",
            found=f"regions={regions}, regions_class_order={order}",
            expected="a list of values for each name, and for each region the value that it paints",
            remedy=f"for example {_EXAMPLE}",
        )
    return replace(classes, regions=declared_regions(regions, order, classes.label_map))


def declared_regions(
    regions: Mapping[str, int | Sequence[int]], order: Sequence[int], labels: LabelMap, file: str = ""
) -> tuple[Region, ...]:
    """Regions by class ids.

    Args:
        regions: for each name the value or values of the mask files that it is made of, in the order of painting.
        order: the value that each region paints.
        labels: which values there are, and which class each is of.
        file: that says so; empty for the config.

    Raises:
        ConfigError, or DataError of a file: not one value to paint for each region; values that are not declared, or of
            the background; a region that does not hold what it paints, or is painted over by a later one that it is
            within; a part of a class.
    """
    ids = labels.class_ids or tuple(range(len(labels.values)))
    class_of = {value: k for value, k in zip(labels.values, ids, strict=True) if k != labels.ignore_label}
    values = {name: tuple(value) if isinstance(value, Sequence) else (value,) for name, value in regions.items()}
    wrong = _wrong(values, tuple(order), class_of)
    if wrong:
        found, expected = wrong
        kind, prefix = (DataError, "") if file else (ConfigError, "data.")
        raise kind(
            "regions that cannot be",
            code="regions-invalid",
            where=file or "data.regions, data.regions_class_order",
            found=found,
            expected=expected,
            remedy=f"correct {prefix}{'labels' if file else 'regions'} or {prefix}regions_class_order"
            + ("" if file else f", as in {_EXAMPLE}"),
        )
    return tuple(
        Region(name, tuple(sorted({class_of[value] for value in held})), class_of[painted])
        for (name, held), painted in zip(values.items(), order, strict=True)
    )


def _wrong(
    values: Mapping[str, tuple[int, ...]], order: tuple[int, ...], class_of: Mapping[int, int]
) -> tuple[str, str] | None:
    """What is wrong, and what is expected; None where nothing is."""
    if len(order) != len(values) or len(set(order)) != len(order):
        return f"regions_class_order {list(order)} for {', '.join(values)}", "a value of its own for each region"
    declared = ", ".join(str(value) for value, k in class_of.items() if k)
    for (name, held), painted in zip(values.items(), order, strict=True):
        strange = [value for value in (*held, painted) if type(value) is not int or value not in class_of]
        if strange or not held:
            return f"{name} {list(held)}, painted {painted!r}", f"values of classes: {declared}"
        if any(class_of[value] == 0 for value in held):
            return f"{name} {list(held)}, with the background", f"values of classes but the background: {declared}"
        if painted not in held:
            return f"{name} {list(held)}, painted {painted}", f"one of {name}'s own values to be painted"
        split = [v for v, k in class_of.items() if v not in held and k in {class_of[one] for one in held}]
        if split:
            return f"{name} {list(held)} without {split[0]}", "all values of a class, or none"
    names = list(values)
    for number, name in enumerate(names):
        over = next((later for later in names[number + 1 :] if set(values[name]) <= set(values[later])), None)
        if over:
            return f"{name} {list(values[name])} before {over} {list(values[over])}", (
                "the wider region first: what is painted later hides what lies within it"
            )
    return None
