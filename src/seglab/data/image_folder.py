"""A folder of images and a folder of masks with the same file names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seglab.constraints import Place, PositiveInt
from seglab.data.cases import Case, assign_groups
from seglab.data.folders import check_partners, files_in
from seglab.data.image_cases import FILE_OF_PAGE, ImageCases, expand_pages
from seglab.data.image_files import IMAGE_ENDINGS
from seglab.data.label_schema import declared_classes


class ImageFolder(ImageCases):
    """2D images `root/images/<id>.*` with masks `root/masks/<id>.*` (PNG, JPEG, TIFF, BMP, GIF).

    Images may have 8 or 16 bit or be of floats, with any number of channels.

    Each page of a TIFF with several is a case of its own, `<id>#1`, `<id>#2`, with the same page of its mask.

    Args:
        root: folder that holds the two folders.
        images, masks: names of the two folders below `root`.
        label_values: values in the mask files; the position of a value is its class id, so the first is class 0,
            which the macro scores leave out as the background.
        class_names: one for each label value; None names each class after its value (`label_255`).
        ignore_value: value of mask pixels that have no truth, or None.
        label_schema: a table of labels (CSV or YAML) in the place of the three; see `label_schema.read_schema`.
        label_colors: red, green and blue of each of `label_values` (or of each row of the table) in the masks and,
            last, of `ignore_value`: masks are then read by what a viewer shows, whatever they are stored as.
        group_pattern, block_size: which cases must stay in one split; see `seglab.data.cases.assign_groups`. Without
            them each file is a group, and so are all of its pages.

    Raises:
        DataError: a missing folder, no images, a partner that is missing, two files of one name; on reading, as
            `ImageCases`.
    """

    def __init__(
        self,
        *,
        root: Place,
        images: Place = "images",
        masks: Place = "masks",
        label_values: Sequence[int] = (0, 1),
        class_names: Sequence[str] | None = None,
        ignore_value: int | None = None,
        label_schema: Place | None = None,
        label_colors: Sequence[Sequence[int]] | None = None,
        group_pattern: str | None = None,
        block_size: PositiveInt | None = None,
    ):
        classes = declared_classes(label_values, class_names, ignore_value, label_schema, label_colors)
        image_files = files_in(Path(root), images, "data.images", IMAGE_ENDINGS)
        mask_files = files_in(Path(root), masks, "data.masks", IMAGE_ENDINGS)
        check_partners(image_files, mask_files)
        files, pages, uncounted = expand_pages({stem: (image_files[stem], mask_files[stem]) for stem in image_files})
        if pages and group_pattern is None:
            group_pattern = FILE_OF_PAGE
        groups = assign_groups(list(files), pattern=group_pattern, block_size=block_size)
        cases = [Case(i, (str(image),), str(mask), groups[i]) for i, (image, mask) in files.items()]
        super().__init__(Path(root).name or "image_folder", cases, classes, pages=pages, uncounted=uncounted)
