"""A service keeps a row of each request, and no database that is broken, full or late costs one its answer."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running, served_folder

from seglab.errors import DataError
from seglab.monitoring.database import opened
from seglab.monitoring.schema import VERSION, VERSION_TABLE
from seglab.monitoring.writer import RowWriter


def scene(side: int = 40, seed: int = 0) -> bytes:
    """A picture in which each of three classes is somewhere the brightest channel."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (side, side, 3), np.uint8)
    for k in range(3):
        image[:, k * side // 3 : (k + 1) * side // 3, k] += 150
    room = io.BytesIO()
    Image.fromarray(image).save(room, "PNG")
    return room.getvalue()


def rows(place: Path, table: str = "predictions", count: int = 1, request: str = "") -> list[dict[str, Any]]:
    """Of a table, or of a request, once there are so many."""
    until = time.monotonic() + 20
    while True:
        with sqlite3.connect(place) as connection:
            connection.row_factory = sqlite3.Row
            found = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY id")]
            found = [row for row in found if request in ("", row.get("request"))]
        connection.close()
        if len(found) >= count or time.monotonic() > until:
            return found
        time.sleep(0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("watched") / "road", ROAD, (32, 40))


@pytest.fixture(scope="module")
def watched(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    place = tmp_path_factory.mktemp("rows") / "new" / "rows.db"
    with Running(folder, f"rows={place}", "interactive=true", f"accepted={place.parent / 'accepted'}") as running:
        yield running, place


def test_a_prediction_leaves_what_was_measured_of_it(watched: tuple[Running, Path]) -> None:
    running, place = watched
    content = scene()
    answer = running.client.post(
        "/predict",
        content=content,
        headers={
            "X-Request-ID": "drive-7",
            "X-Unit": "street 12",
            "Content-Type": "image/png",
            "Accept": "application/json",
        },
    ).json()
    (row,) = rows(place, request="drive-7")
    assert (row["kind"], row["status"], row["code"], row["unit"]) == ("predict", 200, "", "street 12")
    assert row["input"] == hashlib.sha256(content).hexdigest()
    assert row["model"].endswith(row["digest"][:12])
    assert 0 < row["seconds"] < 30
    assert abs(row["at"] - time.time()) < 60
    assert json.loads(row["shares"]) == pytest.approx([one["share"] for one in answer["classes"]], abs=1e-6)
    assert row["confidence"] == pytest.approx(answer["mean_confidence"], abs=1e-5)
    assert row["soft_dice"] == pytest.approx(answer["soft_dice"], abs=1e-5)
    assert 0 < row["entropy"] < np.log(3)
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    image = json.loads(row["image"])
    assert image["mean"] == pytest.approx(pixels.mean(), rel=1e-5)
    assert image["sd"] == pytest.approx(pixels.std(), rel=1e-5)
    assert image["mean_1"] == pytest.approx(pixels[..., 1].mean(), rel=1e-5)
    assert image["pixels"] == 1600
    assert {"queue", "decode", "predict", "measure", "encode"} <= set(json.loads(row["stages"]))


def test_what_is_refused_leaves_its_code(watched: tuple[Running, Path]) -> None:
    running, place = watched
    running.client.post("/predict", content=b"no image", headers={"X-Request-ID": "bad-1", "X-Unit": "<script>"})
    (row,) = rows(place, request="bad-1")
    assert row["status"] >= 400
    assert row["code"] != ""
    assert (row["unit"], row["image"], row["confidence"]) == (None, None, None)


def test_other_addresses_leave_none(watched: tuple[Running, Path]) -> None:
    running, place = watched
    before = len(rows(place))
    running.client.get("/health")
    running.client.get("/nowhere")
    running.predict(scene(seed=3))
    assert len(rows(place, count=before + 1)) == before + 1


def test_the_model_tells_what_its_answers_are_held_against(watched: tuple[Running, Path]) -> None:
    (row,) = rows(watched[1], "models")
    description = json.loads(row["description"])
    assert description["class_names"] == ["ground", "red", "green"]
    assert description["scored"] == [1, 2]


def test_sessions_leave_rows_of_their_kind(watched: tuple[Running, Path]) -> None:
    running, place = watched
    client = running.client
    name = client.post("/sessions", content=scene(), headers={"Content-Type": "image/png"}).json()["id"]
    client.post(f"/sessions/{name}/predict", json={"box": [12, 2, 27, 38]})
    client.post(f"/sessions/{name}/accept", json={"by": "a person"})
    client.post(f"/sessions/{name}/reject")
    found = rows(place, "prompts", 3)
    assert [row["event"] for row in found] == ["prompt", "accepted", "rejected"]
    assert [row["steps"] for row in found] == [None, 1, 1]
    assert found[1]["score"] == pytest.approx(found[0]["score"])
    assert found[1]["verdict"] == found[0]["verdict"]
    assert (found[0]["points"], found[0]["boxes"], found[0]["model"]) == (0, 1, "grabcut")
    assert 0 <= found[0]["box_share"] <= 1.5
    assert found[0]["verdict"] != ""
    assert "a person" not in json.dumps(found)


def test_two_processes_write_one_file(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "rows.db"
    with Running(folder, f"rows={place}") as one, Running(folder, f"rows={place}") as other:
        for number in range(10):
            one.client.post("/predict", content=scene(), headers={"X-Request-ID": f"one-{number}"})
            other.client.post("/predict", content=scene(), headers={"X-Request-ID": f"other-{number}"})
    found = {row["request"] for row in rows(place, count=20)}
    assert found == {f"{who}-{number}" for who in ("one", "other") for number in range(10)}


def test_a_broken_database_costs_no_answer(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "rows.db"
    place.write_bytes(b"this is no database" * 100)
    with Running(folder, f"rows={place}") as running:
        assert running.predict(scene()).status_code == 200
        until = time.monotonic() + 10
        while running.count("seglab_rows_lost_total") < 1 and time.monotonic() < until:
            time.sleep(0.1)
        assert running.count("seglab_rows_lost_total") == 1  # the request's; the model's waits for a database
        assert running.count("seglab_rows_written_total") == 0
    events = [line for line in running.lines() if line.get("event") == "rows-unwritten"]
    assert "not a database" in events[0]["detail"]
    assert place.read_bytes() == b"this is no database" * 100


def test_a_full_disk_loses_rows_and_says_so(tmp_path: Path) -> None:
    lost: list[tuple[int, str]] = []
    written: list[int] = []
    writer = RowWriter(str(tmp_path / "rows.db"), lambda count, why: lost.append((count, why)), written.append)
    assert writer._database is not None
    writer._database.ask("PRAGMA max_page_count=30")  # SQLite's own full disk
    text = "x" * 200_000
    writer.add(
        "canary",
        {"at": 1.0, "digest": "a", "model": "m", "dice": text, "iou": "", "case_dice": "", "cases": 1, "fallen": 0},
    )
    writer.close()
    assert written == []
    assert sum(count for count, _ in lost) == 1
    assert any("full" in why for _, why in lost)


def test_the_model_is_reported_once_there_is_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came meanwhile is lost; without its model nothing that comes later could be judged."""
    monkeypatch.setattr("seglab.monitoring.writer._AGAIN_SECONDS", 0.1)
    monkeypatch.setattr("seglab.monitoring.writer._GATHERED_SECONDS", 0.05)
    folder = tmp_path / "away"
    lost: list[int] = []
    written: list[int] = []
    folder.write_text("no folder yet")
    writer = RowWriter(str(folder / "rows.db"), lambda count, _: lost.append(count), written.append)
    writer.add("models", {"at": 1.0, "digest": "a", "model": "m", "description": "{}"})
    writer.add("prompts", {"at": 1.0, "request": "p", "event": "prompt", "model": "m", "seconds": 0.1})
    until = time.monotonic() + 10
    while not sum(lost) and time.monotonic() < until:
        time.sleep(0.02)
    folder.unlink()
    folder.mkdir()
    while not written and time.monotonic() < until:
        time.sleep(0.02)
    assert [row["digest"] for row in rows(folder / "rows.db", "models")] == ["a"]
    writer.close()
    assert sum(lost) == 1


def test_rows_that_come_too_fast_are_counted(tmp_path: Path) -> None:
    lost: list[int] = []
    written: list[int] = []
    writer = RowWriter(str(tmp_path / "rows.db"), lambda count, _: lost.append(count), written.append)
    for number in range(25_000):
        writer.add("models", {"at": float(number), "digest": "a", "model": "m", "description": "{}"})
    writer.close(20)
    assert sum(lost) > 0
    assert sum(written) + sum(lost) == 25_000
    assert len(rows(tmp_path / "rows.db", "models")) == sum(written)


def test_rows_of_a_later_version_are_refused(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "rows.db"
    database = opened(str(place), write=True)
    database.write([(f"UPDATE {VERSION_TABLE} SET version = {VERSION + 1}", [{}])])
    database.close()
    with pytest.raises(DataError, match="rows of a later seglab") as caught:
        opened(str(place))
    assert caught.value.code == "rows-version"
    words = [sys.executable, "-m", "seglab", "serve", str(folder), "port=0", f"rows={place}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "rows of a later seglab" in done.stderr


def test_a_database_of_an_address_is_written_alike(tmp_path: Path) -> None:
    """SQLAlchemy's way, which PostgreSQL goes: here on a file."""
    place = tmp_path / "rows.db"
    lost: list[str] = []
    writer = RowWriter(f"sqlite+pysqlite:///{place}", lambda _, why: lost.append(why), lambda _: None)
    writer.add("models", {"at": 1.5, "digest": "abc", "model": "m", "description": "{}"})
    writer.close()
    assert lost == []
    assert [(row["id"], row["at"], row["digest"]) for row in rows(place, "models")] == [(1, 1.5, "abc")]


def test_agreement_over_flips_where_it_is_asked_for(
    folder: Path, tmp_path: Path, watched: tuple[Running, Path]
) -> None:
    """The network of this model is a mean over 3 × 3 pixels, which knows no side: it agrees with itself wholly."""
    place = tmp_path / "rows.db"
    with Running(folder, f"rows={place}", "flips=true") as running:
        assert running.predict(scene()).status_code == 200
    (row,) = rows(place)
    assert row["agreement"] == 1.0
    headers = {"X-Request-ID": "unasked", "Content-Type": "image/png"}
    watched[0].client.post("/predict", content=scene(), headers=headers)
    (row,) = rows(watched[1], request="unasked")
    assert row["agreement"] is None
    assert row["confidence"] is not None


def test_none_are_kept_where_none_are_asked_for(folder: Path, tmp_path: Path) -> None:
    with Running(folder, "rows=", cwd=tmp_path) as running:
        answer = running.predict(scene())
        assert "measure" not in answer.headers["server-timing"]
    assert list(tmp_path.iterdir()) == []
