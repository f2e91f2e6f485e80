"""Masks whose palettes disagree: the same number is another colour, and so perhaps another class, in another file."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from seglab.data.cases import Case, Source
from seglab.data.check.findings import Finding
from seglab.data.labels.label_map import LabelMap
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.sources.image_cases import ImageCases
from seglab.errors import DataError


def check_palettes(source: Source, cases: Sequence[Case]) -> None:
    """See that the palettes of masks agree, where no check of the data has; images are not read.

    Raises:
        DataError: classes that have changed places, as `find_other_palettes` finds them; a mask that cannot be read.
    """
    if not isinstance(source, ImageCases):
        return
    palettes = {case.id: found for case in cases if (found := source.read_palette(case))}
    row = next(_other_palettes(source, palettes, len(cases)), None)
    if row is not None and row.severity == "error":
        raise DataError(
            "masks whose palettes disagree",
            code="palettes-differ",
            finding="palettes-differ",
            where=row.where,
            found=row.found,
            expected=row.expected,
            remedy=row.remedy,
        )


def find_other_palettes(source: Source, facts: Mapping[str, CaseFingerprint]) -> Iterator[Finding]:
    """A row when the palettes of the mask files show a value in several colours.

    An error where one colour stands for several values, or grey falls where the values rise: then classes have changed
    places. A warning where colours merely differ, as when each file has a palette of its own.

    Args:
        source: says which values mean what, if it reads masks by values.
        facts: of every case.
    """
    return _other_palettes(source, {i: one.palette for i, one in facts.items() if one.palette}, len(facts))


def _other_palettes(source: Source, palettes: Mapping[str, Mapping[str, str]], masks: int) -> Iterator[Finding]:
    labels = getattr(source, "label_map", None)  # volumes have no palettes
    held = Counter(tuple(sorted(one.items())) for one in palettes.values())
    if not isinstance(labels, LabelMap) or not held:
        return
    usual: dict[str, str] = {}  # as most files have it, of as many the darkest first, completed from the others
    for pairs in sorted(held, key=lambda pairs: (-held[pairs], [_channels(color) for _, color in pairs])):
        usual |= {n: color for n, color in pairs if n not in usual and color not in usual.values()}
    shown, meant = _several(pair for pairs in held for pair in pairs), _several(p[::-1] for q in held for p in q)
    plain = masks - len(palettes)
    falling = plain and any(_falls(dict(pairs)) for pairs in held)
    if not shown and not falling:
        return
    odd = [
        case_id
        for case_id, one in palettes.items()
        if any(usual.get(n) != color for n, color in one.items()) or (falling and _falls(one))
    ]
    example = palettes[odd[0]]
    listed = ", ".join(f"{n} is {color}" for n, color in example.items())
    elsewhere = "a brighter grey for a larger value, as files without a palette have it"
    if shown:
        elsewhere = ", ".join(f"{n} is {usual[n]}" for n in example if n in usual)
    yield Finding.of(
        "palettes-differ",
        f"{odd[0]}" + (f" and {len(odd) - 1} more masks" if len(odd) > 1 else ""),
        f"{listed}; elsewhere {elsewhere} ({masks - len(odd)} masks)",
        "a number that has one colour in all masks, or it may mean several classes",
        _remedy(source, labels, usual, bool(plain)),
        severity=None if meant or falling else "warning",
    )


def _several(pairs: Iterator[tuple[str, str]]) -> bool:
    """Whether one of the first stands beside two of the second."""
    seen: dict[str, str] = {}
    return any(seen.setdefault(one, other) != other for one, other in pairs)


def _channels(color: str) -> list[int]:
    return list(bytes.fromhex(color[1:]))


def _falls(palette: Mapping[str, str]) -> bool:
    """Whether all colours are grey and get darker as the numbers get larger."""
    greys = [_channels(palette[n])[0] for n in sorted(palette, key=int) if len(set(_channels(palette[n]))) == 1]
    return len(greys) == len(palette) > 1 and greys == sorted(greys, reverse=True)


def _remedy(source: Source, labels: LabelMap, usual: Mapping[str, str], plain: bool) -> str:
    anew = "save the masks anew, with the class value of each pixel in a grey PNG"
    if "label_colors" not in inspect.signature(type(source)).parameters:  # a layout with classes of its own
        return anew
    values = [*labels.values, *([] if labels.ignore_value is None else [labels.ignore_value])]
    if plain:
        return f"{anew}: some have a palette and some have none"
    colors = [_channels(usual[str(v)]) if str(v) in usual else None for v in values]
    known = "[" + ",".join("[r,g,b]" if c is None else str(c).replace(" ", "") for c in colors) + "]"
    missing = [value for value, color in zip(values, colors, strict=True) if color is None]
    return (
        f"data.label_colors={known} reads classes by their colours, which mean here what they do in most masks"
        + (f"; put the colours of {', '.join(map(str, missing))} in, which no mask holds" if missing else "")
        + f"; or {anew}"
    )
