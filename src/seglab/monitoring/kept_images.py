"""The folder of images that a service kept: what lies in it, by the digest of what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IMAGES, PREDICTED = "images", "predicted"
_DIGITS = 32


@dataclass(frozen=True)
class KeptImage:
    """An image, and the mask that was answered."""

    image: Path
    mask: Path


def kept_name(digest: str) -> str:
    """The name, without an ending, of the files of a digest."""
    return digest[:_DIGITS]


def kept_images(folder: Path) -> dict[str, KeptImage]:
    """All pairs of a folder, by their name; empty where there is no folder."""

    def named(part: str) -> dict[str, Path]:
        place = folder / part
        return {file.name.partition(".")[0]: file for file in place.iterdir()} if place.is_dir() else {}

    images, masks = named(IMAGES), named(PREDICTED)
    return {name: KeptImage(images[name], masks[name]) for name in sorted(images.keys() & masks.keys())}
