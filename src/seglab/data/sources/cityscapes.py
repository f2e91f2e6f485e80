"""Cityscapes in its original layout: road scenes of 50 cities (Cordts et al. 2016)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from seglab.config.types import Place
from seglab.data.cases import Case, natural_key
from seglab.data.io.folders import existing_root
from seglab.data.io.image_files import read_mask_file
from seglab.data.labels.label_schema import IGNORE_LABEL, built_in_schema
from seglab.data.sources.image_cases import ImageCases
from seglab.errors import DataError

_IMAGES, _TRUTH = "leftImg8bit", "gtFine"
_IMAGE_END, _LABEL_END, _INSTANCE_END = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
# Of the training images; held out by whole cities when the official validation cities are the test split.
VALIDATION_SHARE = 0.12
# So many masks without a labelled pixel in a row, and a split is taken to be one without public labels.
_MASKS_TO_TRY = 5


class Cityscapes(ImageCases):
    """`leftImg8bit/<split>/<city>/<city>_<seq>_<frame>_leftImg8bit.png` with `gtFine/.../_gtFine_labelIds.png`.

    M. Cordts et al.: The Cityscapes dataset for semantic urban scene understanding. CVPR 2016,
    https://arxiv.org/abs/1604.01685. A case is `<city>_<seq>_<frame>`, its group the city, and its instances the file
    `_gtFine_instanceIds.png` where there is one.

    Args:
        root: folder that holds `leftImg8bit` and `gtFine`.
        labels: `categories`, the seven wide ones (every label belongs to one, parking to flat), or `classes`, the 19
            training classes.
        void: `ignored` leaves what is no class out of training and scores; `class` makes it one further class, the
            last, which the mean leaves out.
        test_on: the public test images come without labels, so the choice is between: `val`, the official
            validation cities are the test split, and the last training cities in alphabetical order, about 12% of the
            images, are validated on; `none`, the official train and val, and no test score; `test`, the folders as
            they are, for a set whose test folder is labelled.

    Raises:
        DataError: a missing folder, image or label file, too few cities, a test folder without labels; on reading, as
            `ImageCases`.
    """

    def __init__(
        self,
        *,
        root: Place,
        labels: Literal["classes", "categories"] = "categories",
        void: Literal["ignored", "class"] = "ignored",
        test_on: Literal["val", "none", "test"] = "val",
    ):
        folder = existing_root(Path(root))
        classes = built_in_schema("cityscapes").classes(labels, void)
        split_of = {"train": _cases(folder, "train"), "val": _cases(folder, "val")}
        if test_on == "test":
            split_of["test"] = _cases(folder, "test")
            _check_labelled(split_of["test"])
        elif test_on == "val":
            train, held_out = _hold_out_cities(split_of["train"], folder)
            split_of = {"train": train, "val": held_out, "test": split_of["val"]}
        super().__init__(
            "Cityscapes",
            [case for cases in split_of.values() for case in cases],
            classes,
            split={name: [case.id for case in cases] for name, cases in split_of.items()},
        )


def _cases(root: Path, split: str) -> list[Case]:
    images = _files(root / _IMAGES / split, _IMAGE_END)
    labels = _files(root / _TRUTH / split, _LABEL_END)
    instances = _files(root / _TRUTH / split, _INSTANCE_END, needed=False)
    for what, finding, here, there, end in (
        ("an image without a mask", "image-without-mask", images, labels, _LABEL_END),
        ("a mask without an image", "mask-without-image", labels, images, _IMAGE_END),
    ):
        alone = sorted(here.keys() - there.keys(), key=natural_key)
        if alone:
            raise DataError(
                what,
                code=finding,
                finding=finding,
                where=str(here[alone[0]]),
                found=f"{len(alone)} such files" if len(alone) > 1 else f"no {alone[0]}{end}",
                expected=f"{alone[0]}{end} in the folder of its city",
                remedy="unpack the archive again, or remove the file",
            )
    return [
        Case(
            id=key.partition("/")[2],
            image=(str(path),),
            label=str(labels[key]),
            group=key.partition("/")[0],
            instances=str(instances[key]) if key in instances else None,
        )
        for key, path in images.items()
    ]


def _files(folder: Path, end: str, *, needed: bool = True) -> dict[str, Path]:
    """Files `<folder>/<city>/<case><end>` by `<city>/<case>`; the case of letters in the ending plays no part."""
    found = {
        f"{path.parent.name}/{path.name[: -len(end)]}": path
        for path in sorted(folder.glob("*/*"))
        if path.name.lower().endswith(end.lower()) and not path.name.startswith(".")
    }
    if needed and not found:
        raise DataError(
            "a Cityscapes folder without its files",
            code="data-folder-incomplete",
            where=str(folder),
            found="not there" if not folder.is_dir() else f"no <city>/*{end}",
            expected=f"{folder.name}/<city>/<city>_<seq>_<frame>{end}",
            remedy=f"data.root=<folder that holds {_IMAGES} and {_TRUTH}>, both archives unpacked",
        )
    return found


def _hold_out_cities(cases: list[Case], root: Path) -> tuple[list[Case], list[Case]]:
    """The training cases, and those of the last cities that together make `VALIDATION_SHARE`."""
    cities = sorted({case.group for case in cases})
    held_out: set[str] = set()
    while cities[1:] and sum(case.group in held_out for case in cases) < VALIDATION_SHARE * len(cases):
        held_out.add(cities.pop())
    if not held_out:
        raise DataError(
            "too few cities to hold one out",
            code="split-too-few-groups",
            where=str(root / _IMAGES / "train"),
            found=f"{len(cities)} city",
            expected="two or more, since one is validated on and the official val is the test split",
            remedy="data.test_on=none, to train and validate on the folders as they are",
        )
    return [c for c in cases if c.group not in held_out], [c for c in cases if c.group in held_out]


def _check_labelled(cases: list[Case]) -> None:
    label_map = built_in_schema("cityscapes").classes().label_map
    tried = cases[:_MASKS_TO_TRY]
    if all((label_map.ids(read_mask_file(str(c.label)), str(c.label)) == IGNORE_LABEL).all() for c in tried):
        raise DataError(
            "a test folder without labels",
            code="test-without-labels",
            where=str(tried[0].label),
            found=f"{len(tried)} masks that hold void alone, as those of the public test set do",
            expected="labelled masks, for data.test_on=test",
            remedy="data.test_on=val, to test on the official validation cities",
        )
