"""The axes of an array of Zarr: by the names that it has, or by how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.errors import DataError

SPACE = ("x", "y", "z")
_WITHOUT_NAMES = ("c", "z", "y", "x")


def axes_of_array(path: Path, array: Mapping[str, Any], names_in_xarray: Any) -> tuple[str, ...]:
    """Of an array without an image around it, in stored order.

    Args:
        path: of the array.
        array: its metadata; those of Zarr 3 may have `dimension_names`.
        names_in_xarray: its attribute `_ARRAY_DIMENSIONS`, which stands for them in Zarr 2; None where there is none.

    Raises:
        DataError: names that are not those of one volume, or so many axes without names.
    """
    shape = array.get("shape")
    count = len(shape) if isinstance(shape, list) else 0
    named = array.get("dimension_names") if array.get("zarr_format") == 3 else names_in_xarray
    names = named if isinstance(named, list) else []
    if all(name in (None, f"dim_{number}") for number, name in enumerate(names)):  # xarray numbers what has no name
        axes, described = _WITHOUT_NAMES[-count or len(_WITHOUT_NAMES) :], "without names of axes"
    else:
        axes, described = tuple(str(name).lower() for name in names), f"with axes {', '.join(map(str, names))}"
    check_axes(path, axes if len(axes) == count else (), f"an array of shape {shape} {described}"[:300])
    return axes


def check_axes(path: Path, axes: tuple[str, ...], found: str) -> None:
    """See that axes are those of one volume; raises `DataError` with what was found."""
    if len(set(axes)) == len(axes) and set(SPACE) <= set(axes) <= {*SPACE, "t", "c"}:
        return
    raise DataError(
        "a Zarr array whose axes are not those of one volume",
        code="zarr-axes",
        finding="channel-mismatch",
        where=str(path),
        found=found,
        expected="z, y and x once each, and at most c before them and t of length 1",
        remedy="save one volume; without names, three axes are taken as z, y, x, and four as c, z, y, x",
    )
