"""Splits: by whole groups, the same for the same seed, in the shares that were asked for."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.data.cases import Case, assign_groups, natural_key
from seglab.data.splits import SPLIT_NAMES, Split, check_split, make_split
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
        (Split(("c0",), ("c1",), ("c2",)), "group g"),
        (Split(("c0",), ("c0",), ()), "a case that lies in two splits"),
        (Split(("c0",), (), ("c9",)), "c9"),
    ],
)
def test_leaks_and_strangers_are_refused(split, says):
    cases = [Case("c0", (), None, "g"), Case("c1", (), None, "g"), Case("c2", (), None, "h")]
    with pytest.raises(DataError) as caught:
        check_split(split, cases)
    assert says in str(caught.value)


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_shares_that_make_no_whole_are_refused(shares):
    with pytest.raises(ConfigError, match="do not make a whole"):
        make_split(_cases("abc"), **dict(zip(SPLIT_NAMES, shares, strict=True)), seed=0)


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
