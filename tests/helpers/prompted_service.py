"""Shared by the tests of sessions: a service that answers prompts, and a client of it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running, served_folder

from seglab.data.synthetic.road_scenes import make_scene


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    image, _, instances = make_scene(np.random.default_rng(0))
    cars = [one for one in np.unique(instances) if one // 1000 == 26]
    return image, max((instances == one for one in cars), key=np.sum)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = served_folder(tmp_path_factory.mktemp("road") / "road", ROAD, (32, 40))
    place = tmp_path_factory.mktemp("work")
    with Running(folder, "interactive=true", "pixels=400000", f"accepted={place / 'accepted'}") as service:
        service.accepted = place / "accepted"  # type: ignore[attr-defined]
        yield service


def png(image: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(image).save(written, "PNG")
    return written.getvalue()


def begin(client: httpx.Client, image: np.ndarray) -> str:
    answer = client.post("/sessions", content=png(image), headers={"Content-Type": "image/png"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def mask_of(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content))) > 0


def client_of(running: Running) -> httpx.Client:
    return httpx.Client(base_url=running.address, timeout=60, trust_env=False)
