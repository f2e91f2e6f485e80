"""A labelled image in the process of the model: predicted as any other, and counted against its truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.io.image_files import read_mask_file
from seglab.data.io.nifti_files import read_image
from seglab.errors import SeglabError
from seglab.metrics.confusion import confusion_matrix
from seglab.serving.file_in_memory import file_of
from seglab.serving.limits import Limits
from seglab.serving.model import LoadedModel
from seglab.serving.prediction import Stages, predict_array, read_content
from seglab.serving.problems import of_error


def score_file(
    content: bytes, mask: Path, model: LoadedModel, limits: Limits, between: Callable[[], None]
) -> tuple[dict[str, Any], bytes]:
    """`confusion`, the `(K, K)` counts of true and predicted classes.

    Args:
        content: of an image file.
        mask: file of its truth, with the values of the classes; others are ignored.
        model: that predicts.
        limits: of what is decoded.
        between: as for `predict_file`.

    Raises:
        Problem: one of the files cannot be used.
        Abandoned: it is not wanted any more.
    """
    with file_of(content) as file:
        try:
            image, spacing, _ = read_content(content, file, model, limits)
            ids = predict_array(image, model, Stages(), between, content, spacing).ids
            confusion = confusion_matrix(_truth(mask, model), ids, model.bundle.task)
        except (SeglabError, ValueError) as error:
            if isinstance(error, SeglabError):
                raise of_error(error, file) from error
            raise of_error(_other_shape(mask, error), file) from error
    return {"confusion": confusion.tolist()}, b""


def _truth(mask: Path, model: LoadedModel) -> np.ndarray:
    task = model.bundle.task
    values = read_mask_file(mask) if task.rank == 2 else read_image([str(mask)])[0][..., 0]
    ids = np.full(values.shape, task.ignore_label, np.int64)
    for number, value in enumerate(model.served.values):
        ids[values == value] = number
    return ids


def _other_shape(mask: Path, error: ValueError) -> SeglabError:
    from seglab.errors import DataError

    return DataError(
        "a mask of the canary that is not of its image",
        code="canary-mask",
        where=str(mask),
        found=str(error)[:200],
        expected="one value for each pixel of the image",
        remedy="take it out of the folder, or put the right one there",
    )
