"""From the bytes of a request to those of its answer, by the reader and the predictor of `seglab predict`."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.data.io.image_files import read_image_file
from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.errors import SeglabError
from seglab.inference.example import example_image
from seglab.inference.mask_facts import MaskFacts
from seglab.serving import encoding
from seglab.serving.errands import Later
from seglab.serving.exported_model import LoadedModel
from seglab.serving.file_in_memory import file_of
from seglab.serving.headers import check_image, check_volume
from seglab.serving.limits import Limits
from seglab.serving.measuring import measured
from seglab.serving.negotiation import GEOJSON, GZIP, PNG, RAW
from seglab.serving.polygons import add_polygons, feature_collection
from seglab.serving.problems import Problem, of_error


@dataclass
class StageTimes:
    """Seconds of each stage of a request, and windows of the network."""

    seconds: dict[str, float] = field(default_factory=dict)
    windows: int = 0

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Within, the stage is being done."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class Wanted:
    """How the answer is to be.

    Attributes:
        media_type: of it.
        palette: in a PNG.
        rle, polygons: in JSON.
        tolerance_px: how far a polygon may run beside the edge of its pixels.
        watched: whether it is measured for a row, and may be kept.
    """

    media_type: str
    palette: bool = True
    rle: bool = False
    polygons: bool = False
    tolerance_px: float = 1.0
    watched: bool = True


@dataclass
class Predicted:
    """A mask with what was noticed on the way.

    Attributes:
        image: `(*spatial, C)` as it was read.
        spacing: mm between its pixels or voxels, if it came with any.
        ids: of classes, `(*spatial)`.
        facts: of the mask.
        stages: what each took.
        quality: predicted Dice; None where the model has no map that is usable, or the mask no foreground.
    """

    image: np.ndarray
    spacing: tuple[float, ...] | None
    ids: np.ndarray
    facts: MaskFacts
    stages: StageTimes
    quality: float | None

    def headers(self) -> dict[str, str]:
        """Of every answer."""
        found = {"X-Mean-Confidence": f"{self.facts.confidence:.6f}"}
        return found if self.quality is None else {**found, "X-Predicted-Dice": f"{self.quality:.4f}"}

    def reported(self) -> dict[str, Any]:
        """For the metrics and headers of the service."""
        return {
            "stages": self.stages.seconds,
            "windows": self.stages.windows,
            "pixels": self.facts.pixels.tolist(),
            "confidence": self.facts.confidence,
            "quality": self.quality,
        }

    def later(self, model: LoadedModel, body: bytes) -> dict[str, Any]:
        """For its row, `measured` and the `seconds` that it took; empty where none is kept."""
        if not model.measures:
            return {}
        began = time.perf_counter()
        numbers = measured(self.image, self.ids, self.facts, model, body, self.spacing)
        return {"measured": numbers, "seconds": time.perf_counter() - began}


def predict_file(
    content: bytes, model: LoadedModel, limits: Limits, wanted: Wanted, between: Callable[[], None]
) -> tuple[dict[str, Any], bytes, Later]:
    """Decode, predict, encode; what is measured and kept comes later.

    Args:
        content: of an image file.
        model: that predicts.
        limits: of what is decoded.
        wanted: how to answer.
        between: called between windows; raises `Abandoned` where it is not wanted any more.

    Returns:
        What is told of it, with the headers of the answer, its body, and what tells the rest.

    Raises:
        Problem: what the client is to be told.
        Abandoned: it is not wanted any more.
    """
    stages, mask = StageTimes(), b""
    if not wanted.watched:
        model = replace(model, measures=False, kept=None)
    with file_of(content) as file:
        try:
            with stages.of("decode"):
                image, spacing, headers = read_content(content, file, model, limits)
            found = predict_array(image, model, stages, between, spacing)
            del image
            with stages.of("encode"):
                body = _encoded(found, model, wanted, headers, spacing, file)
            if model.kept and model.measures:
                kept_as = Wanted(PNG if found.ids.ndim == 2 else GZIP)
                mask = body if wanted == kept_as else _encoded(found, model, kept_as, headers, spacing, file)
        except SeglabError as error:
            raise of_error(error, file) from error
        except MemoryError as error:
            raise Problem(413, "image-memory", "an image that does not fit into the memory of this machine") from error
    headers |= found.headers()

    def later() -> dict[str, Any]:
        fields = found.later(model, content)
        if model.kept and fields:
            model.kept.keep(fields["measured"]["input"], content, mask, ".png" if found.ids.ndim == 2 else ".nii.gz")
        return fields

    return {**found.reported(), "headers": {"Content-Type": wanted.media_type, **headers}}, body, later


def predict_array(
    image: np.ndarray,
    model: LoadedModel,
    stages: StageTimes,
    between: Callable[[], None],
    spacing: tuple[float, ...] | None = None,
) -> Predicted:
    """The mask of an image `(*spatial, C)`; raises `SeglabError`, or `Abandoned`."""
    facts = MaskFacts(model.bundle.task)

    def window_done(done: int, count: int) -> None:
        stages.windows = done
        if done < count:
            between()

    with stages.of("predict"):
        ids = model.predictor.predict(image, spacing, window_done, facts)
    quality = model.quality.of(facts.soft_dice) if model.quality and model.quality.usable else None
    return Predicted(image, spacing, ids, facts, stages, quality)


def warm_up(model: LoadedModel) -> None:
    """Predict once from a file to an answer, so that what is loaded late is there before the first client comes. For
    volumes the example has loaded all of it."""
    if model.bundle.task.rank == 3:
        return
    image = example_image(model.bundle)
    if image.dtype != np.uint8 or image.shape[-1] not in (1, 3):
        return
    room = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(room, "PNG")
    *_, later = predict_file(room.getvalue(), model, Limits(), Wanted(PNG), lambda: None)
    later()


def read_content(
    content: bytes, file: Path, model: LoadedModel, limits: Limits
) -> tuple[np.ndarray, tuple[float, ...] | None, dict[str, str]]:
    """The image of a file `(*spatial, C)`, its spacing if any, and headers; raises `Problem`, `DataError`."""
    if model.bundle.task.rank == 2:
        header = check_image(content, limits)
        image = read_image_file(file)
        height, width, _ = image.shape
        if height * width > limits.pixels:
            raise Problem(413, "request-too-large", "an image that is too large for this service")
        turned = (
            "as stored" if header.orientation == 1 else f"turned upright from EXIF orientation {header.orientation}"
        )
        return image, None, {"X-Orientation": turned}
    check_volume(file, limits)
    volume, affine, _ = read_image([str(file)])
    return volume, spacing_of(affine), {"X-Orientation": "as stored"}


def _encoded(
    found: Predicted, model: LoadedModel, wanted: Wanted, headers: dict[str, str], spacing: Any, file: Path
) -> bytes:
    """The body; adds to the headers."""
    if wanted.media_type == PNG:
        return encoding.png(found.ids, model, palette=wanted.palette)
    if wanted.media_type == GZIP:
        return encoding.nifti(found.ids, model, file)
    ids = _in_file_order(found.ids, file)
    if wanted.media_type == RAW:
        body, more = encoding.raw(ids, model)
        headers |= more
        return body
    if wanted.media_type == GEOJSON:
        return json.dumps(feature_collection(ids, model.served, wanted.tolerance_px)).encode()
    fields = encoding.summary(ids, model, found.facts, rle=wanted.rle, spacing=spacing)
    if wanted.polygons and ids.ndim == 2:
        add_polygons(fields["classes"], ids, wanted.tolerance_px)
        fields["tolerance_px"] = wanted.tolerance_px
    fields |= {"soft_dice": found.facts.soft_dice, "predicted_dice": found.quality}
    fields["orientation"] = headers["X-Orientation"]
    fields["timings_ms"] = {stage: round(took * 1000, 2) for stage, took in found.stages.seconds.items()}
    return json.dumps(fields, allow_nan=False).encode()


def _in_file_order(ids: np.ndarray, file: Path) -> np.ndarray:
    """Volumes are predicted in RAS order and answered in their file's."""
    if ids.ndim == 2:
        return ids
    from seglab.data.io.nifti_files import restore_orientation
    from seglab.data.io.nifti_headers import read_header

    turned: np.ndarray = restore_orientation(ids, read_header(str(file)).affine_in_file)
    return turned
