"""From the bytes of a request to those of its answer, by the reader and the predictor of `seglab predict`."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.io.image_files import read_image_file
from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.errors import SeglabError
from seglab.serving import encoding
from seglab.serving.headers import check_image, check_volume
from seglab.serving.limits import Limits
from seglab.serving.model import ServedModel
from seglab.serving.problems import Problem, of_error
from seglab.serving.queueing import Work


@dataclass
class Stages:
    """Seconds of each stage of a request, as `Server-Timing` tells them in milliseconds."""

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

    def header(self) -> str:
        """Of `Server-Timing`."""
        return ", ".join(f"{stage};dur={took * 1000:.1f}" for stage, took in self.seconds.items())


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        body: its bytes.
        media_type: of it.
        headers: beside.
        pixels: of each class, for the metrics.
    """

    body: bytes
    media_type: str
    headers: dict[str, str]
    pixels: list[int]


@dataclass(frozen=True)
class Wanted:
    """How the answer is to be: its media type, a palette in a PNG, run lengths in JSON."""

    media_type: str
    palette: bool = True
    rle: bool = False


def predict_file(
    content: bytes, model: ServedModel, limits: Limits, wanted: Wanted, stages: Stages, work: Work
) -> Answer:
    """Decode, predict, encode.

    Args:
        content: of an image file.
        model: that predicts.
        limits: of what is decoded.
        wanted: how to answer.
        stages: is told what each stage took.
        work: asked between windows whether it is still wanted.

    Raises:
        Problem: what the client is to be told.
        Abandoned: it is not wanted any more.
    """
    with tempfile.TemporaryDirectory(prefix="seglab-serve-") as room:
        file = Path(room) / "image"
        try:
            with stages.of("decode"):
                image, spacing, told = _read(content, file, model, limits)
            ids = predict_array(image, model, stages, work, spacing)
            del image
            with stages.of("encode"):
                return _encoded(ids, model, wanted, told, stages, spacing, file)
        except SeglabError as error:
            raise of_error(error, file) from error
        except MemoryError as error:
            raise Problem(
                413, "image-memory", "an image that the memory of this machine does not suffice for"
            ) from error


def predict_array(
    image: np.ndarray, model: ServedModel, stages: Stages, work: Work, spacing: tuple[float, ...] | None = None
) -> np.ndarray:
    """Class ids `(*spatial)` of an image `(*spatial, C)`; raises `SeglabError`, or `Abandoned`."""

    def told(done: int, count: int) -> None:
        stages.windows = done
        if done < count:
            work.between()

    with stages.of("predict"):
        return model.predictor.predict(image, spacing, told)


def _read(
    content: bytes, file: Path, model: ServedModel, limits: Limits
) -> tuple[np.ndarray, tuple[float, ...] | None, dict[str, str]]:
    if model.bundle.task.rank == 2:
        header = check_image(content, limits)
        _write(file, content)
        image = read_image_file(file)
        height, width, _ = image.shape
        if height * width > limits.pixels:
            raise Problem(413, "request-too-large", "an image that is too large for this service")
        turned = (
            "as stored" if header.orientation == 1 else f"turned upright from EXIF orientation {header.orientation}"
        )
        return image, None, {"X-Orientation": turned}
    _write(file, content)
    check_volume(file, limits)
    volume, affine, _ = read_image([str(file)])
    return volume, spacing_of(affine), {"X-Orientation": "as stored"}


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise Problem(
            503, "no-room", "no room for a request", error.strerror or "", headers={"Retry-After": "10"}
        ) from error


def _encoded(
    ids: np.ndarray, model: ServedModel, wanted: Wanted, told: dict[str, str], stages: Stages, spacing: Any, file: Path
) -> Answer:
    counts = np.bincount(ids.ravel(), minlength=model.bundle.task.classes).tolist()
    headers = dict(told)
    if wanted.media_type == encoding.PNG:
        body = encoding.png(ids, model, palette=wanted.palette)
    elif wanted.media_type == encoding.GZIP:
        body = encoding.nifti(ids, model, file)
    elif wanted.media_type == encoding.RAW:
        body, more = encoding.raw(_in_file_order(ids, file), model)
        headers |= more
    else:
        ids = _in_file_order(ids, file)
        found = encoding.summary(ids, model, rle=wanted.rle, spacing=spacing)
        found["orientation"] = told["X-Orientation"]
        found["timings_ms"] = {stage: round(took * 1000, 2) for stage, took in stages.seconds.items()}
        body = json.dumps(found, allow_nan=False).encode()
    return Answer(body, wanted.media_type, headers, counts)


def _in_file_order(ids: np.ndarray, file: Path) -> np.ndarray:
    """Volumes are predicted in RAS order and answered in their file's."""
    if ids.ndim == 2:
        return ids
    from seglab.data.io.nifti_files import restore_orientation
    from seglab.data.io.nifti_headers import read_header

    turned: np.ndarray = restore_orientation(ids, read_header(str(file)).affine_in_file)
    return turned
