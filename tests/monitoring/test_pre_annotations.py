"""Masks of a model in the words of tools for labelling, read back by readers that know the published formats alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seglab.monitoring.pre_annotations import brush_rle, coco_annotation


def from_runs(segmentation: dict[str, Any]) -> np.ndarray:
    """COCO: runs of 0 and 1 in turn, down the columns."""
    flat = np.repeat(np.arange(len(segmentation["counts"])) % 2, segmentation["counts"])
    return flat.reshape(segmentation["size"], order="F").astype(bool)


def painted(rle: list[int], height: int, width: int) -> np.ndarray:
    """Label Studio: the alpha of the picture that bits tell, as the JavaScript of its brush reads them."""
    bits, at = "".join(f"{byte:08b}" for byte in rle), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    count, width_of_value = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        same, length = take(1), take(widths[take(2)]) + 1
        values += [take(width_of_value)] * length if same else [take(width_of_value) for _ in range(length)]
    assert len(bits) - at < 8  # nothing behind it but what fills the last byte
    alpha = np.array(values).reshape(height, width, 4)[..., 3]
    assert set(np.unique(alpha)) <= {0, 255}
    return alpha > 0


def masks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    long = np.zeros((300, 401), bool)  # runs of more than 65,536 bytes
    long[100:250] = True
    corner = np.zeros((3, 5), bool)
    corner[0, 0] = True
    return {
        "one": np.ones((1, 1), bool),
        "all": np.ones((7, 9), bool),
        "corner": corner,
        "last": corner[::-1, ::-1],
        "noise": rng.random((23, 31)) > 0.5,
        "long": long,
    }


@pytest.mark.parametrize("name", masks())
def test_a_mask_is_read_back_as_it_was(name: str) -> None:
    inside = masks()[name]
    assert np.array_equal(painted(brush_rle(inside), *inside.shape), inside)
    annotation = coco_annotation(inside)
    assert np.array_equal(from_runs(annotation["segmentation"]), inside)
    assert annotation["area"] == inside.sum()
    left, top, width, height = annotation["bbox"]
    assert inside[top : top + height, left : left + width].sum() == inside.sum()
    assert inside[top].any()
    assert inside[:, left].any()
    assert inside[top + height - 1].any()
    assert inside[:, left + width - 1].any()


def test_bits_by_hand() -> None:
    """Two pixels, the second painted: 8 bytes, values of 8 bits, widths 3, 4, 8, 16; four of 0, four of 255."""
    bits = (
        f"{8:032b}"
        + "00111"
        + "0010"
        + "0011"
        + "0111"
        + "1111"
        + "1"
        + "00"
        + "011"
        + "0" * 8
        + "1"
        + "00"
        + "011"
        + "1" * 8
    )
    expected = [int((bits + "0" * (-len(bits) % 8))[k : k + 8], 2) for k in range(0, len(bits), 8)]
    assert brush_rle(np.array([[False, True]])) == expected
