"""How much of an object one prompt on its largest slice finds, and how much of that is carried through the volume.

python -m benchmarks.volume_prompts                                   12 built-in volumes, seed 50
python -m benchmarks.volume_prompts root=<folder of data=nifti>       cases 100 to 130 of an order drawn with seed 0
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from seglab.data.cases import Source
from seglab.data.sources.nifti import Nifti
from seglab.data.synthetic.shapes import Synthetic3D
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.prompt import Bools, box_of
from seglab.interactive.robot import iou
from seglab.interactive.volume_prompts import VolumeSession

_ALONG_Z = 2


def objects(source: Source, whole: bool) -> Iterator[tuple[np.ndarray, Bools]]:
    """A volume `(X, Y, Z)` and an object in it: all that is no background, or the largest part of it."""
    for case in source.cases:
        sample = source.read(case)
        assert sample.mask is not None
        found = sample.mask > 0
        if not whole:
            parts, _ = ndimage.label(found)
            found = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
        yield sample.image[..., 0], found


def tried(volume: np.ndarray, truth: Bools) -> list[float]:
    """IoU of slice and volume from a click on the deepest point of the largest slice, then from that slice's box."""
    index = int(truth.sum((0, 1)).argmax())
    plane = truth[..., index].T
    depth = ndimage.distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    box = box_of(plane)
    assert box is not None
    row = []
    for points, labels, drawn in (([[x, y]], [1], None), ([], [], box.tolist())):
        session = VolumeSession(GrabCut(), volume)
        reply = session.predict(_ALONG_Z, index, points, labels, drawn)
        row += [iou(plane, reply.mask), iou(truth, session.mask)]
    return row


def main(words: list[str]) -> None:
    """Print the means."""
    root = next((word.partition("=")[2] for word in words if word.startswith("root=")), "")
    source: Source = Synthetic3D(count=12, seed=50)
    if root:
        source = Nifti(root=str(Path(root)))
        order = np.random.default_rng(0).permutation(len(source.cases))[100:130]
        source.cases = [source.cases[index] for index in order]
    rows = [tried(*one) for one in objects(source, whole=bool(root))]
    names = ("slice, click", "volume, click", "slice, box", "volume, box")
    for name, value in zip(names, np.mean(rows, axis=0), strict=True):
        print(f"{name:14} {value:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
