"""Masks of the first stage of a cascade: the folder that holds them, and how the network of the second one gets them.

`seglab ensemble study=… masks=<folder>` writes the folder: `masks/<number>.nii.gz` of each case, by networks that were
never trained on it, on the case's own grid; `bundle/`, the networks of all folds; and `previous_stage.json`, which says
who made what, with the digest of every mask. `data.previous_stage=<folder>` reads it.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.errors import DataError
from seglab.run_record import BundleFile
from seglab.safety.untrusted_files import MEBI, UnreadableFile, read_json
from seglab.task import Task

FORMAT = 1
CARD, MASKS, BUNDLE = "previous_stage.json", "masks", "bundle"
_CARD_BYTES = 64 * MEBI
_SHOWN = 5


@dataclass(frozen=True)
class StageMask:
    """The mask of a case: its file, the file's SHA-256, and the runs of the networks that made it."""

    file: Path
    digest: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class PreviousStage:
    """A first stage that was kept.

    Attributes:
        folder: that it lies in.
        classes: names of the classes of its masks, background first.
        channels: of the images that it was made from.
        masks: of each case, by its id.
        folds: ids of the cases that each fold left out of its training.
        bundle_digest: SHA-256 of the description of the bundle of all networks.
        digest: SHA-256 of all of it, the masks included.
    """

    folder: Path
    classes: tuple[str, ...]
    channels: int
    masks: Mapping[str, StageMask]
    folds: tuple[frozenset[str], ...]
    bundle_digest: str
    digest: str

    def checked_bundle(self) -> Path:
        """The bundle of the networks of all folds, found to be described as it was; raises `DataError` where not."""
        bundle = self.folder / BUNDLE
        _check_digest(bundle / BundleFile.CARD, self.bundle_digest, "networks of all folds")
        return bundle

    def mask_file(self, case_id: str) -> str:
        """The file of a case's mask, found to be the one that was written; raises `DataError` where it is not."""
        mask = self.masks[case_id]
        _check_digest(mask.file, mask.digest, f"the mask of case {case_id}")
        return str(mask.file)

    def check_task(self, task: Task) -> None:
        """See that the masks are of these classes and images; raises `DataError` where not."""
        if (self.classes, self.channels) != (task.class_names, task.channels):
            raise _refused(
                "a first stage of other classes or channels",
                "previous-stage-classes",
                str(self.folder),
                f"{self.channels} channel(s), {', '.join(self.classes)}",
                f"{task.channels} channel(s), {', '.join(task.class_names)}, as the data",
                "train both stages on the same data and labels",
            )

    def check_cases(self, cases: Sequence[str]) -> None:
        """See that each case has a mask; raises `DataError` that names those without."""
        missing = [case_id for case_id in cases if case_id not in self.masks]
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise _refused(
                "cases without a mask of the first stage",
                "previous-stage-cases",
                str(self.folder),
                ", ".join(missing[:_SHOWN]) + more,
                f"a mask for each of {len(cases)} cases",
                "train the first stage on the same cases, all folds of it",
            )

    def check_tested(self, tested: Sequence[str]) -> None:
        """See that the second stage tests cases that one fold of the first one left out, and no others.

        Then a fold of the cascade is two networks, neither of which has seen a case that it is tested on. Raises
        `DataError` where the folds are others.
        """
        if frozenset(tested) not in self.folds:
            raise _refused(
                "folds that are not those of the first stage",
                "previous-stage-folds",
                "data.fold, data.folds, data.split_seed",
                f"test cases {', '.join(tested[:_SHOWN])}{', …' if len(tested) > _SHOWN else ''}",
                f"the test cases of one of the {len(self.folds)} folds of {self.folder}",
                "split both stages alike: the same data.folds, data.split_seed, data.stratify and groups",
            )


_AGAIN = "write the folder anew: seglab ensemble study=<first stage> masks=<folder>; then train the second stage again"


def read_previous_stage(folder: Path | str) -> PreviousStage:
    """The first stage that lies in a folder.

    Raises:
        DataError: there is none, such as one whose folds are not all trained; or its description is damaged.
    """
    folder = Path(folder)
    card = folder / CARD
    if not card.is_file():
        raise _refused(
            "no first stage here",
            "previous-stage-missing",
            f"data.previous_stage={folder}",
            f"no {CARD}" if folder.is_dir() else "no such folder",
            f"a folder with {CARD}, which is written when all folds of the first stage are trained",
            "if it was moved, data.previous_stage=<where it is now>; else "
            f"seglab ensemble study=<first stage> masks={shlex.quote(str(folder))}",
        )
    try:
        values = read_json(card, _CARD_BYTES)
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}")
        masks = {
            str(case_id): StageMask(folder / MASKS / f"{number}.nii.gz", str(one["sha256"]), tuple(one["runs"]))
            for number, (case_id, one) in enumerate(values["cases"].items())
        }
        return PreviousStage(
            folder,
            tuple(map(str, values["classes"])),
            int(values["channels"]),
            masks,
            tuple(frozenset(map(str, fold)) for fold in values["folds"]),
            str(values["bundle"]),
            hashlib.sha256(card.read_bytes()).hexdigest(),
        )
    except (UnreadableFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(
            "the description of a first stage is damaged",
            "previous-stage-damaged",
            str(card),
            f"{type(error).__name__}: {str(error)[:200]}",
            f"what seglab ensemble wrote, format {FORMAT}",
            _AGAIN,
        ) from error


def check_same_stage(digest: str, source: object) -> None:
    """See that the second stage of a cascade is scored behind the masks that it was trained behind.

    Args:
        digest: of the first stage that it was trained behind.
        source: of the cases.

    Raises:
        DataError: the source has no masks of a first stage, or those of another one.
    """
    previous: PreviousStage | None = getattr(source, "previous", None)
    if previous is None or previous.digest != digest:
        raise _refused(
            "a second stage, and masks of another first stage",
            "previous-stage-altered",
            "data.previous_stage",
            "none" if previous is None else f"{previous.folder}, digest {previous.digest[:16]}…",
            f"digest {digest[:16]}…",
            "keep the folder that it was trained with; cases of other data take the bundle of both stages, which "
            "seglab ensemble study=<second stage> writes",
        )


def card_of(
    classes: Sequence[str],
    channels: int,
    cases: Mapping[str, tuple[str, Sequence[str]]],
    folds: Sequence[Sequence[str]],
    bundle: str,
) -> dict[str, Any]:
    """`previous_stage.json` as values.

    Args:
        classes, channels: as of `PreviousStage`.
        cases: digest and runs of each, in the order of their numbers.
        folds: as of `PreviousStage`.
        bundle: digest of its description.
    """
    listed = {case_id: {"sha256": digest, "runs": list(runs)} for case_id, (digest, runs) in cases.items()}
    dealt = [sorted(fold) for fold in folds]
    fields = {"classes": list(classes), "channels": channels, "bundle": bundle, "folds": dealt, "cases": listed}
    return {"format": FORMAT, **fields}


def _check_digest(path: Path, digest: str, what: str) -> None:
    try:
        with path.open("rb") as file:
            found = f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}…"
    except OSError as error:
        found = f"{type(error).__name__}: {error.strerror}"
    if found != f"sha256 {digest[:16]}…":
        raise _refused(
            "a file of a first stage that is not the one that was written",
            "previous-stage-altered",
            f"{path}: {what}",
            found,
            f"sha256 {digest[:16]}…",
            _AGAIN,
        )


def _refused(what: str, code: str, where: str, found: str, expected: str, remedy: str) -> DataError:
    return DataError(what, code=code, where=where, found=found, expected=expected, remedy=remedy)
