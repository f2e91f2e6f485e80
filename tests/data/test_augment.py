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
from scipy import ndimage

from seglab.data.augment import Augment, none
from seglab.data.randomness import generator
from seglab.errors import ConfigError
from seglab.task import Task

CONF = Path(__file__).parents[2] / "conf" / "augment"
GROUPS = ["light", "strong", "road", "microscopy", "mri"]
OFF = {"flip": 0.0, "rotate90": 0.0, "affine": 0.0, "elastic": 0.0, "grid": 0.0, "intensity": 0.0, "dropout": 0.0}
KINDS = ("brightness", "contrast", "color", "gamma", "bias", "noise", "blur")
TASKS = {rank: Task(rank, 1, ("background", "object")) for rank in (2, 3)}


def _from_yaml(option, rank, channels=1):
    settings = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    own = {key: value for key, value in settings.items() if key not in ("name", "_target_")}
    if option == "road" and rank == 3:
        own["axes"] = [0]
    return Augment(Task(rank, channels, ("background", "object")), **own)


def _blob(size, seed=0):
    """An asymmetric blob away from the border, as a mask."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), max(size) / 10)
    inner = np.zeros(size, bool)
    inner[tuple(slice(n // 6, -(n // 6)) for n in size)] = True
    return ((noise > 0) & inner).astype(np.uint8)


def _noise(size, channels=1, seed=0):
    return np.random.default_rng(seed).normal(size=(*size, channels)).astype(np.float32)


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


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # Amounts are drawn in −1..1; the largest change of each is checked over many draws of a ±1 checkerboard
        # (mean 0, deviation 1), which makes the results easy to name.
        ({"color": 0.5}, lambda x: np.abs(x.mean(axis=(1, 2, 3))).max() == pytest.approx(0.5, abs=0.05)),
        ({"brightness": 0.5}, lambda x: np.abs(x.mean(axis=(1, 2, 3))).max() == pytest.approx(0.5, abs=0.05)),
        ({"contrast": 0.5}, lambda x: x.std(axis=(1, 2, 3)).max() == pytest.approx(1.5, abs=0.05)),
        ({"noise": 0.5}, lambda x: x.std(axis=(1, 2, 3)).max() == pytest.approx(np.sqrt(1.25), abs=0.05)),
        ({"blur": 3.0}, lambda x: x.std(axis=(1, 2, 3)).min() < 0.01),
    ],
)
def test_strengths_mean_what_they_say(change, expected):
    settings = {**OFF, "intensity": 1.0, **dict.fromkeys(KINDS, 0.0), **change}
    augment = Augment(TASKS[2], **settings)
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 2 - 1).astype(np.float32)[..., None]
    mask = np.zeros((32, 32), np.uint8)
    outs = np.stack([augment(board, mask, generator(0, draw))[0] for draw in range(150)])
    assert expected(outs)


def test_gamma_bends_between_the_fixed_ends():
    augment = Augment(TASKS[2], **{**OFF, "intensity": 1.0, **dict.fromkeys(KINDS, 0.0), "gamma": 0.5})
    ramp = np.linspace(-3, 5, 33, dtype=np.float32).reshape(1, -1, 1)
    middles = []
    for draw in range(100):
        out = augment(ramp, np.zeros((1, 33), np.uint8), generator(0, draw))[0].ravel()
        assert (np.diff(out) >= 0).all()
        assert out[[0, -1]].tolist() == pytest.approx([-3, 5], abs=1e-4)
        middles.append(out[16])
    # 0.5^0.5 = 0.7071 and 0.5^1.5 = 0.3536 of the way from −3 to 5.
    assert max(middles) == pytest.approx(-3 + 8 * 0.7071, abs=0.1)
    assert min(middles) == pytest.approx(-3 + 8 * 0.3536, abs=0.1)


def _only(kind, strength, task):
    return Augment(task, **{**OFF, "intensity": 1.0, **dict.fromkeys(KINDS, 0.0), kind: strength})


@pytest.mark.parametrize("size", [(17, 23), (9, 14, 11)])
def test_blur_is_that_of_scipy_in_finest_voxels(size):
    image, mask = _noise(size, 2), np.zeros(size, np.uint8)
    spacing = (3.0, 1.0, 2.0) if len(size) == 3 else None
    augment = _only("blur", 2.0, Task(len(size), 2, ("a", "b")))
    for draw in range(5):
        out, _ = augment(image, mask, generator(0, draw), spacing)
        rng = generator(0, draw)
        rng.random(len(augment._axes))  # mirror images
        [(rng.integers(1, 4), rng.random()) for _ in range(len(size) == 2)]  # a quarter turn
        rng.random(5)
        sigma = abs(rng.uniform(-1, 1, 5)[3]) * 2.0
        sigmas = [sigma / step for step in spacing or (1.0,) * len(size)]
        truth = ndimage.gaussian_filter(image, (*sigmas, 0), truncate=3.0)
        np.testing.assert_allclose(out, truth, atol=2e-5)


def test_colour_shifts_each_channel_on_its_own():
    image = _noise((20, 20), 3)
    out, _ = _only("color", 0.5, Task(2, 3, ("a", "b")))(image, np.zeros((20, 20), np.uint8), generator(1))
    shifts = (out - image).reshape(-1, 3)
    assert np.ptp(shifts, axis=0).max() < 1e-5
    assert np.ptp(shifts[0]) > 0.05


@pytest.mark.parametrize("size", [(30, 40), (16, 20, 12)])
def test_uneven_sensitivity_is_smooth_and_bounded(size):
    # From 1 (the darkest, left alone) to 3: the gain on the height over 1 is that of the sensitivity.
    image = np.full((*size, 1), 3.0, np.float32)
    image.reshape(-1)[0] = 1.0
    mask, gains = np.zeros(size, np.uint8), []
    for draw in range(20):
        out, _ = _only("bias", 0.5, TASKS[len(size)])(image, mask, generator(0, draw))
        gain = (out[..., 0] - 1) / 2
        assert gain.reshape(-1)[0] == 0
        gain = gain[1:]
        assert 1 / 1.5 - 1e-4 <= gain.min() <= gain.max() <= 1.5 + 1e-4
        for axis, n in enumerate(size):
            # A polynomial of third degree between coefficients ± log 1.5 rises by 6 log 1.5 over the axis at most.
            assert np.abs(np.diff(np.log(gain), axis=axis)).max() <= 6 * np.log(1.5) / (n - 1) + 1e-4
        gains.append(np.ptp(gain))
    assert max(gains) > 0.2


@pytest.mark.parametrize("size", [(40, 60), (20, 24, 28)])
def test_hidden_boxes_show_the_mean_and_keep_the_mask(size):
    image, mask = _noise(size, 2), _blob(size)
    augment = Augment(Task(len(size), 2, ("a", "b")), **{**OFF, "dropout": 1.0})
    shares = []
    for draw in range(20):
        out, out_mask = augment(image, mask, generator(0, draw))
        assert np.array_equal(out_mask, mask)
        hidden = (out != image).any(axis=-1)
        np.testing.assert_allclose(
            out[hidden], np.tile(image.reshape(-1, 2).mean(axis=0), (hidden.sum(), 1)), atol=1e-5
        )
        shares.append(hidden.mean())
    # One box of 5% of each side at least, eight of 20% at most.
    assert min(shares) > 0.03 ** len(size)
    assert max(shares) <= 8 * 0.22 ** len(size)
    assert len(set(shares)) > 10


@pytest.mark.parametrize("size", [(30, 50), (12, 20, 16)])
def test_a_box_of_another_sample_is_pasted_image_and_mask_alike(size):
    augment = Augment(TASKS[len(size)], mix=0.5)
    assert augment.mix == 0.5
    image, other = np.zeros((*size, 1), np.float32), np.ones((*size, 1), np.float32)
    mask, other_mask = np.zeros(size, np.uint8), np.ones(size, np.uint8)
    for array in (image, other, mask, other_mask):
        array.flags.writeable = False
    shares = []
    for draw in range(200):
        out, out_mask = augment.paste(image, mask, other, other_mask, generator(0, draw))
        assert np.array_equal(out[..., 0] == 1, out_mask == 1)
        bounds = ndimage.find_objects(out_mask)
        assert not bounds or out_mask[bounds[0]].all()
        shares.append(out_mask.mean())
    assert 0.2 < np.mean(shares) < 0.5
    assert max(shares) > 0.6
    with pytest.raises(ValueError, match="different shapes"):
        augment.paste(image, mask, other[1:], other_mask[1:], generator(0))


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
