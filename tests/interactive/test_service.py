"""Sessions of a real service: prompts, the way back, outcomes, bounds, and a data set at the end."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prompted_service import begin, client_of, mask_of, png, running, scene
from served import Running

from seglab.data.sources.image_folder import ImageFolder
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.prompt import box_of
from seglab.interactive.session import Session

__all__ = ["running", "scene"]


def test_a_click_is_answered_as_in_the_library(running: Running, scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    box = box_of(car)
    assert box is not None
    with client_of(running) as client:
        session_id = begin(client, image)
        answer = client.post(f"/sessions/{session_id}/predict", json={"box": box.tolist()})
        model = GrabCut()
        reply = Session(model, model.embed(image)).predict(box=box)
        assert (mask_of(answer) == reply.mask).all()
        fields = json.loads(answer.headers["X-Prompt"])
        assert fields["verdict"]["action"] == "accepted"
        assert len(fields["scores"]) == 3
        assert fields["area"] == reply.mask.sum()
        x0, y0, x1, y1 = fields["mask_box"]
        assert fields["fill"] == pytest.approx(fields["area"] / ((x1 - x0) * (y1 - y0)), abs=1e-4)
        assert fields["milliseconds"] > 0
        as_json = client.post(
            f"/sessions/{session_id}/predict", json={"box": box.tolist()}, headers={"Accept": "application/json"}
        ).json()
        assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(as_json["mask"])))) > 0).any()


def test_the_picture_is_the_one_that_the_model_sees(running: Running) -> None:
    turned = Image.fromarray(np.arange(90, dtype=np.uint8).reshape(6, 15))
    exif = turned.getexif()
    exif[0x0112] = 6  # a quarter to the right
    written = io.BytesIO()
    turned.save(written, "PNG", exif=exif)
    with client_of(running) as client:
        begun = client.post("/sessions", content=written.getvalue(), headers={"Content-Type": "image/png"}).json()
        assert (begun["width"], begun["height"]) == (6, 15)
        answer = client.get(f"/sessions/{begun['id']}/image")
        assert answer.headers["content-type"] == "image/png"
        seen = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert (seen == np.rot90(np.asarray(turned), -1)[..., None]).all()
        assert client.get("/sessions/none/image").status_code == 404


def test_undo_and_redo(running: Running, scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    box = box_of(car)
    assert box is not None
    with client_of(running) as client:
        where = f"/sessions/{begin(client, image)}"
        first = mask_of(client.post(f"{where}/predict", json={"box": box.tolist()}))
        prompt = {"box": box.tolist(), "points": [[5, 5]], "labels": [1]}
        second = mask_of(client.post(f"{where}/predict", json=prompt))
        assert (first != second).any()
        assert (mask_of(client.post(f"{where}/undo")) == first).all()
        assert (mask_of(client.post(f"{where}/redo")) == second).all()
        assert json.loads(client.post(f"{where}/redo").headers["X-Prompt"])["moved"] is False
        mask_of(client.post(f"{where}/undo"))
        assert not mask_of(client.post(f"{where}/undo")).any()
        state = client.get(where).json()
        assert (state["undo"], state["redo"], state["points"]) == (0, 2, [])


def test_candidates_are_reported_after_a_step_back(running: Running, scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    box = box_of(car)
    assert box is not None
    with client_of(running) as client:
        where = f"/sessions/{begin(client, image)}"
        first = json.loads(client.post(f"{where}/predict", json={"box": box.tolist()}).headers["X-Prompt"])
        prompt = {"box": box.tolist(), "points": [[5, 5]], "labels": [1], "candidate": 2}
        second = json.loads(client.post(f"{where}/predict", json=prompt).headers["X-Prompt"])
        for way, expected in (("undo", first), ("redo", second)):
            step = json.loads(client.post(f"{where}/{way}").headers["X-Prompt"])
            assert (step["scores"], step["chosen"]) == (expected["scores"], expected["chosen"])
            assert len(step["scores"]) == 3
        assert second["chosen"] == 2
        client.post(f"{where}/undo")
        client.post(f"{where}/undo")
        assert client.get(where).json()["scores"] is None


def test_a_long_prompt_leaves_the_header_short(running: Running, scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = scene
    points = [[x + 0.123456789, y + 0.987654321] for x in range(0, 100, 2) for y in range(0, 40, 2)]
    prompt = {"points": points, "labels": [1] * len(points)}
    with client_of(running) as client:
        where = f"/sessions/{begin(client, image)}"
        answer = client.post(f"{where}/predict", json=prompt)
        assert answer.status_code == 200
        assert len(answer.headers["X-Prompt"]) < 4096
        fields = json.loads(answer.headers["X-Prompt"])
        assert "points" in fields["left_out"]
        assert "points" not in fields
        assert len(client.get(where).json()["points"]) == len(points) == 1000
        whole = client.post(f"{where}/predict", json=prompt, headers={"Accept": "application/json"}).json()
        assert len(whole["points"]) == 1000
        assert "left_out" not in json.loads(
            client.post(f"{where}/predict", json={"box": [9, 9, 40, 40]}).headers["X-Prompt"]
        )


def test_accepted_masks_are_a_data_set(running: Running, scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    box = box_of(car)
    assert box is not None
    accepted: Path = running.accepted  # type: ignore[attr-defined]
    with client_of(running) as client:
        where = f"/sessions/{begin(client, image)}"
        assert client.post(f"{where}/accept", json={}).status_code == 409
        mask = mask_of(client.post(f"{where}/predict", json={"box": box.tolist()}))
        answer = client.post(f"{where}/accept", json={"by": "Ada", "note": "without its shadow"})
        name = answer.headers["X-Mask-Id"]
        assert (mask_of(answer) == mask).all()
        rle = client.post(f"{where}/accept", params={"form": "rle"}, json={}).json()
        assert rle["segmentation"]["size"] == [128, 256]
        rings = client.post(f"{where}/accept", params={"form": "polygons", "tolerance_px": 0}, json={}).json()
        assert len(rings["polygons"]) >= 1
        assert client.post(f"{where}/reject", json={}).json() == {"outcome": "rejected"}
    source = ImageFolder(root=str(accepted))
    sample = source.read(next(case for case in source.cases if case.id == name))
    assert sample.mask is not None
    assert (sample.image == image).all()
    assert (sample.mask == mask).all()
    lines = [json.loads(line) for line in (accepted / "prompts.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line.get("by") == "Ada")
    assert (first["outcome"], first["id"], first["size"]) == ("accepted", name, [256, 128])
    assert first["note"] == "without its shadow"
    assert (first["box"], first["model"]) == (box.tolist(), "grabcut")
    assert lines[-1]["outcome"] == "rejected"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "prompt-without-object"),
        ({"points": [[999, 3]], "labels": [1]}, 422, "prompt-point-outside"),
        ({"points": [[9, 3]], "labels": [2]}, 422, "parameter-invalid"),
        ({"points": [[9, 3]], "labels": []}, 422, "prompt-form"),
        ({"points": [[9]], "labels": [1]}, 422, "parameter-invalid"),
        ({"points": [["nan", 3]], "labels": [1]}, 422, "prompt-not-finite"),
        ({"points": [[9, 3]] * 10_000, "labels": [1] * 10_000}, 422, "parameter-invalid"),
        ({"box": [3, 3, 3, 9]}, 422, "prompt-box-size"),
        ({"box": [3, 3, 9, 9], "candidate": 4}, 422, "parameter-invalid"),
        ({"box": [3, 3, 9, 9], "shell": "x"}, 422, "parameter-invalid"),
    ],
)
def test_bad_prompts(
    running: Running, scene: tuple[np.ndarray, np.ndarray], body: dict[str, Any], status: int, code: str
) -> None:
    with client_of(running) as client:
        where = f"/sessions/{begin(client, scene[0])}"
        answer = client.post(f"{where}/predict", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert client.get(where).json()["undo"] == 0
        assert client.delete(where).status_code == 204
        assert client.delete(where).status_code == 404


def test_bad_images(running: Running) -> None:
    with client_of(running) as client:
        for content, status in ((b"no image", 415), (b"", 400), (png(np.zeros((700, 700, 3), np.uint8)), 413)):
            answer = client.post("/sessions", content=content, headers={"Content-Type": "image/png"})
            assert answer.status_code == status, answer.text
        assert client.post("/sessions/nobody/predict", json={"box": [1, 1, 5, 5]}).status_code == 404
