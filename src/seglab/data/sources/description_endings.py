"""What kind of files a `dataset.json` is about: volumes that are read, or 2D images, which another source reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from seglab.data.io.image_files import IMAGE_ENDINGS
from seglab.data.io.ome_metadata import ZARR_ENDING
from seglab.data.io.tiff_stacks import TIFF_ENDINGS, read_stack
from seglab.data.io.volume_files import VOLUME_ENDINGS
from seglab.data.labels.label_schema import Classes
from seglab.data.sources.description_files import FILE, excerpt, malformed
from seglab.errors import DataError

NUMBERED = re.compile(r".+_(\d{4})")


def file_ending(ending: Any, root: Path, classes: Classes, channels: Sequence[str]) -> str | None:
    """The ending of all files, None where it is not said.

    Args:
        ending: `file_ending` of the description.
        root: its folder.
        classes, channels: that it declares, for what is told of a set of 2D images.

    Raises:
        DataError: an ending that is none, or of files that are no volumes.
    """
    if ending is None:
        return None
    if not isinstance(ending, str) or not ending.strip("."):
        raise malformed(root, f'"file_ending": {excerpt(ending)}', '"file_ending": ".nii.gz"')
    ending = f".{ending.lstrip('.')}".lower()
    if ending == ZARR_ENDING or (ending in VOLUME_ENDINGS and not (ending in TIFF_ENDINGS and _flat(root, ending))):
        return ending
    of_images = ending in IMAGE_ENDINGS
    raise DataError(
        "a data set of images, and not of volumes" if of_images else "a data set in files that are not read",
        code="data-set-of-images" if of_images else "data-set-format",
        where=str(root / FILE),
        found=f'"file_ending": "{ending}"',
        expected=" or ".join((*VOLUME_ENDINGS, ZARR_ENDING)),
        remedy=_as_images(root, ending, classes, channels)
        if of_images
        else 'convert images and labels, such as to .nii.gz, and correct "file_ending"',
    )


def _flat(root: Path, ending: str) -> bool:
    """Whether the first TIFF is an image, and no stack; what else is wrong with it is told when it is read."""
    first = min((file for file in (root / "imagesTr").glob("*") if file.name.lower().endswith(ending)), default=None)
    try:
        if first is not None:
            read_stack(str(first))
    except DataError as error:
        return error.code == "not-a-volume"
    return False


def _as_images(root: Path, ending: str, classes: Classes, channels: Sequence[str]) -> str:
    """What to say for a set of 2D images, whose masks have the names of the images or lack their number."""
    declared = f"data.label_values=[{','.join(map(str, classes.label_map.values))}]"
    if not classes.label_map.class_ids:
        names = ",".join(name if name.isidentifier() else f'"{name}"' for name in classes.names)
        declared += f" 'data.class_names=[{names}]'"
    if classes.label_map.ignore_value is not None:
        declared += f" data.ignore_value={classes.label_map.ignore_value}"
    found = {number[1] for file in (root / "imagesTr").glob(f"*{ending}") if (number := NUMBERED.fullmatch(file.stem))}
    images = "'imagesTr/{id}_0000'" if found else "imagesTr"
    several = (
        f"an image is one file there, and not {len(found)}: join them into one of {len(found)} channels (with "
        f"tifffile, imwrite('case.tif', numpy.stack(files, axis=-1))); or, of {', '.join(channels)}, the first alone: "
        if len(found) > 1
        else ""
    )
    return (
        f"{several}data=image_folder data.root={quote(str(root))} data.images={images} data.masks=labelsTr {declared}"
    )
