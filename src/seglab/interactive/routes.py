"""Sessions over HTTP: an image once, then prompts, each answered with a mask."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from fastapi import FastAPI, Query
from PIL import Image
from prometheus_client import Counter, Gauge, Histogram
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from seglab.errors import SeglabError
from seglab.inference.overlay_picture import overlay
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.images import read_picture
from seglab.interactive.measures import measure, warnings
from seglab.interactive.prompt import MAX_POINTS, Bools
from seglab.interactive.segment import TASK
from seglab.interactive.sessions import Open, Sessions
from seglab.serving.encoding import coco_counts
from seglab.serving.headers import check_image
from seglab.serving.polygons import polygons_of
from seglab.serving.problems import Problem, of_error
from seglab.serving.service import Service
from seglab.serving.uploads import image_of

Found = TypeVar("Found")
_STATUS = {"session-missing": 404, "sessions-full": 503}
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TENTHS = tuple(number / 10 for number in range(1, 11))


class PromptBody(BaseModel):
    """A whole prompt: all points so far."""

    model_config = ConfigDict(extra="forbid")

    points: list[Annotated[list[float], Field(min_length=2, max_length=2)]] = Field([], max_length=MAX_POINTS)
    labels: list[Literal[0, 1]] = Field([], max_length=MAX_POINTS)
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    candidate: Annotated[int, Field(ge=0, le=2)] | None = None


class OutcomeBody(BaseModel):
    """Who judged, in their own words."""

    model_config = ConfigDict(extra="forbid")

    by: Annotated[str, Field(max_length=80)] = ""


class _Counters:
    """What is counted of prompts."""

    def __init__(self, service: Service, sessions: Sessions):
        registry = service.telemetry.registry
        self.prompts = Counter("seglab_prompts", "Prompts that were answered.", ["model", "verdict"], registry=registry)
        self.seconds = Histogram(
            "seglab_prompt_seconds", "Of an answer to a prompt.", buckets=_SECONDS, registry=registry
        )
        self.score = Histogram(
            "seglab_prompt_score", "The model's own estimate of its masks.", buckets=_TENTHS, registry=registry
        )
        self.points = Counter("seglab_prompt_points", "Points of all prompts.", registry=registry)
        self.boxes = Counter("seglab_prompt_boxes", "Prompts with a box.", registry=registry)
        self.empty = Counter("seglab_prompt_empty_masks", "Prompts whose mask is empty.", registry=registry)
        self.outcomes = Counter(
            "seglab_prompt_outcomes", "What became of masks: accepted at once, after corrections, rejected.",
            ["outcome"], registry=registry,
        )  # fmt: skip
        self.failures = Counter(
            "seglab_prompt_failures", "Prompts that the memory did not suffice for.", registry=registry
        )
        held = Gauge("seglab_sessions", "Sessions that are open.", registry=registry)
        held.set_function(lambda: len(sessions))
        for outcome in ("accepted", "corrected", "rejected"):
            self.outcomes.labels(outcome)


def add_sessions(app: FastAPI, service: Service, sessions: Sessions, accepted: AcceptedMasks) -> None:
    """Add the routes below `/sessions` to the application of a service."""
    counters = _Counters(service, sessions)
    pool = ThreadPoolExecutor(1, thread_name_prefix="prompts")  # one answer at a time, as of the model that is served

    async def done(call: Callable[[], Found]) -> Found:
        """What a call gives in the thread of prompts; raises `Problem` for what it raises and for one that is late."""
        limit = service.limits.deadline_seconds
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(pool, call), limit)
        except SeglabError as error:
            problem = of_error(error)
            problem.status = _STATUS.get(error.code, problem.status)
            if problem.status == 503:
                problem.headers["Retry-After"] = "10"
            raise problem from error
        except TimeoutError as error:
            raise Problem(504, "deadline-exceeded", "an answer that took too long", f"expected: {limit:g} s") from error
        except MemoryError as error:
            counters.failures.inc()
            raise Problem(413, "image-memory", "an image that the memory does not suffice for") from error

    @app.post("/sessions", operation_id="begin_session", status_code=201)
    async def begin(request: Request) -> JSONResponse:
        content = await image_of(request, 2, service.limits)
        check_image(content, service.limits)
        found = await done(lambda: sessions.begin(_read(content)))
        return JSONResponse(_described(found, sessions), 201, headers={"Location": f"/sessions/{found.id}"})

    @app.get("/sessions/{id}", operation_id="session")
    async def described(id: str) -> JSONResponse:
        found = await done(lambda: sessions.find(id))
        return JSONResponse(_described(found, sessions))

    @app.post("/sessions/{id}/predict", operation_id="prompt")
    async def predict(id: str, body: PromptBody, request: Request) -> Response:
        def answered() -> tuple[Bools, dict[str, Any]]:
            found = sessions.find(id)
            with found.lock:
                reply = found.session.predict(body.points, body.labels, body.box, None, body.candidate)
                return reply.mask, {
                    **_state(found, reply.mask),
                    "scores": [round(float(score), 4) for score in reply.scores],
                    "chosen": reply.chosen,
                    "notes": list(reply.notes),
                    "milliseconds": round(reply.milliseconds, 1),
                }

        mask, told = await done(answered)
        counters.prompts.labels(sessions.model.name, told["verdict"]["action"]).inc()
        counters.seconds.observe(told["milliseconds"] / 1000)
        counters.score.observe(told["score"])
        counters.points.inc(len(told["points"]))
        counters.boxes.inc(told["box"] is not None)
        counters.empty.inc(not told["area"])
        request.state.told["prompt"] = _row(told, sessions.model.name)
        return _mask_answer(request, mask, told)

    @app.post("/sessions/{id}/accept", operation_id="accept")
    async def accept(
        id: str,
        body: OutcomeBody,
        form: Literal["png", "rle", "polygons", "overlay"] = "png",
        tolerance_px: Annotated[float, Query(ge=0, le=100)] = 1.0,
    ) -> Response:
        def kept() -> tuple[str, Bools, Open, int]:
            found = sessions.find(id)
            with found.lock:
                mask = found.session.mask
                _check_something(found)
                name = accepted.add(found.picture, mask, _facts(found, sessions, body.by))
                return name, mask, found, found.session.steps[0]

        name, mask, found, steps = await done(kept)
        counters.outcomes.labels("accepted" if steps <= 1 else "corrected").inc()
        headers = {"X-Mask-Id": name}
        if form == "rle":
            told: dict[str, Any] = {"size": list(mask.shape), "counts": coco_counts(mask)}
            return JSONResponse({"id": name, "segmentation": told}, headers=headers)
        if form == "polygons":
            rings = [[ring.tolist() for ring in polygon] for polygon in polygons_of(mask, tolerance_px)]
            return JSONResponse({"id": name, "polygons": rings, "tolerance_px": tolerance_px}, headers=headers)
        shown = overlay(found.picture, mask.astype(np.uint8), TASK) if form == "overlay" else mask
        return Response(_png(shown), media_type="image/png", headers=headers)

    @app.post("/sessions/{id}/reject", operation_id="reject")
    async def reject(id: str, body: OutcomeBody) -> JSONResponse:
        def told() -> None:
            found = sessions.find(id)
            with found.lock:
                _check_something(found)
                accepted.tell({"outcome": "rejected", **_facts(found, sessions, body.by)})

        await done(told)
        counters.outcomes.labels("rejected").inc()
        return JSONResponse({"outcome": "rejected"})

    @app.post("/sessions/{id}/{way}", operation_id="step")
    async def step(id: str, way: Literal["undo", "redo"], request: Request) -> Response:
        def moved() -> tuple[Bools, dict[str, Any]]:
            found = sessions.find(id)
            with found.lock:
                happened = found.session.undo() if way == "undo" else found.session.redo()
                mask = found.session.mask
                return mask, {**_state(found, mask), "moved": happened}

        return _mask_answer(request, *await done(moved))

    @app.delete("/sessions/{id}", operation_id="end_session", status_code=204)
    async def end(id: str) -> Response:
        await done(lambda: sessions.end(id))
        return Response(status_code=204)


def _read(content: bytes) -> Any:
    with tempfile.TemporaryDirectory(prefix="seglab-session-") as room:
        file = Path(room) / "image"
        file.write_bytes(content)
        return read_picture(file)


def _described(found: Open, sessions: Sessions) -> dict[str, Any]:
    height, width = found.session.shape
    return {
        "id": found.id,
        "width": width,
        "height": height,
        "model": sessions.model.name,
        "device": sessions.model.device,
        "idle_seconds": sessions.limits.idle_seconds,
        **_state(found, found.session.mask),
    }


def _state(found: Open, mask: Bools) -> dict[str, Any]:
    """Of the newest prompt that was not undone."""
    state, (undo, redo) = found.session.state, found.session.steps
    size = measure(mask)
    return {
        "points": [] if state is None else state.prompt.points.tolist(),
        "labels": [] if state is None else state.prompt.labels.tolist(),
        "box": None if state is None or state.prompt.box is None else state.prompt.box.tolist(),
        "score": 0.0 if state is None else round(state.score, 4),
        "verdict": None if state is None else dataclasses.asdict(state.verdict),
        "undo": undo,
        "redo": redo,
        "area": size.area,
        "perimeter": round(size.perimeter, 2),
        "components": size.components,
        "mask_box": None if size.box is None else size.box.tolist(),
        "warnings": [] if state is None else list(warnings(mask, state.prompt.box)),
    }


def _row(told: dict[str, Any], model: str) -> dict[str, Any]:
    """What the log of the service keeps of a prompt: numbers, and nothing of the image."""
    box = told["box"]
    share = None if box is None else round(told["area"] / max((box[2] - box[0]) * (box[3] - box[1]), 1e-9), 4)
    return {
        "model": model,
        "score": told["score"],
        "milliseconds": told["milliseconds"],
        "points": len(told["points"]),
        "box": box is not None,
        "box_share": share,
        "empty": not told["area"],
        "verdict": told["verdict"]["action"],
    }


def _facts(found: Open, sessions: Sessions, by: str) -> dict[str, Any]:
    height, width = found.session.shape
    told = _state(found, found.session.mask)
    kept = {key: told[key] for key in ("points", "labels", "box", "score", "verdict", "area", "undo")}
    return {"size": [width, height], "model": sessions.model.name, "weights": sessions.model.digest, "by": by, **kept}


def _check_something(found: Open) -> None:
    if found.session.state is None:
        raise Problem(409, "prompt-without-object", "a session without a mask", remedy="send a prompt first")


def _png(array: Any) -> bytes:
    written = io.BytesIO()
    values = array.astype(np.uint8) * 255 if array.dtype == bool else array
    Image.fromarray(values).save(written, "PNG", compress_level=1)
    return written.getvalue()


def _mask_answer(request: Request, mask: Bools, told: dict[str, Any]) -> Response:
    """The mask as a PNG with the rest in `X-Prompt`, or all of it in JSON where that is asked for."""
    began = time.perf_counter()
    content = _png(mask)
    told = {**told, "encode_ms": round((time.perf_counter() - began) * 1000, 1)}
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({**told, "mask": base64.b64encode(content).decode("ascii")})
    return Response(content, media_type="image/png", headers={"X-Prompt": json.dumps(told), "Vary": "Accept"})
