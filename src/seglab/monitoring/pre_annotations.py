"""The mask of a model as tools for labelling read it, so that somebody corrects it in place of drawing it.

COCO: run lengths down the columns of 0 and 1 in turn, as a list (https://cocodataset.org/#format-data).

Label Studio, brush: bits that stand for runs of the bytes of an RGBA picture, of which the last of each four counts.
32 bits tell how many bytes there are, 5 bits one less than the width of a value, four times 4 bits one less than each
of four widths of a length. Then each run: a bit 1, two bits that say which width, the length less 1, the value
(https://labelstud.io/guide/predictions, `decode_rle` of its SDK).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

TAG, IMAGE = "tag", "image"
"""Names in the set-up of Label Studio that results refer to."""
_WIDTHS = (3, 4, 8, 16)  # of lengths, in bits
_LONGEST = 1 << _WIDTHS[-1]
_PAINTED = 255


def coco_annotation(inside: np.ndarray) -> dict[str, Any]:
    """`segmentation`, `area` and `bbox` (left, top, width, height) of a mask `(H, W)` that holds one pixel or more."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    box = [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
    flat = inside.ravel(order="F")
    counts = _runs(flat)[0].tolist()
    if flat[0]:
        counts.insert(0, 0)  # it begins with a run of 0
    segmentation = {"size": list(inside.shape), "counts": counts}
    return {"segmentation": segmentation, "area": int(inside.sum()), "bbox": box, "iscrowd": 1}


def label_studio_result(name: str, class_name: str, inside: np.ndarray) -> dict[str, Any]:
    """A region of a prediction: the pixels of a class.

    Args:
        name: of the region, another one for each of a task.
        class_name: as the set-up has it.
        inside: `(H, W)`.
    """
    height, width = inside.shape
    return {
        "id": name,
        "from_name": TAG,
        "to_name": IMAGE,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_rle(inside), "brushlabels": [class_name]},
    }


def brush_rle(inside: np.ndarray) -> list[int]:
    """Bytes of Label Studio's run lengths of a mask `(H, W)`."""
    flat = inside.ravel()
    bits = [f"{4 * flat.size:032b}", f"{8 - 1:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    lengths, values = _runs(flat)
    for length, value in zip((4 * lengths).tolist(), (_PAINTED * values.astype(int)).tolist(), strict=True):
        for part in (*[_LONGEST] * (length // _LONGEST), length % _LONGEST):
            if part:
                which = next(place for place, width in enumerate(_WIDTHS) if part <= 1 << width)
                bits.append(f"1{which:02b}{part - 1:0{_WIDTHS[which]}b}{value:08b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[place : place + 8], 2) for place in range(0, len(text), 8)]


def label_studio_setup(class_names: Sequence[str]) -> str:
    """The labelling interface that the tasks are made for."""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in class_names)
    return (
        f'<View>\n  <Image name="{IMAGE}" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="{TAG}" toName="{IMAGE}">\n{labels}  </BrushLabels>\n</View>\n'
    )


def _runs(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and values of the runs of `(N,)`, one or more."""
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    begins = np.concatenate([[0], edges])
    return np.diff(np.append(begins, flat.size)), flat[begins]
