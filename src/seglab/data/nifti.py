"""Volumes in the layout of the Medical Segmentation Decathlon: `dataset.json`, `imagesTr`, `labelsTr`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel import orientations

from seglab.data.cases import Case, Sample, assign_groups, natural_key
from seglab.data.digest import digest_files
from seglab.data.labels import LabelMap
from seglab.errors import DataError
from seglab.task import Task

# What nibabel and the decompressor raise on damaged files.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)
# Image and label grids may differ by rounding in their headers: this share of a voxel.
_AFFINE_TOLERANCE = 0.05
# Of the three directions of an affine; more means that two of them, or a spacing of 0, collapse.
_LARGEST_CONDITION = 1e6


class Nifti:
    """3D cases of a `dataset.json` (Antonelli et al., The Medical Segmentation Decathlon, 2022).

    Its `labels` name the classes (the values in order are the class ids), `modality` the channels, `training` the
    pairs of image and label. Volumes are turned to the closest RAS orientation; spacing and both affines go with
    them, and `restore_orientation` turns a result back.

    Args:
        root: folder of `dataset.json`.
        group_pattern: which cases must stay in one split; see `seglab.data.cases.assign_groups`.

    Raises:
        DataError: a missing or malformed `dataset.json`, a file that is missing or damaged, image and label that do
            not lie on the same grid, labels that are not whole numbers or not declared. Each names the file.
    """

    def __init__(self, *, root: str, group_pattern: str | None = None):
        self._root = Path(root)
        described = _read_description(self._root / "dataset.json")
        self.name = str(described.get("name") or self._root.name)
        self.split: Mapping[str, Sequence[str]] | None = None
        labels = _section(described, "labels", self._root)
        names = {_label_value(key, self._root): str(name) for key, name in labels.items()}
        if len(set(names.values())) < len(labels):
            raise _malformed(self._root, f'"labels": {labels!r}', "a value and a name of its own for each class")
        values = tuple(sorted(names))
        remedy = f'declare it under "labels" in {self._root / "dataset.json"}, or correct the label file'
        self._labels = LabelMap(values, remedy=remedy)
        modalities = _section(described, "modality", self._root)
        self.task = Task(rank=3, channels=len(modalities), class_names=tuple(names[value] for value in values))
        self.cases = self._find_cases(described, group_pattern)

    def _find_cases(self, described: Mapping[str, Any], group_pattern: str | None) -> list[Case]:
        files: dict[str, tuple[Path, Path]] = {}
        for pair in _section(described, "training", self._root, kind=list):
            if not isinstance(pair, Mapping) or not all(isinstance(pair.get(k), str) for k in ("image", "label")):
                raise _malformed(self._root, f"training entry {pair!r}", 'an object with "image" and "label"')
            image, label = self._root / pair["image"], self._root / pair["label"]
            for path in (image, label):
                if not path.is_file():
                    raise DataError(
                        "a file that is not there",
                        where=str(path),
                        found=f"listed in {self._root / 'dataset.json'}",
                        remedy='restore it, or remove its entry from "training"',
                    )
            case_id = image.name.removesuffix(".gz").removesuffix(".nii")
            if case_id in files:
                raise _malformed(self._root, f"two training images named {case_id}", "each name once")
            files[case_id] = (image, label)
        if not files:
            raise _malformed(self._root, "no training cases", "at least one")
        ids = sorted(files, key=natural_key)
        groups = assign_groups(ids, pattern=group_pattern)
        return [Case(i, (str(files[i][0]),), str(files[i][1]), groups[i]) for i in ids]

    def read_image(self, case: Case) -> Sample:
        """The volume `(X, Y, Z, C)` float32 in RAS, scaled as its header says."""
        path = case.image[0]
        image, file_affine = _load_ras(path)
        values = _values(image, path).astype(np.float32)
        if values.ndim == 3:
            values = values[..., None]
        if values.ndim != 4 or values.shape[-1] != self.task.channels:
            raise DataError(
                "an image that does not have the declared channels",
                finding="channel-mismatch",
                where=path,
                found=f"shape {image.shape}",
                expected=f"(X, Y, Z) or (X, Y, Z, C) with C = {self.task.channels}, as dataset.json has modalities",
                remedy='correct the file, or "modality" in dataset.json',
            )
        if not np.isfinite(values).all():
            raise DataError(
                "an image with NaN or infinite values",
                finding="image-not-finite",
                where=path,
                found=f"{int((~np.isfinite(values)).sum())} of {values.size} voxels",
                expected="finite numbers",
                remedy="replace them, or leave the case out",
            )
        spacing = tuple(float(edge) for edge in nib.affines.voxel_sizes(image.affine))
        return Sample(values, None, spacing, image.affine, file_affine)

    def read(self, case: Case) -> Sample:
        """Image and mask, both in RAS."""
        sample = self.read_image(case)
        if case.label is None:
            return sample
        label, _ = _load_ras(case.label)
        values = _values(label, case.label)
        if values.ndim == 4 and values.shape[-1] == 1:
            values = values[..., 0]
        if values.shape != sample.image.shape[:-1]:
            raise DataError(
                "a label of another size than its image",
                finding="size-mismatch",
                where=case.label,
                found=f"{values.shape} in RAS order",
                expected=f"{sample.image.shape[:-1]} as {case.image[0]}",
                remedy="resample the label to the grid of its image (nearest neighbour), or remove the case",
            )
        apart = _voxels_apart(sample.affine, label.affine, values.shape)
        if apart > _AFFINE_TOLERANCE:
            raise DataError(
                "a label that lies elsewhere than its image",
                finding="grid-mismatch",
                where=case.label,
                found=f"the affines put a corner {apart:.2f} voxels apart",
                expected=f"the affine of {case.image[0]}",
                remedy="resample the label to the image, or copy the image's header if only the header is wrong",
            )
        sample.mask = self._labels.ids(values, case.label)
        return sample

    def describe_files(self, case: Case) -> str:
        """Image and label path."""
        return f"{case.image[0]} with label {case.label}"

    def digest(self) -> str:
        """SHA-256 of all files' contents, the case ids, and how labels and channels are read."""
        files = {f"image/{case.id}": case.image[0] for case in self.cases}
        files |= {f"label/{case.id}": case.label for case in self.cases if case.label}
        return digest_files(files, {"label_values": list(self._labels.values), "channels": self.task.channels})


def restore_orientation(array: np.ndarray, file_affine: np.ndarray) -> np.ndarray:
    """Turn an array from RAS back to the axis order and directions of the file that it was read from.

    Args:
        array: `(X, Y, Z)` or `(X, Y, Z, C)` in RAS order.
        file_affine: `Sample.file_affine`.
    """
    to_file = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.io_orientation(file_affine))
    return orientations.apply_orientation(array, to_file)


def _load_ras(path: str) -> tuple[Any, np.ndarray]:
    try:
        image: Any = nib.load(path)
        if image.ndim < 3:
            raise DataError(
                "an image that is no volume",
                where=path,
                found=f"shape {image.shape}",
                expected="three spatial axes",
                remedy="use data=image_folder for 2D images",
            )
        if not np.isfinite(image.affine).all() or np.linalg.cond(image.affine[:3, :3]) > _LARGEST_CONDITION:
            raise DataError(
                "a volume whose header does not say where its voxels lie",
                finding="unreadable-file",
                where=path,
                found=f"affine {np.round(image.affine, 4).tolist()}",
                expected="finite numbers, and three axes in three directions",
                remedy="write the header anew (spacing and directions), or remove the case",
            )
        return nib.as_closest_canonical(image), image.affine
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _values(image: Any, path: str) -> np.ndarray:
    try:
        return np.asanyarray(image.dataobj)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> DataError:
    return DataError(
        "a file that cannot be read",
        finding="unreadable-file",
        where=path,
        found=f"{type(error).__name__}: {error}",
        expected="a whole NIfTI file (.nii, .nii.gz)",
        remedy="copy it again from its origin, or remove its case",
    )


def _voxels_apart(one: np.ndarray | None, other: np.ndarray, shape: Sequence[int]) -> float:
    """The largest distance between the corners of two grids, in voxels of the first; 0 when it has no affine."""
    if one is None:
        return 0.0
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.abs(np.linalg.solve(one, (other - one) @ corners)[:3]).max())


def _read_description(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise DataError(
            "a data set without its description",
            where="data.root",
            found=f"no {path.resolve()}",
            expected="a folder with dataset.json, as in the Medical Segmentation Decathlon",
            remedy="give the folder: data.root=…",
        )
    try:
        described = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(
            "a description that is no JSON",
            where=str(path),
            found=str(error),
            remedy="correct the file; a JSON checker shows the place",
        ) from error
    if not isinstance(described, Mapping):
        raise _malformed(path.parent, type(described).__name__, "an object")
    return described


def _section(described: Mapping[str, Any], key: str, root: Path, kind: type = dict) -> Any:
    section = described.get(key)
    if not isinstance(section, kind) or not section:
        wanted = {"labels": '{"0": "background", "1": "…"}', "modality": '{"0": "MRI"}'}
        raise _malformed(root, f'"{key}": {section!r}', f'"{key}": {wanted.get(key, "a list of pairs")}')
    return section


def _label_value(key: str, root: Path) -> int:
    if not key.isdecimal():
        raise _malformed(root, f'"labels" has the key {key!r}', 'whole numbers as keys: {"0": "background", …}')
    return int(key)


def _malformed(root: Path, found: str, expected: str) -> DataError:
    return DataError(
        "a dataset.json that cannot be used",
        where=str(root / "dataset.json"),
        found=found,
        expected=expected,
        remedy="write it as the Medical Segmentation Decathlon does",
    )
