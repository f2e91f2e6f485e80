"""What a model makes of an image, and how right that is. Kept for all sessions of the process, within bounds."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from seglab.app.api_client import Client, Model, Prediction, volume_of
from seglab.app.keeping import LruCache
from seglab.app.viewer import packed, unpacked
from seglab.metrics.confusion import confusion_matrix, dice_iou, macro, overlaps, sizes
from seglab.safety.untrusted_files import MEBI

_MASKS = 64 * MEBI  # of masks that are kept, compressed


@dataclass(frozen=True)
class ImageScores:
    """Of an image.

    Attributes:
        dice, iou: of each class, `(K,)`, NaN where neither truth nor prediction holds it; None without a truth.
        mean_dice: over the classes that are scored; NaN where there is none.
        true_shares: of each class in what the truth labels, 0..1; None without a truth.
        shares: of each class in the prediction, 0..1.
        confidence: mean probability of the classes that were chosen, 0..1.
        quality: predicted Dice, 0..1; NaN where the model does not tell it.
        wrong: share of the labelled pixels that got another class than the true one; NaN without a truth.
    """

    dice: np.ndarray | None
    iou: np.ndarray | None
    mean_dice: float
    true_shares: np.ndarray | None
    shares: np.ndarray
    confidence: float
    quality: float
    wrong: float


@dataclass(frozen=True)
class ImageResult:
    """An image with its masks.

    Attributes:
        size: height and width, or the sides of a volume.
        predicted: class ids, packed.
        truth: likewise; None without a truth.
        scores: of it.
        milliseconds: that the network and all around it took.
    """

    size: tuple[int, ...]
    predicted: str
    truth: str | None
    scores: ImageScores
    milliseconds: float


_MOST = 50_000  # images whose scores are known, about a thousand bytes each
_known: LruCache[tuple[str, str], ImageScores] = LruCache(_MOST)
_differing: LruCache[tuple[frozenset[str], str], float] = LruCache(_MOST)
_results: LruCache[tuple[str, str], ImageResult] = LruCache(
    _MASKS, lambda one: len(one.predicted) + len(one.truth or "")
)


def known(model: Model, id: str) -> ImageScores | None:
    """The scores of an image that this model has seen; None where it has not."""
    return _known.get((model.label, id))


def differing(models: Sequence[Model], id: str) -> float:
    """The share of an image's pixels on which models that have seen it do not all agree; NaN where they have not."""
    found = _differing.get((frozenset(model.label for model in models), id))
    return float("nan") if found is None else found


def compared(asked: Sequence[tuple[Client, Model]], data: Client, id: str, has_truth: bool) -> list[ImageResult]:
    """What each model makes of an image of the `data`; from then on `differing` knows how far they
    agree. Raises `Problem`."""
    found = [result_of_case(client, model, id, has_truth, data) for client, model in asked]
    labels = frozenset(model.label for _, model in asked)
    if len(labels) > 1 and _differing.get((labels, id)) is None:
        _differing.put((labels, id), 1 - agreeing(found))
    return found


def agreeing(found: Sequence[ImageResult]) -> float:
    """The share of the pixels that all masks of an image give the same class, 0..1."""
    first, *rest = (unpacked(one.predicted, one.size) for one in found)
    same = np.ones(first.shape, bool)
    for mask in rest:
        same &= mask == first
    return float(same.mean())


def result_of_case(client: Client, model: Model, id: str, has_truth: bool, data: Client | None = None) -> ImageResult:
    """What a model makes of an image of the data; asks it where that is not known yet. Raises `Problem`.

    Args:
        client: asks the model.
        model: that is asked.
        id: of the image.
        has_truth: whether there is one.
        data: asks for the image, where another than `client` does.
    """
    kept = _results.get((model.label, id))
    if kept is not None:
        return kept
    data = data or client
    content = data.image(id).body  # first, since the process of the data does one errand at a time
    with ThreadPoolExecutor(1) as beside:  # the truth is read while the model computes
        truth = beside.submit(truth_of, data, model, id) if has_truth else None
        prediction = client.predict(content)
    found = _with_scores(model, prediction, truth.result() if truth else None)
    _known.put((model.label, id), found.scores)
    _results.put((model.label, id), found)
    return found


def forget() -> None:
    """All that was looked at."""
    for kept in (_known, _differing, _results):
        kept.clear()


def truth_of(client: Client, model: Model, id: str) -> np.ndarray:
    """The true class ids of an image, uint8 `(H, W)`, or `(X, Y, Z)` in RAS order."""
    if model.task.rank == 3:
        return model.ids_of(volume_of(client.truth(id).body))
    with Image.open(io.BytesIO(client.truth(id).body)) as image:
        return model.ids_of(np.asarray(image))


def result_of_upload(client: Client, model: Model, content: bytes) -> ImageResult:
    """What the model makes of an image file that has no truth. Raises `Problem`."""
    return _with_scores(model, client.predict(content), None)


def _with_scores(model: Model, found: Prediction, truth: np.ndarray | None) -> ImageResult:
    return ImageResult(
        found.ids.shape,
        packed(found.ids),
        None if truth is None else packed(truth),
        scores(model, found, truth),
        sum(found.milliseconds.values()),
    )


def scores(model: Model, found: Prediction, truth: np.ndarray | None) -> ImageScores:
    """Of a prediction, and of how right it is where there is a truth."""
    classes, ids, none = model.task.classes, found.ids, float("nan")
    quality = none if found.quality is None else found.quality
    shares = np.bincount(ids.ravel(), minlength=classes)[:classes] / ids.size
    if truth is None:
        return ImageScores(None, None, none, None, shares, found.confidence, quality, none)
    counts = confusion_matrix(truth, ids, model.task)
    dice, iou = dice_iou(counts)
    labelled = counts.sum()
    wrong = float(1 - np.trace(counts) / labelled) if labelled else none
    true_shares = counts.sum(axis=1) / max(1, labelled)
    mean = macro(overlaps(sizes(counts, model.task))[0], model.task)
    return ImageScores(dice, iou, mean, true_shares, shares, found.confidence, quality, wrong)
