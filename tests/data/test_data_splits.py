"""Splits: by whole groups, the same for the same seed, in the shares that were asked for."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.data.cases import SPLIT_NAMES, Case, assign_groups, natural_key
from seglab.data.check.leaks import torn_groups
from seglab.data.splits import Split, check_split, make_split
from seglab.errors import ConfigError, DataError

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def _cases(groups):
    return [Case(f"c{n}", (), None, group) for n, group in enumerate(groups)]


def _ids(split):
    return [i for name in SPLIT_NAMES for i in getattr(split, name)]


@given(groups=st.lists(st.integers(0, 9).map(str), min_size=1, max_size=60), seed=st.integers(0, 2**32))
def test_every_case_once_and_no_group_torn(groups, seed):
    cases = _cases(groups)
    if len(set(groups)) < 3:
        with pytest.raises(DataError, match="too few groups"):
            make_split(cases, **SHARES, seed=seed)
        return
    split = make_split(cases, **SHARES, seed=seed)
    assert sorted(_ids(split)) == sorted(case.id for case in cases)
    assert all(getattr(split, name) for name in SPLIT_NAMES)
    of_case = {case.id: case.group for case in cases}
    groups_of = [{of_case[i] for i in getattr(split, name)} for name in SPLIT_NAMES]
    assert sum(map(len, groups_of)) == len(set(groups))


@given(seed=st.integers(0, 1000), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_files_plays_no_part(seed, shuffle: random.Random):
    cases = _cases([str(n // 3) for n in range(30)])
    mixed = list(cases)
    shuffle.shuffle(mixed)
    one, other = make_split(cases, **SHARES, seed=seed), make_split(mixed, **SHARES, seed=seed)
    assert one == other
    assert one.digest() == other.digest()


def test_shares_are_met_to_the_case_when_groups_are_single():
    split = make_split(_cases(map(str, range(200))), **SHARES, seed=0)
    assert [len(split.train), len(split.val), len(split.test)] == [140, 30, 30]
    split = make_split(_cases(map(str, range(200))), train=0.8, val=0.0, test=0.2, seed=0)
    assert [len(split.train), len(split.val), len(split.test)] == [160, 0, 40]
    split = make_split(_cases("abcd"), train=0.5, val=0.5, test=0.0, seed=0)
    assert [len(split.train), len(split.val), len(split.test)] == [2, 2, 0]
    split = make_split(_cases("abcd"), train=0.0, val=0.5, test=0.5, seed=0)
    assert [len(split.train), len(split.val), len(split.test)] == [0, 2, 2]


def test_blocks_of_slices_are_held_out_whole():
    ids = [str(n) for n in range(30)]
    groups = assign_groups(ids, block_size=5)
    split = make_split([Case(i, (), None, groups[i]) for i in ids], **SHARES, seed=3)
    # Six blocks: 0.15 × 30 = 4.5 slices are nearest to one block of 5.
    assert [len(split.train), len(split.val), len(split.test)] == [20, 5, 5]
    for name in ("val", "test"):
        numbers = [int(i) for i in getattr(split, name)]
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        assert numbers[0] % 5 == 0


def test_seeds_differ_and_validation_does_not_move_the_test_split():
    cases = _cases(map(str, range(50)))
    assert make_split(cases, **SHARES, seed=1).test != make_split(cases, **SHARES, seed=2).test
    more = make_split(cases, train=0.55, val=0.3, test=0.15, seed=1)
    assert more.test == make_split(cases, **SHARES, seed=1).test


def test_a_predefined_split_is_taken_as_it_is():
    cases = _cases("abc")
    split = make_split(cases, **SHARES, seed=0, predefined={"train": ["c2", "c0"], "test": ["c1"]})
    assert (split.train, split.val, split.test) == (("c0", "c2"), (), ("c1",))


@pytest.mark.parametrize(
    ("split", "says"),
    [
        (Split(("c0",), ("c0",), ()), "a case that lies in two splits"),
        (Split(("c0",), (), ("c9",)), "c9"),
    ],
)
def test_doubles_and_strangers_are_refused(split, says):
    cases = [Case("c0", (), None, "g"), Case("c1", (), None, "g"), Case("c2", (), None, "h")]
    with pytest.raises(DataError) as caught:
        check_split(split, cases)
    assert says in str(caught.value)


def test_a_predefined_split_that_tears_a_group_apart_is_taken_and_reported():
    cases = _cases("gghh")
    lists = {"train": ["c0"], "val": ["c1"], "test": ["c2", "c3"]}
    split = make_split(cases, **SHARES, seed=0, predefined=lists)
    assert torn_groups(split, cases) == {"g": {"train": ("c0",), "val": ("c1",)}}
    assert torn_groups(Split(("c0", "c1"), (), ("c2", "c3")), cases) == {}


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_shares_that_make_no_whole_are_refused(shares):
    with pytest.raises(ConfigError, match="do not sum to 1"):
        make_split(_cases("abc"), **dict(zip(SPLIT_NAMES, shares, strict=True)), seed=0)


def test_random_splits_of_recorded_runs_stay_as_they_are():
    # A change here changes the test cases of every run that was recorded.
    cases = _cases(str(n // 3) for n in range(30))
    split = make_split(cases, **SHARES, seed=42)
    assert split.digest() == "97c9329ad235acc9cd2d0b414717ff60bdd5d541946f957b69e1dcae44e565e7"


@settings(deadline=None, max_examples=30)
@given(
    groups=st.lists(st.integers(0, 9).map(str), min_size=1, max_size=40),
    folds=st.integers(2, 5),
    seed=st.integers(0, 2**32),
    stratify=st.booleans(),
    shuffle=st.randoms(use_true_random=False),
)
def test_each_case_is_tested_in_one_fold_and_no_group_is_torn(groups, folds, seed, stratify, shuffle):
    cases = _cases(groups)
    foreground = {case.id: shuffle.random() for case in cases} if stratify else None
    mixed = list(cases)
    shuffle.shuffle(mixed)
    wanted = {"train": 0.6, "val": 0.2, "test": 0.2, "seed": seed, "folds": folds, "foreground": foreground}
    if len(set(groups)) < max(folds, 3):
        with pytest.raises(DataError, match="more folds than groups"):
            make_split(cases, **wanted, fold=0)
        return
    try:
        splits = [make_split(cases, **wanted, fold=fold) for fold in range(folds)]
    except DataError as error:
        # Of three folds, two always hold the two groups that training and validation need.
        if (error.what, folds) != ("too few groups beside a fold", 2):
            raise
        return
    assert splits == [make_split(mixed, **wanted, fold=fold) for fold in range(folds)]
    assert sorted(i for split in splits for i in split.test) == sorted(case.id for case in cases)
    for split in splits:
        assert sorted(_ids(split)) == sorted(case.id for case in cases)
        assert torn_groups(split, cases) == {}
        assert split.train
        assert split.val
        assert split.test


def test_folds_are_of_one_size_and_validation_has_its_share_of_all():
    cases = _cases(map(str, range(200)))
    for fold in range(5):
        split = make_split(cases, train=0.7, val=0.1, test=0.2, seed=0, fold=fold, folds=5)
        assert [len(split.train), len(split.val), len(split.test)] == [140, 20, 40]
    split = make_split(cases, train=0.8, val=0.0, test=0.2, seed=0, fold=1, folds=4)
    assert [len(split.train), len(split.val), len(split.test)] == [150, 0, 50]


def test_folds_stand_in_place_of_a_predefined_split():
    cases = _cases(map(str, range(9)))
    lists = {"train": [case.id for case in cases]}
    split = make_split(cases, **SHARES, seed=0, predefined=lists, fold=2, folds=3)
    assert len(split.test) == 3
    assert split == make_split(cases, **SHARES, seed=0, fold=2, folds=3)


@pytest.mark.parametrize(("fold", "folds"), [(5, 5), (-1, 5)])
def test_a_fold_that_there_is_not_is_refused(fold, folds):
    with pytest.raises(ConfigError, match="fold index out of range"):
        make_split(_cases(map(str, range(9))), **SHARES, seed=0, fold=fold, folds=folds)


def test_more_folds_than_groups_are_refused_with_the_largest_number_that_works():
    with pytest.raises(DataError, match=r"data\.folds=4"):
        make_split(_cases("abcd" * 3), **SHARES, seed=0, fold=0, folds=5)
    with pytest.raises(DataError, match="add more cases"):
        make_split(_cases("a"), **SHARES, seed=0, fold=0, folds=2)


def test_every_fold_of_a_set_works_or_none():
    # Three single groups in two folds: one fold holds two of them and leaves one, too few to train and validate on.
    for fold in (0, 1):
        with pytest.raises(DataError, match=r"data\.folds=3"):
            make_split(_cases("abc"), **SHARES, seed=0, fold=fold, folds=2)
        make_split(_cases("abc"), train=0.5, val=0.0, test=0.5, seed=0, fold=fold, folds=2)


def test_validation_beside_a_fold_leaves_cases_to_train_on():
    with pytest.raises(ConfigError, match="leaves nothing to train on"):
        make_split(_cases("abcdef"), train=0.1, val=0.5, test=0.4, seed=0, fold=0, folds=2)


def test_stratified_splits_have_alike_foreground():
    # 8 of 40 cases hold all the foreground: by chance a test split of 8 holds 0 to 5 of them.
    cases = _cases(map(str, range(40)))
    foreground = {case.id: 0.5 if n < 8 else 0.0 for n, case in enumerate(cases)}
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}

    def full(split):
        return [sum(foreground[i] > 0 for i in getattr(split, name)) for name in SPLIT_NAMES]

    chance = {tuple(full(make_split(cases, **shares, seed=seed))) for seed in range(10)}
    assert len(chance) > 3
    for seed in range(10):
        train, val, test = full(make_split(cases, **shares, seed=seed, foreground=foreground))
        assert train + val + test == 8
        assert abs(val - 1.6) < 1
        assert abs(test - 1.6) < 1
    for fold in range(4):
        assert full(make_split(cases, **shares, seed=1, fold=fold, folds=4, foreground=foreground))[2] == 2


def test_an_unknown_foreground_counts_as_none():
    cases = _cases(map(str, range(20)))
    none, unknown = ({case.id: value for case in cases} for value in (0.0, float("nan")))
    assert make_split(cases, **SHARES, seed=0, foreground=none) == make_split(
        cases, **SHARES, seed=0, foreground=unknown
    )


def test_json_and_digest():
    split = Split(("é10", "é2"), ("b",), ())
    assert split.train == ("é2", "é10")
    assert Split.from_json(split.to_json()) == split
    assert Split.from_json(split.to_json()).digest() == split.digest()
    assert json.loads(split.to_json())["val"] == ["b"]
    assert Split(("é2", "é10"), (), ("b",)).digest() != split.digest()


def test_limited_keeps_the_first_of_each():
    split = Split(("a", "b", "c"), ("d", "e"), ("f",)).limited(2)
    assert split == Split(("a", "b"), ("d", "e"), ("f",))


def test_natural_order():
    assert sorted(["s10", "s2", "a", "s2b", "10", "9"], key=natural_key) == ["9", "10", "a", "s2", "s2b", "s10"]


@given(st.lists(st.text(max_size=6), max_size=20))
def test_natural_order_sorts_any_names(names):
    assert len(sorted(names, key=natural_key)) == len(names)


def test_groups_by_pattern_and_block():
    ids = ["p1_s1", "p1_s2", "p1_s10", "p2_s1"]
    assert assign_groups(ids) == {i: i for i in ids}
    assert assign_groups(ids, pattern=r"^(p\d+)_") == {"p1_s1": "p1", "p1_s2": "p1", "p1_s10": "p1", "p2_s1": "p2"}
    assert assign_groups(ids, pattern=r"^p\d+")["p2_s1"] == "p2"
    both = assign_groups(ids, pattern=r"^(p\d+)_", block_size=2)
    assert both == {"p1_s1": "p1/block0", "p1_s2": "p1/block0", "p1_s10": "p1/block1", "p2_s1": "p2/block0"}


def test_group_patterns_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="no regular expression"):
        assign_groups(["a"], pattern="(")
    with pytest.raises(DataError, match="case b"):
        assign_groups(["a1", "b"], pattern=r"\d")
    with pytest.raises(DataError, match="case a1"):
        assign_groups(["a1"], pattern=r"a(x?)")
