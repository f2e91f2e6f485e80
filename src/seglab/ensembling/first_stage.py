"""The masks of a first stage, kept for the second: each case by the networks of the fold that left it out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from seglab.data.previous_stage import BUNDLE, CARD, MASKS, card_of
from seglab.ensembling.ensembling import Chosen
from seglab.ensembling.out_of_fold import Subjects
from seglab.errors import DataError
from seglab.inference.bundle import CARD_FILE, check_files
from seglab.inference.mask_writer import write_mask
from seglab.inference.placing import placing
from seglab.runtime.file_digest import sha256_of


class FirstStage:
    """A first stage in the making.

    Args:
        folder: to write to.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._written: Mapping[str, tuple[str, int]] = {}

    def check(self, subjects: Subjects) -> None:
        """See `check_volumes`."""
        check_volumes(subjects)

    def keep(self, subjects: Subjects, masks: Iterator[tuple[int, int, np.ndarray]]) -> None:
        """Write the masks, see `write_masks`."""
        self._written = write_masks(self._folder, subjects, masks)

    def finish(self, chosen: Chosen, bundle: Path) -> None:
        """Write the networks and the description beside the masks."""
        write_first_stage(self._folder, chosen, self._written, bundle)


@contextmanager
def make_first_stage(path: Path | str) -> Iterator[FirstStage]:
    """Within, a first stage is made, which lies in `path` in the end; one that is there is replaced.

    Raises:
        DataError: `path` holds something else.
    """
    path = Path(path)
    if path.exists() and not (path / CARD).is_file():
        raise DataError(
            "masks of a first stage would lie among other files",
            code="previous-stage-place-taken",
            where=f"masks={path}",
            found="a folder or file that is no first stage",
            expected="no such folder, or an older first stage",
            remedy="choose another folder",
        )
    with placing(path, CARD) as folder:
        yield FirstStage(folder)


def check_volumes(subjects: Subjects) -> None:
    """See that the cases are volumes in files, which masks can lie beside; raises `DataError` where not."""
    source = subjects.of[0, subjects.places[0]].source
    if subjects.task.rank != 3 or subjects.task.regions or not hasattr(source, "previous"):
        raise DataError(
            "a first stage of data that no second stage can read",
            code="previous-stage-volumes",
            where="masks",
            found=f"{subjects.task.rank}D, {type(source).__name__}{', regions' if subjects.task.regions else ''}",
            expected="volumes in files, read by data=nifti, with classes that do not overlap",
            remedy="leave masks out",
        )


def write_masks(
    folder: Path, subjects: Subjects, masks: Iterator[tuple[int, int, np.ndarray]]
) -> Mapping[str, tuple[str, int]]:
    """Write the mask of each case; of several seeds that of the first.

    Args:
        folder: of the first stage.
        subjects: bundles and cases.
        masks: number of the place, of the case, and mask.

    Returns:
        Of each case, in the order of its file, the digest of the file and the number of the place.
    """
    (folder / MASKS).mkdir()
    by_id = {case.id: case for subject in subjects.of.values() for case in subject.cases}
    written: dict[str, tuple[str, int]] = {}
    for row, column, mask in masks:
        case = by_id[subjects.cases[column]]
        if case.id in written:
            continue
        file = folder / MASKS / f"{len(written)}.nii.gz"
        write_mask(file, mask, like=case.image[0])
        written[case.id] = sha256_of(file), row
    return written


def write_first_stage(folder: Path, chosen: Chosen, written: Mapping[str, tuple[str, int]], bundle: Path) -> None:
    """Write the networks and the description beside the masks.

    Args:
        folder: that `write_masks` wrote to.
        chosen: the cross-validation, and what was chosen.
        written: what `write_masks` returned.
        bundle: of all the networks.
    """
    check_files(bundle)
    shutil.copytree(bundle, folder / BUNDLE)
    subjects, validation = chosen.subjects, chosen.validation

    def runs(row: int) -> Sequence[str]:
        of = [validation.configurations[number] for number in chosen.candidate.configurations]
        return [one.runs[subjects.places[row]].id for one in of]

    cases = {case_id: (digest, runs(row)) for case_id, (digest, row) in written.items()}
    folds = [list(validation.splits[place].test) for place in subjects.places]
    task = subjects.of[0, subjects.places[0]].source.task
    values = card_of(task.class_names, task.channels, cases, folds, sha256_of(folder / BUNDLE / CARD_FILE))
    (folder / CARD).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
