"""What the metadata of a Zarr folder say of an image: its axes, its levels, and where its voxels lie.

After OME-Zarr 0.4 (https://ngff.openmicroscopy.org/0.4) and 0.5 (https://ngff.openmicroscopy.org/0.5). Only the JSON
files are read here, so that a folder can be judged without the library.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from seglab.data.io.length_units import KNOWN, is_length, millimetres
from seglab.data.io.nifti_headers import unreadable
from seglab.data.io.zarr_axes import SPACE, axes_of_array, check_axes
from seglab.errors import DataError

ZARR_ENDING = ".zarr"
GROUP_FILES = ("zarr.json", ".zgroup", ".zattrs")
METADATA_FILES = (*GROUP_FILES, ".zarray", ".zmetadata")
VERSIONS = ("0.4", "0.5")
_KIND = "OME-Zarr image, or a Zarr array of axes z, y, x"
_MOST_BYTES = 2**24
_MOST_FOLDERS_UP = 3  # between an array and the image that it is a level of: scale0/image


@dataclass(frozen=True)
class Level:
    """One array of an image.

    Attributes:
        path: below the folder of the image; empty for the folder itself.
        scale, shift: of every stored axis, in its own unit.
    """

    path: str
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def along(self, axes: Sequence[str], units: Mapping[str, str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Size of a voxel and place of the first one along x, y and z, in mm where the axes have a unit."""
        places = [axes.index(name) for name in SPACE]
        factors = [millimetres(units.get(name, "")) or 1.0 for name in SPACE]
        spacing = tuple(self.scale[k] * factor for k, factor in zip(places, factors, strict=True))
        return spacing, tuple(self.shift[k] * factor for k, factor in zip(places, factors, strict=True))


@dataclass(frozen=True)
class OmeImage:
    """A volume in a Zarr folder, as its metadata describe it.

    Attributes:
        folder: that the levels lie in.
        axes: names in stored order, of t, c, z, y and x; x, y and z are there.
        units: of the axes of space that have one.
        levels: from the finest; of a plain array, that one.
        version: of OME-Zarr; empty for a plain array.
        labels: whether the image says that it is one of labels.
    """

    folder: Path
    axes: tuple[str, ...]
    units: Mapping[str, str]
    levels: tuple[Level, ...]
    version: str
    labels: bool = False


def is_zarr(path: Path) -> bool:
    """A folder with metadata of Zarr, or one that is named so."""
    if not path.is_dir():
        return False
    return path.name.lower().endswith(ZARR_ENDING) or any((path / name).is_file() for name in (*GROUP_FILES, ".zarray"))


def zarr_around(place: Path) -> Path | None:
    """The folder of Zarr that a place is or lies in, by the metadata there; None where there is none."""
    above = Path(os.path.realpath(place))
    return next((one for one in (above, *above.parents) if any((one / n).is_file() for n in METADATA_FILES)), None)


def check_local(word: str) -> None:
    """Refuse an address in place of a path; raises `DataError`."""
    scheme, found, _ = word.partition("://")
    if found and scheme.isalnum() and not Path(word).exists():
        raise DataError(
            "an address in the place of a file or folder",
            code="remote-image",
            where=word,
            found=f"{scheme}://",
            expected="a path on this machine; nothing is fetched over a network",
            remedy="copy it here, or mount it, and name its folder",
        )


def mark_of(path: Path) -> str:
    """Who wrote a folder of Zarr, as its attribute `seglab` says; empty where there is none."""
    try:
        found = (_read_json(path / "zarr.json") or {}).get("attributes") or _read_json(path / ".zattrs") or {}
    except DataError:
        return ""
    mark = found.get("seglab")
    return str(mark.get("written_by")) if isinstance(mark, dict) else ""


def read_ome(path: Path) -> OmeImage:
    """The image at a folder: a group with its levels, one of its arrays alone, or an array without an image around it.

    Raises:
        DataError: no Zarr folder; a group without an image; a version, axes or places that cannot be read; two axes of
            space only.
    """
    array = _read_json(path / ".zarray") or _array_of_three(path)
    if array is None:
        return _image(path, _attributes(path))
    above = list(path.resolve().parents)[:_MOST_FOLDERS_UP]
    for folder in above:
        attributes = _attributes(folder) if any((folder / name).is_file() for name in GROUP_FILES) else {}
        if "multiscales" in attributes:
            image = _image(folder, attributes)
            here = path.resolve().relative_to(folder).as_posix()
            for level in image.levels:
                if str(PurePosixPath(level.path)) == here:
                    return OmeImage(folder, image.axes, image.units, (level,), image.version, image.labels)
    axes = axes_of_array(path, array, (_read_json(path / ".zattrs") or {}).get("_ARRAY_DIMENSIONS"))
    return OmeImage(path, axes, {}, (Level("", (1.0,) * len(axes), (0.0,) * len(axes)),), "")


def check_no_labels(path: Path) -> None:
    """Refuse a folder in the place of an image that says it is one of labels; raises `DataError`."""
    if read_ome(path).labels:
        raise DataError(
            "labels in the place of an image",
            code="zarr-labels",
            finding="undeclared-label",
            where=str(path),
            found="an OME-Zarr image of labels: image-label in its metadata",
            expected="the image that they belong to",
            remedy="name the image, or exchange the folders; labels often lie within their image, in a folder labels",
        )


def _array_of_three(path: Path) -> dict[str, Any] | None:
    """The metadata of an array of Zarr 3; None where there is none."""
    found = _read_json(path / "zarr.json")
    return found if found is not None and found.get("node_type") == "array" else None


def _attributes(path: Path) -> dict[str, Any]:
    """Of a group: those of OME in one mapping, whatever the version of Zarr."""
    three = _read_json(path / "zarr.json")
    if three is not None:
        ome = (three.get("attributes") or {}).get("ome")
        return ome if isinstance(ome, dict) else {}
    two = _read_json(path / ".zattrs")
    if two is None and _read_json(path / ".zgroup") is None:
        raise unreadable(
            str(path), "no zarr.json, .zgroup or .zarray in it", "copy the folder again, with its hidden files", _KIND
        )
    return two or {}


def _read_json(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size < _MOST_BYTES else "more than 16 MB"
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(str(file), f"{type(error).__name__}: {error}"[:300], kind="JSON file") from error
    if not isinstance(found, dict):
        raise unreadable(str(file), str(found)[:100], kind="JSON file of Zarr")
    return found


def _image(path: Path, attributes: dict[str, Any]) -> OmeImage:
    several = attributes.get("multiscales")
    if not isinstance(several, list) or not several or not isinstance(several[0], dict):
        raise _no_image(path, attributes)
    first = several[0]
    version = str(attributes.get("version") or first.get("version") or VERSIONS[0])
    if version not in VERSIONS or "coordinateSystems" in first:
        raise _wrong(path, f"version {version} of OME-Zarr", " or ".join(VERSIONS), "write it anew as 0.4 or 0.5")
    listed = first.get("axes")
    if not isinstance(listed, list) or not all(isinstance(axis, dict) for axis in listed):
        raise _wrong(
            path, f"axes {str(listed)[:200]}", "a name and a type for each axis", "write it anew as 0.4 or 0.5"
        )
    axes = tuple(str(axis.get("name", "")).lower() for axis in listed)
    check_axes(path, axes, f"axes {', '.join(axes)}")
    given = {name: str(axis.get("unit") or "") for name, axis in zip(axes, listed, strict=True) if name in SPACE}
    units = {name: unit for name, unit in given.items() if is_length(unit)}
    if len(units) < len(SPACE) and any(given.values()):
        raise _wrong(
            path,
            f"units {given}",
            f"{KNOWN}, along all axes of space or none",
            "correct each unit in its metadata, or take it out of all",
        )
    levels = first.get("datasets")
    if not isinstance(levels, list) or not levels or not all(isinstance(level, dict) for level in levels):
        raise _wrong(path, f"datasets {str(levels)[:200]}", "one or more levels", "export it again")
    common = _moved(path, first.get("coordinateTransformations"), len(axes), needed=False)
    made = []
    for level in levels:
        scale, shift = _moved(path, level.get("coordinateTransformations"), len(axes), needed=True)
        made.append(
            Level(
                _inside(path, level.get("path")),
                tuple(a * b for a, b in zip(scale, common[0], strict=True)),
                tuple(a * b + c for a, b, c in zip(shift, *common, strict=True)),
            )
        )
    return OmeImage(path, axes, units, tuple(made), version, "image-label" in attributes)


def _no_image(path: Path, attributes: dict[str, Any]) -> DataError:
    if "plate" in attributes or "well" in attributes:
        what, remedy = "a plate or a well", "name one of its images, such as plate.zarr/A/1/0"
    elif "bioformats2raw.layout" in attributes or (path / "OME").is_dir():
        what, remedy = "a collection of images", f"name one of them: {path / '0'}"
    elif "labels" in attributes:
        what, remedy = f"a list of labels: {', '.join(map(str, attributes['labels']))}"[:200], "name one of them"
    else:
        inside = sorted(one.name for one in path.iterdir() if one.is_dir())[:8]
        what = f"a group without multiscales, with {', '.join(inside) or 'nothing'} in it"
        remedy = "name the array in it, such as volume.zarr/0, or export it as OME-Zarr 0.4 or 0.5"
    return unreadable(str(path), what, remedy, _KIND)


def _moved(path: Path, given: Any, axes: int, *, needed: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and translation of every axis."""
    scale, shift = (1.0,) * axes, (0.0,) * axes
    steps = given if isinstance(given, list) else []
    kinds = [step.get("type") if isinstance(step, dict) else None for step in steps]
    if kinds not in ([], ["identity"], ["scale"], ["scale", "translation"]) or (needed and kinds[:1] != ["scale"]):
        raise _wrong(
            path,
            f"coordinateTransformations of {kinds or 'nothing'}",
            "for each level a scale, and perhaps a translation after it",
            "export it again, or correct its metadata",
        )
    for step, kind in zip(steps, kinds, strict=True):
        if kind == "identity":
            continue
        numbers = step.get(kind)
        real = isinstance(numbers, list) and all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
        if not real or len(numbers) != axes or (kind == "scale" and min(numbers) <= 0):
            raise _wrong(
                path,
                f"{kind} {str(numbers)[:200]}",
                f"{axes} numbers, one for each axis" + (", above 0" if kind == "scale" else ""),
                "correct its metadata, or export it again",
            )
        if kind == "scale":
            scale = tuple(map(float, numbers))
        else:
            shift = tuple(map(float, numbers))
    return scale, shift


def _inside(path: Path, name: Any) -> str:
    """The path of a level, which may not lead out of the folder."""
    parts = PurePosixPath(name).parts if isinstance(name, str) else ("..",)
    if not parts or ".." in parts or parts[0] == "/" or "\0" in str(name):
        raise _wrong(path, f"a level at {str(name)[:200]!r}", "a path within the folder", "do not use this file")
    return str(PurePosixPath(*parts))


def _wrong(path: Path, found: str, expected: str, remedy: str) -> DataError:
    return DataError(
        "metadata of OME-Zarr that cannot be used",
        code="zarr-metadata",
        finding="unreadable-file",
        where=str(path),
        found=found,
        expected=expected,
        remedy=remedy,
    )
