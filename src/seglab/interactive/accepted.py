"""Accepted masks as a data set: what `data=image_folder` and `data=nifti` read, with the prompts that made each.

<folder>/images/<id>.png     the image, 8 bits
<folder>/masks/<id>.png      0 and 1
<folder>/prompts.jsonl       a line for each mask that was accepted or rejected, in several files where there are many
<folder>/volumes/            the same of volumes: images/<id>.nii.gz as they came, labels/<id>.nii.gz, prompts.jsonl
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from seglab.data.io.nifti_files import to_ras
from seglab.inference.mask_writer import write_mask
from seglab.interactive.prompt import Bools
from seglab.runtime.atomic_files import creating, telling_unwritable

LOG = "prompts.jsonl"
_DIGITS = 8


class AcceptedMasks:
    """A folder of them, which several processes may add to.

    Args:
        folder: made when the first is accepted.
        log_bytes: after which `prompts.jsonl` becomes `prompts-<nanoseconds since 1970>.jsonl`.
    """

    def __init__(self, folder: Path, log_bytes: int = 2**25):
        self.folder, self._log_bytes = folder, log_bytes

    def add(self, picture: npt.NDArray[np.uint8], mask: Bools, facts: dict[str, Any]) -> str:
        """Write image, mask and line, all of them or none; returns the id, of which eight digits are the image's
        and eight the mask's.

        Raises:
            SeglabError: no room, or no permission.
        """
        name = _name(repr(picture.shape).encode() + picture.tobytes(), mask, self.folder / "masks", ".png")
        image_file, mask_file = self.folder / "images" / f"{name}.png", self.folder / "masks" / f"{name}.png"
        with telling_unwritable(self.folder), ExitStack() as made:
            image_file.parent.mkdir(parents=True, exist_ok=True)
            if not image_file.exists():
                with suppress(FileExistsError):  # another process accepted the same
                    with creating(image_file, ending=".png") as part:
                        Image.fromarray(picture).save(part, compress_level=1)
                    made.callback(image_file.unlink, missing_ok=True)
            if not mask_file.exists():
                made.callback(mask_file.unlink, missing_ok=True)
            write_mask(mask_file, mask.astype(np.uint8), values=(0, 1))
            self.tell({"id": name, "outcome": "accepted", **facts})
            made.pop_all()
        return name

    @property
    def volumes(self) -> AcceptedMasks:
        """Those of volumes, in a folder of their own."""
        return AcceptedMasks(self.folder / "volumes", self._log_bytes)

    def add_volume(
        self, content: bytes, mask: Bools, affine: npt.NDArray[np.float64], facts: dict[str, Any]
    ) -> tuple[str, bytes]:
        """Write a volume, its mask and a line, all of them or none.

        Args:
            content: of the NIfTI file, which is kept as it is; compressed where it was not.
            mask: `(X, Y, Z)` in the order of the file.
            affine: from its voxels to mm.
            facts: for the line.

        Returns:
            The id, as of `add`, and the file of the mask, compressed.

        Raises:
            SeglabError: as `add`.
        """
        packed = content if content.startswith(b"\x1f\x8b") else gzip.compress(content, 1, mtime=0)
        name = _name(content, mask, self.folder / "labels", ".nii.gz")
        image_file, mask_file = self.folder / "images" / f"{name}.nii.gz", self.folder / "labels" / f"{name}.nii.gz"
        with telling_unwritable(self.folder), ExitStack() as made:
            image_file.parent.mkdir(parents=True, exist_ok=True)
            if not image_file.exists():
                with suppress(FileExistsError):  # another process accepted the same
                    with creating(image_file, ending=".nii.gz") as part:
                        part.write_bytes(packed)
                    made.callback(image_file.unlink, missing_ok=True)
            if not mask_file.exists():
                made.callback(mask_file.unlink, missing_ok=True)
            write_mask(mask_file, to_ras(mask.astype(np.uint8), affine), like=image_file, values=(0, 1))
            written = mask_file.read_bytes()
            self.tell({"id": name, "outcome": "accepted", **facts})
            made.pop_all()
        return name, written

    def tell(self, facts: dict[str, Any]) -> None:
        """Append a line, whole or not at all; lines of several processes do not mix. Raises `SeglabError` as `add`."""
        line = (json.dumps({"time": round(time.time(), 3), **facts}) + "\n").encode()
        path = self.folder / LOG
        with telling_unwritable(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                _append(file, line)
                full = os.fstat(file).st_size >= self._log_bytes
            finally:
                os.close(file)
            if full:
                with suppress(FileNotFoundError):  # another process was there first
                    path.rename(path.with_stem(f"{path.stem}-{time.time_ns()}"))


def _name(image: bytes, mask: Bools, folder: Path, ending: str) -> str:
    """Masks of one image begin alike, so that a split can hold them together; one that is in the folder under a name of
    former versions, a digest of both at once, keeps it."""
    bits, of_image = np.packbits(mask).tobytes(), hashlib.sha256(image)
    of_both = of_image.copy()
    of_both.update(bits)
    former = of_both.hexdigest()[: 2 * _DIGITS]
    if (folder / f"{former}{ending}").exists():
        return former
    return of_image.hexdigest()[:_DIGITS] + hashlib.sha256(bits).hexdigest()[:_DIGITS]


def _append(file: int, line: bytes) -> None:
    end = os.fstat(file).st_size
    try:
        while line:
            line = line[os.write(file, line) :]
    except OSError:
        os.ftruncate(file, end)
        raise
