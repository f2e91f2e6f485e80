"""Generated data sets on disk in the layouts that the sources read, each with the cases that go wrong in practice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import tifffile
from nibabel import orientations
from PIL import Image

from seglab.data.randomness import generator
from seglab.data.synthetic.road_scenes import make_scene
from seglab.data.synthetic.shapes import make_case
from seglab.errors import ConfigError, DataError, nearest

FEWEST_CASES = 8
_FOREGROUND = (0.03, 0.18)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Layout:
    """A kind of data set that can be written.

    Attributes:
        count: cases unless said otherwise.
        write: writes them below a folder, yielding once for each case.
        train: the command that trains on it, with `{out}` for the folder.
        hard: what is in it that a tool trips over, in words.
    """

    count: int
    write: Callable[[Path, int, int], Iterator[None]]
    train: str
    hard: tuple[str, ...]


def write_dataset(
    kind: str, out: str | Path, *, count: int | None = None, seed: int = 0, progress: Progress | None = None
) -> Layout:
    """Write a data set of `kind` (a key of `LAYOUTS`) with `count` labelled cases into the folder `out`.

    The same kind, count and seed give the same files. `progress` is told how many cases of how many are written.

    Raises:
        ConfigError: an unknown kind, or fewer than `FEWEST_CASES` cases.
        DataError: a folder that holds something.
    """
    if kind not in LAYOUTS:
        raise ConfigError(
            "an unknown kind of data set",
            code="unknown-data-kind",
            where="kind",
            found=kind,
            expected="one of " + ", ".join(LAYOUTS),
            remedy=nearest(kind, LAYOUTS) or "choose one of them",
        )
    layout, out = LAYOUTS[kind], Path(out)
    count = layout.count if count is None else count
    if count < FEWEST_CASES:
        raise ConfigError(
            "too few cases for every hard one",
            code="too-few-cases-for-layout",
            where="count",
            found=count,
            expected=f"{FEWEST_CASES} or more",
            remedy=f"count={layout.count}",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            "a folder that is not empty",
            code="folder-not-empty",
            where="out",
            found=str(out),
            expected="a new or an empty folder, since nothing is overwritten",
            remedy="choose another folder",
        )
    for done, _ in enumerate(layout.write(out, count, seed), start=1):
        if progress:
            progress(done, count)
    return layout


def _write_cityscapes(out: Path, count: int, seed: int) -> Iterator[None]:
    n_val = max(count // 4, 2)
    places = [("train", ("aachen", "bochum", "ulm")[n % 3]) for n in range(count - n_val)]
    places += [("val", "lindau")] * n_val
    for n, (split, city) in enumerate(places):
        image, labels, instances = make_scene(generator(seed, "cityscapes", n), with_train=split == "val")
        if n == 1:
            labels[:], instances[:] = 0, 0
        _save_scene(out, split, city, n, image, labels, instances)
        yield
    for n in range(2):
        image, labels, _ = make_scene(generator(seed, "cityscapes", "test", n))
        labels[:] = 3
        _save_scene(out, "test", "berlin", n, image, labels, labels.astype(np.uint16))


def _save_scene(
    out: Path, split: str, city: str, n: int, image: np.ndarray, labels: np.ndarray, instances: np.ndarray
) -> None:
    stem = f"{city}_{n:06d}_000019"
    for folder, kind, pixels in (
        ("leftImg8bit", "leftImg8bit", image),
        ("gtFine", "gtFine_labelIds", labels),
        ("gtFine", "gtFine_instanceIds", instances),
    ):
        _save_image(out / folder / split / city / f"{stem}_{kind}.png", pixels)


def _write_image_folder(out: Path, count: int, seed: int) -> Iterator[None]:
    names = [f"scan_{n:03d}.png" for n in range(count)]
    names[1:6] = ["scan 001 wide.png", "scan_002_é.png", "scan_003.PNG", "scan_004.bmp", "scan_005.tif"]
    for n, name in enumerate(names):
        rng = generator(seed, "image_folder", n)
        size = tuple(int(edge) for edge in rng.integers(61, 140, 2))
        pages = [make_case(rng, size, 3 if n == 6 else 2, _FOREGROUND) for _ in range(3 if name.endswith("tif") else 1)]
        image, mask = (np.stack(part) for part in zip(*pages, strict=True))
        if n == 0:
            mask[:] = 0
        if n == 7:
            image = image.astype(np.uint16)  # the same numbers in another type
        _save_image(out / "images" / name, image)
        _save_image(out / "masks" / f"{Path(name).stem}{'.tif' if len(mask) > 1 else '.png'}", mask)
        yield
    rows = ["id,name,train_id,ignored,color", "0,background,0,true,#000000", "1,cell,1,false,#e64b35"]
    (out / "labels.csv").write_text("\n".join([*rows, "2,rare,2,false,#4dbbd5"]) + "\n", encoding="utf-8")


def _save_image(path: Path, pixels: np.ndarray) -> None:
    """One image `(H, W)`, `(H, W, 3)`, or pages `(N, H, W)`, of which a single one is an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="minisblack")
    else:
        Image.fromarray(pixels[0] if pixels.shape[0] == 1 else pixels).save(path)


# Axis codes of the file, spacing in mm along right, anterior and superior, and a turn about the long axis in degrees.
_GEOMETRIES = (
    ("RAS", (1.0, 1.0, 1.0), 0.0),
    ("LPS", (1.0, 1.0, 1.0), 0.0),
    ("LAS", (0.8, 0.8, 3.0), 0.0),
    ("PIR", (1.0, 1.0, 1.0), 0.0),
    ("RAS", (1.0, 1.0, 2.0), 20.0),
)


def _write_nifti(out: Path, count: int, seed: int) -> Iterator[None]:
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    names = [f"synthetic_{n:03d}.nii.gz" for n in range(count)]
    for n, name in enumerate(names):
        image, label, affine = _make_volume(generator(seed, "nifti", n), n, classes=3 if n % 3 == 2 else 2)
        if n == 1:
            label[:] = 0
        _save_volume(out / "imagesTr" / name, image, affine)
        _save_volume(out / "labelsTr" / name, label, affine)
        yield
    image, _, affine = _make_volume(generator(seed, "nifti", "test"), 0, classes=2)
    _save_volume(out / "imagesTs" / "synthetic_test.nii.gz", image, affine)
    description = {
        "name": "Synthetic",
        "description": "Generated objects among distractors of the same brightness",
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "object", "2": "rare"},
        "numTraining": count,
        "numTest": 1,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": ["./imagesTs/synthetic_test.nii.gz"],
    }
    (out / "dataset.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def _make_volume(rng: np.random.Generator, n: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image int16 and label uint8 in the axis order of the file, and the file's affine."""
    codes, spacing, degrees = _GEOMETRIES[n % len(_GEOMETRIES)]
    size = tuple(round(int(edge) / step) for edge, step in zip(rng.integers(34, 44, 3), spacing, strict=True))
    size = tuple(min(edge, 46) for edge in size)
    image, label = make_case(rng, size, classes, _FOREGROUND)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) * spacing
    affine[:3, 3] = rng.uniform(-40, 40, 3)
    turn = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(codes))
    scaled = (image.astype(np.int16) - 40) * np.int16(rng.integers(2, 30))  # the unit of MRI differs from scan to scan
    stored = [orientations.apply_orientation(array, turn) for array in (scaled, label)]
    return stored[0], stored[1], affine @ orientations.inv_ornt_aff(turn, size)


def _save_volume(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    volume = nib.Nifti1Image(array, affine)
    volume.header.set_xyzt_units("mm")
    nib.save(volume, path)


LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(
        count=24,
        write=_write_cityscapes,
        train="seglab train data=cityscapes data.root={out} data.size=[128,256] model=unet_mini",
        hard=(
            "a mask of void alone",
            "the class train in val only",
            "crowds without instances (ids below 1000) beside instances (1000 and above)",
            "a test folder without labels",
        ),
    ),
    "nifti": Layout(
        count=16,
        write=_write_nifti,
        train="seglab train data=nifti data.root={out} model=unet3d",
        hard=(
            "an empty mask",
            "a class in few cases only",
            "five orientations, one of them oblique",
            "spacing of 0.8×0.8×3 mm beside 1 mm",
        ),
    ),
    "image_folder": Layout(
        count=24,
        write=_write_image_folder,
        train="seglab train data=image_folder data.root={out} data.label_schema={out}/labels.csv"
        " data.size=[64,64] model=unet_mini",
        hard=(
            "odd sizes",
            "an empty mask",
            "a class in one case only",
            "names with a space, an accent, an ending in upper case",
            "BMP, 16-bit PNG, a TIFF of three pages",
        ),
    ),
}
