"""A labelled image in the process of the model: predicted as any other, and counted against its truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.io.image_files import read_mask_file
from seglab.data.io.nifti_files import read_image
from seglab.data.labels.stored_values import check_mask_size, class_ids
from seglab.errors import SeglabError
from seglab.metrics.confusion import confusion_matrix
from seglab.serving.exported_model import LoadedModel
from seglab.serving.file_in_memory import file_of
from seglab.serving.limits import Limits
from seglab.serving.prediction import StageTimes, predict_array, read_content
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
            ids = predict_array(image, model, StageTimes(), between, spacing).ids
            truth = _truth(mask, model)
            check_mask_size(truth, ids.shape, str(mask))
            confusion = confusion_matrix(truth, ids, model.bundle.task)
        except SeglabError as error:
            raise of_error(error, file) from error
    return {"confusion": confusion.tolist()}, b""


def _truth(mask: Path, model: LoadedModel) -> np.ndarray:
    task = model.bundle.task
    stored = read_mask_file(mask) if task.rank == 2 else read_image([str(mask)])[0][..., 0]
    return class_ids(stored, model.served.values, task.ignore_label)
