"""The rows of a request, from its line in the log and its measurements."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

_UNIT = re.compile(r"[\w.:@/ -]{1,128}")
KINDS = {"/predict": "predict", "/v2/models/{name}/infer": "infer"}
"""Routes whose requests leave a row of `predictions`."""


def unit_of(given: str) -> str | None:
    """What a client names as the scene, volume or patient that an image is of; None where that is no plain name."""
    return given if _UNIT.fullmatch(given) else None


def prediction_row(
    kind: str,
    request_id: str,
    unit: str | None,
    model: Mapping[str, str],
    status: int,
    seconds: float,
    log_fields: Mapping[str, Any],
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """A row of `predictions`.

    Args:
        kind: of `KINDS`.
        request_id: of the request.
        unit: as `unit_of` has it.
        model: `label`, `version` and `digest` of the one that answered.
        status: of the answer.
        seconds: of the whole request.
        log_fields: of the request's line in the log: `code` and `stages_ms`.
        measured: by the process of the model; empty where it did not come to an answer.
    """
    return {
        "at": round(time.time(), 3),
        "request": request_id,
        "kind": kind,
        "unit": unit,
        "model": model["label"],
        "version": model["version"],
        "digest": model["digest"],
        "status": status,
        "code": log_fields.get("code", ""),
        "seconds": round(seconds, 5),
        "input": measured.get("input"),
        **{
            name: measured.get(name) for name in ("confidence", "entropy", "soft_dice", "quality", "parts", "agreement")
        },
        "implausible": ",".join(measured.get("implausible", ())),
        **{name: _short(measured.get(name)) for name in ("image", "shares")},
        "stages": _short(log_fields.get("stages_ms")),
    }


def prompt_row(event: str, request_id: str, model: str, seconds: float, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `prompts`.

    Args:
        event: prompt, accepted, corrected, rejected or failed.
        request_id: of the request.
        model: that answers prompts.
        seconds: of the whole request.
        fields: numbers of the prompt, as the log has them; of what became of a mask the prompts that it took, `steps`;
            the code of a problem.
    """
    return {
        "at": round(time.time(), 3),
        "request": request_id,
        "event": event,
        "model": model,
        "score": fields.get("score"),
        "seconds": round(seconds, 5),
        "points": fields.get("points"),
        "boxes": None if "box" not in fields else int(fields["box"]),
        "box_share": fields.get("box_share"),
        "empty": None if "empty" not in fields else int(fields["empty"]),
        "verdict": fields.get("verdict", ""),
        "code": fields.get("code", ""),
        "steps": fields.get("steps"),
    }


def _short(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))
