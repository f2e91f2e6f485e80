"""A folder of images and a folder of masks with the same file names."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from seglab.constraints import PositiveInt
from seglab.data.cases import Case, Sample, assign_groups, natural_key
from seglab.data.digest import digest_files
from seglab.data.image_files import IMAGE_ENDINGS, read_image_file, read_mask_file
from seglab.data.labels import LabelMap, class_names_for
from seglab.errors import DataError, nearest
from seglab.task import Task


class ImageFolder:
    """2D images `root/images/<id>.*` with masks `root/masks/<id>.*` (PNG, JPEG, TIFF; 8 or 16 bit, any channels).

    Args:
        root: folder that holds the two folders.
        images, masks: names of the two folders below `root`.
        label_values: values in the mask files; the position of a value is its class id, so the first is class 0,
            which the macro scores leave out as the background.
        class_names: one for each label value; None names each class after its value (`label_255`).
        ignore_value: value of mask pixels that have no truth, or None.
        group_pattern, block_size: which cases must stay in one split; see `seglab.data.cases.assign_groups`.

    Raises:
        DataError: a missing folder, no images, a partner that is missing, two files of one name; on reading, an
            unreadable file, sizes or channels that differ, an undeclared mask value. Each names the file.
    """

    def __init__(
        self,
        *,
        root: str,
        images: str = "images",
        masks: str = "masks",
        label_values: Sequence[int] = (0, 1),
        class_names: Sequence[str] | None = None,
        ignore_value: int | None = None,
        group_pattern: str | None = None,
        block_size: PositiveInt | None = None,
    ):
        self.name = Path(root).name or "image_folder"
        self.split: Mapping[str, Sequence[str]] | None = None
        self._labels = LabelMap(tuple(label_values), ignore_value)
        names = class_names_for(label_values, class_names)
        image_files = _files_by_stem(Path(root), images, "data.images")
        mask_files = _files_by_stem(Path(root), masks, "data.masks")
        _check_partners(image_files, mask_files)
        ids = sorted(image_files, key=natural_key)
        groups = assign_groups(ids, pattern=group_pattern, block_size=block_size)
        self.cases = [Case(i, (str(image_files[i]),), str(mask_files[i]), groups[i]) for i in ids]
        channels = read_image_file(self.cases[0].image[0]).shape[-1]
        self.task = Task(rank=2, channels=channels, class_names=tuple(names))

    def read_image(self, case: Case) -> Sample:
        """The image alone."""
        image = read_image_file(case.image[0])
        if image.shape[-1] != self.task.channels:
            raise DataError(
                "an image with another number of channels",
                where=case.image[0],
                found=f"{image.shape[-1]} channels",
                expected=f"{self.task.channels}, as the first image {self.cases[0].image[0]}",
                remedy="convert the images to one kind, such as all grey or all RGB",
            )
        return Sample(image, None, (1.0, 1.0))

    def read(self, case: Case) -> Sample:
        """Image and mask."""
        sample = self.read_image(case)
        if case.label is None:
            return sample
        values = read_mask_file(case.label)
        if values.shape != sample.image.shape[:-1]:
            raise DataError(
                "a mask of another size than its image",
                where=case.label,
                found="{}×{}".format(*values.shape),
                expected="{}×{} as {}".format(*sample.image.shape[:2], case.image[0]),
                remedy="export the mask at the size of the image, or remove the pair",
            )
        sample.mask = self._labels.ids(values, case.label)
        return sample

    def describe_files(self, case: Case) -> str:
        """Image and mask path."""
        return f"{case.image[0]} with mask {case.label}"

    def digest(self) -> str:
        """SHA-256 of all files' contents, the case ids, and how labels are read."""
        files = {f"image/{case.id}": case.image[0] for case in self.cases}
        files |= {f"mask/{case.id}": case.label for case in self.cases if case.label}
        settings = {"label_values": list(self._labels.values), "ignore_value": self._labels.ignore_value}
        return digest_files(files, settings)


def _files_by_stem(root: Path, folder: str, key: str) -> dict[str, Path]:
    path = root / folder
    if not root.is_dir():
        raise DataError(
            "a data folder that is not there",
            where="data.root",
            found=str(root.resolve()),
            expected="an existing folder",
            remedy="give its path: data.root=…",
        )
    if not path.is_dir():
        there = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        raise DataError(
            "a data folder that is not there",
            where=key,
            found=str(path),
            expected="one of the folders in data.root: " + (", ".join(there) or "none"),
            remedy=nearest(folder, there) or f"{key}=<name of the folder>",
        )
    found: dict[str, Path] = {}
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or not entry.is_file() or entry.suffix.lower() not in IMAGE_ENDINGS:
            continue
        stem = _stem(entry)
        if stem in found:
            raise DataError(
                "two files of one name",
                where=str(path),
                found=f"{found[stem].name} and {entry.name}",
                expected="one file for each name, since image and mask are matched by it",
                remedy="remove one of them",
            )
        found[stem] = entry
    if not found:
        raise DataError(
            "a data folder without images",
            where=str(path),
            found="no file ending in " + ", ".join(IMAGE_ENDINGS),
            expected="at least one",
            remedy=f"check {key}, or convert the files",
        )
    return found


def _stem(path: Path) -> str:
    """The name without its ending, the same for an é in one character (Linux, Windows) or in two (macOS)."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "a file name that is no text",
            where=str(path.parent),
            found=ascii(path.name),
            expected="a name in UTF-8",
            remedy="rename the file; it becomes the id of its case",
        ) from error
    return unicodedata.normalize("NFC", path.stem)


def _check_partners(images: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
    for what, here, there in (("an image without a mask", images, masks), ("a mask without an image", masks, images)):
        alone = sorted(set(here) - set(there), key=natural_key)
        if alone:
            folder = next(iter(there.values())).parent
            raise DataError(
                what,
                where=str(here[alone[0]]),
                found=f"{len(alone)} such files" if len(alone) > 1 else f"no {alone[0]}.* in {folder}",
                expected=f"a file of the same name in {folder}",
                remedy="add the missing files or remove these; the names must be equal up to the ending",
            )
