"""The built-in data: hard for a threshold, the same for ever, as many classes and as much foreground as asked for."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from seglab.data.synthetic.shapes import Synthetic2D, Synthetic3D
from seglab.errors import ConfigError


@pytest.fixture(scope="module")
def images():
    source = Synthetic2D()
    return [source.read(case) for case in source.cases]


@pytest.fixture(scope="module")
def volumes():
    source = Synthetic3D(count=6)
    return [source.read(case) for case in source.cases]


def _dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def _otsu_dice(sample):
    grey = sample.image[..., 0]
    return _dice(grey > threshold_otsu(grey), sample.mask > 0)


def test_otsus_threshold_fails(images, volumes):
    assert np.mean([_otsu_dice(sample) for sample in images]) < 0.6
    assert np.mean([_otsu_dice(sample) for sample in volumes]) < 0.6


def test_no_threshold_works_even_when_chosen_with_the_truth(images):
    best = [
        max(_dice(sample.image[..., 0] > level, sample.mask > 0) for level in range(20, 240, 10))
        for sample in images[:30]
    ]
    assert np.mean(best) < 0.7


def test_every_image_has_1_to_20_percent_foreground(images, volumes):
    for sample in [*images, *volumes]:
        assert 0.01 <= (sample.mask > 0).mean() <= 0.20


def test_shapes_and_types(images, volumes):
    assert len(images) == 200
    assert {sample.image.shape for sample in images} == {(128, 128, 1)}
    assert {sample.image.shape for sample in volumes} == {(64, 64, 64, 1)}
    for sample in (images[0], volumes[0]):
        assert (sample.image.dtype, sample.mask.dtype) == (np.uint8, np.uint8)
        assert sample.mask.shape == sample.image.shape[:-1]
        assert sample.spacing == (1.0,) * sample.mask.ndim
        # Neither nearly black nor nearly white, and not clipped.
        assert np.mean((sample.image == 0) | (sample.image == 255)) < 0.02


def test_objects_are_brighter_than_background_and_distractors_as_bright(images):
    inside = np.mean([sample.image[sample.mask > 0].mean() for sample in images])
    outside = np.mean([sample.image[sample.mask == 0].mean() for sample in images])
    assert inside > outside + 20
    # More bright pixels outside of the objects than inside.
    level = np.mean([np.median(sample.image[sample.mask > 0]) for sample in images])
    bright_outside = np.mean([(sample.image[sample.mask == 0] > level).sum() for sample in images])
    bright_inside = np.mean([(sample.image[sample.mask > 0] > level).sum() for sample in images])
    assert bright_outside > 0.5 * bright_inside


def _grain(grey):
    """Size of what is a few pixels wide."""
    return np.abs(ndimage.gaussian_filter(grey, 1.0) - ndimage.gaussian_filter(grey, 2.5))


def test_objects_are_grainier_under_noise_and_a_bias_field(images):
    greys = [sample.image[..., 0].astype(float) for sample in images[:50]]
    inside, outside = (
        np.mean([_grain(grey)[(sample.mask > 0) == wanted].mean() for grey, sample in zip(greys, images, strict=False)])
        for wanted in (True, False)
    )
    assert inside > 1.5 * outside
    # Noise differs from pixel to pixel: by 0.05 × 255 = 13 of 255 here, by the wide mean almost nothing.
    fine = [grey - ndimage.uniform_filter(grey, 3) for grey in greys]
    noise = [np.std(f[sample.mask == 0]) for f, sample in zip(fine, images, strict=False)]
    assert 8 < np.mean(noise) < 18
    # The background of one image differs from corner to corner.
    ends = (slice(32), slice(96, 128))
    corners = [[np.median(s.image[rows, columns]) for rows in ends for columns in ends] for s in images[:50]]
    assert np.median(np.ptp(corners, axis=1)) > 20


@pytest.mark.parametrize("kind", [Synthetic2D, Synthetic3D])
def test_a_case_depends_on_seed_and_index_alone(kind):
    few, many = kind(count=3), kind(count=300)
    one, other = few.read(few.cases[2]), many.read(many.cases[2])
    assert few.cases[2].id != many.cases[2].id  # as many digits as the count needs
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.mask, other.mask)
    again = few.read(few.cases[2])
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, few.read(few.cases[1]).image)
    assert not np.array_equal(one.image, kind(count=3, seed=1).read(few.cases[2]).image)
    assert few.read_image(few.cases[0]).mask is None


def test_digests_tell_settings_apart():
    digests = [
        Synthetic2D(count=4).digest(),
        Synthetic2D(count=5).digest(),
        Synthetic2D(count=4, seed=1).digest(),
        Synthetic2D(count=4, classes=3).digest(),
        Synthetic2D(count=4, foreground=(0.05, 0.06)).digest(),
        Synthetic2D(count=4, image_size=(64, 64)).digest(),
        Synthetic3D(count=4, image_size=(32, 32, 32)).digest(),
    ]
    assert len(set(digests)) == len(digests)
    assert Synthetic2D(count=4).digest() == digests[0]


@pytest.mark.parametrize("kind", [Synthetic2D, Synthetic3D])
def test_options(kind):
    size = (48, 40, 32)[: kind.rank]
    source = kind(count=8, image_size=size, classes=4, foreground=(0.1, 0.12), seed=3)
    samples = [source.read(case) for case in source.cases]
    assert source.task.class_names == ("background", "object_1", "object_2", "object_3")
    assert kind(count=1).task.class_names == ("background", "object")
    assert {sample.mask.shape for sample in samples} == {size}
    assert set(np.unique([sample.mask for sample in samples])) == {0, 1, 2, 3}
    pixels = np.prod(size)
    for sample in samples:
        assert 0.1 - 1 / pixels <= (sample.mask > 0).mean() <= 0.12 + 1 / pixels
    assert source.describe_files(source.cases[7]) == f"generated: {kind.name}, seed 3, index 7"
    assert len({case.group for case in source.cases}) == 8


def test_a_single_pixel_of_foreground_can_be_asked_for():
    source = Synthetic2D(count=20, image_size=(16, 16), foreground=(0.001, 0.001))
    assert {int((source.read(case).mask > 0).sum()) for case in source.cases} == {1}
    # Distractors are as rare: most of every image is the darker background.
    assert max(np.median(source.read(case).image) for case in source.cases) < 0.45 * 255


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"image_size": (128,)}, "data.image_size"),
        ({"image_size": (128, 8)}, "data.image_size"),
        ({"classes": 1}, "data.classes"),
        ({"classes": 9}, "data.classes"),
        ({"foreground": (0.2, 0.1)}, "data.foreground"),
        ({"foreground": (0.0, 0.1)}, "data.foreground"),
        ({"foreground": (0.1,)}, "data.foreground"),
        ({"foreground": (0.1, 0.9)}, "data.foreground"),
    ],
)
def test_options_that_cannot_be_generated_are_refused(options, key):
    with pytest.raises(ConfigError) as caught:
        Synthetic2D(**options)
    assert caught.value.where == key


def test_generation_is_fast():
    source = Synthetic2D()
    start = time.process_time()
    for case in source.cases:
        source.read(case)
    # About 0.8 s of one core for all 200; the limit leaves room for slow machines.
    assert time.process_time() - start < 4
