"""What the Open Inference Protocol (KServe v2) is told of a model."""

from __future__ import annotations

from typing import Any

from seglab.serving.served import ServedModel

IMAGE, MASK = "image", "mask"
HEADER_LENGTH = "inference-header-content-length"


def metadata(model: ServedModel) -> dict[str, Any]:
    """Inputs and outputs; -1 stands for any size. The last axis of an image holds its channels."""
    free = [-1] * model.task.rank
    return {
        "inputs": [{"name": IMAGE, "datatype": "UINT8", "shape": [*free, model.task.channels]}],
        "outputs": [{"name": MASK, "datatype": mask_type(model), "shape": free}],
    }


def mask_type(model: ServedModel) -> str:
    """The data type of a mask."""
    return f"UINT{model.bits}"
