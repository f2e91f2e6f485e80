"""Surface distances and components: golden values by hand, slow references, and the packages that they agree with."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from drawn_masks import NAN, at
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from seglab.metrics import surface
from seglab.metrics.connected_components import Ignored, match_components
from seglab.metrics.surface import element_sizes, surface_scores


def test_two_pixels_by_hand() -> None:
    # One pixel each, 2 rows of 0.5 mm and 3 columns of 2 mm apart: √(1² + 6²). All three distances are that one.
    scores = surface_scores(at((5, 6), (0, 1)), at((5, 6), (2, 4)), (0.5, 2.0), 1.0)
    assert scores.hd95 == scores.assd == pytest.approx(math.sqrt(37))
    assert scores.nsd == 0
    assert surface_scores(at((5, 6), (0, 1)), at((5, 6), (2, 4)), (0.5, 2.0), 6.1).nsd == 1


def test_a_line_one_longer_by_hand() -> None:
    # Truth 4 pixels, prediction the same and one more. From the truth 0,0,0,0; back 0,0,0,0,1.
    # HD95: 95th percentile of five numbers 0,0,0,0,1 is at place 3.8: 0.8. ASSD: 1 / 9.
    truth, longer = at((1, 9), *[(0, i) for i in range(2, 6)]), at((1, 9), *[(0, i) for i in range(2, 7)])
    for pair in ((truth, longer), (longer, truth)):
        scores = surface_scores(*pair, (1.0, 1.0), 0.0)
        assert scores.hd95 == pytest.approx(0.8)
        assert scores.assd == pytest.approx(1 / 9)


def test_surface_dice_of_two_squares_by_hand() -> None:
    # A square of 2×2 mm in pixels of 1 mm has on its outline 4 corners of √½ each and 4 sides of 1: 4 + 2√2.
    # Shifted by one column, corners and middles of the one lie on the other or 1 mm off: at a tolerance of 0 the
    # points that both have count: 2 of the 3 columns of 3 points, top and bottom straight or corner.
    one, other = at((5, 6), (1, 1), (1, 2), (2, 1), (2, 2)), at((5, 6), (1, 2), (1, 3), (2, 2), (2, 3))
    assert surface_scores(one, other, (1.0, 1.0), 1.0).nsd == 1
    corner = math.sqrt(0.5)
    # Of the left square, common points are the right column (corner, 1, corner) less its middle, which is inside of
    # the other, and the middle column's top and bottom (1 and 1), which are corners of the other.
    near = 2 * (2 * corner + 2 * 1)
    assert surface_scores(one, other, (1.0, 1.0), 0.0).nsd == pytest.approx(near / (2 * (4 + 4 * corner)))


def test_a_distance_of_just_the_tolerance_is_within_it() -> None:
    # 0.8 · 7 - 0.8 · 6 is 0.8000000000000007.
    for row in range(9):
        assert surface_scores(at((11, 1), (row, 0)), at((11, 1), (row + 1, 0)), (0.8, 1.0), 0.8).nsd == 1


@pytest.mark.parametrize("rank", [2, 3])
def test_the_rule_for_what_is_not_there(rank: int) -> None:
    empty, full = np.zeros((4,) * rank, bool), np.ones((4,) * rank, bool)
    spacing = (1.0,) * rank
    np.testing.assert_equal(tuple(surface_scores(empty, empty, spacing, 1.0)), (NAN, NAN, NAN))
    np.testing.assert_equal(tuple(surface_scores(full, empty, spacing, 1.0)), (NAN, NAN, 0.0))
    np.testing.assert_equal(tuple(surface_scores(empty, full, spacing, 1.0)), (NAN, NAN, 0.0))
    assert surface_scores(full, full, spacing, 0.0) == (0, 0, 1)


def test_sizes_of_elements_by_hand() -> None:
    # 2D, pixels of 2 (rows) by 3 (columns): one pixel set cuts a corner off, √(1² + 1.5²); two in a row leave a side
    # along the columns, 3; two in a column one along the rows, 2.
    lengths = element_sizes((2.0, 3.0))
    assert lengths[0] == lengths[15] == 0
    assert lengths[0b0001] == lengths[0b1110] == pytest.approx(math.hypot(1, 1.5))
    assert lengths[0b0011] == 3
    assert lengths[0b0101] == 2
    assert lengths[0b0110] == pytest.approx(2 * math.hypot(1, 1.5))
    # 3D: one voxel of eight: the triangle through the middles of three edges, half the length of a cross product.
    areas = element_sizes((1.0, 2.0, 3.0))
    corner = np.linalg.norm(np.cross([-0.5, 1, 0], [-0.5, 0, 1.5])) / 2
    assert areas[0] == areas[255] == 0
    assert areas[0b00000001] == areas[0b01111111] == pytest.approx(corner)
    assert areas[0b00001111] == pytest.approx(6)  # a plane across the first axis: 2 · 3
    assert areas[0b00110011] == pytest.approx(3)
    assert areas[0b01010101] == pytest.approx(2)
    np.testing.assert_allclose(areas, areas[::-1])  # inside out, the surface is the same


def test_a_sphere_has_about_its_area_whatever_the_voxels() -> None:
    for spacing in ((1.0, 1.0, 1.0), (0.5, 1.0, 2.0)):
        axes = [np.arange(-14, 14 + step, step) for step in spacing]
        ball = sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")) < 10**2
        codes = surface._neighbours(np.pad(ball, 1))
        area = element_sizes(spacing)[codes].sum()
        assert area == pytest.approx(4 * math.pi * 10**2, rel=0.2)  # and not half: steps make it too large


def slow(truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]) -> tuple[float, float]:
    """HD95 and ASSD with every pair of surface points."""

    def edge(mask: np.ndarray) -> np.ndarray:
        points = []
        for place in itertools.product(*map(range, mask.shape)):
            if not mask[place]:
                continue
            for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
                other = tuple(p + step * (a == axis) for a, p in enumerate(place))
                if not all(0 <= p < side for p, side in zip(other, mask.shape, strict=True)) or not mask[other]:
                    points.append(place)
                    break
        return np.array(points) * spacing

    a, b = edge(truth), edge(prediction)
    pairs = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=-1))
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    return max(np.percentile(there, 95), np.percentile(back, 95)), np.concatenate([there, back]).mean()


masks = st.integers(2, 3).flatmap(
    lambda rank: st.tuples(
        *[hnp.arrays(bool, (5, 4, 3)[:rank], elements=st.booleans())] * 2,
        st.tuples(*[st.sampled_from([0.4, 1.0, 3.1])] * rank),
    )
)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_against_every_pair_of_points(drawn: tuple) -> None:
    truth, prediction, spacing = drawn
    if not truth.any() or not prediction.any():
        return
    scores = surface_scores(truth, prediction, spacing, 1.0)
    np.testing.assert_allclose(scores[:2], slow(truth, prediction, spacing), atol=1e-9)
    # Which of the two is the truth makes no difference, nor does what is far away.
    np.testing.assert_allclose(scores, surface_scores(prediction, truth, spacing, 1.0), atol=1e-12)
    wide = [np.pad(mask, ((3, 2),) * mask.ndim) for mask in (truth, prediction)]
    np.testing.assert_allclose(scores, surface_scores(*wide, spacing, 1.0), atol=1e-12)
    assert surface_scores(truth, truth, spacing, 0.0) == (0, 0, 1)


def random_pair(seed: int, rank: int) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Two smooth random masks and an anisotropic spacing."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(9, 24, rank))
    first, second = (ndimage.gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(2))
    return first > 0.05, first + 0.7 * second > 0.08, tuple(float(s) for s in rng.uniform(0.3, 4, rank))


@pytest.mark.parametrize("rank", [2, 3])
def test_the_tree_and_the_transform_agree(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        pair = random_pair(seed, rank)
        results = []
        for sparse in (0.0, 1.0):
            monkeypatch.setattr(surface, "_SPARSE", sparse)
            results.append(surface_scores(*pair, 1.0))
        np.testing.assert_allclose(*results, atol=1e-9)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_surface_dice_is_deepminds(seed: int, rank: int) -> None:
    theirs = pytest.importorskip("surface_distance", reason="pip install surface-distance, to compare with it")
    truth, prediction, spacing = random_pair(seed, rank)
    measured = theirs.compute_surface_distances(truth, prediction, spacing)
    for tolerance in (0.0, 0.8, 2.0):
        expected = theirs.compute_surface_dice_at_tolerance(measured, tolerance)
        assert surface_scores(truth, prediction, spacing, tolerance).nsd == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_distances_and_surface_dice_are_monais(seed: int, rank: int) -> None:
    metrics = pytest.importorskip("monai.metrics", reason="pip install monai, to compare with it")
    import torch

    truth, prediction, spacing = random_pair(seed, rank)
    both = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, truth)]
    hd95 = metrics.compute_hausdorff_distance(*both, include_background=True, percentile=95, spacing=spacing)
    assd = metrics.compute_average_surface_distance(*both, include_background=True, symmetric=True, spacing=spacing)
    nsd = metrics.compute_surface_dice(
        *both, class_thresholds=[1.5], include_background=True, spacing=spacing, use_subvoxels=True
    )
    expected = [float(value.squeeze()) for value in (hd95, assd, nsd)]
    np.testing.assert_allclose(surface_scores(truth, prediction, spacing, 1.5), expected, rtol=1e-6, atol=1e-6)


def balls(rank: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """One of radius 8 as the truth, one of radius 10 as the prediction, in a box of 30."""
    away = np.sqrt(sum((axis - 14.5 - shift) ** 2 for axis in np.mgrid[(slice(30),) * rank]))
    return away < 8, away < 10


@pytest.mark.parametrize("rank", [2, 3])
def test_a_surface_that_the_ignored_region_cuts_is_no_agreement(rank: int) -> None:
    """Half, a strip, a corner or some specks ignored: the scores stay about what the whole gives. Setting both masks to
    background there made a common surface along the cut: a surface Dice of .43 for .13, an ASSD of 1.2 for 1.9."""
    truth, prediction = balls(rank)
    spacing = (1.0,) * rank
    whole = surface_scores(truth, prediction, spacing, 1.0)
    half, strip, corner = (np.zeros_like(truth) for _ in range(3))
    half[:15] = True
    strip[:, 12:16] = True
    corner[(slice(15),) * rank] = True
    specks = np.random.default_rng(0).random(truth.shape) < 0.005
    for ignored in (half, strip, corner, specks, half.swapaxes(0, 1)):
        found = surface_scores(truth, prediction, spacing, 1.0, ignored)
        np.testing.assert_allclose(found[:2], whole[:2], rtol=0.02)
        assert found.nsd == pytest.approx(whole.nsd, abs=0.03)
        assert surface_scores(truth, truth, spacing, 0.0, ignored) == (0, 0, 1)


def test_what_is_nearest_to_a_hidden_surface_is_left_out_by_hand() -> None:
    # A bar of 11 rows goes from column 2 into an ignored region at column 12, who knows how far. The prediction ends at
    # column 10, a column before that. Of its end the places in rows 2 to 8 are nearest to where the truth is cut, so no
    # distance is known (to the nearest seen piece it would be up to 5). Those in rows 1 and 9 are as near, 1, to the
    # seen edges, as are the last places of the truth's edges to the prediction's. The rest lies on each other.
    # Of the truth count 2 · 10 places of the edges and 9 of the left end, of the prediction 2 · 9, 9 and the two.
    truth, prediction, ignored = (np.zeros((15, 20), bool) for _ in range(3))
    truth[2:13, 2:14] = prediction[2:13, 2:11] = ignored[:, 12:] = True
    for pair in ((truth, prediction), (prediction, truth)):
        found = surface_scores(*pair, (1.0, 1.0), 0.0, ignored)
        assert found.assd == pytest.approx(4 / (29 + 29))
        assert found.hd95 == pytest.approx(0.6)  # place 26.6 of 27 zeros and two ones
    # Nothing but ignored pixels around the truth: no surface of it is seen, and no score is left.
    truth, prediction, ignored = (np.zeros((12, 12), bool) for _ in range(3))
    ignored[2:10, 2:10] = True
    ignored[4:8, 4:8] = False
    truth[4:8, 4:8] = prediction[4:8, 4:7] = True
    assert np.isnan(surface_scores(truth, prediction, (1.0, 1.0), 1.0, ignored)).all()
    # A hole of ignored pixels within the class is taken to be of it.
    truth, ignored = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
    truth[2:10, 2:10] = True
    ignored[5:7, 5:7] = True
    smaller = truth.copy()
    smaller[:4] = False
    assert surface_scores(truth, smaller, (1.0, 1.0), 1.0, ignored) == surface_scores(truth, smaller, (1.0, 1.0), 1.0)


cut_masks = st.integers(2, 3).flatmap(
    lambda rank: st.tuples(
        *[hnp.arrays(bool, (6, 5, 4)[:rank], elements=st.booleans())] * 4,
        st.tuples(*[st.sampled_from([0.4, 1.0, 3.1])] * rank),
    )
)


@settings(max_examples=80, deadline=None)
@given(cut_masks)
def test_nothing_depends_on_what_is_stated_of_the_ignored(drawn: tuple) -> None:
    truth, prediction, other, ignored, spacing = drawn
    found = surface_scores(truth, prediction, spacing, 1.0, ignored)
    changed = surface_scores(np.where(ignored, other, truth), prediction ^ (other & ignored), spacing, 1.0, ignored)
    np.testing.assert_equal(tuple(found), tuple(changed))
    np.testing.assert_allclose(found, surface_scores(prediction, truth, spacing, 1.0, ignored), atol=1e-12)
    flipped = [np.flip(mask, 1) for mask in (truth, prediction)]
    np.testing.assert_allclose(found, surface_scores(*flipped, spacing, 1.0, np.flip(ignored, 1)), atol=1e-12)
    nothing = np.zeros_like(truth)
    np.testing.assert_equal(
        surface_scores(truth, prediction, spacing, 1.0, nothing), surface_scores(truth, prediction, spacing, 1.0)
    )
    if ignored.all():
        return
    masks = [mask & ~ignored for mask in (truth, prediction)]
    counts = match_components(*masks, Ignored(ignored, spacing))
    for axis in range(truth.ndim):
        turned = [np.flip(mask, axis) for mask in (*masks, ignored)]
        assert match_components(*turned[:2], Ignored(turned[2], spacing)) == counts
    # What is ignored joins components, and makes none.
    assert all(now <= before for now, before in zip(counts, match_components(*masks), strict=True))
