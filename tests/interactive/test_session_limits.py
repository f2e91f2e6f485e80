"""Sessions of several clients: apart, counted, few, small and forgotten."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from prompted_service import begin, client_of, mask_of, running, scene
from served import Running

from seglab.errors import DataError
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.session import Session
from seglab.interactive.sessions import SessionLimits, Sessions

__all__ = ["running", "scene"]


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
