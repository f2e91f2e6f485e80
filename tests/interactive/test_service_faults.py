"""What a service of prompts does where a disk refuses, a body is long, or nothing is said."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running, served_folder

from seglab.errors import SeglabError
from seglab.interactive import accepted as accepted_module
from seglab.interactive.accepted import AcceptedMasks


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = served_folder(tmp_path_factory.mktemp("road") / "road", ROAD, (32, 40))
    place = tmp_path_factory.mktemp("work") / "accepted"
    with Running(folder, "interactive=true", f"accepted={place}") as service:
        service.accepted = place  # type: ignore[attr-defined]
        yield service


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.address, timeout=60, trust_env=False) as client:
        yield client


def begun(client: httpx.Client, *, seed: int) -> str:
    """The address of a session with a mask."""
    image = np.random.default_rng(seed).integers(0, 60, (48, 64, 3), dtype=np.uint8)
    image[12:36, 16:48] += 150
    written = io.BytesIO()
    Image.fromarray(image).save(written, "PNG")
    answer = client.post("/sessions", content=written.getvalue(), headers={"Content-Type": "image/png"})
    where = f"/sessions/{answer.json()['id']}"
    assert client.post(f"{where}/predict", json={"box": [10, 8, 54, 40]}).status_code == 200
    return where


def test_who_judges_need_not_be_named(client: httpx.Client) -> None:
    where = begun(client, seed=1)
    assert client.post(f"{where}/accept").status_code == 200
    assert client.post(f"{where}/reject").json() == {"outcome": "rejected"}


def test_a_body_longer_than_any_prompt_is_not_parsed(client: httpx.Client) -> None:
    where = begun(client, seed=2)
    long = json.dumps({"points": [[1, 1]] * 100_000, "labels": [1] * 100_000})
    answer = client.post(f"{where}/predict", content=long, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "request-too-large")
    full = {"points": [[x + 1 / 3, y + 1 / 3] for x in range(40) for y in range(25)], "labels": [1] * 1000}
    assert client.post(f"{where}/predict", json=full).status_code == 200


def test_a_disk_that_refuses_is_reported_and_leaves_no_half(running: Running, client: httpx.Client) -> None:
    where, folder = begun(client, seed=3), running.accepted  # type: ignore[attr-defined]
    log = folder / "prompts.jsonl"
    kept = log.read_bytes() if log.exists() else b""
    before = sorted(folder.glob("*/*.png"))
    log.unlink(missing_ok=True)
    log.mkdir(parents=True)
    for outcome in ("accept", "reject"):
        answer = client.post(f"{where}/{outcome}")
        assert (answer.status_code, answer.json()["code"]) == (503, "file-unwritable")
        assert str(folder) not in answer.text
    assert sorted(folder.glob("*/*.png")) == before
    log.rmdir()
    log.write_bytes(kept)
    assert client.post(f"{where}/accept").status_code == 200
    assert len(sorted(folder.glob("*/*.png"))) == len(before) + 2


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = AcceptedMasks(tmp_path)
    masks.tell({"outcome": "rejected"})
    before = (tmp_path / "prompts.jsonl").read_bytes()
    write = os.write

    def short(file: int, content: bytes) -> int:
        if len(content) < 20:
            raise OSError(28, "No space left on device")
        return write(file, content[: len(content) - 10])

    with monkeypatch.context() as full:
        full.setattr(accepted_module.os, "write", short)
        with pytest.raises(SeglabError) as caught:
            masks.add(np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), bool), {})
    assert caught.value.code == "no-room"
    assert (tmp_path / "prompts.jsonl").read_bytes() == before
    assert not list(tmp_path.glob("*/*.png"))
    masks.add(np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), bool), {})
    assert [json.loads(line)["outcome"] for line in (tmp_path / "prompts.jsonl").open()] == ["rejected", "accepted"]
