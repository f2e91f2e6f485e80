"""Pairs of images that show the same thing: proposed by coarse detail, confirmed by fine detail laid over each other.

Two steps, as in the search for copies by Douze et al. (Evaluation of GIST descriptors for web-scale image search, CIVR
2009), with another rule of confirmation:

1. The details (`image_detail`) of every two images are correlated on a coarse grid, in all ways to mirror and to turn
   them, and for some crops and shifts: products of matrices, in blocks. Each image proposes its three nearest.
2. Of a proposed pair one image is laid over the other, and their fine details are correlated. What all images of the
   set have in common is taken out of both before (two patterns, as they lie in each of the two), and how much
   unrelated images of this very set agree decides how much is too much. So a set in which everything looks
   alike, such as retinas, X-rays or the same organ of many people, says nothing.

Measured (`make bench-near-duplicates`; false alarms: images that look like one of another eye, person or drive, every
image against all others; found: copies after a crop of 5%, a mirror, a quarter turn, JPEG, noise, other contrast, half
the size, and of volumes a slice less or all moved by one; in brackets a 64-bit difference hash with a limit of 4 bits):

===================== ================ ======================
set                   false alarms     found
===================== ================ ======================
DRIVE                 0 of 40 (30)     259 of 260
MSD hippocampus       0 of 200 (0)     840 of 840
CamVid                0 of 701         779 of 780
ISBI 2012             0 of 10          260 of 260
===================== ================ ======================

The constants were chosen on the first three. On sets that had no part in it (ISBI, 100 faces of 25 × 25 pixels, 400
digits of 8 × 8) there was no false alarm; but of 100 patches of background of 25 × 25 pixels, with one edge or so each,
17 look like another. Of crops of 10% nine in ten are found, of 15% a fifth of the planes; angles other than quarter
turns are not looked for.

Time grows with held out × training images, by one core: 701 images take 3 to 7 s, 10,000 take 25 s and 0.3 GB, 50,000
some 400 s (by 512 of the 10,000 held out) and 0.5 GB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seglab.data.check.alignment import Alignment, Details, Turn, lay_over, starts, turned, turns, windows, words
from seglab.data.preprocessing.image_detail import OUTSIDE, STEPS, along, decode, smooth

# Halvings of the grid for the first step: 12 × 12 places, 6 × 6 × 6 of a volume.
_SHRINK = 4
_NEIGHBOURS = 3
# Correlation on the coarse grid from which a pair is looked at.
_PROPOSED = 0.42
# What on the halved grid agrees less than this is not followed to the whole one.
_HOPELESS = 0.6
# At most so many pairs are laid over each other, those nearest on the coarse grid first.
_MOST_PAIRS = 10_000
# A pair is alike when its details agree this far, and as far above the agreement of unrelated pairs of the set as so
# many times their spread, on Fisher's scale; more for each tenfold number of pairs, as the greatest is looked for.
# `_FEW` pairs or fewer tell nothing of that: then it is `_ALONE`.
LEAST_AGREEMENT, _SPREADS, _A_TENFOLD, _ALONE = 0.6, 6.5, 0.5, 0.75
_FEW, _UNRELATED = 30, {2: 200, 3: 60}
# What the images have in common: two patterns, for it is one and its mirror image where half of a set was mirrored. It
# is known the better the more images there are; of so many it is known by half.
_COMMON, _HALF_KNOWN, _AVERAGED = 2, 6, 500
_ROWS, _COLUMNS = 256, 4096


@dataclass(frozen=True)
class Match:
    """Image `held` looks like image `known`; `relation` says how it lies on it."""

    held: int
    known: int
    agreement: float
    relation: str


@dataclass(frozen=True)
class Limit:
    """The agreement from which a pair is alike, and the median of unrelated pairs (NaN of too few)."""

    agreement: float
    usual: float


class DuplicateSearch:
    """Compares the images of a set.

    Args:
        details: of each image, as `detail_of` gives them.
        shapes: of the images, all of one rank.
        same: a word for each image; images of one word are not compared (their values are equal, say).
    """

    def __init__(self, details: Sequence[str], shapes: Sequence[tuple[int, ...]], same: Sequence[str]):
        self._rank = len(shapes[0])
        self._details = decode(list(details), self._rank)
        self._shapes = shapes
        self._same = np.unique(np.array(same), return_inverse=True)[1]
        self._turns = turns(self._rank)
        self._variants = [(turn, *start) for turn in self._turns for start in starts(turn)]
        self._known = len(details) / (len(details) + _HALF_KNOWN)
        some = self._fine(np.linspace(0, len(details) - 1, min(len(details), _AVERAGED)).astype(int))
        self._common = _leading(some.reshape(len(some), -1)).reshape(_COMMON, *some.shape[1:])

    def matches(self, held: np.ndarray, known: np.ndarray) -> list[Match]:
        """For each image of `held` the one of `known` that it looks like, if any; the most alike first.

        Args:
            held, known: indices of images.
        """
        near, variants, scores = self._propose(held, known)
        done: dict[int, Match] = {}
        looked_at = 0
        for place in range(near.shape[1]):
            rows = [row for row in np.argsort(-scores[:, place]) if row not in done and scores[row, place] >= _PROPOSED]
            rows = rows[: _MOST_PAIRS - looked_at]
            looked_at += len(rows)
            if not rows:
                continue
            one, other, how = held[rows], known[near[rows, place]], variants[rows, place]
            laid = self._lay(one, other, how, _HOPELESS)
            near_enough = laid.agreement >= LEAST_AGREEMENT
            if not near_enough.any():  # the limit takes longer than all the rest where nothing is alike
                continue
            for n in np.flatnonzero(near_enough & (laid.agreement >= self.limit.agreement)):
                relation = words(self._variants[how[n]][0], laid.scale[n], laid.shift[n], tuple(self._shapes[other[n]]))
                done[rows[n]] = Match(int(one[n]), int(other[n]), float(laid.agreement[n]), relation)
        return sorted(done.values(), key=lambda match: -match.agreement)

    @cached_property
    def limit(self) -> Limit:
        """From random pairs of the set; pairs that are alike are few among them, and neither median nor quantiles
        mind a few."""
        count = len(self._details)
        rng = np.random.default_rng(0)
        one, other = rng.integers(count, size=(2, _UNRELATED[self._rank]))
        apart = self._same[one] != self._same[other]
        pairs = np.unique(np.sort(np.stack([one[apart], other[apart]], axis=1), axis=1), axis=0)
        if len(pairs) <= _FEW:
            return Limit(_ALONE, float("nan"))
        how = self._variant(self._asked(pairs[:, 0]), pairs[:, 1])
        agreement = self._lay(pairs[:, 0], pairs[:, 1], how, None).agreement
        agreement = agreement[agreement > -1]  # those that did not slide off each other
        if len(agreement) <= _FEW:
            return Limit(_ALONE, float("nan"))
        low, usual, high = np.quantile(np.arctanh(np.clip(agreement, -0.999, 0.999)), (0.16, 0.5, 0.84))
        spreads = _SPREADS + _A_TENFOLD * np.log10(count * (count - 1) / 2)
        limit = np.tanh(usual + spreads * (high - low) / 2)
        return Limit(max(LEAST_AGREEMENT, float(limit)), float(np.tanh(usual)))

    def _propose(self, held: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each of `held` the places in `known` of its nearest, the variants, the correlations, `(H, ≤ 3)` each."""
        keep = min(_NEIGHBOURS, len(known))
        near, variants = np.zeros((2, len(held), keep), np.int64)
        scores = np.full((len(held), keep), -1.0, np.float32)
        for top in range(0, len(held), _ROWS):
            rows = slice(top, top + _ROWS)
            asked = self._asked(held[rows])
            for left in range(0, len(known), _COLUMNS):
                columns = known[left : left + _COLUMNS]
                best = self._correlate(asked, columns)
                best[self._same[held[rows], None] == self._same[None, columns]] = -1
                some = min(keep, len(columns))
                order = np.argpartition(-best, some - 1, axis=1)[:, :some]
                joint = np.concatenate([scores[rows], np.take_along_axis(best, order, axis=1)], axis=1)
                places = np.concatenate([near[rows], order + left], axis=1)
                first = np.argsort(-joint, axis=1, kind="stable")[:, :keep]
                scores[rows], near[rows] = (np.take_along_axis(t, first, axis=1) for t in (joint, places))
            for place in range(keep):
                variants[rows, place] = self._variant(asked, known[near[rows, place]])
        return near, variants, scores

    def _correlate(self, asked: list[np.ndarray], columns: np.ndarray) -> np.ndarray:
        """The best correlation over all variants of each asked row with each of these images, `(rows, columns)`."""
        best = np.full((len(asked[0]), len(columns)), -1.0, np.float32)
        now = np.empty_like(best)
        for rows, lines in zip(asked, self._lines(columns), strict=True):
            np.maximum(best, np.matmul(rows, lines.T, out=now), out=best)
        return best

    def _variant(self, asked: list[np.ndarray], others: np.ndarray) -> np.ndarray:
        """The variant in which each asked row correlates best with the image beside it; `others` has one for each."""
        pairs = zip(asked, self._lines(others), strict=True)
        made: np.ndarray = np.argmax([(rows * lines).sum(axis=1) for rows, lines in pairs], axis=0)
        return made

    def _lines(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """The coarse details of these images for every variant: without what is common in such a turn."""
        before = None
        for turn, *_ in self._variants:
            if turn != before:
                lines = _unit(_without(self._coarse[images], self._common_coarse[turn], self._known))
                before = turn
            yield lines

    def _asked(self, rows: np.ndarray) -> list[np.ndarray]:
        """The coarse details of these images in every variant."""
        fine = smooth(self._fine(rows), _SHRINK * 0.4, tuple(range(1, self._rank + 1)))
        made = []
        for turn, scale, shift in self._variants:
            array = turned(fine, turn)
            for axis in range(self._rank):
                size = array.shape[axis + 1]
                window = windows(scale[axis : axis + 1], shift[axis : axis + 1] * size, size)[0]
                array = along(_shrinking(size) @ window, array, axis + 1)
            made.append(_unit(_without(array.reshape(len(rows), -1), self._common_coarse[turn], self._known)))
        return made

    @cached_property
    def _coarse(self) -> np.ndarray:
        rows = np.arange(len(self._details))
        return np.concatenate(
            [self._shrunk(self._fine(rows[start : start + _COLUMNS])) for start in range(0, len(rows), _COLUMNS)]
        )

    def _shrunk(self, fine: np.ndarray) -> np.ndarray:
        array = smooth(fine, _SHRINK * 0.4, tuple(range(1, self._rank + 1)))
        for axis in range(self._rank):
            array = along(_shrinking(array.shape[axis + 1]), array, axis + 1)
        return array.reshape(len(fine), -1)

    @cached_property
    def _common_coarse(self) -> dict[Turn, np.ndarray]:
        """What is common, as it lies in an image and in one that was turned."""
        still = self._turns[0]
        return {
            turn: _basis(
                self._shrunk(np.concatenate([self._common, *([] if turn == still else [turned(self._common, turn)])]))
            )
            for turn in self._turns
        }

    def _lay(self, one: np.ndarray, other: np.ndarray, how: np.ndarray, hopeless: float | None) -> Alignment:
        """Lay images `one` over `other`, beginning as the variants say."""
        grid = self._common.shape[1:]
        seconds = Details(*(np.empty((len(one), *of_each, *grid), np.float32) for of_each in ((), (), (_COMMON,))))
        for variant in np.unique(how):
            rows, turn = np.flatnonzero(how == variant), self._variants[variant][0]
            seconds.values[rows] = turned(self._fine(one[rows]), turn)
            seconds.inside[rows] = turned(self._inside(one[rows]), turn)
            seconds.common[rows] = turned(self._common, turn)
        common = np.broadcast_to(self._common, seconds.common.shape)
        firsts = Details(self._fine(other), self._inside(other), common)
        scale, shift = (np.stack([self._variants[v][n] for v in how]) for n in (1, 2))
        start = Alignment(np.zeros(len(one), np.float32), scale, shift)
        return lay_over(firsts, seconds, start, self._known, hopeless)

    def _fine(self, rows: np.ndarray) -> np.ndarray:
        details = self._details[rows]
        return np.where(details == OUTSIDE, 0, details).astype(np.float32) / STEPS

    def _inside(self, rows: np.ndarray) -> np.ndarray:
        return (self._details[rows] != OUTSIDE).astype(np.float32)


def _basis(vectors: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the rows."""
    left, values, _ = np.linalg.svd(vectors.T, full_matrices=False)
    return left[:, values > 1e-3 * max(values[0], 1e-6)]


def _leading(rows: np.ndarray) -> np.ndarray:
    """The `_COMMON` unit vectors that hold most of the rows' energy, zeros where there are fewer."""
    values, vectors = np.linalg.eigh(rows @ rows.T)
    made = np.zeros((_COMMON, rows.shape[1]), np.float32)
    for n, place in enumerate(np.argsort(-values)[:_COMMON]):
        if values[place] > 1e-3 * values[-1]:
            made[n] = rows.T @ vectors[:, place] / np.sqrt(values[place])
    return made


def _without(rows: np.ndarray, basis: np.ndarray, share: float) -> np.ndarray:
    return rows - share * (rows @ basis) @ basis.T


def _unit(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / (np.linalg.norm(centred, axis=1, keepdims=True) + 1e-6)


def _shrinking(size: int) -> np.ndarray:
    """`(size / _SHRINK, size)`: the two places in the middle of each new one; the rest was blurred in before."""
    matrix = np.zeros((size // _SHRINK, size), np.float32)
    for row in range(len(matrix)):
        middle = row * _SHRINK + _SHRINK // 2
        matrix[row, middle - 1 : middle + 1] = 0.5
    return matrix
