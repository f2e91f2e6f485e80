"""Which case is trained on, which chooses the epoch, which gives the reported score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seglab.data.cases import Case, natural_key
from seglab.data.randomness import generator
from seglab.errors import ConfigError, DataError

SPLIT_NAMES = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Case ids of the three splits, each in natural order."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in SPLIT_NAMES:
            object.__setattr__(self, name, tuple(sorted(getattr(self, name), key=natural_key)))

    def digest(self) -> str:
        """SHA-256 of which case is in which split."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The three lists; `from_json` gives the same split and digest."""
        return json.dumps({name: list(getattr(self, name)) for name in SPLIT_NAMES}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Split:
        """The split that `to_json` wrote."""
        lists = json.loads(text)
        return cls(*(tuple(lists[name]) for name in SPLIT_NAMES))

    def limited(self, count: int) -> Split:
        """At most the first `count` cases of each split, for trial runs."""
        return replace(self, train=self.train[:count], val=self.val[:count], test=self.test[:count])


def make_split(
    cases: Sequence[Case],
    *,
    train: float,
    val: float,
    test: float,
    seed: int,
    predefined: Mapping[str, Sequence[str]] | None = None,
) -> Split:
    """Split cases by group, in shares as near to `train`, `val`, `test` as whole groups allow.

    The groups are sorted before they are shuffled with `seed`, so the order of files plays no part. The test split is
    cut off first and the validation split next: another share of validation leaves the test split as it was.
    A `predefined` split (lists of ids by split name, the data set's own) is taken as it is, shares and seed unused.

    Raises:
        DataError: too few groups, an unknown or doubled case id, or a group that lies in two splits.
        ConfigError: shares that are negative or do not sum to 1.
    """
    if predefined is not None:
        split = Split(*(tuple(predefined.get(name, ())) for name in SPLIT_NAMES))
        check_split(split, cases)
        return split
    if min(train, val, test) < 0 or abs(train + val + test - 1) > 1e-6:
        raise ConfigError(
            "split shares that do not make a whole",
            where="data.split",
            found=f"train {train}, val {val}, test {test}",
            expected="shares from 0 to 1 with a sum of 1",
            remedy="for example data.split.train=0.7 data.split.val=0.15 data.split.test=0.15",
        )
    by_group: dict[str, list[str]] = {}
    for case in cases:
        by_group.setdefault(case.group, []).append(case.id)
    names = sorted(by_group, key=natural_key)
    wanted = sum(share > 0 for share in (train, val, test))
    if len(names) < wanted:
        raise DataError(
            "too few groups to split",
            where="data.split",
            found=f"{len(cases)} cases in {len(names)} groups",
            expected=f"at least {wanted} groups, one for each split that has a share",
            remedy="bring more cases, make the groups smaller, or set the share of a split to 0",
        )
    shuffled = [names[i] for i in generator(seed, "split").permutation(len(names))]
    sizes = np.array([len(by_group[name]) for name in shuffled])
    n_test = _groups_for(test, sizes, spare=(val > 0) + (train > 0))
    n_val = _groups_for(val, sizes[n_test:], spare=int(train > 0), of=int(sizes.sum()))
    n_val = n_val if train > 0 else len(names) - n_test
    parts = {"test": shuffled[:n_test], "val": shuffled[n_test : n_test + n_val], "train": shuffled[n_test + n_val :]}
    split = Split(**{part: tuple(i for group in groups for i in by_group[group]) for part, groups in parts.items()})
    check_split(split, cases)
    return split


def check_split(split: Split, cases: Sequence[Case]) -> None:
    """Refuse a split that names unknown cases, names a case twice, or tears a group apart; raises `DataError`."""
    group_of = {case.id: case.group for case in cases}
    seen: dict[str, str] = {}
    split_of_group: dict[str, tuple[str, str]] = {}
    for name in SPLIT_NAMES:
        for case_id in getattr(split, name):
            if case_id not in group_of:
                raise DataError(
                    "a split that names a case which the data does not have",
                    where=f"split {name}",
                    found=case_id,
                    expected=f"one of the {len(cases)} case ids",
                    remedy="use the data that the split was made from, or make a new split",
                )
            if case_id in seen:
                raise DataError(
                    "a case that lies in two splits",
                    where=f"case {case_id}",
                    found=f"{seen[case_id]} and {name}",
                    expected="each case in one split, once",
                    remedy="list it once",
                )
            seen[case_id] = name
            other, other_case = split_of_group.setdefault(group_of[case_id], (name, case_id))
            if other != name:
                raise DataError(
                    "a group that lies in two splits: the score would be of cases that training has all but seen",
                    where=f"group {group_of[case_id]}",
                    found=f"{other_case} in {other}, {case_id} in {name}",
                    expected="all cases of a group in one split",
                    remedy="move the whole group to one split",
                )


def _groups_for(share: float, sizes: np.ndarray, *, spare: int, of: int | None = None) -> int:
    """How many of the leading groups come nearest to `share` of the cases, at least one, leaving `spare` groups."""
    if share == 0:
        return 0
    total = int(sizes.sum()) if of is None else of
    gap = np.abs(np.cumsum(sizes) - share * total)
    most = max(len(sizes) - spare, 1)
    return int(np.argmin(gap[:most])) + 1
