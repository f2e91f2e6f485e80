"""Which case is trained on, which chooses the epoch, which gives the reported score."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seglab.config.cross_checks import check_fold, check_parts, check_shares
from seglab.config.sections import DataConfig
from seglab.data.cases import SPLIT_NAMES, Case, Source, natural_key
from seglab.data.randomness import generator
from seglab.errors import ConfigError, DataError

# Random splits among which a stratified one is chosen, and strata of foreground share over which folds are dealt.
_CANDIDATES = 128
_STRATA = 5


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


def split_for(source: Source, card: DataConfig, seed: int, foreground: Mapping[str, float] | None = None) -> Split:
    """The split of a data set as its config says it: `make_split`, then the cases of a trial run.

    Args:
        source: its cases and its own split.
        card: shares, folds, limits.
        seed: of the run; `card.split_seed` goes before it.
        foreground: share of foreground of each case id, for `card.stratify`.
    """
    split = make_split(
        source.cases,
        train=card.split.train,
        val=card.split.val,
        test=card.split.test,
        seed=seed if card.split_seed is None else card.split_seed,
        predefined=source.split,
        fold=card.fold,
        folds=card.folds,
        parts=getattr(source, "folds", None),
        foreground=foreground if card.stratify else None,
    )
    if card.limit_cases is not None:
        split = split.limited(card.limit_cases)
    return replace(split, val=split.train, test=split.train) if card.validate_on_train else split


def make_split(
    cases: Sequence[Case],
    *,
    train: float,
    val: float,
    test: float,
    seed: int,
    predefined: Mapping[str, Sequence[str]] | None = None,
    fold: int | None = None,
    folds: int = 5,
    parts: Sequence[Sequence[str]] | None = None,
    foreground: Mapping[str, float] | None = None,
) -> Split:
    """Split cases by group: one of `folds` parts, the data set's own lists, or shares met as whole groups allow.

    Groups and cases are sorted before they are shuffled with `seed`, so the order of files plays no part.

    - Shares: the test split is cut off first and the validation split next: another share of validation leaves the
      test split as it was.
    - `predefined` (lists of ids by split name): taken as it is; shares and seed are unused. A group that it tears
      apart is for the data check to report (`seglab.data.check.leaks.torn_groups`). One that names the test split
      alone leaves the rest to the shares of training and validation.
    - `fold`: cross-validation over all cases, in place of `predefined` too. Part number `fold` is the test split, so
      that over all folds each case is tested once; the validation split is cut from the rest, `val` of all cases.

    Args:
        cases: what is split.
        train, val, test: shares of the cases, with a sum of 1.
        seed: another seed is another split.
        predefined: the data set's own split.
        fold: which part is tested, from 0 to `folds` - 1; None: no cross-validation.
        folds: number of parts.
        parts: the cases of each, where the data set brings them; others lie in no split then.
        foreground: share of foreground of each case id, in 0..1 (NaN: unknown, as 0): parts are dealt with
            scikit-learn's `StratifiedGroupKFold` over strata of it; of several random splits by shares the one is
            taken whose parts are the nearest to the whole in their distribution of it (Wasserstein distance).

    Raises:
        DataError: too few groups, an unknown or doubled case id.
        ConfigError: shares that are negative or do not sum to 1, a fold that there is not.
    """
    if parts is not None:
        check_parts(fold, folds, len(parts))
        cases, predefined = [case for case in cases if any(case.id in part for part in parts)], None
    own = predefined if fold is None else None
    if own is not None and list(own) != ["test"]:
        split = Split(*(tuple(own.get(name, ())) for name in SPLIT_NAMES))
        check_split(split, cases)
        return split
    check_shares(train, val, test)
    tested_by_itself = tuple(own["test"]) if own is not None else ()
    apart = set(tested_by_itself)
    by_group: dict[str, list[str]] = {}
    for case in cases:
        if case.id not in apart:
            by_group.setdefault(case.group, []).append(case.id)
    shares = None
    if foreground is not None:
        shares = {i: 0.0 if math.isnan(foreground[i]) else foreground[i] for i in (case.id for case in cases)}
    if apart:
        part = val / (train + val) if val else 0.0
        split = _best(by_group, {"train": 1 - part, "val": part, "test": 0.0}, seed, ("split",), shares)
        split = replace(split, test=tested_by_itself)
    elif fold is None:
        split = _best(by_group, {"train": train, "val": val, "test": test}, seed, ("split",), shares)
    else:
        held = parts[fold] if parts else _deal(by_group, seed, fold, folds, spare=1 + (val > 0), foreground=shares)
        rest = {name: left for name, ids in by_group.items() if (left := [i for i in ids if i not in set(held)])}
        part = val * len(cases) / sum(map(len, rest.values()))
        if part >= 1:
            raise ConfigError(
                "a validation share that leaves nothing to train on",
                code="split-no-training-share",
                where="data.split.val",
                found=f"{val} of all cases beside a fold of {folds}",
                expected="validation and test fold together below 1",
                remedy="a smaller data.split.val with as much more of data.split.train, or more data.folds",
            )
        split = _best(rest, {"train": 1 - part, "val": part, "test": 0.0}, seed, ("folds", fold), shares)
        split = replace(split, test=tuple(held))
    check_split(split, cases)
    return split


def check_split(split: Split, cases: Sequence[Case]) -> None:
    """Refuse a split that names unknown cases or names a case twice; raises `DataError`."""
    known = {case.id for case in cases}
    seen: dict[str, str] = {}
    for name in SPLIT_NAMES:
        for case_id in getattr(split, name):
            if case_id not in known:
                raise DataError(
                    "a split that names a case which the data does not have",
                    code="split-unknown-case",
                    where=f"split {name}",
                    found=case_id,
                    expected=f"one of the {len(cases)} case ids",
                    remedy="use the data that the split was made from, or make a new split",
                )
            if case_id in seen:
                raise DataError(
                    "a case that lies in two splits",
                    code="split-case-twice",
                    where=f"case {case_id}",
                    found=f"{seen[case_id]} and {name}",
                    expected="each case in one split, once",
                    remedy="list it once",
                )
            seen[case_id] = name


def _best(
    by_group: Mapping[str, Sequence[str]],
    shares: Mapping[str, float],
    seed: int,
    stream: tuple[int | str, ...],
    foreground: Mapping[str, float] | None,
) -> Split:
    """The random split of a seed, or the one of several whose parts have the most alike foreground."""
    names = sorted(by_group, key=natural_key)
    wanted = sum(share > 0 for share in shares.values())
    if len(names) < wanted:
        raise DataError(
            "too few groups to split",
            code="split-too-few-groups",
            where="data.split",
            found=f"{sum(map(len, by_group.values()))} cases in {len(names)} groups",
            expected=f"at least {wanted} groups, one for each split that has a share",
            remedy="add more cases, make the groups smaller, or give the share of one split to another",
        )
    if foreground is None:
        return _cut(by_group, names, shares, generator(seed, *stream))
    from scipy.stats import wasserstein_distance  # SciPy and scikit-learn take longer to load than most splits to draw

    whole = [foreground[case_id] for name in names for case_id in by_group[name]]

    def unlike(split: Split) -> float:
        parts = [[foreground[case_id] for case_id in getattr(split, name)] for name in SPLIT_NAMES]
        return sum(wasserstein_distance(part, whole) for part in parts if part)

    drawn = [_cut(by_group, names, shares, generator(seed, *stream, n)) for n in range(_CANDIDATES)]
    return min(drawn, key=unlike)


def _cut(
    by_group: Mapping[str, Sequence[str]],
    names: Sequence[str],
    shares: Mapping[str, float],
    rng: np.random.Generator,
) -> Split:
    shuffled = [names[i] for i in rng.permutation(len(names))]
    sizes = np.array([len(by_group[name]) for name in shuffled])
    train, val, test = (shares[name] for name in SPLIT_NAMES)
    n_test = _groups_for(test, sizes, spare=(val > 0) + (train > 0))
    n_val = _groups_for(val, sizes[n_test:], spare=int(train > 0), of=int(sizes.sum()))
    n_val = n_val if train > 0 else len(names) - n_test
    parts = {"test": shuffled[:n_test], "val": shuffled[n_test : n_test + n_val], "train": shuffled[n_test + n_val :]}
    return Split(**{part: tuple(i for group in groups for i in by_group[group]) for part, groups in parts.items()})


def _deal(
    by_group: Mapping[str, Sequence[str]],
    seed: int,
    fold: int,
    folds: int,
    *,
    spare: int,
    foreground: Mapping[str, float] | None,
) -> list[str]:
    """The cases of one test fold, whole groups, in folds of about the same number of cases."""
    check_fold(fold, folds)
    if len(by_group) < max(folds, 1 + spare):
        raise DataError(
            "more folds than groups",
            code="fold-too-many",
            where="data.folds",
            found=f"{folds} folds of {sum(map(len, by_group.values()))} cases in {len(by_group)} groups",
            expected=f"at least {max(folds, 1 + spare)} groups: one a fold, and one each left to validate and train on",
            remedy=f"data.folds={len(by_group)}" + (" data.fold=0" if fold >= len(by_group) else "")
            if len(by_group) > 1 + spare
            else "add more cases or smaller groups",
        )
    names = sorted(by_group, key=natural_key)
    ids = [case_id for name in names for case_id in sorted(by_group[name], key=natural_key)]
    groups = np.repeat(np.arange(len(names)), [len(by_group[name]) for name in names])
    strata = np.zeros(len(ids), int)
    if foreground is not None:
        # By rank: every stratum has its share of the cases, however many of them are empty.
        rank = np.argsort(np.argsort([foreground[case_id] for case_id in ids], kind="stable"))
        strata = rank * max(min(_STRATA, len(ids) // folds), 1) // len(ids)
    from sklearn.model_selection import StratifiedGroupKFold

    deal = StratifiedGroupKFold(folds, shuffle=True, random_state=int(generator(seed, "folds").integers(2**32)))
    dealt = [np.unique(groups[tested]) for _, tested in deal.split(ids, strata, groups)]
    most = max(map(len, dealt))
    if len(names) - most < spare:  # of two folds, one may hold all groups but one
        raise DataError(
            "too few groups beside a fold",
            code="split-too-few-groups",
            where="data.folds",
            found=f"{len(names) - most} of {len(names)} groups beside the fold with the most of them",
            expected=f"at least {spare}, to train and to validate on",
            remedy=f"data.folds={folds + 1}, or smaller groups",
        )
    return [case_id for group in dealt[fold] for case_id in by_group[names[group]]]


def _groups_for(share: float, sizes: np.ndarray, *, spare: int, of: int | None = None) -> int:
    """How many of the leading groups come nearest to `share` of the cases, at least one, leaving `spare` groups."""
    if share == 0:
        return 0
    total = int(sizes.sum()) if of is None else of
    gap = np.abs(np.cumsum(sizes) - share * total)
    most = max(len(sizes) - spare, 1)
    return int(np.argmin(gap[:most])) + 1
