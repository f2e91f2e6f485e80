"""Built-in data: generated images that a threshold cannot segment and a small network can.

An object differs from its surroundings by texture, not by brightness alone: distractors are as bright, other in
texture and sharper in shape; a bias field and noise lie over everything. A case is made from (seed, index) alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from seglab.config.types import PositiveInt, Seed
from seglab.data.cases import Case, Sample
from seglab.data.digest import digest_values
from seglab.data.randomness import generator
from seglab.errors import ConfigError
from seglab.task import Task

FEWEST_PIXELS_AN_EDGE = 16
# Mean brightness (0..1) of background and of objects and distractors; the rest is texture, shading and noise.
_BACKGROUND, _BRIGHT = 0.36, 0.56
_TEXTURE, _SHADING, _NOISE = 0.11, 0.22, 0.05
_EDGE_BLUR = 1.0


class _Synthetic:
    """What both ranks share; see `Synthetic2D` and `Synthetic3D`."""

    rank: int
    name: str

    def __init__(
        self, *, count: int, image_size: Sequence[int], classes: int, foreground: Sequence[float], seed: int
    ) -> None:
        _check(self.rank, image_size, classes, foreground)
        self._size, self._classes, self._foreground = tuple(image_size), classes, tuple(foreground)
        self._count, self._seed = count, seed
        names = (
            ("background", "object") if classes == 2 else ("background", *(f"object_{i}" for i in range(1, classes)))
        )
        self.task = Task(rank=self.rank, channels=1, class_names=names)
        width = len(str(count - 1))
        self.cases = [Case(i, (), None, i) for i in (f"{self.name}_{n:0{width}d}" for n in range(count))]
        self._index = {case.id: n for n, case in enumerate(self.cases)}
        self.split: Mapping[str, Sequence[str]] | None = None

    def read_image(self, case: Case) -> Sample:
        """The image alone."""
        sample = self.read(case)
        sample.mask = None
        return sample

    def read(self, case: Case) -> Sample:
        """Image (uint8, one channel) and mask; the same for ever for one seed and index."""
        image, mask = self._make(case)
        return Sample(image[..., None], mask, (1.0,) * self.rank)

    def _make(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        rng = generator(self._seed, self.name, self._index[case.id])
        return make_case(rng, self._size, self._classes, self._foreground)

    def describe_files(self, case: Case) -> str:
        """How the case is made."""
        return f"generated: {self.name}, seed {self._seed}, index {self._index[case.id]}"

    def digest(self) -> str:
        """SHA-256 of the settings and of the first case, so that another generator has another digest."""
        image, mask = self._make(self.cases[0])
        settings = [self.name, self._count, self._size, self._classes, self._foreground, self._seed]
        return digest_values(settings, (image.tobytes(), mask.tobytes()))


class Synthetic2D(_Synthetic):
    """Generated 2D images, one channel, 8 bit.

    Args:
        count: number of images.
        image_size: rows and columns.
        classes: class count with the background; each foreground class has a texture of its own.
        foreground: smallest and largest share of an image that the objects cover.
        seed: another seed is another data set.
    """

    rank = 2
    name = "synthetic2d"

    def __init__(
        self,
        *,
        count: PositiveInt = 200,
        image_size: Sequence[PositiveInt] = (128, 128),
        classes: PositiveInt = 2,
        foreground: Sequence[float] = (0.03, 0.18),
        seed: Seed = 0,
    ):
        super().__init__(count=count, image_size=image_size, classes=classes, foreground=foreground, seed=seed)


class Synthetic3D(_Synthetic):
    """Generated volumes; arguments as `Synthetic2D`, with three numbers in `image_size`."""

    rank = 3
    name = "synthetic3d"

    def __init__(
        self,
        *,
        count: PositiveInt = 40,
        image_size: Sequence[PositiveInt] = (64, 64, 64),
        classes: PositiveInt = 2,
        foreground: Sequence[float] = (0.03, 0.18),
        seed: Seed = 0,
    ):
        super().__init__(count=count, image_size=image_size, classes=classes, foreground=foreground, seed=seed)


def make_case(
    rng: np.random.Generator, size: Sequence[int], classes: int, foreground: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """One image (`size`, uint8) and its mask (`size`, uint8 ids below `classes`).

    The objects together cover a share drawn from `foreground` exactly (to one pixel); where two overlap, the one
    that reaches further in wins.
    """
    rank = len(size)
    n_objects = int(rng.integers(2, 5)) + (classes - 2)
    height, owner = _blobs(rng, size, n_objects, roughness=0.12)
    wanted = max(round(rng.uniform(foreground[0], foreground[1]) * height.size), 1)
    # Raising or lowering the water line until the islands have the wanted area.
    line = np.partition(height.ravel(), -wanted)[-wanted]
    inside = height >= line
    ids = 1 + (np.arange(n_objects) + rng.integers(classes - 1)) % (classes - 1)
    mask = np.where(inside, ids[owner], 0).astype(np.uint8)

    distractor_height, _ = _blobs(rng, size, int(rng.integers(4, 8)), roughness=0.0)
    near = ndimage.uniform_filter(inside.astype(np.float32), 5) > 0
    distractor_height[near] = -np.inf
    share = max(int(rng.uniform(0.8, 1.4) * wanted), 1)
    distractor = distractor_height >= np.partition(distractor_height.ravel(), -share)[-share]
    distractor &= ~near

    image = np.full(size, _BACKGROUND, np.float32)
    image += 0.06 * _smooth_noise(rng, size, 8.0)
    smooth = _TEXTURE * 0.8 * _smooth_noise(rng, size, 5.0)
    image = _paint(image, distractor, _BRIGHT + rng.uniform(-0.03, 0.05) + smooth)
    for class_id in range(1, classes):
        where = mask == class_id
        if where.any():
            texture = _TEXTURE * (_grain(rng, size) if class_id == 1 else _stripes(rng, size, 3.0 * class_id))
            image = _paint(image, where, _BRIGHT + rng.uniform(-0.05, 0.03) + texture)
    image *= 1 + _SHADING * _smooth_noise(rng, size, max(size) / rank)
    image += _NOISE * rng.standard_normal(size, dtype=np.float32)
    return (255 * np.clip(image, 0, 1) + 0.5).astype(np.uint8), mask


def _blobs(
    rng: np.random.Generator, size: Sequence[int], count: int, *, roughness: float
) -> tuple[np.ndarray, np.ndarray]:
    """A landscape of `count` elliptic hills: height (1 at a top, falling outwards) and which hill is highest."""
    rank = len(size)
    edge = min(size)
    axes = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in size], indexing="ij", sparse=True)
    height = np.full(size, -np.inf, np.float32)
    owner = np.zeros(size, np.intp)
    bumps = roughness * _smooth_noise(rng, size, edge / 10) if roughness else 0.0
    for index in range(count):
        centre = [rng.uniform(0.1, 0.9) * n for n in size]
        turn = np.linalg.qr(rng.standard_normal((rank, rank)))[0]
        radii = edge * rng.uniform(0.1, 0.2, rank)
        offsets = [axis - c for axis, c in zip(axes, centre, strict=True)]
        squared = np.zeros(size, np.float32)
        for row, radius in zip(turn, radii, strict=True):
            along = sum(np.float32(weight / radius) * offset for weight, offset in zip(row, offsets, strict=True))
            squared += np.square(along)
        hill = 1 - np.sqrt(squared) + bumps
        higher = hill > height
        height[higher], owner[higher] = hill[higher], index
    return height, owner


def _smooth_noise(rng: np.random.Generator, size: Sequence[int], wavelength: float) -> np.ndarray:
    """Clouds of about `wavelength` pixels, mean 0 and standard deviation about 1: a coarse grid, interpolated."""
    coarse = [max(int(np.ceil(n / wavelength)), 2) + 2 for n in size]
    noise = rng.standard_normal(coarse, dtype=np.float32)
    for axis, n in enumerate(size):
        noise = _stretch(noise, axis, n)
    spread = noise.std()
    return (noise - noise.mean()) / (spread if spread > 0 else 1.0)


def _stretch(array: np.ndarray, axis: int, n: int) -> np.ndarray:
    """Cubic smooth-step interpolation of one axis to `n` points."""
    at = np.linspace(0.5, array.shape[axis] - 1.5, n)
    low = at.astype(int)
    part = at - low
    part = (part * part * (3 - 2 * part)).astype(np.float32)
    shape = [1] * array.ndim
    shape[axis] = n
    part = part.reshape(shape)
    return np.take(array, low, axis) * (1 - part) + np.take(array, low + 1, axis) * part


def _grain(rng: np.random.Generator, size: Sequence[int]) -> np.ndarray:
    """Grain of about three pixels, standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(size, dtype=np.float32), 1.0, truncate=2.5)
    return noise / noise.std()


def _stripes(rng: np.random.Generator, size: Sequence[int], wavelength: float) -> np.ndarray:
    """A plane wave in a random direction, standard deviation 1."""
    direction = rng.standard_normal(len(size))
    direction *= 2 * np.pi / wavelength / np.linalg.norm(direction)
    axes = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in size], indexing="ij", sparse=True)
    phase = sum(np.float32(d) * axis for d, axis in zip(direction, axes, strict=True))
    return np.sqrt(2).astype(np.float32) * np.sin(phase + np.float32(rng.uniform(0, 2 * np.pi)))


def _paint(image: np.ndarray, where: np.ndarray, value: np.ndarray) -> np.ndarray:
    """`value` over `image` where `where`, with a blurred border."""
    alpha = ndimage.gaussian_filter(where.astype(np.float32), _EDGE_BLUR, truncate=3)
    return image * (1 - alpha) + value * alpha


def _check(rank: int, image_size: Sequence[int], classes: int, foreground: Sequence[float]) -> None:
    if len(image_size) != rank or min(image_size) < FEWEST_PIXELS_AN_EDGE:
        raise ConfigError(
            "an image size that cannot be generated",
            code="synthetic-settings",
            where="data.image_size",
            found=list(image_size),
            expected=f"{rank} numbers of at least {FEWEST_PIXELS_AN_EDGE}",
            remedy=f"data.image_size=[{','.join(['64'] * rank)}]",
        )
    if not 2 <= classes <= 8:
        raise ConfigError(
            "a class count that cannot be generated",
            code="synthetic-settings",
            where="data.classes",
            found=classes,
            expected="2 (background and object) to 8",
            remedy="data.classes=2",
        )
    if len(foreground) != 2 or not 0 < foreground[0] <= foreground[1] <= 0.5:
        raise ConfigError(
            "a foreground share that cannot be generated",
            code="synthetic-settings",
            where="data.foreground",
            found=list(foreground),
            expected="the smallest and the largest share, above 0 and up to 0.5",
            remedy="data.foreground=[0.03,0.18]",
        )
