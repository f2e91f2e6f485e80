"""Volumes in files: a `dataset.json`, two folders, or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from seglab.config.types import Place
from seglab.data.cases import Case, Sample, assign_groups, natural_key
from seglab.data.digest import digest_files
from seglab.data.io.csv_files import check_grouping
from seglab.data.io.nifti_files import channels_of, read_image, spacing_of
from seglab.data.labels.label_schema import declared_classes
from seglab.data.labels.regions import with_regions
from seglab.data.previous_stage import read_previous_stage
from seglab.data.sources.dataset_json import in_description, modality_of
from seglab.data.sources.fold_file import read_folds
from seglab.data.sources.nifti_labels import read_label
from seglab.data.sources.nifti_layouts import VolumeFiles, in_folders, in_table, split_of
from seglab.errors import ConfigError, DataError


class Nifti:
    """3D cases with labels, in NIfTI or another kind of `seglab.data.io.volume_files`. Volumes are turned to the
    closest RAS orientation and keep their spacing, which is in mm whatever unit a header names; both affines go with
    them, and `nifti_files.restore_orientation` turns a result back.

    Which layout it is shows in what is there: a `table`; else `dataset.json` in `root`, as the Medical Segmentation
    Decathlon or nnU-Net has it (labels in `labelsTs` make its `imagesTs` the test split); else two folders of files
    with equal names. An image of several modalities is one 4D file, a file for each (`<id>_0000`, `<id>_0001`, … in a
    folder), or a column for each (`image_t1`, `image_t2` in a table).
    `modality` is `ct` or `mri` where `dataset.json` says so, and otherwise None.

    Args:
        root: folder that everything lies in.
        table: CSV file with columns image, label and perhaps id, group (cases that stay in one split) and split.
            Images of rows without a label can be read, but neither be trained on nor scored.
        images, labels: the two folders below `root`; unused with a table or `dataset.json`.
        label_values: values in the label files, in the order of the class ids. Without `dataset.json`, which says
            them itself, None is 0 and 1.
        class_names: one for each value; None names each class after its value.
        ignore_value: value of voxels that have no truth, or None.
        label_schema: a table of labels (CSV or YAML) in the place of the three; see `label_schema.read_schema`.
        group_column: of the table; cases with equal cells stay in one split. None: `group`, where there is one.
        group_pattern: which cases must stay in one split, where the table does not say; see
            `seglab.data.cases.assign_groups`.
        regions: for each name the value or values that it is the union of, as nnU-Net has it. Regions may overlap; they
            are predicted and scored in the place of classes, and painted into masks in this order. None where each
            voxel is of one class, or where `dataset.json` has regions.
        regions_class_order: the value that each region paints.
        folds_file: nnU-Net's `splits_final.json` below `root`: `data.fold` tests what its fold holds out.
        previous_stage: folder of the masks of a first stage, see `seglab.data.previous_stage`; each case then has that
            of networks which never saw it.

    Raises:
        ConfigError: labels declared here and in `dataset.json`, a group column without a table or beside a pattern.
        DataError: a missing or malformed description, a file that is missing or damaged, image and label that do not
            lie on the same grid, labels that are not whole numbers or not declared. Each names the file.
    """

    def __init__(
        self,
        *,
        root: Place,
        table: Place | None = None,
        images: Place = "images",
        labels: Place = "labels",
        label_values: Sequence[int] | None = None,
        class_names: Sequence[str] | None = None,
        ignore_value: int | None = None,
        label_schema: Place | None = None,
        group_column: str | None = None,
        group_pattern: str | None = None,
        folds_file: Place | None = None,
        regions: Mapping[str, int | Sequence[int]] | None = None,
        regions_class_order: Sequence[int] | None = None,
        previous_stage: Place | None = None,
    ):
        check_grouping(group_column, group_pattern)
        if group_column is not None and table is None:
            raise ConfigError(
                "a column of groups without a table",
                code="groups-without-table",
                where="data.group_column",
                found=f"{group_column}, and data.table=null",
                expected="a data.table with that column, or null",
                remedy="data.group_pattern groups by the file name; or list the cases in a data.table",
            )
        self.split: Mapping[str, Sequence[str]] | None = None
        folder, declared = Path(root), (label_values, class_names, ignore_value, label_schema)
        if table is None and (folder / "dataset.json").is_file():
            if any(value is not None for value in declared):
                raise ConfigError(
                    "labels declared in two places",
                    code="labels-declared-twice",
                    where="data.label_values, data.class_names, data.ignore_value, data.label_schema",
                    found=f"one of them, and {folder / 'dataset.json'}",
                    expected="null for each of them, as dataset.json names the classes",
                    remedy="correct dataset.json, or give the cases in a data.table",
                )
            described = in_description(folder)
            self.name, entries, classes = described.name, described.entries, described.classes
            self.modality, channels = modality_of(described.channels), len(described.channels)
            if described.tested:
                self.split = {"test": described.tested}
        else:
            self.modality = None
            self.name = folder.name or "nifti"
            classes = declared_classes(label_values or (0, 1), class_names, ignore_value, label_schema)
            entries = in_folders(folder, images, labels) if table is None else in_table(folder, table, group_column)
            channels = _channels(entries)
            self.split = split_of(entries, str(folder / (table or "")))
        self.previous = None if previous_stage is None else read_previous_stage(previous_stage)
        self.cases = _cases(entries, group_pattern)
        self.folds = None if folds_file is None else read_folds(folder / folds_file, list(entries))
        self._classes = with_regions(classes, regions, regions_class_order)
        self.task = self._classes.task(rank=3, channels=channels)
        self.label_map = classes.label_map
        if self.previous is not None:
            self.previous.check_task(self.task)
            self.previous.check_cases([case.id for case in self.cases])
            self.cases = [replace(case, previous=str(self.previous.masks[case.id].file)) for case in self.cases]
        self._unlabelled = {case_id: entry.row for case_id, entry in entries.items() if entry.label is None}

    def read_image(self, case: Case) -> Sample:
        """The volume `(X, Y, Z, C)` float32 in RAS, scaled as its header says."""
        values, affine, file_affine = read_image(case.image)
        if values.shape[-1] != self.task.channels:
            raise DataError(
                "an image that does not have the declared channels",
                code="image-channels",
                finding="channel-mismatch",
                where=", ".join(case.image),
                found=f"{values.shape[-1]} channels, shape {values.shape} in RAS order",
                expected=f"(X, Y, Z) or (X, Y, Z, C) with C = {self.task.channels}, as dataset.json or the first case",
                remedy='correct the file, or "modality" ("channel_names") in dataset.json where there is one',
            )
        sample = Sample(values, None, spacing_of(affine), affine, file_affine)
        if self.previous is not None:
            sample.previous = read_label(self.previous.mask_file(case.id), case.image[0])[0].astype(np.uint8)
        return sample

    def read(self, case: Case) -> Sample:
        """Image and mask, both in RAS."""
        sample = self.read_image(case)
        if case.label is None:
            return sample
        values, sample.label_off = read_label(case.label, case.image[0])
        sample.mask = self.label_map.ids(values, case.label)
        return sample

    def describe_files(self, case: Case) -> str:
        """Image and label path; of an image without a label its row in the table."""
        if case.label is None:
            return f"{' and '.join(case.image)} of {self._unlabelled[case.id]}"
        return f"{' and '.join(case.image)} with label {case.label}"

    def digest(self) -> str:
        """SHA-256 of all files' contents, the case ids, and how labels and channels are read."""
        files = {f"label/{case.id}": case.label for case in self.cases if case.label}
        for case in self.cases:
            files |= {f"image{number or ''}/{case.id}": path for number, path in enumerate(case.image)}
        previous = {} if self.previous is None else {"previous_stage": self.previous.digest}
        return digest_files(files, {**self._classes.settings(), "channels": self.task.channels, **previous})


def _channels(entries: Mapping[str, VolumeFiles]) -> int:
    """Of the first image whose headers can be read; what is wrong with those before it is told when they are read."""
    refused: list[DataError] = []
    for entry in entries.values():
        try:
            return channels_of([str(image) for image in entry.images])
        except DataError as error:
            refused.append(error)
    raise refused[0]


def _cases(entries: Mapping[str, VolumeFiles], group_pattern: str | None) -> list[Case]:
    ids = sorted(entries, key=natural_key)
    groups = assign_groups([i for i in ids if entries[i].group is None], pattern=group_pattern)
    return [
        Case(
            i,
            tuple(str(image) for image in entries[i].images),
            None if entries[i].label is None else str(entries[i].label),
            entries[i].group or groups[i],
        )
        for i in ids
    ]
