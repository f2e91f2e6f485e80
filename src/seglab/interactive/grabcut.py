"""GrabCut behind the contract of promptable models: no weights, so it works wherever the package does.

Colour models of object and surroundings with a graph cut between them (Rother, Kolmogorov and Blake, "GrabCut",
SIGGRAPH 2004), by OpenCV. It is computed in a window around what the prompt names, `WORK_SIDE` pixels a side at most,
so that time and memory of a click do not grow with the image. A grey image has two channels to spare: they hold its
local mean and contrast, so that texture counts.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from seglab.interactive.prompt import CERTAIN, FOREGROUND, Bools, Floats, Ints, Logits, Prompt, box_of
from seglab.interactive.prompt_models import CANDIDATES, Candidates, Embedding
from seglab.interactive.window import (
    MARGIN,
    Image,
    Window,
    border_contrast,
    enlarged,
    reduced,
    signed_distance,
    window_around,
)

WORK_SIDE = 160
_ROUNDS = 1
_FEWEST = 16  # pixels of object and of surroundings that a colour model is made of
_COMPONENTS = 5
# How far the three readings of a prompt reach: of clicks alone, as a share of the image's longer side, and of a small
# image, which most often is cut out around its object, as if it had so many pixels; of a click that contradicts the
# previous mask, in distances to the border of that mask.
_REACHES = (1 / 32, 1 / 12, 1 / 5)
_LEAST_SIDE = 112
_CHANGES = (1.0, 1.6, 3.0)
_LIKELY = (1.0, 1.0, 0.5)  # how likely an object of such a reach is, before its colours are looked at
_SEED = 0.25  # of such a reach: the disk that belongs to a click for certain
_NEAREST = 5.0  # pixels that a click changes at least
# The ellipse in a box that is certain to be object, by its size, without which the cut often finds that nothing is; and
# the ellipse beyond which it likely is not, for boxes that were drawn with some room.
_CORES = (0.3, 0.3, 0.7)
_LOOSE = (np.inf, 0.8, np.inf)
# How much it counts, of clicks alone, that the mask's border is one in the image: of a mask that lies within an object,
# or over its border, colours and reach tell as much good as of the right one.
_BORDER = 4
_VERSION = 4
_SETTINGS = (
    *(_VERSION, cv2.__version__, WORK_SIDE, _ROUNDS, _REACHES, _LEAST_SIDE, _BORDER, _CHANGES),
    *(MARGIN, _CORES, _SEED, _NEAREST, _LIKELY),
)


class GrabCut:
    """See the module; a `PromptModel`."""

    name = "grabcut"
    rank = 2
    device = "CPU (OpenCV)"
    digest = hashlib.sha256(repr(_SETTINGS).encode()).hexdigest()

    def embed(self, image: npt.NDArray[Any]) -> Embedding:
        """The image itself."""
        return Embedding(image.shape[:2], {"image": np.ascontiguousarray(image, np.uint8)})

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        """Three readings of the prompt.

        With a previous mask: what the clicks that contradict it change within a near, a middle and a wide reach; what
        lies beyond stays as it was. With a box: an object that fills it, one that leaves room, and one that surely
        holds most of it.
        Of clicks alone: an object within a near, a middle and a wide reach of them.
        A score is how well the colours alone tell the same mask apart, and how well the mask fills a box.
        """
        image: Image = embedding.arrays["image"]
        before = prompt.mask if prompt.mask is not None and (prompt.mask > 0).any() else None
        logits = np.empty((CANDIDATES, *prompt.shape), np.float32)
        scores = np.zeros(CANDIDATES, np.float32)
        corrections = None if before is None else _corrections(prompt, before)
        for index in range(CANDIDATES):
            if before is None or corrections is None:
                scores[index] = _anew(image, prompt, index, logits[index])
            else:
                scores[index] = _changed(image, prompt, before, corrections, index, logits[index])
        return Candidates(logits, scores)


def load(name: str, checkpoint: Path | None) -> GrabCut:
    """The model; it needs no file."""
    return GrabCut()


def _anew(image: Image, prompt: Prompt, index: int, logits: Logits) -> float:
    """Fills the logits of one reading of the prompt alone; its score."""
    region = _region(prompt, None, index)
    window = window_around(prompt.shape, region, WORK_SIDE)
    start = _start(prompt, window, region, index)
    _mark_clicks(start, prompt, window)
    work = reduced(image[window.rows, window.columns], window.shape)
    mask, score = _cut(work, start)
    found = _at_clicks(mask, prompt, window)
    logits.fill(-CERTAIN)
    logits[window.rows, window.columns] = signed_distance(found, window)
    own = 1.0 - float((mask & (start == cv2.GC_FGD)).sum()) / max(int(mask.sum()), 1)
    if prompt.box is not None:
        return score * own * _fit(mask, window, prompt.box)
    contrast = border_contrast(work, found)
    return score * own * _freedom(mask, start) * _LIKELY[index] * (contrast / (1 + contrast)) ** _BORDER


def _changed(image: Image, prompt: Prompt, before: Logits, corrections: _Changes, index: int, logits: Logits) -> float:
    """Fills the logits of one reading of what the clicks say about the previous mask; its score."""
    changes = corrections._replace(reach=np.maximum(_CHANGES[index] * corrections.reach, _NEAREST))
    window = window_around(prompt.shape, _region(prompt, changes, index), WORK_SIDE)
    start, free = _start_from(before, changes, window)
    _mark_clicks(start, prompt, window)
    mask, score = _cut(reduced(image[window.rows, window.columns], window.shape), start)
    logits[:] = before
    np.copyto(logits[window.rows, window.columns], signed_distance(mask, window), where=enlarged(free, window))
    return score * _freedom(mask, start)


class _Changes(NamedTuple):
    """Where a previous mask may change: `points` `(N, 2)`, `labels`, and their `reach` in pixels of the image."""

    points: Floats
    reach: Floats
    labels: Ints


def _corrections(prompt: Prompt, before: Logits) -> _Changes:
    """The clicks that the previous mask does not agree with, or all where it agrees with each, as far as its border."""
    there = before > 0
    against = there[prompt.pixels] != (prompt.labels == FOREGROUND)
    against = against if against.any() else np.ones(len(against), bool)
    places = tuple(axis[against] for axis in prompt.pixels)
    depth = np.empty(len(places[0]))
    for where, kind in ((there, there[places]), (~there, ~there[places])):
        if kind.any():  # a distance to each pixel of a large image takes long
            depth[kind] = _depth(where)[tuple(axis[kind] for axis in places)]
    return _Changes(prompt.points[against], depth, prompt.labels[against])


def _depth(where: Bools) -> Logits:
    """Distance to the nearest pixel that is not in it; of one that fills the image, to the image's edge."""
    ring = cv2.copyMakeBorder(where.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=int(not where.all()))
    return np.asarray(cv2.distanceTransform(ring, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


def _reach(prompt: Prompt, index: int) -> float:
    return max(_REACHES[index] * max(*prompt.shape, _LEAST_SIDE), _NEAREST)


def _region(prompt: Prompt, changes: _Changes | None, index: int) -> Floats:
    """Where this reading may put the object, `x0 y0 x1 y1`, or change the previous mask."""
    reach = 0.0 if prompt.box is not None else _reach(prompt, index)
    if changes is not None:
        corners = [(*(one - far), *(one + far)) for one, far, _ in zip(*changes, strict=True)]
    else:
        clicks = prompt.points[prompt.labels == FOREGROUND]
        corners = [(*(one - reach), *(one + reach)) for one in clicks]
        corners += [] if prompt.box is None else [tuple(prompt.box)]
    if not corners:  # an empty previous mask and clicks beside the object
        return np.asarray([-0.5, -0.5, prompt.shape[1] - 0.5, prompt.shape[0] - 0.5])
    several = np.asarray(corners)
    return np.concatenate([several[:, :2].min(0), several[:, 2:].max(0)])


def _start(prompt: Prompt, window: Window, region: Floats, index: int) -> Image:
    """The labels that a cut of the prompt alone begins with, in OpenCV's four values."""
    x, y = window.centres()
    within = (x >= region[0]) & (x <= region[2]) & (y >= region[1]) & (y <= region[3])
    start = np.where(within, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    if prompt.box is not None:
        start[within & (_radius(x, y, region) <= _LOOSE[index])] = cv2.GC_PR_FGD
        start[_radius(x, y, region) <= _CORES[index]] = cv2.GC_FGD
    else:
        start[within & (_radius(x, y, region) <= _CORES[-1])] = cv2.GC_PR_FGD
        for one in prompt.points[prompt.labels == FOREGROUND]:
            start[np.hypot(x - one[0], y - one[1]) <= _SEED * _reach(prompt, index)] = cv2.GC_FGD
    return start


def _start_from(before: Logits, changes: _Changes, window: Window) -> tuple[Image, Bools]:
    """The labels that a change of the previous mask begins with; and where that mask may change."""
    x, y = window.centres()
    part: Any = before[window.rows, window.columns]
    there = cv2.resize(part, window.shape[::-1], interpolation=cv2.INTER_AREA) > 0
    start = np.where(there, cv2.GC_FGD, cv2.GC_BGD).astype(np.uint8)
    free = np.zeros(window.shape, bool)
    for one, reach, _ in zip(*changes, strict=True):
        free |= np.hypot(x - one[0], y - one[1]) <= reach
    start[free] = np.where(there[free], cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    for one, reach, label in zip(*changes, strict=True):
        start[np.hypot(x - one[0], y - one[1]) <= _SEED * reach] = cv2.GC_FGD if label == FOREGROUND else cv2.GC_BGD
    return start, free


def _mark_clicks(start: Image, prompt: Prompt, window: Window) -> None:
    """What was clicked on is certain."""
    size = max(1, round(0.01 * max(window.shape)))
    for filled in (size, 0):  # a click's own pixel is never under the disk of another
        for (row, column), label in zip(window.place(prompt.points), prompt.labels, strict=True):
            value = cv2.GC_FGD if label == FOREGROUND else cv2.GC_BGD
            cv2.circle(start, (int(column), int(row)), filled, int(value), -1)


def _radius(x: npt.NDArray[Any], y: npt.NDArray[Any], region: Floats) -> npt.NDArray[Any]:
    """How far a place is from the middle of a region: 1 on the ellipse that touches its sides."""
    half = np.maximum((region[2:] - region[:2]) / 2, 0.5)
    middle = (region[2:] + region[:2]) / 2
    radius: npt.NDArray[Any] = np.hypot((x - middle[0]) / half[0], (y - middle[1]) / half[1])
    return radius


_RANDOM = threading.Lock()  # OpenCV's k-means draws from the state of its thread pool


def _cut(work: Image, start: Image) -> tuple[Bools, float]:
    """The mask in the window, and the IoU of it with what the colours alone say of each pixel."""
    labels = start.copy()
    first = (start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD)
    if min(first.sum(), (~first).sum()) < _FEWEST:
        return first, 0.5
    behind, before = np.zeros((1, 13 * _COMPONENTS)), np.zeros((1, 13 * _COMPONENTS))
    with _RANDOM:
        cv2.setRNGSeed(0)
        cv2.grabCut(work, labels, (0, 0, 0, 0), behind, before, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    mask: Bools = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    free = start != cv2.GC_BGD
    by_colour = (_likelihood(work, before) > _likelihood(work, behind)) & free
    union = (mask | by_colour).sum()
    return mask, float((mask & by_colour).sum() / union) if union else 0.0


def _likelihood(work: Image, model: Floats) -> npt.NDArray[Any]:
    """Log-likelihood of each pixel's colour under a colour model of OpenCV: weights, means, covariances."""
    weights = model[0, :_COMPONENTS]
    means = model[0, _COMPONENTS : 4 * _COMPONENTS].reshape(-1, 3)
    spreads = model[0, 4 * _COMPONENTS :].reshape(-1, 3, 3)
    found = np.full(work.shape[:2], -np.inf)
    for weight, mean, spread in zip(weights, means, spreads, strict=True):
        if weight <= 0:
            continue
        spread = spread + np.eye(3) * 0.01
        off = work.astype(np.float64) - mean
        distance = ((off @ np.linalg.inv(spread)) * off).sum(-1)
        found = np.maximum(found, np.log(weight) - 0.5 * np.log(max(np.linalg.det(spread), 1e-12)) - 0.5 * distance)
    return found


def _at_clicks(mask: Bools, prompt: Prompt, window: Window) -> Bools:
    """The components that were clicked on; where none was, those of at least a tenth of the largest."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count <= 2:
        return mask
    on = window.place(prompt.points[prompt.labels == FOREGROUND])
    clicked = [int(part) for part in parts[on[:, 0], on[:, 1]] if part]
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = clicked or [1 + int(index) for index in np.flatnonzero(areas >= 0.1 * areas.max())]
    return np.isin(parts, kept)


def _freedom(mask: Bools, start: Image) -> float:
    """How little of the mask is cut off where it was not free to go on: 1 where its border is all its own."""
    free = (start == cv2.GC_PR_BGD) | (start == cv2.GC_PR_FGD)
    beyond: Any = cv2.dilate((~free & (start == cv2.GC_BGD)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edge = free & beyond
    return (1.0 - float((edge & mask).sum()) / max(int(edge.sum()), 1)) ** 2


def _fit(mask: Bools, window: Window, box: Floats | None) -> float:
    """IoU of the mask's own box with the one that was drawn."""
    tight = box_of(mask)
    if tight is None or box is None:
        return 0.0
    offset = np.tile([window.columns.start, window.rows.start], 2)
    tight = (tight + 0.5) / window.scale - 0.5 + offset
    low, high = np.maximum(tight[:2], box[:2]), np.minimum(tight[2:], box[2:])
    both = float(np.prod(np.maximum(high - low, 0)))
    return both / (_area(tight) + _area(box) - both)


def _area(box: Floats) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
