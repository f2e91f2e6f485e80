"""What a comparison counts and draws, by hand: wins, effect sizes, blanks, bars, fronts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.comparison.definedness import settle
from seglab.comparison.descriptives import case_means, describe_pair, rank_biserial, unit_means
from seglab.comparison.remarks import Decided
from seglab.errors import ConfigError
from seglab.reports.comparison.plots import indistinct_groups, pareto_front
from seglab.statistics import Difference

NAN = np.nan
NOTHING = Difference(NAN, NAN, NAN, NAN, 0)
scores = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=12)


def test_rank_biserial_by_hand() -> None:
    # |d| 0.1, 0.2, 0.3, 0.4 have ranks 1 to 4; the negative one is of rank 2: (1 + 3 + 4 − 2) / 10
    assert rank_biserial(np.array([0.1, -0.2, 0.3, 0.0, 0.4])) == pytest.approx(0.6)
    assert rank_biserial(np.zeros(3)) == 0
    assert rank_biserial(np.array([0.2, 0.1])) == 1


def test_units_are_means_of_seeds_then_of_their_cases() -> None:
    values = np.array([[1.0, 3.0, 5.0, NAN], [3.0, NAN, 7.0, NAN]])
    np.testing.assert_array_equal(case_means(values), [2, 3, 6, NAN])
    np.testing.assert_allclose(unit_means(values), [2, 3, 6])
    np.testing.assert_allclose(unit_means(values, [0, 1, 1, 2]), [2, 4.5])


def test_what_is_counted_of_a_pair_by_hand() -> None:
    first = np.array([[0.9, 0.8, 0.5, 0.7], [0.7, 0.8, 0.5, 0.7]])
    second = np.array([[0.6, 0.7, 0.55, 0.7], [0.6, 0.7, 0.55, NAN]])
    found = describe_pair(first, second, NOTHING)
    # differences of the cases, seeds averaged: 0.2, 0.1, −0.05, 0
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    # |d| 0.05, 0.1, 0.2 have ranks 1, 2, 3: (2 + 3 − 1) / 6
    assert found.rank_biserial == pytest.approx(4 / 6)
    assert (found.units, found.replicates) == (4, 2)
    grouped = describe_pair(first, second, NOTHING, units=[0, 0, 1, 1])
    assert (grouped.wins, grouped.losses, grouped.units) == (1, 1, 2)


@settings(max_examples=30, deadline=None)
@given(scores, st.randoms(use_true_random=False))
def test_swapped_sides_swap_every_sign(cases: list[float], random) -> None:  # type: ignore[no-untyped-def]
    first, second = np.array([cases]), np.array([random.sample(cases, len(cases))])
    forth, back = describe_pair(first, second, NOTHING), describe_pair(second, first, NOTHING)
    assert (forth.wins, forth.losses) == (back.losses, back.wins)
    assert forth.rank_biserial == pytest.approx(-back.rank_biserial, abs=1e-12)


def settled(column: str, *rows: list[float], missed: list[list[bool]] | None = None) -> tuple[np.ndarray, Decided]:
    """Decided scores of methods with one run each."""
    values = np.array(rows, float)[:, None]
    gone = np.zeros(values.shape, bool) if missed is None else np.array(missed)[:, None]
    scores, decided = settle(column, values, np.ones(values.shape, bool), gone, ["first", "second"])
    return scores[:, 0], decided


def test_blanks_are_decided_by_what_the_other_side_did() -> None:
    # both empty everywhere; the second alone predicts something; truth is not empty, the first has nothing; as scored
    scores, decided = settled("dice", [NAN, NAN, NAN, 0.7], [NAN, 0.0, 0.4, 0.6])
    np.testing.assert_array_equal(scores, [[NAN, 1.0, 0.0, 0.7], [NAN, 0.0, 0.4, 0.6]])
    assert decided == Decided("dice", failed=1, empty=1)
    for column in ("iou/cell", "nsd_2mm"):
        np.testing.assert_array_equal(settled(column, [NAN], [0.0])[0], [[1.0], [0.0]])
    whole, none = settled("dice", [0.5, NAN], [0.6, NAN])
    np.testing.assert_array_equal(whole, [[0.5, NAN], [0.6, NAN]])
    assert none == Decided("dice", failed=0, empty=0)


def test_a_precision_of_nothing_is_a_failure_where_something_is() -> None:
    scores, decided = settled("precision/cell", [NAN, NAN], [0.0, 0.0], missed=[[True, False], [False, False]])
    np.testing.assert_array_equal(scores, [[0.0, 1.0], [0.0, 0.0]])
    assert decided == Decided("precision/cell", failed=1, empty=1)


def test_a_distance_must_be_defined_on_the_same_cases() -> None:
    scores, decided = settled("hd95_nonempty", [3.0, NAN, 4.0], [5.0, NAN, 6.0])
    np.testing.assert_array_equal(scores, [[3.0, NAN, 4.0], [5.0, NAN, 6.0]])
    assert (decided.failed, decided.empty) == (0, 0)
    with pytest.raises(ConfigError, match="defined on different cases") as caught:
        settled("hd95_nonempty/cell", [3.0, 9.0, 4.0], [5.0, NAN, 6.0])
    assert "no value on 1 of 3 cases" in str(caught.value)
    assert "second has the fewest" in str(caught.value)


def test_a_case_that_a_run_does_not_have_is_no_blank() -> None:
    values = np.array([[[0.5, NAN]], [[0.6, 0.0]]])
    present = np.array([[[True, False]], [[True, True]]])
    scores, decided = settle("dice", values, present, np.zeros(values.shape, bool), ["a", "b"])
    np.testing.assert_array_equal(scores, values)
    assert (decided.failed, decided.empty) == (0, 0)


def test_bars_join_neighbours_of_which_no_two_differ() -> None:
    def apart(*pairs: tuple[int, int]) -> np.ndarray:
        table = np.zeros((4, 4), bool)
        for i, j in pairs:
            table[i, j] = table[j, i] = True
        return table

    assert indistinct_groups(apart()) == [(0, 3)]
    assert indistinct_groups(apart((0, 3))) == [(0, 2), (1, 3)]
    assert indistinct_groups(apart((0, 2), (0, 3), (1, 3), (2, 3))) == [(0, 1), (1, 2)]
    assert indistinct_groups(apart((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))) == []


def test_pareto_front_by_hand() -> None:
    cost, gain = np.array([1, 2, 3, 4, np.nan]), np.array([0.5, 0.7, 0.6, 0.9, 1.0])
    assert pareto_front(cost, gain).tolist() == [0, 1, 3]
