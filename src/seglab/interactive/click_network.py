"""A promptable network that was trained by seglab, behind the contract of promptable models.

The network sees a box of the image, resized to its input, and the prompt as four more channels (`seglab.data.prompts`).
It gives one mask; the three candidates are its answers in three views, from near to far. For the score of each it is
asked how sure it is: the IoU that its own probabilities lead one to expect.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from seglab.data.preprocessing.geometry import resize_image, resize_mask
from seglab.data.prompts.channels import PROMPT_CHANNELS, RADIUS, Corners, prompt_channels
from seglab.data.prompts.clicks import Click
from seglab.data.prompts.views import View, view_around, widest
from seglab.errors import ConfigError, DataError
from seglab.export.folder import SUMS, read_folder
from seglab.inference.backends import BACKENDS, open_network
from seglab.inference.bundle import Bundle, load_bundle, read_bundle
from seglab.inference.loaded_network import LoadedNetwork
from seglab.inference.spatial import SpatialTransform
from seglab.interactive.prompt import CERTAIN, FOREGROUND, Bools, Logits, Prompt, inside
from seglab.interactive.prompt_models import Candidates, Embedding
from seglab.run_record import BundleFile
from seglab.runtime.reproducibility import load_tensorflow

# Of OpenVINO, beside the bundle that is shipped.
GRAPH = "model.xml"
SHIPPED = Path(__file__).parent / "weights" / "click_unet"
# The views, by the side of what they must show: around a box or a mask before; around clicks alone by the side of the
# widest view of the image.
_MARGINS = (1.3, 1.8, 2.8)
_SHARES = (0.25, 0.5, 1.0)
_VERSION = 1
# Of RGB, as ITU-R BT.601 weighs them.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class ClickNetwork:
    """See the module; a `PromptModel`.

    Args:
        name: of its row.
        network: takes `(B, *size, C + 4)`.
        bundle: what travels with it.
        weights: digest of its weights.
    """

    def __init__(self, name: str, network: LoadedNetwork, bundle: Bundle, weights: str):
        self.name, self.rank = name, bundle.task.rank
        self._network, self._bundle, self._size = network, bundle, bundle.size
        self._channels = bundle.task.channels - PROMPT_CHANNELS
        self._lock = threading.Lock()
        self._images = bundle.preprocessing.of_images
        self.device = f"CPU ({network.name}, {network.precision})"
        settings = (_VERSION, weights, network.name, network.precision, RADIUS, _MARGINS, _SHARES)
        self.digest = hashlib.sha256(repr(settings).encode()).hexdigest()

    def embed(self, image: npt.NDArray[Any]) -> Embedding:
        """The image in the channels that the network knows; normalised where that takes the whole image."""
        if self.rank == 2:
            image = self._in_channels(image)
        if image.shape[-1] != self._channels:
            raise DataError(
                "an image with another number of channels than the network knows",
                code="image-channels-of-training",
                where="image",
                found=f"{image.shape[-1]} channels",
                expected=f"{self._channels}",
                remedy="convert it, or train a network on such images",
            )
        if self._images.mode == "zscore":
            image = self._images.apply(image)
        return Embedding(tuple(image.shape[:-1]), {"image": np.ascontiguousarray(image)})

    def _in_channels(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An RGB image of 8 bits in the channels and the numbers of the training images."""
        if self._channels == 1:
            image = np.round(image.astype(np.float32) @ _LUMA)[..., None].astype(np.uint8)
        full = self._images.unit if self._images.scale in ("bytes", "words", "shares") else 255.0
        return image if full == 255.0 else (image / np.float32(255) * np.float32(full)).astype(np.float32)

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        """The network's answers in three views.

        Around a box or the mask before there are a near, a middle and a far one; around clicks alone a quarter, half
        and all of the widest view.
        """
        image = embedding.arrays["image"]
        low, high, known = _shown(prompt)
        factor = max((h - lo) / n for lo, h, n in zip(low, high, self._size, strict=True))
        margins: Sequence[float] = _MARGINS
        if not known:
            most = widest(embedding.shape, self._size)
            margins = [max(most * share / factor, 1.0) for share in _SHARES]
        views = [view_around(low, high, embedding.shape, self._size, margin) for margin in margins]
        inputs = np.stack([self._input(image, prompt, view) for view in views])
        with self._lock:  # a runtime may keep one request at a time
            answers = self._network.logits(inputs)[..., 0]
        answers = answers / np.float32(self._bundle.temperature)
        logits = np.full((len(views), *embedding.shape), -CERTAIN, np.float32)
        for found, answer, view in zip(logits, answers, views, strict=True):
            found[view.box] = self._transform(view).restoring.channel(answer)
        return Candidates(logits, np.array([expected_iou(answer) for answer in answers], np.float32))

    def _transform(self, view: View) -> SpatialTransform:
        return SpatialTransform.of(view.shape, self._size, "resize")

    def _input(self, image: npt.NDArray[Any], prompt: Prompt, view: View) -> npt.NDArray[np.float32]:
        seen = resize_image(image[view.box], self._size)
        if self._images.mode != "zscore":
            seen = self._images.apply(seen)
        start = np.array(view.start)
        scale = np.array(self._size) / np.array(view.shape)
        places = self._transform(view).to_network(np.stack(prompt.pixels, axis=-1) - start)
        clicks = [
            Click(tuple(place), int(label == FOREGROUND))
            for place, label in zip(np.round(places).astype(int).tolist(), prompt.labels, strict=True)
        ]
        box: Corners | None = None
        if prompt.box is not None:
            sides = inside(prompt.box, prompt.shape)
            low, high = [side.start for side in sides], [side.stop for side in sides]
            box = (np.array(low) - start) * scale, (np.array(high) - start) * scale
        before = None
        if prompt.mask is not None:
            before = resize_mask((prompt.mask[view.box] > 0).astype(np.uint8), self._size, 255) == 1
        return np.concatenate([seen, prompt_channels(self._size, clicks, box, before)], axis=-1)


def expected_iou(logits: Logits) -> float:
    """The IoU of a mask with the truth, by its own probabilities: what is expected of the intersection over what is
    expected of the union. 0 for an empty mask."""
    probabilities = expit(logits)
    mask = logits > 0
    both = float(probabilities[mask].sum())
    return both / (float(mask.sum()) + float(probabilities[~mask].sum())) if mask.any() else 0.0


def _shown(prompt: Prompt) -> tuple[npt.NDArray[Any], npt.NDArray[Any], bool]:
    """Corners of what a view must hold, and whether they tell how large the object is."""
    lows, highs = [], []
    if len(prompt.points):
        pixels = np.stack(prompt.pixels, axis=-1)
        on = pixels[prompt.labels == FOREGROUND]
        near = on if len(on) else pixels
        lows.append(near.min(axis=0))
        highs.append(near.max(axis=0) + 1)
    sized = False
    if prompt.box is not None:
        sides = inside(prompt.box, prompt.shape)
        lows.append(np.array([side.start for side in sides]))
        highs.append(np.array([side.stop for side in sides]))
        sized = True
    if prompt.mask is not None and (prompt.mask > 0).any():
        there: Bools = prompt.mask > 0
        axes = [
            there.any(axis=tuple(other for other in range(there.ndim) if other != axis)) for axis in range(there.ndim)
        ]
        lows.append(np.array([np.flatnonzero(along)[0] for along in axes]))
        highs.append(np.array([np.flatnonzero(along)[-1] + 1 for along in axes]))
        sized = True
    if not lows:
        return np.zeros(len(prompt.shape)), np.array(prompt.shape), True
    return np.min(lows, axis=0), np.max(highs, axis=0), sized


def load(name: str, checkpoint: Path | None = None) -> ClickNetwork:
    """The network of a run's bundle, of a folder that `seglab export` made, or the one that is shipped.

    An exported one runs without TensorFlow. So does the one that is shipped where OpenVINO is installed: beside its
    bundle lies the same network for it, with weights in float16.

    Raises:
        ConfigError: no checkpoint where none is shipped.
        DataError: no bundle, a damaged one, or one of a network that is not promptable or of another rank.
    """
    rank = 3 if name.endswith("3d") else 2
    if checkpoint is None and rank == 3:
        raise ConfigError(
            "a promptable network for volumes needs a checkpoint, none is shipped",
            code="checkpoint-not-given",
            where="checkpoint",
            found="none",
            expected="the bundle of a run",
            remedy="train one: seglab train model=click_unet3d data=…, then checkpoint=<the folder of its bundle>",
        )
    folder = Path(checkpoint or SHIPPED)
    exported = read_folder(folder) if (folder / SUMS).is_file() else None
    bundle = exported.bundle if exported else read_bundle(folder)
    prompts = bundle.preprocessing.prompts and not (exported and exported.end_to_end)
    if not prompts or bundle.task.rank != rank:
        raise DataError(
            "a checkpoint of another kind of network",
            code="checkpoint-of-other-model",
            where=str(folder),
            found=f"a {bundle.task.rank}D network {'with' if prompts else 'without'} prompts",
            expected=f"a {rank}D network with prompts that returns logits, for model={name}",
            remedy="train one: seglab train model=click_unet data=…; or model=click_unet3d for volumes",
        )
    network: LoadedNetwork
    if exported:
        network, file = exported.open(), folder / BACKENDS[exported.runtime].file
    elif (folder / GRAPH).is_file() and importlib.util.find_spec("openvino") is not None:
        network, file = open_network("openvino", folder / GRAPH), folder / GRAPH
    else:
        load_tensorflow()
        from seglab.inference.backends.keras import KerasNetwork

        network, file = KerasNetwork(load_bundle(folder)[0]), folder / BundleFile.MODEL
    weights = file.with_suffix(".bin") if file.suffix == ".xml" else file
    with weights.open("rb") as stream:
        return ClickNetwork(name, network, bundle, hashlib.file_digest(stream, "sha256").hexdigest())
