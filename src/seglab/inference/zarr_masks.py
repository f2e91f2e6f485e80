"""A mask that is written by parts: an OME-Zarr image of labels, on the voxels of the image that it was predicted of.

The folder is filled under a hidden name. Each part is read again and compared, and the folder gets its own name when
all is there, so that a folder under the asked name is whole and right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.io.ome_metadata import VERSIONS
from seglab.data.io.zarr_volumes import Box, ZarrVolume
from seglab.inference.mask_writer import MARK, check_targets, read_back, unwritable_mask
from seglab.inference.streaming import MASK_CHUNK
from seglab.runtime.atomic_files import folder
from seglab.task import Task

_LEVEL = "0"
_TYPES = {"x": "space", "y": "space", "z": "space"}


def write_zarr_mask(
    path: Path,
    parts: Iterable[tuple[Box, np.ndarray]],
    like: ZarrVolume,
    task: Task,
    *,
    values: Sequence[int] | None = None,
    replace: bool = True,
) -> Path:
    """Writes a mask as its parts arrive; nothing is at `path` before the last of them.

    The version of OME-Zarr is the image's; of a plain array that of its version of Zarr. Axes are those of the image
    without time and channels, in its order; scale and translation those of the level that was predicted.

    Args:
        path: ends in `.zarr`; its folder is made.
        parts: as `mask_by_parts` gives them.
        like: the volume that was predicted.
        task: whose classes the mask holds.
        values: the value to store for each class id; the ids themselves when None.
        replace: a mask that was written here before; else one that is there by then is refused.

    Raises:
        DataError: something else is there; a part reads back differently; the disk is full, or refuses.
    """
    check_targets([path])
    table = np.arange(task.classes) if values is None else np.asarray(values)
    table = table.astype(np.min_scalar_type(int(table.max())))
    try:
        with folder(path, replace=replace, sole=False, durable=True) as part:
            array, order = _created(part, path, like, task, table)
            for box, ids in _in_chunks(parts, like.shape[0]):
                stored = table[ids].transpose(order)
                place = tuple(box[axis] for axis in order)
                array[place] = stored
                if not np.array_equal(array[place], stored):
                    raise read_back(path, "other values")
    except OSError as error:
        raise unwritable_mask(path, error) from error
    return path


def _created(part: Path, path: Path, like: ZarrVolume, task: Task, table: np.ndarray) -> tuple[Any, tuple[int, ...]]:
    """The array to write to, and which of x, y and z each of its axes is."""
    import zarr
    from zarr.storage import LocalStore

    image = like.image
    kept = [k for k, name in enumerate(image.axes) if name in _TYPES]
    names = [image.axes[k] for k in kept]
    order = tuple("xyz".index(name) for name in names)
    version = image.version or VERSIONS[like.array.metadata.zarr_format == 3]
    three = version == VERSIONS[1]
    steps = [
        {"type": "scale", "scale": [like.level.scale[k] for k in kept]},
        {"type": "translation", "translation": [like.level.shift[k] for k in kept]},
    ]
    multiscale: dict[str, Any] = {
        "name": path.stem,
        "axes": [
            {"name": name, "type": _TYPES[name], **({"unit": image.units[name]} if name in image.units else {})}
            for name in names
        ],
        "datasets": [{"path": _LEVEL, "coordinateTransformations": steps}],
    }
    rows = zip(table.tolist(), task.class_names, task.class_colors, strict=True)
    listed = [(value, name, [*color, 255 if number else 0]) for number, (value, name, color) in enumerate(rows)]
    labels: dict[str, Any] = {
        "colors": [{"label-value": value, "rgba": rgba} for value, _, rgba in listed],
        "properties": [{"label-value": value, "class": name} for value, name, _ in listed],
    }
    described: dict[str, Any] = {"multiscales": [multiscale], "image-label": labels}
    if not three:
        multiscale["version"] = labels["version"] = version
    attributes = {
        **({"ome": {"version": version, **described}} if three else described),
        "seglab": {"written_by": MARK},
    }
    group = zarr.create_group(LocalStore(part), zarr_format=3 if three else 2, attributes=attributes)
    array = group.create_array(
        _LEVEL,
        shape=tuple(like.shape[k] for k in order),
        chunks=tuple(min(MASK_CHUNK, like.shape[k]) for k in order),
        dtype=table.dtype,
        fill_value=0,
        chunk_key_encoding={"name": "default" if three else "v2", "separator": "/"},
        dimension_names=names if three else None,
        config={"write_empty_chunks": True},  # one that is not there is one that is lost
    )
    return array, order


def _in_chunks(parts: Iterable[tuple[Box, np.ndarray]], rows: int) -> Iterator[tuple[Box, np.ndarray]]:
    """Parts of one bar joined along x until they end with a chunk, so that no chunk is written twice."""
    first, held = 0, list[np.ndarray]()
    for (x, y, z), ids in parts:
        while len(ids):
            room = min((first // MASK_CHUNK + 1) * MASK_CHUNK, rows) - first - sum(map(len, held))
            held.append(ids[:room])
            ids = ids[room:]
            if len(held[-1]) == room:
                block = np.concatenate(held)
                yield (slice(first, first + len(block)), y, z), block
                first, held = first + len(block), []
        if x.stop == rows:
            first = 0
