"""What pages ask of the service: its own HTTP API, on the port that they are served at."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from seglab.data.labels.stored_values import class_ids
from seglab.serving.negotiation import GZIP, PNG, RAW
from seglab.serving.problems import MEDIA_TYPE, Problem
from seglab.serving.request_guard import UNWATCHED
from seglab.task import Region, Task

_AGAIN = "wait some seconds and reload the page; where that does not help, start the service again"
_SECONDS = 120.0  # longer than any deadline of the service
_PAGE = 1000  # images that are listed at a time


@dataclass(frozen=True)
class ApiResponse:
    """Of the API.

    Attributes:
        status: of HTTP, below 400.
        headers: by their names in small letters.
        body: as it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Model:
    """What the service tells of the model that it asks.

    Attributes:
        name: in addresses.
        label: with its digest, which no other model has.
        run: that trained it, where that is known.
        task: rank, channels, classes.
        values: of each class id in masks.
        runtime: that computes, with its precision.
        formats: of files that it takes.
    """

    name: str
    label: str
    run: str
    task: Task
    values: tuple[int, ...]
    runtime: str
    formats: tuple[str, ...]

    def ids_of(self, stored: np.ndarray) -> np.ndarray:
        """Class ids uint8 of the values of a mask; what is no class has the task's ignore label."""
        return class_ids(stored, self.values, self.task.ignore_label)


@dataclass(frozen=True)
class Listing:
    """Images of the data.

    Attributes:
        rows: of each its `id`, whether it has a `truth`, and its `split` where that is known.
        split_of: the `training` of the model; `stored`, where only its run knows that and the rows hold none; the
            `data` set; empty for none.
    """

    rows: list[dict[str, Any]]
    split_of: str


@dataclass(frozen=True)
class Prediction:
    """What the model makes of an image.

    Attributes:
        ids: of classes, uint8 `(H, W)`, or `(X, Y, Z)` in RAS order.
        confidence: mean probability that classes were chosen with, 0..1.
        milliseconds: of each stage, as the service tells them.
        label: of the model that told it.
        quality: predicted Dice, 0..1; None where the model does not tell it.
    """

    ids: np.ndarray
    confidence: float
    milliseconds: Mapping[str, float]
    label: str
    quality: float | None = None


class Client:
    """The API of one model.

    Args:
        host, port: that the service listens at.
        prefix: before every address: `/api`, or that of another model.
        key: that opens it; empty where none is asked for.
    """

    def __init__(self, host: str, port: int, prefix: str = "/api", key: str = ""):
        self.host, self.port, self.prefix, self._key = host, port, prefix, key
        self._model: Model | None = None

    def at(self, prefix: str) -> Client:
        """The API of another model on the same port."""
        return Client(self.host, self.port, prefix, self._key)

    def get(
        self, path: str, query: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
    ) -> ApiResponse:
        """The answer of a GET; raises `Problem` for one that is an error, or for none."""
        return self._asked("GET", path, query, b"", headers)

    def post(
        self,
        path: str,
        body: bytes,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        """The answer of a POST; raises `Problem` as `get`."""
        return self._asked("POST", path, query, body, headers)

    def model(self) -> Model:
        """The model that is asked now."""
        health = self._get_health()
        if self._model is not None and self._model.label == health["bundle"]:
            return self._model
        metadata = self.get(f"/v2/models/{quote(health['model'])}").json()
        classes = metadata["classes"]
        rank = len(metadata["inputs"][0]["shape"]) - 1
        task = Task(
            rank,
            metadata["inputs"][0]["shape"][-1],
            tuple(row["name"] for row in classes),
            tuple(tuple(row["color"]) for row in classes),
            metadata["ignore_label"],
            tuple(metadata["unscored"]),
            regions=tuple(map(Region.from_dict, metadata.get("regions", ()))),  # one of before tells none
        )
        values = tuple(row["value"] for row in classes)
        runtime = f"{metadata['platform'].removeprefix('seglab_')}, {metadata['precision']}"
        formats = ("png", "jpg", "jpeg", "tif", "tiff", "bmp") if rank == 2 else ("nii", "gz")
        self._model = Model(metadata["name"], health["bundle"], metadata["run"], task, values, runtime, formats)
        return self._model

    def images(self) -> Listing:
        """The images of the data; none where there are no data."""
        found: list[dict[str, Any]] = []
        try:
            while True:
                page = self.get("/images", {"offset": len(found), "limit": _PAGE}).json()
                found += page["images"]
                if not page["images"] or len(found) >= page["count"]:
                    return Listing(found, page["split_of"])
        except Problem as problem:
            if problem.code == "data-missing":
                return Listing([], "")
            raise

    def image(self, id: str, *, preview: bool = False) -> ApiResponse:
        """The stored file of an image, or a PNG of 8 bits of it."""
        return self.get(f"/images/{quote(id)}", {"preview": "true"} if preview else None)

    def truth(self, id: str) -> ApiResponse:
        """The labels of an image as masks of the model are stored."""
        return self.get(f"/images/{quote(id)}/truth")

    def predicted_png(self, content: bytes) -> bytes:
        """The mask of a 2D image file as `/predict` answers; raises `Problem`."""
        return self.post("/predict", content, headers={"Content-Type": RAW, "Accept": PNG}).body

    def predict(self, content: bytes) -> Prediction:
        """What the model makes of a file; raises `Problem` where it cannot use it."""
        model = self.model()
        flat = model.task.rank == 2
        answer = self.post("/predict", content, headers={"Content-Type": RAW, "Accept": RAW if flat else GZIP})
        if flat:
            shape = [int(side) for side in answer.headers["x-mask-shape"].split(",")]
            kind = np.dtype(answer.headers["x-mask-dtype"]).newbyteorder("<")
            stored = np.frombuffer(answer.body, kind).reshape(shape)
        else:
            stored = volume_of(answer.body)
        ids = model.ids_of(stored)
        stages = dict(stage.split(";dur=") for stage in answer.headers["server-timing"].split(", "))
        return Prediction(
            ids,
            float(answer.headers["x-mean-confidence"]),
            {name: float(took) for name, took in stages.items()},
            answer.headers["x-bundle"],
            float(answer.headers["x-predicted-dice"]) if "x-predicted-dice" in answer.headers else None,
        )

    def _get_health(self) -> dict[str, Any]:
        """Also while the service leaves, or its model begins anew."""
        try:
            return self.get("/health").json()  # type: ignore[no-any-return]
        except Problem as problem:
            if problem.code == "service-unreachable":
                raise
            raise Problem(503, "service-not-ready", "the service is not ready", remedy=_AGAIN) from problem

    def _asked(
        self, method: str, path: str, query: Mapping[str, object] | None, body: bytes, headers: Mapping[str, str] | None
    ) -> ApiResponse:
        address = self.prefix + path + (f"?{urlencode(query)}" if query else "")
        given = {"X-Monitoring": UNWATCHED, **({"X-API-Key": self._key} if self._key else {}), **(headers or {})}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=_SECONDS)
        try:
            connection.request(method, address, body, given)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Problem(
                503,
                "service-unreachable",
                "the service does not answer",
                str(error),
                remedy="check whether it still runs",
            ) from error
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status >= 400:
            raise _problem(answer.status, found, content)
        return ApiResponse(answer.status, found, content)


def volume_of(content: bytes) -> np.ndarray:
    """The values of a compressed NIfTI file of the API, `(X, Y, Z)` in RAS order."""
    import nibabel as nib

    found = nib.as_closest_canonical(nib.Nifti1Image.from_bytes(gzip.decompress(content)))
    return np.asarray(found.dataobj)


def _problem(status: int, headers: Mapping[str, str], content: bytes) -> Problem:
    if headers.get("content-type", "").startswith(MEDIA_TYPE):
        fields = json.loads(content)
        return Problem(
            status,
            fields["code"],
            fields["title"],
            fields.get("detail", ""),
            remedy=fields.get("remedy", ""),
            headers=headers,
        )
    return Problem(status, "service-answer", "an answer that is no document of the service", f"status {status}")
