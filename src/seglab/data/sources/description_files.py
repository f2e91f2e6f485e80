"""The files that a `dataset.json` names: below its own folder, and there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from seglab.errors import DataError

FILE = "dataset.json"


def named_file(root: Path, name: str, section: str) -> Path:
    """A file that a description names, which may come from anywhere: no file but those of its own folder.

    Links within the folder are the user's own, and followed.

    Raises:
        DataError: an absolute path, or one that leaves the folder.
    """
    if Path(name).is_absolute() or os.path.normpath(name).startswith(".."):
        raise DataError(
            "a file outside of the folder of the data set",
            code="file-outside",
            finding="unreadable-file",
            where=str(root / FILE),
            found=f'"{section}": {json.dumps(name[:200], ensure_ascii=False)}',
            expected=f"paths below {root}, such as ./imagesTr/case.nii.gz",
            remedy="copy or link the files into that folder, or list the cases in a table of yours: data.table=…",
        )
    return root / name


def existing_file(path: Path, root: Path, section: str) -> Path:
    """A file of a section; raises `DataError` where it is not there."""
    if not is_file(path):
        raise DataError(
            "file not found",
            code="file-missing",
            finding="unreadable-file",
            where=str(path),
            found=f"listed in {root / FILE}",
            remedy=f'restore it, or remove its entry from "{section}"',
        )
    return path


def is_file(path: Path) -> bool:
    """Whether there is a file of this path."""
    try:
        return path.is_file()
    except OSError:  # a name that is too long for any file
        return False


def excerpt(value: object) -> str:
    """A value of a description as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 200 else f"{text[:200]}…"


def malformed(root: Path, found: str, expected: str) -> DataError:
    """Of a description that is JSON, and not what it should be."""
    return DataError(
        "a dataset.json that cannot be used",
        code="dataset-json-invalid",
        where=str(root / FILE),
        found=found,
        expected=expected,
        remedy="write it as the Medical Segmentation Decathlon or nnU-Net does",
    )
