"""`infer` of the Open Inference Protocol (KServe v2) with its binary extension: a tensor in, a tensor out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from seglab.errors import SeglabError
from seglab.safety.untrusted_files import UnreadableFile, check_depth
from seglab.serving.errands import Later
from seglab.serving.exported_model import LoadedModel
from seglab.serving.limits import Limits
from seglab.serving.prediction import StageTimes, predict_array
from seglab.serving.problems import Problem, of_error, too_large
from seglab.serving.protocol import IMAGE, MASK, mask_type
from seglab.serving.served import ServedModel

TYPES = {"UINT8": "<u1", "UINT16": "<u2", "FP32": "<f4"}
_JSON_VALUES = 1_000_000


def read_tensor(body: bytes, header_length: str | None, limits: Limits, rank: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The image `(*spatial, C)` of a request, and what it says beside; raises `Problem`."""
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > len(body):
            raise _malformed(f"Inference-Header-Content-Length {header_length[:40]} of {len(body)} bytes")
        head, rest = body[: int(header_length)], body[int(header_length) :]
    else:
        head, rest = body, b""
    try:
        request = json.loads(head)
        check_depth(request)
        (given,) = request["inputs"]
        name, kind, shape = given["name"], given["datatype"], [int(side) for side in given["shape"]]
        parameters = given.get("parameters") or {}
        if name != IMAGE or kind not in TYPES:
            raise _malformed(f"input {str(name)[:40]} of {str(kind)[:40]}; expected {IMAGE} of {', '.join(TYPES)}")
        if any(type(side) is not int or side < 1 for side in given["shape"]):  # true is an int of Python's
            raise _malformed(f"shape {str(given['shape'])[:100]}")
        if len(shape) == rank + 2 and shape[0] == 1:
            shape = shape[1:]
        pixels = math.prod(shape[:-1]) if rank == 2 else math.prod(shape)
        most = limits.pixels if rank == 2 else limits.voxels
        if pixels > most:
            raise too_large("a tensor", f"shape {shape}", f"{most:,} pixels or voxels")
        if "binary_data_size" in parameters:
            size = int(parameters["binary_data_size"])
            if size != math.prod(shape) * np.dtype(TYPES[kind]).itemsize or size != len(rest):
                raise _malformed(f"{size} bytes declared, {len(rest)} sent, for shape {shape} of {kind}")
            image = np.frombuffer(rest, TYPES[kind]).reshape(shape)
        else:
            image = _of_json(given["data"], kind, shape)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, AttributeError, UnreadableFile) as error:
        raise _malformed(f"{type(error).__name__}: {error}"[:200]) from error
    return image, request


def _of_json(data: Any, kind: str, shape: list[int]) -> np.ndarray:
    if math.prod(shape) > _JSON_VALUES:
        raise too_large("a tensor in JSON", f"shape {shape}", f"{_JSON_VALUES:,} numbers; send it as binary data")
    values = np.asarray(data)
    if values.dtype.kind not in "iuf" or values.size != math.prod(shape):
        raise _malformed(f"data of {values.dtype}, {values.size} numbers for shape {shape}")
    found = values.astype(TYPES[kind]).reshape(shape)
    if kind != "FP32" and not np.array_equal(found, values.reshape(shape)):
        raise _malformed(f"numbers that are no {kind}")
    return found


def infer(
    body: bytes, header_length: str | None, model: LoadedModel, limits: Limits, between: Callable[[], None]
) -> tuple[dict[str, Any], bytes, Later]:
    """What is told of it, with the headers of the answer, its body, and what tells the rest; raises `Problem`,
    `Abandoned`."""
    stages = StageTimes()
    with stages.of("decode"):
        image, request = read_tensor(body, header_length, limits, model.bundle.task.rank)
    spacing = None
    parameters = request.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    given = parameters.get("spacing")
    if isinstance(given, str):  # parameters of the protocol are no lists
        try:
            spacing = tuple(float(step) for step in given.split(","))
        except ValueError as error:
            raise _malformed(f"spacing {given[:40]}") from error
    try:
        found = predict_array(image, model, stages, between, spacing)
    except SeglabError as error:
        raise of_error(error) from error
    with stages.of("encode"):
        stored = np.ascontiguousarray(model.stored(found.ids))
        content, headers = _answered(stored, request, model.served, parameters)
    return {**found.reported(), "headers": {**headers, **found.headers()}}, content, lambda: found.later(model, body)


def _answered(
    stored: np.ndarray, request: dict[str, Any], model: ServedModel, parameters: dict[str, Any]
) -> tuple[bytes, dict[str, str]]:
    wanted = request.get("outputs")
    wanted = wanted[0] if isinstance(wanted, list) and wanted and isinstance(wanted[0], dict) else {}
    if wanted.get("name", MASK) != MASK:
        raise _malformed(f"output {str(wanted['name'])[:40]}; expected {MASK}")
    asked = wanted.get("parameters")
    asked = asked if isinstance(asked, dict) else {}
    as_bytes = bool(asked.get("binary_data", parameters.get("binary_data_output", False)))
    output: dict[str, Any] = {"name": MASK, "datatype": mask_type(model), "shape": list(stored.shape)}
    if as_bytes:
        output["parameters"] = {"binary_data_size": stored.nbytes}
    elif stored.size <= _JSON_VALUES:
        output["data"] = stored.ravel().tolist()
    else:
        raise _malformed("a mask of so many pixels as JSON; ask for binary data")
    fields: dict[str, Any] = {"model_name": model.name, "model_version": model.number, "outputs": [output]}
    if isinstance(request.get("id"), str):
        fields["id"] = request["id"]
    head = json.dumps(fields).encode()
    if not as_bytes:
        return head, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return head + stored.astype(stored.dtype.newbyteorder("<")).tobytes(), headers


def _malformed(found: str) -> Problem:
    return Problem(
        400,
        "infer-request",
        "a request that is not of the Open Inference Protocol",
        f"found: {found}",
        remedy=f"one input named {IMAGE}; GET /v2/models/<name> has its shape",
    )
