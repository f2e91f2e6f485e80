"""What a model makes of an image, and how right that is. Kept for all sessions of the process, within bounds."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from seglab.app.client import Client, Model, Prediction, volume_of
from seglab.app.viewer import packed
from seglab.metrics.confusion import confusion_matrix, dice_iou, macro

_MASKS = 256  # images whose masks are kept, compressed to some ten thousand bytes each


@dataclass(frozen=True)
class Scores:
    """Of an image.

    Attributes:
        dice, iou: of each class, `(K,)`, NaN where neither truth nor prediction holds it; None without a truth.
        mean_dice: over the classes that are scored; NaN where there is none.
        true_shares: of each class in what the truth labels, 0..1; None without a truth.
        shares: of each class in the prediction, 0..1.
        confidence: mean probability of the classes that were chosen, 0..1.
    """

    dice: np.ndarray | None
    iou: np.ndarray | None
    mean_dice: float
    true_shares: np.ndarray | None
    shares: np.ndarray
    confidence: float


@dataclass(frozen=True)
class Looked:
    """An image with its masks.

    Attributes:
        size: height and width, or the sides of a volume.
        predicted: class ids, packed for the viewer; empty for a volume, which has another one.
        truth: likewise; None without a truth.
        scores: of it.
        milliseconds: that the network and all around it took.
    """

    size: tuple[int, ...]
    predicted: str
    truth: str | None
    scores: Scores
    milliseconds: float


_known: dict[tuple[str, str], Scores] = {}
_MOST = 200_000  # images whose scores are known


def known(model: Model, id: str) -> Scores | None:
    """The scores of an image that this model has seen; None where it has not."""
    return _known.get((model.label, id))


@lru_cache(maxsize=_MASKS)
def looked(client: Client, model: Model, id: str, has_truth: bool, data: Client | None = None) -> Looked:
    """What a model makes of an image of the data; asks it where that is not known yet. Raises `Problem`.

    Args:
        client: asks the model.
        model: that is asked.
        id: of the image.
        has_truth: whether there is one.
        data: asks for the image, where another than `client` does.
    """
    data = data or client
    content = data.image(id).body  # first, since the process of the data does one errand at a time
    with ThreadPoolExecutor(1) as beside:  # the truth is read while the model computes
        truth = beside.submit(truth_of, data, model, id) if has_truth else None
        prediction = client.predict(content)
    found = _with_scores(model, prediction, truth.result() if truth else None)
    if len(_known) >= _MOST:
        _known.clear()
    _known[model.label, id] = found.scores
    return found


def truth_of(client: Client, model: Model, id: str) -> np.ndarray:
    """The true class ids of an image, uint8 `(H, W)`, or `(X, Y, Z)` in RAS order."""
    if model.task.rank == 3:
        return model.ids_of(volume_of(client.truth(id).body))
    with Image.open(io.BytesIO(client.truth(id).body)) as image:
        return model.ids_of(np.asarray(image))


def look(client: Client, model: Model, content: bytes) -> Looked:
    """What the model makes of an image file that has no truth. Raises `Problem`."""
    return _with_scores(model, client.predict(content), None)


def _with_scores(model: Model, found: Prediction, truth: np.ndarray | None) -> Looked:
    return Looked(
        found.ids.shape,
        packed(found.ids) if found.ids.ndim == 2 else "",
        None if truth is None else packed(truth) if truth.ndim == 2 else "",
        scores(model, found.ids, found.confidence, truth),
        sum(found.milliseconds.values()),
    )


def scores(model: Model, ids: np.ndarray, confidence: float, truth: np.ndarray | None) -> Scores:
    """Of a prediction, and of how right it is where there is a truth."""
    classes = model.task.classes
    shares = np.bincount(ids.ravel(), minlength=classes)[:classes] / ids.size
    if truth is None:
        return Scores(None, None, float("nan"), None, shares, confidence)
    counts = confusion_matrix(truth, ids, model.task)
    dice, iou = dice_iou(counts)
    return Scores(dice, iou, macro(dice, model.task), counts.sum(axis=1) / max(1, counts.sum()), shares, confidence)
