"""How volumes lie on disk: in two folders, or in a table. Finds the files, reads no volume."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.data.cases import SPLIT_NAMES, natural_key
from seglab.data.io.csv_files import read_csv
from seglab.data.io.folders import check_partners, files_in, name_of, root_as_given, visible
from seglab.data.io.nifti_headers import NIFTI_ENDINGS
from seglab.data.io.volume_files import VOLUME_ENDINGS, is_volume, series_in
from seglab.errors import DataError, nearest

_MOST_SETS = 8  # that are named in a message
# One file for each modality of a case: case_0000.nii.gz, case_0001.nii.gz.
_MODALITY = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class VolumeFiles:
    """The files of one case; `group` and `split` where the layout says them, `row` where a table lists it."""

    images: tuple[Path, ...]
    label: Path | None
    group: str | None = None
    split: str | None = None
    row: str = ""


def modalities(files: Mapping[str, Path]) -> dict[str, tuple[Path, ...]]:
    """Files by case: those that differ only in a last `_0000`, `_0001`, … are the modalities of one case, in order.

    Raises:
        DataError: a modality that a case lacks, or has alone.
    """
    found: dict[str, dict[str, Path]] = {}
    for stem in sorted(files):
        numbered = _MODALITY.fullmatch(stem)
        case_id, number = numbered.groups() if numbered else (stem, "")
        found.setdefault(case_id, {})[number] = files[stem]
    most = max((set(numbers) for numbers in found.values()), key=len, default=set())
    for case_id, numbers in found.items():
        if set(numbers) != most:
            raise DataError(
                "a case with other modalities than the rest",
                code="case-modalities",
                finding="channel-mismatch",
                where=str(next(iter(numbers.values()))),
                found=f"{case_id}: {', '.join(file.name for file in numbers.values())}",
                expected=", ".join(f"{case_id}_{number}" if number else case_id for number in sorted(most)),
                remedy="add the missing file, or remove the case",
            )
    return {case_id: tuple(numbers[number] for number in sorted(numbers)) for case_id, numbers in found.items()}


def in_folders(
    root: Path,
    images: str,
    labels: str,
    *,
    keys: tuple[str, str] = ("data.images", "data.labels"),
    endings: Sequence[str] = VOLUME_ENDINGS,
) -> dict[str, VolumeFiles]:
    """`root/images/<id>.nii.gz`, or `<id>_0000.nii.gz`, … for several modalities, with `root/labels/<id>.nii.gz`.

    Any kind of volume will do, and a folder of DICOM slices is one.

    Args:
        root: `data.root`.
        images, labels: folders below it.
        keys: the settings that say where the files are, for messages.
        endings: of the files.

    Raises:
        DataError: no such folder or file, an image without a label and the reverse, modalities that differ.
    """
    image_files, label_files = (_volumes(root, *of, endings) for of in zip((images, labels), keys, strict=True))
    # A number that a label has too is a part of the name.
    numbered = not set(image_files) & set(label_files)
    found = modalities(image_files) if numbered else {stem: (file,) for stem, file in image_files.items()}
    check_partners({case_id: files[0] for case_id, files in found.items()}, label_files)
    return {case_id: VolumeFiles(found[case_id], label_files[case_id]) for case_id in found}


def _volumes(root: Path, folder: str, key: str, endings: Sequence[str]) -> dict[str, Path]:
    path = root / folder
    for file in sorted(path.iterdir()) if path.is_dir() else ():  # beside others they would be left out without a word
        if _in_two_files(file):
            raise _refuse_pair(file, str(file))
    sets = [] if path.is_dir() else [file.parent for file in sorted(root.glob("*/dataset.json"))]
    if sets:
        others = "".join(f", or {one.name}" for one in sets[1:_MOST_SETS])
        raise DataError(
            "a folder of data sets, and not one of them",
            code="several-data-sets",
            where="data.root",
            found=str(root),
            expected="the folder that dataset.json lies in",
            remedy=f"choose one: {root_as_given(sets[0])}{others}" if others else root_as_given(sets[0]),
        )
    instead = "dataset.json in data.root, data.table=<file.csv>, or "
    series = {name_of(one): one for one in series_in(path)}
    files = (
        {}
        if series and not visible(path, endings)
        else files_in(root, folder, key, endings, what="volumes", instead=instead)
    )
    both = next((name for name in series if name in files), None)
    if both is not None:
        raise DataError(
            "two files of one name",
            code="file-names-collide",
            where=str(path),
            found=f"the series in {both} and {files[both].name}",
            expected="one file for each name, since image and mask are matched by it",
            remedy="move one of them elsewhere, or give it a name of its own",
        )
    return dict(sorted({**files, **series}.items()))


def _in_two_files(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".hdr", ".img")) and path.is_file()


def _refuse_pair(path: Path, where: str) -> DataError:
    name = path.name.removesuffix(".gz")[: -len(".hdr")]
    return DataError(
        "a volume in two files, header and voxels",
        code="volume-in-two-files",
        finding="unreadable-file",
        where=where,
        found=path.name,
        expected=f"one file ending in {' or '.join(NIFTI_ENDINGS)}",
        remedy=f'join the two and move them away: with nibabel, nib.save(nib.load("{path.name}"), "{name}.nii.gz")',
    )


def in_table(root: Path, table: str, group_column: str | None = None) -> dict[str, VolumeFiles]:
    """The rows of a CSV file: columns `image` (or several that begin so, one for each modality), `label`, and, if
    there, `id`, `split`, and `group` or the `group_column` that is named in its place. Paths are below `root` or
    absolute; a case without a label, whose image alone can be read, has an empty cell."""
    path = root / table
    listed = read_csv(path, remedy="data.table is its path below data.root")
    columns, rows = list(listed.columns), listed.rows()
    if group_column is not None and group_column not in columns:
        raise DataError(
            "a table without the column of the groups",
            code="table-column-missing",
            where=str(path),
            found=f"columns {', '.join(columns) or 'none'}",
            expected=f"{group_column}, as data.group_column says",
            remedy=nearest(group_column, columns) or "name one of its columns, or data.group_column=null",
        )
    group_column = group_column or "group"
    image_columns = [name for name in columns if name.startswith("image") and name != group_column]
    unknown = set(columns) - set(image_columns) - {"label", "id", "group", "split", group_column}
    if not image_columns or "label" not in columns or unknown or not rows:
        raise DataError(
            "a table of volumes that cannot be used",
            code="table-unreadable",
            where=str(path),
            found=f"columns {', '.join(columns) or 'none'}, {len(rows)} rows",
            expected="image (or image_t1, image_t2, …), label, and perhaps id, group, split; a row for each case",
            remedy="write the names of the columns into its first line; data.group_column names another one of groups",
        )
    found: dict[str, VolumeFiles] = {}
    for number, row in rows:
        where = f"{path}, line {number}"
        images = tuple(_existing(root / row[name], where, name) for name in image_columns)
        label = _existing(root / row["label"], where, "label") if row["label"] else None
        if label in images:
            raise DataError(
                "an image that is its own label",
                code="image-listed-twice",
                where=where,
                found=str(label),
                expected="a file of its own for the label",
                remedy="correct the row, or leave its label empty for a case without one",
            )
        case_id = row.get("id") or name_of(images[0])
        if case_id in found:
            raise DataError(
                "two cases of one name",
                code="file-names-collide",
                where=where,
                found=case_id,
                expected="each name once",
                remedy="remove one, or name each case in a column id",
            )
        split = row.get("split") or None
        if split is not None and split not in SPLIT_NAMES:
            raise DataError(
                "an unknown split",
                code="unknown-split",
                where=where,
                found=split,
                expected="one of " + ", ".join(SPLIT_NAMES),
                remedy="correct it, or leave it empty for data.split to decide",
            )
        found[case_id] = VolumeFiles(images, label, row.get(group_column) or None, split, where)
    return found


def _existing(path: Path, where: str, column: str) -> Path:
    if _in_two_files(path):
        raise _refuse_pair(path, f"{where}, {column}")
    if path.exists() and not is_volume(path):
        raise DataError(
            "a row whose file is no volume",
            code="not-a-volume",
            finding="unreadable-file",
            where=where,
            found=f"{column}: {path}",
            expected=f"a file ending in {', '.join(VOLUME_ENDINGS)}, a folder of DICOM slices or of Zarr",
            remedy="convert it and list the new file, or remove the row",
        )
    if not path.exists():
        raise DataError(
            "file of a table row not found",
            code="file-missing",
            finding="unreadable-file",
            where=where,
            found=f"{column}: {path}",
            expected="an existing file",
            remedy="correct the path (it begins at data.root), or remove the row",
        )
    return path


def split_of(entries: Mapping[str, VolumeFiles], where: str) -> Mapping[str, Sequence[str]] | None:
    """Case ids by split, when the layout has splits; None when it has none."""
    assigned = [case_id for case_id, entry in entries.items() if entry.split is not None]
    if not assigned:
        return None
    missing = sorted(set(entries) - set(assigned), key=natural_key)
    if missing:
        raise DataError(
            "cases without a split in a table that has splits",
            code="split-incomplete",
            where=where,
            found=f"{len(missing)} of {len(entries)}, such as {missing[0]}",
            expected=", ".join(SPLIT_NAMES),
            remedy="fill the column split, or empty it everywhere",
        )
    return {name: [case_id for case_id in assigned if entries[case_id].split == name] for name in SPLIT_NAMES}
