"""Class ids of stored values: one lookup for small unsigned numbers and one for all others, which agree."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.data.labels.stored_values import check_mask_size, class_ids
from seglab.errors import DataError


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int64, np.float32])
def test_each_value_becomes_its_class_and_the_rest_is_ignored(kind: type) -> None:
    stored = np.array([[7, 11, 8], [0, 255, 7]], kind)  # values in no order: 11 is class 0, 7 class 1, 8 class 2
    found = class_ids(stored, (11, 7, 8), 255)
    assert found.dtype == np.uint8
    assert found.tolist() == [[1, 0, 2], [255, 255, 1]]


def test_values_that_no_table_holds() -> None:
    assert class_ids(np.array([70_000, 3, 2**31], np.uint32), (3, 70_000), 9).tolist() == [1, 0, 9]
    assert class_ids(np.array([-1.0, 0.4, 1.0, np.nan]), (0, 1), 255).tolist() == [255, 255, 1, 255]
    assert class_ids(np.zeros((0, 4), np.uint8), (0, 1), 255).shape == (0, 4)


def test_a_mask_of_another_size_is_refused_with_both_sizes() -> None:
    check_mask_size(np.zeros((3, 4)), (3, 4), "m.png")
    for shape in ((4, 3), (3, 4, 1)):
        with pytest.raises(DataError, match="a mask of another size than its image") as refused:
            check_mask_size(np.zeros(shape), (3, 4), "m.png")
        assert (refused.value.code, refused.value.where, refused.value.expected) == (
            "mask-size-differs",
            "m.png",
            "3×4",
        )
