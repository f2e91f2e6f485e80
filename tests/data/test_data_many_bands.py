"""Images of more bands than OpenCV takes (4, 64, 128 or 512, by function and version): as if each band were alone."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from seglab.data.augment import Augment
from seglab.data.augment.boxes import drop
from seglab.data.augment.intensity import blur
from seglab.data.loading.sampler import Normalization
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.preprocessing.geometry import CHANNELS_AT_ONCE, resize_image
from seglab.data.preprocessing.intensity_stats import histograms, intensity_stats_of
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.sources.image_folder import ImageFolder
from seglab.inference.image_statistics import image_statistics
from seglab.task import Task

BANDS = [5, CHANNELS_AT_ONCE + 1, 150, *(pytest.param(n, marks=pytest.mark.slow) for n in (12, 129, 600))]
RNG = np.random.default_rng(0)


@pytest.fixture(params=[np.uint8, np.uint16, np.float32], ids=lambda dtype: dtype.__name__)
def dtype(request):
    return request.param


def _image(bands, dtype, size=(20, 24)):
    return RNG.integers(0, 200, (*size, bands)).astype(dtype)


@pytest.mark.parametrize("bands", BANDS)
def test_files_statistics_and_facts(tmp_path, bands, dtype):
    image = _image(bands, dtype)
    for name, pixels in (("images", image), ("masks", (image[..., 0] > 100).astype(np.uint8))):
        (tmp_path / name).mkdir()
        planar = "contig" if pixels.ndim == 3 else None
        tifffile.imwrite(tmp_path / name / "a.tif", pixels, photometric="minisblack", planarconfig=planar)
    source = ImageFolder(root=str(tmp_path), label_values=(0, 1))
    sample = source.read(source.cases[0])
    assert source.task.channels == bands
    assert sample.image.dtype == dtype
    assert np.array_equal(sample.image, image)
    levels = intensity_stats_of(sample.image)
    flat = image.reshape(-1, bands).astype(float)
    assert levels.mean == pytest.approx(flat.mean(axis=0))
    assert levels.std == pytest.approx(flat.std(axis=0))
    assert levels.low == pytest.approx(np.percentile(flat, 0.5, axis=0))
    assert examine(sample, source.task).intensity.maximum == tuple(flat.max(axis=0))
    if dtype == np.uint8:
        assert np.array_equal(histograms(image)[-1], np.bincount(image[..., -1].ravel(), minlength=256))


@pytest.mark.parametrize("bands", BANDS)
@pytest.mark.parametrize("mode", ["scale", "standard", "zscore"])
def test_normalisation_and_size(bands, dtype, mode):
    image = _image(bands, dtype)
    numbers = tuple(np.linspace(0.1, 0.9, bands)) if mode == "standard" else ()
    preprocessing = Preprocessing(mode, bands, 255.0, numbers, numbers)
    out = np.empty(image.shape, np.float32)
    Normalization(preprocessing)(image, intensity_stats_of(image), out)
    assert out == pytest.approx(preprocessing.apply(image), abs=1e-4)
    for size in ((7, 9), (33, 40), (10, 60)):
        resized = resize_image(image, size)
        assert resized.dtype == dtype
        for band in (0, bands // 2, bands - 1):
            alone = resize_image(image[..., band : band + 1], size)[..., 0]
            assert np.abs(resized[..., band].astype(float) - alone).max() <= (1e-3 if dtype == np.float32 else 1)


@pytest.mark.parametrize("bands", BANDS)
def test_every_band_is_augmented_alike(bands):
    """Bands that are equal before are equal after warp, blur and dropout, which know nothing of colour."""
    one = RNG.standard_normal((32, 40, 1)).astype(np.float32)
    image, mask = np.repeat(one, bands, axis=2), (one[..., 0] > 0).astype(np.uint8)
    sigmas = np.array([1.5, 0.8])
    assert blur(image, sigmas) == pytest.approx(np.repeat(blur(one, sigmas), bands, axis=2), abs=1e-6)
    augment = Augment(Task(2, bands, ("a", "b")), affine=1, elastic=1, grid=1, intensity=1, color=0, noise=0)
    for seed in range(3):
        changed, _ = augment(image, mask, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert np.abs(changed - changed[..., :1]).max() < 1e-4
        assert np.abs(changed - image).max() > 0.1
        dropped = drop(image, np.random.default_rng(seed))
        assert np.abs(dropped - dropped[..., :1]).max() < 1e-5
    strong = Augment(Task(2, bands, ("a", "b")), intensity=1, elastic=1)
    assert np.isfinite(strong(image, mask, np.random.default_rng(0))[0]).all()


def test_bands_of_a_photograph_go_the_same_way_as_those_of_many():
    """The groups that channels are worked on in change no number."""
    many = _image(200, np.uint8)
    out = np.empty(many.shape, np.float32)
    preprocessing = Preprocessing("standard", 200, 255.0, (0.4,) * 200, (0.2,) * 200)
    Normalization(preprocessing)(many, intensity_stats_of(many), out)
    few = np.empty((*many.shape[:2], 3), np.float32)
    Normalization(Preprocessing("standard", 3, 255.0, (0.4,) * 3, (0.2,) * 3))(
        many[..., :3], intensity_stats_of(many), few
    )
    assert np.array_equal(out[..., :3], few)


def test_the_statistics_that_a_model_is_watched_by():
    """OpenCV 5 counts no histogram of an array of more than 128 channels: a run on 150 bands of 8 bits ended there."""
    image = np.random.default_rng(0).integers(0, 200, (16, 20, 150)).astype(np.uint8)
    found, few = image_statistics(image), image_statistics(np.ascontiguousarray(image[..., :128]))
    assert found["mean"] == pytest.approx(image.mean())
    assert found["mean_3"] == few["mean_3"] == pytest.approx(image[..., 3].mean())
    assert found["sd"] == pytest.approx(image.std())
