"""Connected components and boxes by hand, and beside an ignored region."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_masks import NAN, at

from seglab.metrics.connected_components import ComponentMatches, Ignored, match_components
from seglab.metrics.surface import bounding_box


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 0.5)])
@pytest.mark.parametrize("width", [1, 2, 3, 6])
def test_a_strip_splits_no_lesion_and_joins_no_two(width: int, spacing: tuple[float, float]) -> None:
    truth, ignored = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    ignored[20 : 20 + width] = True
    truth[10:34, 5:15] = truth[10:34, 22:32] = True  # two lesions that one strip crosses
    truth[2:6, 40:50] = truth[36:, 40:50] = True  # and two that it does not touch
    truth &= ~ignored
    prediction = np.zeros_like(truth)
    prediction[30:33, 8:12] = True  # of the lower half of the first
    assert match_components(truth, prediction, Ignored(ignored, spacing)) == (4, 1, 1, 1)
    assert match_components(truth, prediction) == (6, 1, 1, 1)
    assert match_components(prediction, truth, Ignored(ignored, spacing)) == (1, 4, 1, 1)


def test_lesions_beside_a_large_ignored_region_stay_apart() -> None:
    truth, ignored = np.zeros((30, 30, 30), bool), np.zeros((30, 30, 30), bool)
    ignored[15:] = True
    truth[12:15, 3:8, 3:8] = truth[10:15, 20:25, 3:8] = True
    assert match_components(truth, truth, Ignored(ignored, (1.0, 1.0, 1.0))).true == 2
    ignored[:] = False
    ignored[:, :, 5] = True  # a whole slice
    assert match_components(truth & ~ignored, truth & ~ignored, Ignored(ignored, (1.0, 1.0, 4.0))).true == 2
    assert match_components(truth & ~ignored, truth & ~ignored).true == 4


def test_components_by_hand() -> None:
    # Truth: a diagonal pair (one component), a single pixel, another. Prediction: covers half of the pair, joins the
    # two single pixels into one bar, and makes one up.
    truth = at((6, 9), (0, 0), (1, 1), (3, 3), (3, 5))
    prediction = at((6, 9), (1, 1), (3, 3), (3, 4), (3, 5), (5, 8))
    found = match_components(truth, prediction)
    assert found == ComponentMatches(true=3, predicted=3, found=3, right=2)
    assert (found.recall, found.precision) == (1, pytest.approx(2 / 3))
    missed = match_components(at((4, 4), (0, 0), (2, 2)), at((4, 4), (2, 3), (2, 2)))
    assert missed == ComponentMatches(2, 1, 1, 1)
    assert missed.recall == 0.5


def test_components_where_nothing_is() -> None:
    empty, one = np.zeros((3, 3, 3), bool), at((3, 3, 3), (0, 0, 0))
    for truth, prediction, expected, recall, precision in (
        (empty, empty, (0, 0, 0, 0), NAN, NAN),
        (one, empty, (1, 0, 0, 0), 0, NAN),
        (empty, one, (0, 1, 0, 0), NAN, 0),
    ):
        found = match_components(truth, prediction)
        assert found == expected
        np.testing.assert_equal((found.recall, found.precision), (recall, precision))


def test_the_box_is_the_smallest() -> None:
    assert bounding_box(at((9, 9), (2, 3), (4, 7))) == (slice(2, 5), slice(3, 8))
