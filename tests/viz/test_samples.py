"""The picture of training samples: what is drawn is read back from its pixels."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.task import Task
from seglab.viz.training_samples import augmented_samples


def _drawn(figure):
    figure.canvas.draw()
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def _pair(size, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    mask[tuple(slice(n // 4, n // 2) for n in size)] = 1
    return rng.normal(size=(*size, channels)).astype(np.float32), mask


@pytest.mark.parametrize(("size", "channels"), [((24, 32), 3), ((20, 20), 1), ((12, 16, 8), 2)])
def test_classes_are_filled_outlined_and_the_rest_is_the_image(size, channels):
    task = Task(len(size), channels, ("background", "object"), class_colors=((0, 0, 0), (255, 0, 0)))
    image, mask = _pair(size, channels)
    figure = augmented_samples([(image, mask)] * 16, task)
    drawn = _drawn(figure)
    assert len(drawn) == 16
    shown = mask if len(size) == 2 else mask[:, :, 3].T  # z: 2 and 3 hold foreground, both as far from its middle
    assert drawn[0].shape[:2] == shown.shape
    red = (drawn[0] == [1, 0, 0]).all(axis=-1)
    inside = np.argwhere(shown == 1)
    low, high = inside.min(axis=0), inside.max(axis=0)
    outline = (shown == 1).copy()
    outline[low[0] + 1 : high[0], low[1] + 1 : high[1]] = False
    assert np.array_equal(red, outline)
    # Outside of the object nothing is laid over the image: grey stays grey.
    if channels != 3:
        assert (np.ptp(drawn[0][shown == 0], axis=-1) == 0).all()
    # Within, 30% of it is red: at least that much, and 70% of what the image has of green at most.
    filled = drawn[0][(shown == 1) & ~red]
    assert filled[:, 0].min() >= 0.3 - 1e-6
    assert filled[:, 1].max() <= 0.7 + 1e-6


def test_what_is_ignored_is_striped_and_named():
    task = Task(2, 1, ("background", "object"))
    image, mask = _pair((32, 32))
    named = [text.get_text() for text in augmented_samples([(image, mask)], task).legends[0].get_texts()]
    assert named == ["object"]
    mask[:, :8] = 255
    figure = augmented_samples([(image, mask)], task)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["object", "ignored"]
    [drawn] = _drawn(figure)
    assert np.unique(drawn[:, :8]).tolist() == pytest.approx([150 / 255, 0.85])


def test_every_class_of_a_road_scene_is_named():
    task = Task(2, 3, ("sky", "road", "car"), unscored=())
    image, mask = _pair((16, 24), 3)
    figure = augmented_samples([(image, mask)] * 5, task)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "road", "car"]
    assert figure.get_suptitle() == "Training samples, after augmentation"
    assert len(_drawn(figure)) == 5


def test_voxels_have_their_shape():
    task = Task(3, 1, ("background", "object"))
    figure = augmented_samples([_pair((10, 20, 6))], task, spacing=(2.0, 0.5, 5.0))
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (right - left, top - bottom) == (20.0, 10.0)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no samples"):
        augmented_samples([], Task(2, 1, ("a", "b")))
