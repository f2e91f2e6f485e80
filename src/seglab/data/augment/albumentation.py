"""Any list of albumentations' transforms as the augmentation of a run. Images only."""

from __future__ import annotations

import inspect
import random
import threading
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from seglab.config.transforms import check_images_only, load_albumentations, make_transforms
from seglab.config.types import Fraction
from seglab.data.augment.boxes import paste
from seglab.errors import ConfigError
from seglab.task import Task

# Spatial axes along which a transform makes mirror images.
_MIRRORED = {"HorizontalFlip": (1,), "VerticalFlip": (0,), "D4": (0, 1), "SquareSymmetry": (0, 1), "TimeReverse": (1,)}


class Albumentations:
    """Transforms of albumentations, one after the other, with the random stream of the sample.

    Call with an image `(H, W, C)` float32 after normalisation, its mask `(H, W)` and a generator; returns arrays of
    the same shapes and types. What is drawn depends on the generator alone.

    Transforms of place (`DualTransform`) get the normalised image. Masks move by nearest neighbour; what comes in from
    outside is 0 in the image and the label to ignore in the mask, unless `fill` or `fill_mask` say otherwise.
    Transforms of pixels (`ImageOnlyTransform`) want values from 0 to 1 and clip the rest: each gets the image brought
    from its own smallest and largest value to 0..1, and is brought back. Those that work on uint8 round to 256 levels
    in between.

    Safe to call from several threads and to send to another process.

    Args:
        task: injected; its label to ignore.
        transforms: `_target_: albumentations.<name>` with arguments each; compositions hold `transforms` of their own.
        mix: share of samples into which a box of another training sample is pasted (CutMix).

    Raises:
        ConfigError: an unknown transform or argument, a value that it refuses, volumes.
    """

    paste = staticmethod(paste)

    def __init__(self, task: Task, *, transforms: Sequence[Any], mix: Fraction = 0.0):
        check_images_only(task.rank)
        self.mix = mix
        self._settings = task, transforms
        self._own = threading.local()
        self.mirrored = tuple(sorted({axis for leaf in _leaves(self._pipeline()) for axis in _mirrored(leaf)}))

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (*self._settings, self.mix)

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, spacing: Sequence[float] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """A changed copy of an image `(H, W, C)` float32 and its mask `(H, W)`; pixels are taken to be square.

        Raises:
            ConfigError: a transform fails on such an image, or changes its size.
        """
        pipeline = self._pipeline()
        pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done = pipeline(image=np.array(image, np.float32), mask=np.array(mask, np.uint8))
        except (ValueError, TypeError, KeyError, NotImplementedError, _cv_error()) as error:
            raise ConfigError(
                "a transform that fails on the images of this data",
                code="transform-failed",
                where="augment.transforms",
                found=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
                expected=f"transforms of float32 images of {image.shape[-1]} channels, {image.shape[:-1]} pixels",
                remedy="remove the transform; many want three channels",
            ) from error
        if done["image"].size != image.size or done["mask"].shape != mask.shape:
            raise ConfigError(
                "a transform that changes the size of the images",
                code="transform-failed",
                where="augment.transforms",
                found=f"{done['mask'].shape} from {mask.shape}",
                expected="the size of the input, data.size",
                remedy="end the list with albumentations.Resize or a crop of that size; quarter turns want equal sides",
            )
        return done["image"].reshape(image.shape).astype(np.float32, copy=False), done["mask"].astype(mask.dtype)

    def _pipeline(self) -> Any:
        # albumentations keeps the generator in its pipeline, which threads must not share.
        if not hasattr(self._own, "pipeline"):
            task, transforms = self._settings
            ignore = task.ignore_label
            made = make_transforms(transforms, lambda kind, settings: _fitted(kind, settings, ignore))
            self._own.pipeline = load_albumentations().Compose(made)
        return self._own.pipeline


def _again(task: Task, transforms: Sequence[Any], mix: float) -> Albumentations:
    return Albumentations(task, transforms=transforms, mix=mix)


def _cv_error() -> type[Exception]:
    import cv2

    return cv2.error


def _fitted(kind: type, settings: dict[str, Any], ignore_label: int) -> Any:
    """A transform that fills masks with the label to ignore, and whose image is normalised."""
    package = load_albumentations()
    border = inspect.signature(kind).parameters.get("fill_mask")
    if border is not None and border.default is not None:  # None: such as of dropout, where the mask keeps its labels
        settings = {"fill_mask": ignore_label, **settings}
    return (_in_unit_range(kind) if issubclass(kind, package.ImageOnlyTransform) else kind)(**settings)


@cache
def _in_unit_range(kind: Any) -> Any:
    def call(self: Any, *args: Any, force_apply: bool = False, **data: Any) -> Any:
        image = data["image"]
        low = image.min()
        span = image.max() - low
        span = span if span > 0 else np.float32(1)
        unit = (image - low) / span
        done = kind.__call__(self, *args, force_apply=force_apply, **{**data, "image": unit})
        back = image if done["image"] is unit else np.asarray(done["image"], np.float32) * span + low
        return {**done, "image": back}

    return type(kind.__name__, (kind,), {"__call__": call, "__module__": __name__})


def _leaves(node: Any) -> list[Any]:
    if not isinstance(node, load_albumentations().BaseCompose):
        return [node]
    return [leaf for part in node.transforms for leaf in _leaves(part)]


def _mirrored(leaf: Any) -> tuple[int, ...]:
    return _MIRRORED.get(type(leaf).__name__, ()) if leaf.p > 0 else ()
