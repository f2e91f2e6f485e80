"""Image and mask files listed in CSV tables."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seglab.config.types import Place, PositiveFloat
from seglab.data.cases import SPLIT_NAMES, Case, assign_groups
from seglab.data.io.csv_files import check_grouping, read_csv
from seglab.data.io.folders import stem_of
from seglab.data.io.listed_files import FilesBeside, real_paths
from seglab.data.labels.label_schema import declared_classes
from seglab.data.labels.regions import with_regions
from seglab.data.sources.image_cases import FILE_OF_PAGE, ImageCases, expand_pages
from seglab.errors import DataError, nearest

_TABLE_OF = {name: f"{name}_paths.csv" for name in SPLIT_NAMES}


class _Row(NamedTuple):
    image: str
    mask: str
    split: str | None
    group: str | None
    line: int
    table: Path

    @property
    def where(self) -> str:
        return f"{self.table}, line {self.line}"


class Csv(ImageCases):
    """2D images and masks that tables list, with a column each; paths are relative to their table.

    Args:
        root: a folder with `train_paths.csv`, `val_paths.csv`, `test_paths.csv`, or one table. Two or three tables are
            the split; one that is absent leaves its split empty. A single one is split by its column `split_column`,
            and by shares when it has no such column.
        image_column, mask_column: columns of the paths.
        split_column: of a single table; its cells are `train`, `val` or `test`.
        group_column: cases with equal cells stay in one split; None for no such column.
        group_pattern: a regular expression on the case id in its place; see `seglab.data.cases.assign_groups`.
        label_values, class_names, ignore_value, label_schema, label_colors, mask_threshold, regions,
            regions_class_order: as of
            `seglab.data.sources.image_folder.ImageFolder`.

    The id of a case is its file name without ending, or, where two files share one, the path below the table's folder,
    or, where images lie outside of that, below the folder that holds them all: how a path is written, and where the
    folder lies, plays no part. Pages of a TIFF are cases of one group.

    Raises:
        ConfigError: a group column and a group pattern.
        DataError: a table, column, cell or file that is missing, an image listed twice; on reading, as `ImageCases`.
    """

    def __init__(
        self,
        *,
        root: Place,
        image_column: str = "image",
        mask_column: str = "mask",
        split_column: str = "split",
        group_column: str | None = None,
        group_pattern: str | None = None,
        label_values: Sequence[int] = (0, 1),
        class_names: Sequence[str] | None = None,
        ignore_value: int | None = None,
        label_schema: Place | None = None,
        label_colors: Sequence[Sequence[int]] | None = None,
        mask_threshold: PositiveFloat | None = None,
        regions: Mapping[str, int | Sequence[int]] | None = None,
        regions_class_order: Sequence[int] | None = None,
    ):
        check_grouping(group_column, group_pattern)
        classes = with_regions(
            declared_classes(label_values, class_names, ignore_value, label_schema, label_colors, mask_threshold),
            regions,
            regions_class_order,
        )
        rows: list[_Row] = []
        for split, table in _tables(Path(root)):
            columns = [image_column, mask_column, *([group_column] if group_column else [])]
            rows += _read_table(table, columns, split, split_column)
        by_id = _by_id(rows)
        files, pages, uncounted = expand_pages(
            {case_id: (Path(row.image), Path(row.mask)) for case_id, row in by_id.items()}
        )
        row_of = {i: by_id[i.rpartition("#")[0] if i in pages else i] for i in files}
        if group_column is None:
            groups = assign_groups(list(files), pattern=FILE_OF_PAGE if pages and not group_pattern else group_pattern)
        else:
            groups = {i: str(row.group) for i, row in row_of.items()}
        super().__init__(
            Path(root).resolve().stem,
            [Case(i, (str(image),), str(mask), groups[i]) for i, (image, mask) in files.items()],
            classes,
            split=_split(row_of),
            pages=pages,
            uncounted=uncounted,
        )


def _tables(root: Path) -> list[tuple[str | None, Path]]:
    """The tables with the split that each is of; None for one whose split a column may say."""
    if root.is_file():
        return [(None, root)]
    found: list[tuple[str | None, Path]] = [
        (name, root / table) for name, table in _TABLE_OF.items() if (root / table).is_file()
    ]
    if not found:
        raise DataError(
            "no table of images",
            code="table-missing",
            where="data.root",
            found=str(root.resolve()) + ("" if root.exists() else ", which is not there"),
            expected="a CSV file, or a folder with " + ", ".join(_TABLE_OF.values()),
            remedy="give its path: data.root=…",
        )
    return found if len(found) > 1 else [(None, found[0][1])]


def _read_table(table: Path, columns: Sequence[str], split: str | None, split_column: str) -> list[_Row]:
    read = read_csv(table)
    there, lines = list(read.columns), read.lines
    for column in columns:
        if column not in there:
            raise DataError(
                "a table without a column that is needed",
                code="table-column-missing",
                where=str(table),
                found="columns " + ", ".join(there) if there else "no header line",
                expected=column,
                remedy=nearest(column, there) or "name the columns: data.image_column=… data.mask_column=…",
            )
    if not lines:
        raise DataError(
            "a table without rows",
            code="table-empty",
            where=str(table),
            found="a header and nothing below",
            expected="a row for each image",
            remedy="list the images, or remove the table",
        )
    by_column = split is None and split_column in there
    for column in [*columns, *([split_column] if by_column else [])]:
        cells = read.columns[column]
        if "" in cells:
            raise DataError(
                "an empty cell in a table of images",
                code="table-cell-empty",
                where=f"{table}, line {lines[cells.index('')]}, column {column}",
                found="nothing",
                expected="a value in every row",
                remedy="fill the cell, or remove the row",
            )
    splits: Sequence[str | None] = read.columns[split_column] if by_column else [split] * len(lines)
    for name in sorted({name for name in splits if name is not None} - set(SPLIT_NAMES)):
        raise DataError(
            "a split that does not exist",
            code="unknown-split",
            where=f"{table}, line {lines[splits.index(name)]}, column {split_column}",
            found=name,
            expected=", ".join(SPLIT_NAMES),
            remedy=nearest(name, SPLIT_NAMES) or "correct the cell",
        )
    image, mask, *group = (read.columns[column] for column in columns)
    files = FilesBeside(table)
    images, masks = ([files.of(cell, line) for cell, line in zip(part, lines, strict=True)] for part in (image, mask))
    for file, truth, line in zip(images, masks, lines, strict=True):
        if file == truth:
            raise _own_mask(f"{table}, line {line}", file)
    groups: Sequence[str | None] = group[0] if group else [None] * len(lines)
    return [_Row(*row, table) for row in zip(images, masks, splits, groups, lines, strict=True)]


def _own_mask(where: str, file: str) -> DataError:
    return DataError(
        "an image that is its own mask",
        code="image-listed-twice",
        where=where,
        found=file,
        expected="a file of its own for the mask",
        remedy="correct the row; data.image_column=… data.mask_column=… name the columns",
    )


def _by_id(rows: Sequence[_Row]) -> dict[str, _Row]:
    real = real_paths([row.image for row in rows])
    if len(set(real)) < len(rows):
        first: dict[str, _Row] = {}
        for row, path in zip(rows, real, strict=True):
            other = first.setdefault(path, row)
            if other is not row:
                raise DataError(
                    "an image that is listed twice",
                    code="image-listed-twice",
                    where=row.where,
                    found=f"{row.image}, listed in {other.where} too",
                    expected="each image in one row, and so in one split",
                    remedy="remove one of the rows",
                )
    names = [stem_of(row.image) for row in rows]
    if len(set(names)) < len(names):
        names = _paths_below(rows)
    by_id = dict(zip(names, rows, strict=True))
    if len(by_id) < len(rows):
        other, same = next((r, by_id[name]) for r, name in zip(rows, names, strict=True) if by_id[name] is not r)
        raise DataError(
            "two images of one name",
            code="file-names-collide",
            where=other.where,
            found=f"{other.image} and {same.image}",
            expected="names that differ in more than the ending, since scores and splits are kept by them",
            remedy="rename one of them",
        )
    return by_id


def _paths_below(rows: Sequence[_Row]) -> list[str]:
    """The path of each image below the folder that holds all of them, the table's where it does; without endings."""
    images = [Path(os.path.abspath(row.image)) for row in rows]
    homes = {Path(os.path.abspath(table.parent)) for table in {row.table for row in rows}}
    above = homes.pop()
    if homes or not all(image.is_relative_to(above) for image in images):
        above = Path(os.path.commonpath([image.parent for image in images]))
    return [unicodedata.normalize("NFC", image.relative_to(above).with_suffix("").as_posix()) for image in images]


def _split(row_of: Mapping[str, _Row]) -> dict[str, list[str]] | None:
    if any(row.split is None for row in row_of.values()):
        return None
    return {name: [i for i, row in row_of.items() if row.split == name] for name in SPLIT_NAMES}
