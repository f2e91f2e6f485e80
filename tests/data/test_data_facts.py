"""What is known of a case: counts and statistics against NumPy, hashes that tell same and alike from different."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seglab.data.cases import Sample
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint, difference_hash, examine
from seglab.data.preprocessing.intensity_stats import intensity_stats_of
from seglab.task import Task

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "image",
    [
        RNG.integers(3, 200, (50, 40, 3), dtype=np.uint8),
        RNG.integers(0, 60_000, (30, 20, 10, 2), dtype=np.uint16),
        RNG.normal(size=(9, 8, 7, 1)).astype(np.float32),
        np.full((4, 5, 6), 9, np.uint8),
        np.arange(2, dtype=np.uint8).reshape(2, 1, 1),
        RNG.integers(0, 256, (50, 40, 3), dtype=np.uint8)[::2, ::-3],
    ],
)
def test_levels_are_those_of_numpy(image):
    flat = image.reshape(-1, image.shape[-1]).astype(float)
    low, high = np.percentile(flat, [0.5, 99.5], axis=0)
    clipped = np.clip(flat, low, high)
    wanted = [flat.min(0), flat.max(0), flat.mean(0), flat.std(0), low, high, clipped.mean(0), clipped.std(0)]
    np.testing.assert_allclose(intensity_stats_of(image), wanted, rtol=1e-6, atol=1e-9)


def test_facts_by_hand_and_through_json():
    image = np.array([[[0], [10]], [[20], [30]]], np.uint8)
    mask = np.array([[0, 1], [1, 255]], np.uint8)
    facts = examine(Sample(image, mask, (1.0, 2.0)), Task(2, 1, ("a", "b", "c")))
    assert (facts.shape, facts.dtype, facts.spacing) == ((2, 2), "uint8", (1.0, 2.0))
    assert (facts.class_pixels, facts.ignored) == ((1, 2, 0), 1)
    assert facts.intensity[:3] == ((0.0,), (30.0,), (15.0,))
    assert facts.intensity.std == pytest.approx((np.sqrt(125),))
    assert facts.share_of((1, 2)) == pytest.approx(2 / 3)
    assert np.isnan(examine(Sample(image, None, (1.0, 1.0)), Task(2, 1, ("a", "b"))).share_of((1,)))
    assert CaseFingerprint.from_dict(json.loads(json.dumps(facts.to_dict()))) == facts


def test_equal_images_have_equal_hashes_and_others_have_not():
    def hashed(image):
        return examine(Sample(image, None, (1.0, 1.0)), Task(2, 1, ("a", "b"))).image_hash

    image = RNG.integers(0, 256, (140, 130, 1), dtype=np.uint8)
    turned = image[::-1].copy()  # the same numbers in another order
    one = image.copy()
    one[3, 4] ^= 1
    words = np.arange(len(image.ravel()) // 8)
    across, down = words.copy(), words.copy()
    across[[5, 900]], down[[7, 7 + 8192 // 8]] = [900, 5], [7 + 8192 // 8, 7]  # two words change places
    swapped = [image.ravel().view(np.uint64)[order].view(np.uint8).reshape(image.shape) for order in (across, down)]
    others = [image, turned, one, *swapped, image.reshape(130, 140, 1), image.astype(np.uint16)]
    hashes = [hashed(other) for other in others]
    assert len(set(hashes)) == len(others)
    assert hashed(image.copy()) == hashes[0]


def test_a_look_survives_noise_and_size_and_differs_between_scenes():
    import cv2

    def scene(seed):
        rough = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        return cv2.resize(rough, (800, 600), interpolation=cv2.INTER_CUBIC)

    def apart(one, other):
        return (difference_hash(one) ^ difference_hash(other)).bit_count()

    image = scene(0)
    noisy = np.clip(image.astype(int) + RNG.integers(-9, 10, image.shape), 0, 255).astype(np.uint8)
    assert apart(image, noisy) <= 4
    assert apart(image, cv2.resize(image, (400, 300), interpolation=cv2.INTER_AREA)) <= 4
    assert all(apart(image, scene(seed)) > 12 for seed in range(1, 6))
