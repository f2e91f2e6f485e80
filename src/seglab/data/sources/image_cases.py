"""What all sources of 2D image files share: reading a pair of image and mask, and the pages of a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from seglab.data.cases import Case, Sample, natural_key
from seglab.data.digest import digest_files
from seglab.data.io.image_files import (
    count_pages,
    open_mask_file,
    read_image_file,
    read_mask_brightness,
    read_mask_colors,
    read_region,
)
from seglab.data.labels.label_map import whole_numbers
from seglab.data.labels.label_schema import Classes
from seglab.errors import DataError

# What a group pattern must be for all pages of a file to be one group: captures `stack` of the case `stack#3`.
FILE_OF_PAGE = r"^(.+?)(?:#[0-9]+)?$"


class ImageCases:
    """2D cases of one image file and one mask file each; a subclass finds the files.

    Args:
        name: of the data set.
        cases: with files that are there.
        classes: what the values of a mask mean.
        split: case ids by split name, when the data set brings a split.
        pages: of a case that is one page of a file with several, which one, from 0.
        uncounted: cases of files that do not tell, or not alike, how many pages they have.

    The first image that can be read says how many channels there are.

    Raises:
        DataError: two cases of one id, no image that can be read; on reading, an unreadable file, pages, sizes or
            channels that differ, an undeclared mask value. Each names the file.
    """

    def __init__(
        self,
        name: str,
        cases: Sequence[Case],
        classes: Classes,
        *,
        split: Mapping[str, Sequence[str]] | None = None,
        pages: Mapping[str, int] | None = None,
        uncounted: Collection[str] = (),
    ):
        self.name, self.split, self.classes = name, split, classes
        self.cases = sorted(cases, key=lambda case: natural_key(case.id))
        _refuse_same_ids(self.cases)
        self.label_map, self._pages, self._uncounted = classes.label_map, dict(pages or {}), frozenset(uncounted)
        self._first, channels = self._first_readable()
        self.task = classes.task(rank=2, channels=channels)

    def _image(self, case: Case) -> np.ndarray:
        if case.id in self._uncounted and case.label is not None:
            _pages_of(Path(case.image[0]), Path(case.label))
        return read_image_file(case.image[0], page=self._pages.get(case.id))

    def _first_readable(self) -> tuple[str, int]:
        """Its file and channels; what is wrong with those before it is told when they are read."""
        refused: list[DataError] = []
        for case in self.cases:
            try:
                return case.image[0], self._image(case).shape[-1]
            except DataError as error:
                refused.append(error)
        raise refused[0]

    def read_image(self, case: Case) -> Sample:
        """The image alone."""
        image = self._image(case)
        if image.shape[-1] != self.task.channels:
            raise DataError(
                "an image with another number of channels",
                code="image-channels",
                finding="channel-mismatch",
                where=case.image[0],
                found=f"{image.shape[-1]} channels",
                expected=f"{self.task.channels}, as the first image {self._first}",
                remedy="convert the images to one kind, such as all grey or all RGB",
            )
        return Sample(image, None, (1.0, 1.0))

    def read(self, case: Case) -> Sample:
        """Image and mask; what is outside of the case's region of interest carries the ignore label."""
        sample = self.read_image(case)
        if case.label is None:
            return sample
        mask = self._read_mask(case.label, case, sample)
        if case.region is not None:
            page = self._pages.get(case.id) if case.id in self._pages and count_pages(case.region) > 1 else None
            inside = read_region(case.region, page)
            _check_size(inside, sample.image, case, case.region)
            mask = np.where(inside, mask, np.uint8(self.label_map.ignore_label))
        sample.mask = mask
        return sample

    def _read_mask(self, file: str, case: Case, sample: Sample) -> np.ndarray:
        """Class ids `(H, W)`; what else is known of the mask goes into the sample."""
        page, labels = self._pages.get(case.id), self.label_map
        if labels.threshold is not None:
            brightness = read_mask_brightness(file, page)
            _check_size(brightness, sample.image, case, file)
            mask, sample.unclear = labels.ids_of_brightness(brightness)
            return mask
        if labels.colors:
            colors = read_mask_colors(file, page)
            _check_size(colors, sample.image, case, file)
            return labels.ids_of_colors(colors, file)
        stored, palette = open_mask_file(file, page)
        _check_size(stored, sample.image, case, file)
        values, sample.label_off = whole_numbers(stored, file)
        mask = labels.ids(values, file)
        sample.palette = _colors_held(values, palette)
        return mask

    def read_palette(self, case: Case) -> Mapping[str, str]:
        """As of `Sample`, of the mask alone; empty where masks are not read by values."""
        if case.label is None or self.label_map.threshold is not None or self.label_map.colors:
            return {}
        return _colors_held(*open_mask_file(case.label, self._pages.get(case.id)))

    def describe_files(self, case: Case) -> str:
        """Path of the image, of the mask, and of the region if there is one."""
        page = f", page {self._pages[case.id] + 1}" if case.id in self._pages else ""
        region = f", region {case.region}" if case.region is not None else ""
        return f"{case.image[0]} with mask {case.label}{region}{page}"

    def digest(self) -> str:
        """SHA-256 of all files' contents, the case ids, and how labels are read."""
        name_of: dict[str, str] = {}  # a file of several pages is hashed once
        for case in self.cases:
            for kind, path in (
                ("image", case.image[0]),
                ("mask", case.label),
                ("instances", case.instances),
                ("region", case.region),
            ):
                if path is not None:
                    name_of.setdefault(path, f"{kind}/{case.id}")
        return digest_files({name: path for path, name in name_of.items()}, self.classes.settings())


def _colors_held(values: np.ndarray, palette: np.ndarray | None) -> dict[str, str]:
    """`#rrggbb` of each value that a mask holds; empty without a palette."""
    if palette is None:
        return {}
    held = np.flatnonzero(np.bincount(values.ravel()))
    return {str(n): "#{:02x}{:02x}{:02x}".format(*palette[n]) for n in held if n < len(palette)}


def expand_pages(
    pairs: Mapping[str, tuple[Path, Path]],
) -> tuple[dict[str, tuple[Path, Path]], dict[str, int], list[str]]:
    """Cases of the pages of TIFF files, `<id>#1`, `<id>#2`, where image and mask have several.

    Args:
        pairs: image and mask file by case id.

    Returns:
        The pairs with a case for each page, which page, from 0, each of these cases is, and those cases that are left
        as they are because their files do not tell, or not alike, how many pages they have: reading one says why.
    """
    files: dict[str, tuple[Path, Path]] = {}
    page_of: dict[str, int] = {}
    uncounted: list[str] = []
    for case_id, (image, mask) in pairs.items():
        try:
            pages = _pages_of(image, mask)
        except DataError:
            pages = 1
            uncounted.append(case_id)
        numbered = {f"{case_id}#{page + 1}": page for page in range(pages)} if pages > 1 else {}
        files |= dict.fromkeys(numbered or (case_id,), (image, mask))
        page_of |= numbered
    return files, page_of, uncounted


def _pages_of(image: Path, mask: Path) -> int:
    pages, mask_pages = count_pages(image), count_pages(mask)
    if pages != mask_pages:
        raise DataError(
            "a mask with another number of pages than its image",
            code="mask-pages-differ",
            finding="size-mismatch",
            where=str(mask),
            found=f"{mask_pages} pages",
            expected=f"{pages}, as {image}",
            remedy="export the mask with a page for each page of the image"
            + ("; if its pages are a channel for each class, give each pixel the number of its page" * (pages == 1)),
        )
    return pages


def _check_size(mask: np.ndarray, image: np.ndarray, case: Case, file: str) -> None:
    if mask.shape[:2] == image.shape[:2]:
        return
    on_its_side = mask.shape[:2] == image.shape[1::-1]
    raise DataError(
        f"a {'region' if file == case.region else 'mask'} of another size than its image",
        code="mask-size-differs",
        finding="size-mismatch",
        where=file,
        found="{}×{}".format(*mask.shape),
        expected="{}×{} as {}".format(*image.shape[:2], case.image[0]),
        remedy="one of them is turned: a file is read as a viewer shows it, by the orientation in its EXIF or TIFF,"
        " so turn the pixels of the other, or remove the tag (exiftool -Orientation= FILE)"
        if on_its_side
        else "export it at the size of the image, or remove the pair",
    )


def _refuse_same_ids(cases: Sequence[Case]) -> None:
    first: dict[str, Case] = {}
    for case in cases:
        other = first.setdefault(case.id, case)
        if other is not case:
            raise DataError(
                "two images of one name",
                code="file-names-collide",
                where=case.image[0],
                found=f"the name of {other.image[0]}",
                expected="each name once in the whole data set: scores and splits are kept by it",
                remedy="rename one of them with its mask, or remove it if it is a copy",
            )
