"""Small drawn data sets that lie as well-known public ones do: their folders, names and kinds of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (72, 96)


@dataclass
class PublicSet:
    """What was written: for each case its mask (bool, what the annotator meant) and its region of interest.

    Attributes:
        others: masks by a second annotator.
        apart: ids of a test set in a folder of its own.
    """

    masks: dict[str, np.ndarray] = field(default_factory=dict)
    regions: dict[str, np.ndarray] = field(default_factory=dict)
    others: dict[str, np.ndarray] = field(default_factory=dict)
    apart: list[str] = field(default_factory=list)


def draw(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A photograph `(H, W, 3)` and the mask of the blob on it; two blobs, neither covers half."""
    rng = np.random.default_rng([seed, n])
    down, right = np.mgrid[: SIZE[0], : SIZE[1]]
    mask = np.zeros(SIZE, bool)
    for _ in range(2):
        middle, radius = rng.uniform(0.3, 0.7, 2) * SIZE, rng.uniform(6, 14)
        mask |= (down - middle[0]) ** 2 + (right - middle[1]) ** 2 < radius**2
    tone = np.array([90, 120, 60]) + mask[..., None] * np.array([70, -40, 30])
    image = tone + rng.normal(0, 12, (*SIZE, 3)) + 30 * np.sin(right / 9 + n)[..., None]
    return image.clip(0, 255).astype(np.uint8), mask


def white(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * 255


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def as_gif(path: Path, mask: np.ndarray) -> None:
    """A GIF with a ramp of greys as its palette, in which black is 0 and white 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(white(mask), "P")
    image.putpalette([level for grey in range(256) for level in (grey, grey, grey)])
    image.save(path, optimize=False)


def skin(root: Path, count: int = 12) -> PublicSet:
    """ISIC 2017: `<id>.jpg` and `<id>_superpixels.png` in one folder, `<id>_segmentation.png` in another."""
    made = PublicSet()
    for n in range(count):
        case = f"ISIC_{n * 7:07d}"
        image, made.masks[case] = draw(n)
        save(root / "ISIC-2017_Training_Data" / f"{case}.jpg", image)
        numbers = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE) // 2
        superpixels = np.dstack([numbers, numbers * 0, numbers * 0])  # their numbers, written as colours
        save(root / "ISIC-2017_Training_Data" / f"{case}_superpixels.png", superpixels)
        save(root / "ISIC-2017_Training_Part1_GroundTruth" / f"{case}_segmentation.png", white(made.masks[case]))
    (root / "ISIC-2017_Training_Data" / "ISIC-2017_Training_Data_metadata.csv").write_text("image_id,age\n")
    return made


def vessels(root: Path, count: int = 12) -> PublicSet:
    """DRIVE: `21_training.tif` with `21_manual1.gif` and the region `21_training_mask.gif`, test images apart."""
    made = PublicSet()
    down, right = np.mgrid[: SIZE[0], : SIZE[1]]
    field_of_view = ((down - 36) / 35) ** 2 + ((right - 48) / 46) ** 2 < 1
    for n in range(2 * count):
        part, number = ("training", n + 21 - count) if n >= count else ("test", n + 1)
        case = f"{number:02d}"
        image, mask = draw(n)
        folder = root / part
        save(folder / "images" / f"{case}_{part}.tif", image * field_of_view[..., None])
        as_gif(folder / "1st_manual" / f"{case}_manual1.gif", mask)
        as_gif(folder / "mask" / f"{case}_{part}_mask.gif", field_of_view)
        if part == "test":
            as_gif(folder / "2nd_manual" / f"{case}_manual2.gif", draw(n, seed=1)[1])
            made.apart.append(case)
        else:
            made.masks[case], made.regions[case] = mask, field_of_view
    (root / "training" / "images" / "Thumbs.db").write_bytes(b"of Windows")
    return made


def two_observers(root: Path, count: int = 12) -> PublicSet:
    """CHASE_DB1: `Image_01L.jpg`, `Image_01L_1stHO.png` and `Image_01L_2ndHO.png` in one folder; masks of one bit."""
    made = PublicSet()
    for n in range(count):
        case = f"Image_{n // 2 + 1:02d}{'LR'[n % 2]}"
        image, made.masks[case] = draw(n)
        made.others[case] = draw(n, seed=1)[1]
        save(root / f"{case}.jpg", image)
        save(root / f"{case}_1stHO.png", made.masks[case])
        save(root / f"{case}_2ndHO.png", made.others[case])
        (root / f"._{case}.jpg").write_bytes(b"of macOS")
    return made


def polyps(root: Path, count: int = 12) -> PublicSet:
    """Kvasir-SEG: `images` and `masks` of the same names, both JPEG, so that the masks are grey at their edges."""
    made = PublicSet()
    for n in range(count):
        case = "cju" + "".join(np.random.default_rng(n).choice([*"0123456789abcdefghijklmnopqrstuvwxyz"], 22))
        image, made.masks[case] = draw(n)
        save(root / "images" / f"{case}.jpg", image)
        save(root / "masks" / f"{case}.jpg", np.dstack([white(made.masks[case])] * 3), quality=85)
    (root / "kavsir_bboxes.json").write_text("{}")
    return made


def frames(root: Path, count: int = 12) -> PublicSet:
    """`x_3_fram.jpg` with `x_3_mask.jpg` in one folder, lossy."""
    made = PublicSet()
    for n in range(count):
        case = f"{'xyz'[n % 3]}_{n + 1}"
        image, made.masks[case] = draw(n)
        save(root / f"{case}_fram.jpg", image)
        save(root / f"{case}_mask.jpg", white(made.masks[case]), quality=75)
    return made


def chests(root: Path, count: int = 12) -> PublicSet:
    """Shenzhen: `CHNCXR_0001_0.png` with `CHNCXR_0001_0_mask.png` in two folders."""
    made = PublicSet()
    for n in range(count):
        case = f"CHNCXR_{n + 1:04d}_{n % 2}"
        image, made.masks[case] = draw(n)
        save(root / "CXR_png" / f"{case}.png", image[..., 0])
        save(root / "mask" / f"{case}_mask.png", white(made.masks[case]))
    return made


SETS: dict[str, Callable[..., PublicSet]] = {
    "skin": skin,
    "vessels": vessels,
    "two_observers": two_observers,
    "polyps": polyps,
    "frames": frames,
    "chests": chests,
}
