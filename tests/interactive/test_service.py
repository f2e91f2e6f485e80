"""Sessions of a real service: prompts, the way back, outcomes, bounds, and a data set at the end."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running, served_folder

from seglab.data.sources.image_folder import ImageFolder
from seglab.data.synthetic.road_scenes import make_scene
from seglab.errors import DataError
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.prompt import box_of
from seglab.interactive.session import Session
from seglab.interactive.sessions import SessionLimits, Sessions


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
        told = json.loads(answer.headers["X-Prompt"])
        assert told["verdict"]["action"] == "accepted"
        assert len(told["scores"]) == 3
        assert told["area"] == reply.mask.sum()
        assert told["milliseconds"] > 0
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


def test_candidates_are_told_after_a_step_back(running: Running, scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    box = box_of(car)
    assert box is not None
    with client_of(running) as client:
        where = f"/sessions/{begin(client, image)}"
        first = json.loads(client.post(f"{where}/predict", json={"box": box.tolist()}).headers["X-Prompt"])
        prompt = {"box": box.tolist(), "points": [[5, 5]], "labels": [1], "candidate": 2}
        second = json.loads(client.post(f"{where}/predict", json=prompt).headers["X-Prompt"])
        for way, told in (("undo", first), ("redo", second)):
            step = json.loads(client.post(f"{where}/{way}").headers["X-Prompt"])
            assert (step["scores"], step["chosen"]) == (told["scores"], told["chosen"])
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
        told = json.loads(answer.headers["X-Prompt"])
        assert "points" in told["left_out"]
        assert "points" not in told
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


def test_two_at_once_do_not_see_each_other(running: Running, scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = scene

    def play(number: int) -> bool:
        picture = np.roll(image, 10 * number, axis=1)
        points = [[60 + 20 * number, 70], [200, 20]]
        with client_of(running) as client:
            where = f"/sessions/{begin(client, picture)}"
            found = [
                mask_of(client.post(f"{where}/predict", json={"points": points[:n], "labels": [1, 0][:n]}))
                for n in (1, 2)
            ]
        model = GrabCut()
        alone = Session(model, model.embed(picture))
        return all((found[n - 1] == alone.predict(points[:n], [1, 0][:n]).mask).all() for n in (1, 2))

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(play, range(3)))


def test_prompts_are_counted_and_logged(running: Running, scene: tuple[np.ndarray, np.ndarray]) -> None:
    before = running.count("seglab_prompts_total")
    with client_of(running) as client:
        where = f"/sessions/{begin(client, scene[0])}"
        client.post(f"{where}/predict", json={"points": [[60, 70]], "labels": [1]})
    assert running.count("seglab_prompts_total") == before + 1
    assert running.count("seglab_sessions") >= 1
    row = [line["prompt"] for line in running.lines() if "prompt" in line][-1]
    assert (row["model"], row["points"], row["box"], row["box_share"]) == ("grabcut", 1, False, None)


def picture(side: int) -> np.ndarray:
    return np.zeros((side, side, 3), np.uint8)


def test_sessions_are_few_and_small_and_forgotten() -> None:
    now = [0.0]
    sessions = Sessions(GrabCut(), SessionLimits(2, 8, 10_000_000, 60.0), lambda: now[0])
    one, other = sessions.begin(picture(100)), sessions.begin(picture(100))
    assert one.id != other.id
    with pytest.raises(DataError) as caught:
        sessions.begin(picture(100))
    assert caught.value.code == "sessions-full"
    sessions.end(other.id)
    with pytest.raises(DataError) as caught:
        sessions.begin(picture(1200))
    assert caught.value.code == "sessions-full"
    now[0] = 59.0
    assert sessions.find(one.id) is one
    now[0] = 118.0
    assert sessions.find(one.id) is one
    now[0] = 179.0
    with pytest.raises(DataError) as caught:
        sessions.find(one.id)
    assert caught.value.code == "session-missing"
    assert len(sessions) == 0


def test_a_client_with_many_sessions_makes_room_for_another() -> None:
    now = [0.0]
    sessions = Sessions(GrabCut(), SessionLimits(4, 2, 10_000_000, 60.0), lambda: now[0])
    of_busy = []
    for second in range(4):
        now[0] = second
        of_busy.append(sessions.begin(picture(100), "busy"))
    now[0] = 4
    sessions.find(of_busy[0].id)  # so that the second one is the one used longest ago
    new = sessions.begin(picture(100), "new")
    assert sorted(sessions._open) == sorted([of_busy[0].id, of_busy[2].id, of_busy[3].id, new.id])
    assert sessions.begin(picture(100), "new").client == "new"
    with pytest.raises(DataError) as caught:  # two and two: nobody has too many
        sessions.begin(picture(100), "third")
    assert caught.value.code == "sessions-full"
    with pytest.raises(DataError):  # larger than all room: nobody loses anything for it
        sessions.begin(picture(2000), "new")
    assert len(sessions) == 4


def test_a_full_log_is_kept_under_another_name(tmp_path: Path) -> None:
    accepted = AcceptedMasks(tmp_path, log_bytes=200)
    for number in range(20):
        accepted.tell({"outcome": "rejected", "number": number})
    files = [*sorted(tmp_path.glob("prompts-*.jsonl")), *tmp_path.glob("prompts.jsonl")]
    assert all(file.stat().st_size < 300 for file in files)
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(20))
