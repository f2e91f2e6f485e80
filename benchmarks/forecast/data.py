"""The six data sets: three of images, three of volumes, unlike in size, channels, spacing and what a network sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from seglab.data.randomness import generator
from seglab.data.synthetic.shapes import make_case

_FOREGROUND = (0.03, 0.18)
_WIDE = (448, 512)  # pixels of an image in colour
_LARGE = (640, 720)  # pixels of an image that patches are drawn from
_THIN, _SPACING = (96, 96, 16), (0.7, 0.7, 4.0)  # voxels and mm of a volume of thick slices
_VOLUME = (72, 80, 64)  # voxels of a volume that patches are drawn from

IMAGES: dict[str, tuple[str, ...]] = {
    "grey": ("data=synthetic2d", "data.count=96"),
    "colour": ("data=image_folder", "data.size=[448,512]", "data.resize_mode=pad", "data.batch_size=2",
               "data.patches_per_case=1"),
    "patches": ("data=image_folder", "data.size=[192,192]", "data.foreground_share=0.33", "data.patches_per_case=2"),
}  # fmt: skip
VOLUMES: dict[str, tuple[str, ...]] = {
    "cubes": ("data=synthetic3d", "data.count=32", "data.size=[32,32,32]", "data.batch_size=4"),
    "slices": ("data=nifti", "data.size=[96,96,16]", "data.batch_size=2"),
    "patches3d": ("data=nifti", "data.size=[48,48,48]", "data.batch_size=2", "data.resize_mode=patch",
                  "data.foreground_share=0.33", "data.patches_per_case=2"),
}  # fmt: skip
"""Words of each, without the folder of those in files."""


def words_of(name: str, folder: Path) -> list[str]:
    """The words of a data set; one in files is written to `folder/<name>`, unless it is there."""
    words = [*(IMAGES | VOLUMES)[name]]
    if name not in _WRITERS:
        return words
    place = folder / name
    if not place.exists():
        half = folder / f"{name}.part"
        _WRITERS[name](half)
        half.rename(place)
    return [*words, f"data.root={place}"]


def _write_colour(folder: Path) -> None:
    for n in range(24):
        rng = generator(0, "colour", n)
        grey, mask = make_case(rng, _WIDE, 2, _FOREGROUND)
        tint = rng.uniform(0.6, 1.0, 3)
        noise = rng.normal(0, 6, (*_WIDE, 3))
        _save_image(folder, n, (grey[..., None] * tint + noise).clip(0, 255).astype(np.uint8), mask)


def _write_patches(folder: Path) -> None:
    for n in range(20):
        _save_image(folder, n, *make_case(generator(0, "patches", n), _LARGE, 3, _FOREGROUND))


def _save_image(folder: Path, n: int, image: np.ndarray, mask: np.ndarray) -> None:
    for kind, pixels in (("images", image), ("masks", (mask > 0).astype(np.uint8))):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{n:03d}.png")


def _write_slices(folder: Path) -> None:
    _write_volumes(folder, _THIN, _SPACING, 20)


def _write_patches3d(folder: Path) -> None:
    _write_volumes(folder, _VOLUME, (1.0, 1.0, 1.0), 16)


def _write_volumes(folder: Path, size: tuple[int, int, int], spacing: tuple[float, float, float], count: int) -> None:
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    names = [f"{n:03d}.nii.gz" for n in range(count)]
    for n, name in enumerate(names):
        image, label = make_case(generator(0, "volumes", *size, n), size, 3, _FOREGROUND)
        for kind, voxels in (("imagesTr", image.astype(np.int16)), ("labelsTr", label)):
            volume = nib.Nifti1Image(voxels, np.diag([*spacing, 1.0]))
            volume.header.set_xyzt_units("mm")
            nib.save(volume, folder / kind / name)
    description = {
        "name": "Made",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "object", "2": "other"},
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


_WRITERS: dict[str, Callable[[Path], None]] = {
    "colour": _write_colour,
    "patches": _write_patches,
    "slices": _write_slices,
    "patches3d": _write_patches3d,
}
