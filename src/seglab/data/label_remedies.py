"""What to paste when masks hold what nobody declared: what was declared stays, what is missing comes behind it."""

from __future__ import annotations

from collections.abc import Sequence

from seglab.errors import DataError

Rgb = tuple[int, ...]  # red, green and blue, 0 to 255
# More strange values than this are brightness, not classes.
MOST_UNKNOWN = 32
_PHOTOGRAPH = (
    "this looks like a photograph or a lossy mask: store masks as PNG or TIFF with one class value a pixel,"
    " and check that data.images and data.masks are not swapped"
)


class UndeclaredLabels(DataError):
    """A mask with values that are not declared.

    Args:
        values: all that the mask holds, sorted; empty where a remedy for this mask alone is the remedy for all.
    """

    def __init__(self, what: str, *, values: Sequence[int] = (), **rest: str):
        super().__init__(what, finding="undeclared-label", **rest)
        self.values = tuple(values)


def declare_values(held: Sequence[int], declared: Sequence[int], ignored: int | None, names: Sequence[str]) -> str:
    """What to do about masks of the values `held`.

    Args:
        held: sorted; of one mask, or of all.
        declared, ignored: the label values in the order of the class ids; the one without a truth, or None.
        names: of the classes as the user gave them, or none.
    """
    unknown = [value for value in held if value not in declared and value != ignored]
    if len(unknown) > MOST_UNKNOWN:
        return _PHOTOGRAPH
    more = _list_of("label_values", [*declared, *unknown]) + _names(names, unknown)
    if ignored is not None:
        return f"if these are classes too: {more}"
    if {255 - value for value in held} <= set(declared):
        return (
            "if the file is a TIFF that says that 0 is white, though its values are labels: save it anew with 0 as"
            f" black (MINISBLACK); if these are classes too: {more}"
        )
    if set(held) <= {0, 255} and tuple(declared) == (0, 1):
        return (
            "if every mask is stored as black and white, 0 and 255: data.label_values=[0,255]; if 255 marks pixels"
            f" without a truth: data.ignore_value=255; if it is one class more: {more}"
        )
    if len(unknown) == 1:
        [value] = unknown
        return f"if {value} marks pixels without a truth: data.ignore_value={value}; if it is one class more: {more}"
    return f"if these are classes too: {more}; one of them may be data.ignore_value instead, for pixels without a truth"


def declare_colors(
    unknown: Sequence[Rgb], colors: Sequence[Rgb], declared: Sequence[int], ignored: int | None, names: Sequence[str]
) -> str:
    """What to do about masks of colours that are not among `colors`, those of `declared` and, last, of `ignored`."""
    if len(unknown) > MOST_UNKNOWN:
        return _PHOTOGRAPH
    first = max([*declared, -1 if ignored is None else ignored]) + 1
    values = [*range(first, first + len(unknown))]
    known = len(declared)
    rows = _colors([*colors[:known], *unknown, *colors[known:]])
    more = f"{_list_of('label_values', [*declared, *values])} {rows}{_names(names, values)}"
    if ignored is None and len(unknown) == 1:
        without = f"data.ignore_value={first} {_colors([*colors, *unknown])}"
        return f"if it marks pixels without a truth: {without}; if it is one class more: {more}"
    return f"if these are classes too: {more}"


def _list_of(key: str, values: Sequence[object]) -> str:
    return f"data.{key}=[" + ",".join(map(str, values)) + "]"


def _colors(colors: Sequence[Rgb]) -> str:
    return _list_of("label_colors", ["[" + ",".join(map(str, color)) + "]" for color in colors])


def _names(names: Sequence[str], unknown: Sequence[int]) -> str:
    """With names given, one for each new value as well, quoted for Hydra and for the shell."""
    if not names:
        return ""
    if any(sign in name for name in names for sign in "'\"\\$`!"):
        return " and a name for each in data.class_names"
    return ' "' + _list_of("class_names", [f"'{name}'" for name in [*names, *(f"label_{v}" for v in unknown)]]) + '"'
