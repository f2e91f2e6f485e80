"""The unit that everything counts in: a case, what reading it gives, and what a source of cases must offer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from seglab.config.constructors import EXAMPLES
from seglab.data.mask_channels import with_mask
from seglab.errors import ConfigError, DataError
from seglab.run_record import ALL as ALL
from seglab.run_record import SCORED as SCORED
from seglab.run_record import SPLIT_NAMES as SPLIT_NAMES
from seglab.task import Task


@dataclass(frozen=True)
class Case:
    """One image with its label.

    Attributes:
        id: unique in its source; scores, splits and random streams are keyed by it.
        image: image files, absolute; empty for a generated case.
        label: label file, or None when there is none.
        instances: file of instance ids of a Cityscapes case, or None.
        region: file of a region outside of which nothing is trained or scored, or None.
        group: cases of one group (patient, sequence, block of slices) never lie in two splits.
        previous: file of the mask that the first stage of a cascade made, or None.
    """

    id: str
    image: tuple[str, ...]
    label: str | None
    group: str
    instances: str | None = None
    region: str | None = None
    previous: str | None = None


@dataclass
class Sample:
    """A case as read, at its original size and before normalisation.

    Attributes:
        image: `(H, W, C)` or `(X, Y, Z, C)` in the number type of the file (uint8, uint16 or float32);
            `Preprocessing.apply` makes it float32.
        mask: `(H, W)` or `(X, Y, Z)` uint8 class ids with the task's `ignore_label`, or None.
        spacing: size of a pixel or voxel along each axis, in mm for volumes; 1.0 when unknown.
        affine: 4×4 from voxel index to mm, of the array as held here (RAS for volumes), or None.
        file_affine: the affine of the file before reorientation, in the file's own unit, which says how to put a result
            back, or None.
        label_off: how far label values were from the whole numbers that they were rounded to.
        palette: what a viewer shows each value of the mask file in, `#rrggbb` by the value; empty without a palette.
        unclear: share of the mask's pixels that are nearer to a threshold than to black or to white.
        previous: `(X, Y, Z)` class ids that the first stage of a cascade found, or None where there is none.
    """

    image: np.ndarray
    mask: np.ndarray | None
    spacing: tuple[float, ...]
    affine: np.ndarray | None = None
    file_affine: np.ndarray | None = None
    label_off: float = 0.0
    palette: Mapping[str, str] = field(default_factory=dict)
    unclear: float = 0.0
    previous: np.ndarray | None = None

    @property
    def seen(self) -> np.ndarray:
        """What a predictor is given: the image, with the first stage's mask behind its channels where there is one."""
        return self.image if self.previous is None else with_mask(self.image, self.previous)


@runtime_checkable
class Source(Protocol):
    """Where cases come from. Readers are plain classes; this is what they must have.

    `cases` are in natural order of their ids, `split` names the ids of a split that the data set brings
    (`train`, `val`, `test`) or is None.
    """

    name: str
    task: Task
    cases: Sequence[Case]
    split: Mapping[str, Sequence[str]] | None

    def read_image(self, case: Case) -> Sample:
        """The image alone, mask None; for cases without a label."""
        ...

    def read(self, case: Case) -> Sample:
        """Image and mask; raises `DataError` naming the file when either cannot be used."""
        ...

    def describe_files(self, case: Case) -> str:
        """The files of a case (or how it is made) in a few words, for messages."""
        ...

    def digest(self) -> str:
        """SHA-256 of the contents of all files and of the settings that change what is read."""
        ...


def check_source(source: object) -> None:
    """Refuse what is no `Source`.

    Raises:
        ConfigError: names what it lacks.
    """
    wanted = ("name", "task", "cases", "split", "read_image", "read", "describe_files", "digest")
    lacking = [name for name in wanted if not hasattr(source, name)]
    if lacking:
        raise ConfigError(
            "a data source that lacks something",
            code="source-interface",
            where=f"data._target_ ({type(source).__module__})",
            found=f"a {type(source).__name__} without {', '.join(lacking)}",
            expected="what seglab.data.cases.Source names: " + ", ".join(wanted),
            remedy=EXAMPLES,
        )


def files_of(cases: Iterable[Case]) -> list[str]:
    """Every file that cases are read from."""
    return [
        file
        for case in cases
        for file in (*case.image, case.label, case.instances, case.region, case.previous)
        if file is not None
    ]


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts `slice2` before `slice10`: runs of digits compare as numbers."""
    parts = re.split(r"(\d+)", text)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part)


def assign_groups(ids: Sequence[str], *, pattern: str | None = None, block_size: int | None = None) -> dict[str, str]:
    """The group of each case id.

    Without options each case is its own group. `pattern` is a regular expression searched in the id; the group is
    its first capture, or the whole match. `block_size` cuts what is left (all cases, or each group of `pattern`),
    in natural order, into blocks of that many consecutive cases, so that neighbouring slices stay together.

    Raises:
        ConfigError: `pattern` is no regular expression.
        DataError: an id that `pattern` does not match.
    """
    if pattern is None and block_size is None:
        return {case_id: case_id for case_id in ids}
    named = dict.fromkeys(ids, "") if pattern is None else _by_pattern(ids, pattern)
    if block_size is None:
        return named
    groups: dict[str, str] = {}
    position: dict[str, int] = {}
    for case_id in sorted(ids, key=natural_key):
        name = named[case_id]
        block = position.get(name, 0) // block_size
        position[name] = position.get(name, 0) + 1
        groups[case_id] = f"{name}/block{block}" if name else f"block{block}"
    return groups


def _by_pattern(ids: Sequence[str], pattern: str) -> dict[str, str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            "a group pattern that is no regular expression",
            code="group-pattern-invalid",
            where="data.group_pattern",
            found=pattern,
            expected="such as '^(patient[0-9]+)_'",
            remedy=f"mend it: {error}",
        ) from error
    groups = {}
    for case_id in ids:
        match = compiled.search(case_id)
        group = match and (match.group(1) if compiled.groups else match.group(0))
        if not group:
            raise DataError(
                "a case that the group pattern does not match",
                code="group-pattern-unmatched",
                where=f"case {case_id}",
                found=f"data.group_pattern={pattern}",
                expected="a match in every case id (the file name without its ending)",
                remedy="widen the pattern, or set data.group_pattern=null",
            )
        groups[case_id] = group
    return groups
