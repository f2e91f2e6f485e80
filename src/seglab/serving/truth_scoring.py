"""A labelled image in the process of the model: predicted as any other, and counted against its truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.io.image_files import read_mask_file
from seglab.data.labels.stored_values import check_mask_size
from seglab.data.labels.true_values import true_ids
from seglab.data.sources.nifti_labels import read_label
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
        mask: file of its truth, with the values of the classes, and 255 where nobody knows.
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
            truth = _truth(mask, file, ids, model)
            confusion = confusion_matrix(truth, ids, model.bundle.task)
        except SeglabError as error:
            raise of_error(error, file) from error
    return {"confusion": confusion.tolist()}, b""


def _truth(mask: Path, image: Path, predicted: np.ndarray, model: LoadedModel) -> np.ndarray:
    task, served = model.bundle.task, model.served
    stored = read_mask_file(mask) if task.rank == 2 else read_label(str(mask), str(image))[0]
    check_mask_size(stored, predicted.shape, str(mask))
    return true_ids(stored, served.values, task.class_names, task.ignore_label, str(mask))
