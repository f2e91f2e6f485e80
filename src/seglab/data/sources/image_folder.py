"""Images and masks in folders, matched by their file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from seglab.config.types import Place, PositiveFloat, PositiveInt
from seglab.data.cases import Case, assign_groups
from seglab.data.labels.label_schema import declared_classes
from seglab.data.labels.regions import with_regions
from seglab.data.sources.image_cases import FILE_OF_PAGE, ImageCases, expand_pages
from seglab.data.sources.paired_files import pair_files
from seglab.data.sources.proposals import with_proposals
from seglab.errors import DataError


class ImageFolder(ImageCases):
    """2D images `root/images/<id>.*` with masks `root/masks/<id>.*`; the names may be of other forms.

    Images may have 8 or 16 bit or be of floats, with any number of channels.

    Each page of a TIFF with several is a case of its own, `<id>#1`, `<id>#2`, with the same page of its mask.

    Args:
        root: folder that everything lies in.
        images, masks: each a folder below `root`, in which a file's name without its ending is the id, or a folder with
            a pattern of the names, in which `{id}` stands for it: `masks/{id}_segmentation`, or `{id}.jpg` in `root`
            itself. A pattern that names no ending takes any.
        roi: the same for regions of interest: what is not white there carries the ignore label, so that nothing is
            learnt of it and nothing scored; None for whole images.
        unlabelled: what becomes of images without a mask.
        label_values: values in the mask files; the position of a value is its class id, so the first is class 0,
            which the macro scores leave out as the background.
        class_names: one for each label value; None names each class after its value (`label_255`).
        ignore_value: value of mask pixels that have no truth, or None.
        label_schema: a table of labels (CSV or YAML) in the place of the three; see `label_schema.read_schema`.
        label_colors: red, green and blue of each of `label_values` (or of each row of the table) in the masks and,
            last, of `ignore_value`: masks are then read by what a viewer shows, whatever they are stored as.
        mask_threshold: for lossy masks, and those with grey edges, of two classes: from this brightness on, as a viewer
            shows it (0 to 255; deeper files in their own numbers), a pixel is of the larger of `label_values`, below it
            of the smaller. None refuses such masks.
        regions, regions_class_order: unions of values that are predicted and scored, and what each paints; as of
            `seglab.data.sources.nifti.Nifti`.
        group_pattern, block_size: which cases must stay in one split; see `seglab.data.cases.assign_groups`. Without
            them each file is a group, and so are all of its pages.

    Attributes:
        left_out: files beside those that are read, as `seglab.data.sources.paired_files` finds them.

    Raises:
        ConfigError: a pattern or a threshold that means nothing.
        DataError: a missing folder, no images, a partner that is missing, two files of one name; on reading, as
            `ImageCases`.
    """

    def __init__(
        self,
        *,
        root: Place,
        images: Place = "images",
        masks: Place = "masks",
        roi: Place | None = None,
        unlabelled: Literal["refused", "left_out"] = "refused",
        label_values: Sequence[int] = (0, 1),
        class_names: Sequence[str] | None = None,
        ignore_value: int | None = None,
        label_schema: Place | None = None,
        label_colors: Sequence[Sequence[int]] | None = None,
        mask_threshold: PositiveFloat | None = None,
        regions: Mapping[str, int | Sequence[int]] | None = None,
        regions_class_order: Sequence[int] | None = None,
        group_pattern: str | None = None,
        block_size: PositiveInt | None = None,
    ):
        classes = with_regions(
            declared_classes(label_values, class_names, ignore_value, label_schema, label_colors, mask_threshold),
            regions,
            regions_class_order,
        )
        try:
            found = pair_files(Path(root), images, masks, roi, unlabelled=unlabelled)
        except DataError as error:
            given = {"images": images, "masks": masks, "roi": roi}
            raise with_proposals(error, Path(root), given, classes.label_map) from error
        self.left_out = found.left_out
        pairs = {case_id: (image, found.masks[case_id]) for case_id, image in found.images.items()}
        files, pages, uncounted = expand_pages(pairs)
        if pages and group_pattern is None:
            group_pattern = FILE_OF_PAGE
        groups = assign_groups(list(files), pattern=group_pattern, block_size=block_size)
        cases = []
        for case_id, (image, mask) in files.items():
            region = found.regions.get(case_id.rpartition("#")[0] if case_id in pages else case_id)
            cases.append(
                Case(
                    case_id,
                    (str(image),),
                    str(mask),
                    groups[case_id],
                    region=None if region is None else str(region),
                )
            )
        super().__init__(Path(root).name or "image_folder", cases, classes, pages=pages, uncounted=uncounted)
