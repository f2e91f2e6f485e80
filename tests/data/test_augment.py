"""Augmentation: a mask drawn into the image comes back as its own threshold, and the generator decides everything."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from augment_kinds import OFF, TASKS, _blob, _noise
from scipy import ndimage

from seglab.data.augment import Augment, none
from seglab.data.randomness import generator
from seglab.errors import ConfigError
from seglab.task import Task

CONF = Path(__file__).parents[2] / "conf" / "augment"


GROUPS = ["light", "strong", "road", "microscopy", "mri"]


def _from_yaml(option, rank, channels=1):
    settings = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    own = {key: value for key, value in settings.items() if key not in ("name", "_target_")}
    if option == "road" and rank == 3:
        own["axes"] = [0]
    return Augment(Task(rank, channels, ("background", "object")), **own)


@pytest.mark.parametrize(
    "settings",
    [
        {"flip": 0.5, "rotate90": 0.5},
        {"flip": 1.0},
        {"rotate90": 1.0, "axes": [0, 1]},
        {"rotate90": 1.0, "axes": "all"},
    ],
)
@pytest.mark.parametrize("size", [(24, 24), (24, 17), (12, 12, 12), (12, 9, 12)])
def test_turns_move_image_and_mask_exactly_alike(settings, size):
    rank = len(size)
    axes = list(range(rank)) if settings.get("axes") == "all" else settings.get("axes")
    augment = Augment(TASKS[rank], **{**OFF, **settings, "axes": axes})
    mask = _blob(size)
    image = mask[..., None].astype(np.float32)
    moved = 0
    for draw in range(20):
        out, out_mask = augment(image, mask, generator(0, draw))
        assert out.shape == image.shape
        assert np.array_equal(out[..., 0] > 0.5, out_mask == 1)
        moved += not np.array_equal(out_mask, mask)
    # Quarter turns alone leave a plane with unequal sides as it is.
    sides = [size[axis] for axis in axes or ()]
    assert (moved > 2) == ("flip" in settings or len(set(sides)) < len(sides))


@pytest.mark.parametrize(
    "settings",
    [
        {"affine": 1.0, "rotate_degrees": 45.0, "scale": 0.3, "shift": 0.1},
        {"elastic": 1.0},
        {"elastic": 1.0, "elastic_pixels": 3.0},
        {"grid": 1.0},
    ],
)
@pytest.mark.parametrize("size", [(96, 96), (80, 110)])
def test_warps_move_image_and_mask_alike(settings, size):
    augment = Augment(TASKS[2], **{**OFF, **settings})
    # What is two pixels thin may be lost where a grid is narrowed.
    mask = ndimage.binary_opening(_blob(size), np.ones((4, 4))).astype(np.uint8)
    for draw in range(10):
        out, out_mask = augment(mask[..., None].astype(np.float32), mask, generator(1, draw))
        inside = out_mask == 1
        border = ndimage.binary_dilation(inside, np.ones((3, 3))) & ~ndimage.binary_erosion(inside, np.ones((3, 3)))
        differs = (out[..., 0] > 0.5) != inside
        # The two may differ in the pixels at the border, by what OpenCV rounds positions to, and nowhere else.
        assert not differs[(out_mask != 255) & ~border].any()
        assert (differs & (out_mask != 255)).sum() < 0.1 * border.sum()
        assert not np.array_equal(out_mask, mask)
        assert set(np.unique(out_mask)) <= {0, 1, 255}


def test_a_deformation_of_an_image_is_as_strong_as_it_says():
    # Two ramps tell where each pixel comes from.
    ramps = np.stack(np.meshgrid(np.arange(160), np.arange(128), indexing="ij"), axis=-1).astype(np.float32)
    mask = np.zeros(ramps.shape[:2], np.uint8)
    for pixels in (1.0, 2.0):
        augment = Augment(Task(2, 2, ("a", "b")), **{**OFF, "elastic": 1.0, "elastic_pixels": pixels})
        outs = [augment(ramps, mask, generator(0, draw))[0] - ramps for draw in range(40)]
        edge = round(4 * pixels)
        inner = np.stack(outs)[:, edge:-edge, edge:-edge]
        assert np.sqrt(np.mean(np.square(inner))) == pytest.approx(pixels, rel=0.1)
        assert np.abs(np.diff(inner, axis=1)).mean() < 0.15
        # Close to the edges no more than within.
        assert np.sqrt(np.mean(np.square(inner[:, :2]))) < 1.3 * pixels


def test_scaling_an_image_keeps_its_shape():
    square = np.zeros((96, 96), np.uint8)
    square[24:72, 24:72] = 1
    augment = Augment(TASKS[2], **{**OFF, "affine": 1.0, "rotate_degrees": 0.0, "scale": 0.4})
    sides = set()
    for draw in range(20):
        _, out = augment(square[..., None].astype(np.float32), square, generator(0, draw))
        height, width = (np.ptp(np.flatnonzero((out == 1).any(axis=axis))) + 1 for axis in (1, 0))
        assert abs(int(height) - int(width)) <= 1
        sides.add(int(height))
    assert min(sides) >= 48 * 0.6 - 1
    assert max(sides) <= 48 * 1.4 + 1
    assert max(sides) - min(sides) > 20


@pytest.mark.parametrize("size", [(24, 17), (9, 12, 9)])
def test_without_probabilities_nothing_changes(size):
    image, mask = _noise(size, 2), _blob(size)
    for draw in range(5):
        out, out_mask = Augment(Task(len(size), 2, ("a", "b")), **OFF)(image, mask, generator(0, draw))
        assert np.array_equal(out, image)
        assert np.array_equal(out_mask, mask)
        assert (out.dtype, out_mask.dtype) == (np.float32, np.uint8)


def test_what_comes_from_outside_is_ignored():
    augment = Augment(TASKS[2], **{**OFF, "affine": 1.0, "rotate_degrees": 45.0, "scale": 0.5})
    mask = np.zeros((64, 64), np.uint8)
    image = np.ones((64, 64, 1), np.float32)
    ignored = []
    for draw in range(20):
        out, out_mask = augment(image, mask, generator(2, draw))
        # The image is 1 wherever it is known, up to the pixel at the border that is mixed with the outside.
        known = ndimage.binary_erosion(out_mask == 0, iterations=2)
        assert np.allclose(out[known], 1)
        ignored.append((out_mask == 255).mean())
    assert max(ignored) > 0.1


def test_axes_keep_directions_that_matter():
    image = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for draw in range(10):
        _, out = Augment(TASKS[2], **{**OFF, "flip": 1.0, "axes": [1]})(image, mask, generator(0, draw))
        assert out.tolist() == [[2, 1, 0], [5, 4, 3]]
    volume = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    body = Augment(TASKS[3], **{**OFF, "flip": 1.0, "rotate90": 1.0})
    for draw in range(10):
        # By default only left and right change places in a volume.
        _, out = body(volume[..., None].astype(np.float32), volume, generator(0, draw))
        assert np.array_equal(out, volume[::-1])


@pytest.mark.parametrize("option", GROUPS)
@pytest.mark.parametrize(("size", "channels"), [((32, 40), 1), ((32, 32), 5), ((12, 12, 10), 1), ((8, 12, 8), 2)])
def test_the_generator_decides_everything(option, size, channels):
    augment = _from_yaml(option, len(size), channels)
    image, mask = _noise(size, channels), _blob(size)
    image.flags.writeable = mask.flags.writeable = False  # the given arrays are left alone
    outs = []
    for draw in range(12):
        one, one_mask = augment(image, mask, generator(5, draw))
        np.random.seed(draw)  # noqa: NPY002 - global state must play no part
        other, other_mask = augment(image, mask, generator(5, draw))
        assert one.tobytes() == other.tobytes()
        assert np.array_equal(one_mask, other_mask)
        assert one.shape == image.shape
        assert (one.dtype, one_mask.dtype) == (np.float32, np.uint8)
        assert np.isfinite(one).all()
        outs.append(one.tobytes())
    assert len(set(outs)) > 4


def _digests(job):
    augment, image, mask, draws = job
    outs = [augment(image, mask, generator(0, draw)) for draw in draws]
    return [(out.tobytes(), out_mask.tobytes()) for out, out_mask in outs]


@pytest.mark.parametrize("rank", [2, 3])
def test_another_process_draws_the_same(rank):
    size = (40, 40) if rank == 2 else (16, 16, 12)
    jobs = [(_from_yaml(option, rank), _noise(size), _blob(size), range(8)) for option in GROUPS]
    here = [_digests(job) for job in jobs]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_digests, jobs)) == here
    assert _digests((pickle.loads(pickle.dumps(jobs[1][0])), *jobs[1][1:])) == here[1]


def test_threads_do_not_disturb_each_other():
    augment = _from_yaml("strong", 2)
    image, mask = _noise((48, 48)), _blob((48, 48))

    def run(draw):
        return augment(image, mask, generator(0, draw))[0].tobytes()

    alone = [run(draw) for draw in range(60)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(60))) == alone


def test_none_changes_nothing_and_costs_nothing():
    assert none(TASKS[2]) is None


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"axes": [2]}, "augment.axes"),
        ({"axes": [-1]}, "augment.axes"),
        ({"axes": [0, 0]}, "augment.axes"),
        ({"scale": 1.0}, "augment.scale"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, key):
    with pytest.raises(ConfigError) as caught:
        Augment(TASKS[2], **settings)
    assert caught.value.where == key


def test_the_network_is_not_asked_for_news():
    """Albumentations asks when it is imported, unless it is told not to; the tests' own environment tells it."""
    code = f"""
import sys
asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith(("socket.", "urllib.")) else None)
import numpy as np
from seglab.data.augment import Augment
from seglab.task import Task
augment = Augment(Task(2, 1, ("background", "object")), **{ {**OFF, "elastic": 1.0} })
augment(np.zeros((32, 32, 1), np.float32), np.zeros((32, 32), np.uint8), np.random.default_rng(0))
print("albumentations" in sys.modules, {{"urllib.Request", "socket.getaddrinfo", "socket.connect"}} & set(asked))
"""
    plain = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"
