"""The canary: a labelled set that every model of a service has to do as well as the one before."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running, served_folder
from test_monitor import monitor
from test_rows import rows, scene

from seglab.errors import ConfigError
from seglab.monitoring.canary import CanaryScores, canary_cases, has_fallen
from seglab.task import Task


def test_scores_by_hand() -> None:
    task = Task(2, 1, ("background", "cell"))
    perfect, half = np.array([[10, 0], [0, 6]]), np.array([[10, 0], [4, 2]])
    found = CanaryScores.of([perfect, half], task)
    assert found.cases == pytest.approx((1.0, 0.5))  # 2 · 2 / (2 · 2 + 4)
    assert found.dice[1] == pytest.approx(0.75)
    assert found.iou[1] == pytest.approx(8 / 12)


@pytest.mark.parametrize(
    ("change", "fallen"),
    [
        ([0.0] * 8, False),
        ([-0.05] * 8, True),
        ([0.05] * 8, False),
        ([-0.04, -0.05, -0.06, -0.03, -0.05, -0.04, -0.06, -0.05], True),
        ([-0.3, 0.3, -0.25, 0.2, -0.1, 0.1, 0.05, -0.05], False),
    ],
)
def test_a_fall_lies_beyond_its_interval(change: list[float], fallen: bool) -> None:
    then = [0.6, 0.62, 0.58, 0.65, 0.5, 0.55, 0.61, 0.57]
    assert has_fallen([a + b for a, b in zip(then, change, strict=True)], then) is fallen


def test_pairs_are_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    for part, names in (("images", ("a.png", "b.nii.gz")), ("masks", ("a.tif", "b.nii.gz"))):
        (tmp_path / part).mkdir()
        for name in names:
            (tmp_path / part / name).touch()
    assert [case.name for case in canary_cases(tmp_path)] == ["a", "b"]
    (tmp_path / "masks" / "a.tif").unlink()
    with pytest.raises(ConfigError, match="no canary"):
        canary_cases(tmp_path)
    with pytest.raises(ConfigError, match="no canary"):
        canary_cases(tmp_path / "nowhere")


def until(seen: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_worse_model_is_reported(tmp_path: Path) -> None:
    """The truth is what the first model says; the second takes each class for another."""
    good = served_folder(tmp_path / "good" / "road", ROAD, (32, 40))
    worse = served_folder(tmp_path / "worse" / "road", ROAD, (32, 40), turned=1)
    canary, place = tmp_path / "canary", tmp_path / "rows.db"
    for part in ("images", "masks"):
        (canary / part).mkdir(parents=True)
    link = tmp_path / "current"
    link.symlink_to(good)
    with Running(good) as running:
        for seed in range(3):
            (canary / "images" / f"{seed}.png").write_bytes(scene(seed=seed))
            (canary / "masks" / f"{seed}.png").write_bytes(running.predict(scene(seed=seed)).content)
    with Running(link, f"canary={canary}", "canary_seconds=0", f"rows={place}", "watch_seconds=0.2") as running:
        until(lambda: running.count("seglab_canary_runs_total") == 1)
        assert running.count("seglab_canary_dice") == 3  # of each class
        assert running.count("seglab_canary_fallen") == 0
        other = tmp_path / "next"
        other.symlink_to(worse)
        os.replace(other, link)
        until(lambda: running.count("seglab_canary_fallen") == 1)
        assert running.count("seglab_canary_iou") < 0.5
        assert running.count("seglab_masks_total") == 0  # it is no request of a client
    found = rows(place, "canary", 2)
    assert [(row["fallen"], row["cases"]) for row in found] == [(0, 3), (1, 3)]
    assert json.loads(found[0]["dice"]) == {"0": 1.0, "1": 1.0, "2": 1.0}
    assert found[0]["digest"] != found[1]["digest"]
    assert len(rows(place, "models", 2)) == 2


def test_a_worse_model_is_reported_after_a_restart(tmp_path: Path) -> None:
    """What the former model made of the set is in the rows; the one that begins after it is held against that."""
    words = [f"canary={tmp_path / 'canary'}", "canary_seconds=0", f"rows={tmp_path / 'rows.db'}", "name=road"]
    good = served_folder(tmp_path / "good" / "road", ROAD, (32, 40))
    for part in ("images", "masks"):
        (tmp_path / "canary" / part).mkdir(parents=True)
    (tmp_path / "canary" / "images" / "a.png").write_bytes(scene())
    with Running(good) as running:
        (tmp_path / "canary" / "masks" / "a.png").write_bytes(running.predict(scene()).content)
    for folder, fallen in ((good, 0), (served_folder(tmp_path / "worse" / "road", ROAD, (32, 40), turned=1), 1)):
        with Running(folder, *words) as running:
            until(lambda: running.count("seglab_canary_runs_total") == 1)
            assert running.count("seglab_canary_fallen") == fallen


@pytest.mark.slow
def test_a_mask_of_another_size_fails_and_the_service_goes_on(tmp_path: Path) -> None:
    good = served_folder(tmp_path / "road", ROAD, (32, 40))
    for part in ("images", "masks"):
        (tmp_path / "canary" / part).mkdir(parents=True)
    (tmp_path / "canary" / "images" / "a.png").write_bytes(scene())
    room = io.BytesIO()
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(room, "PNG")
    (tmp_path / "canary" / "masks" / "a.png").write_bytes(room.getvalue())
    with Running(good, f"canary={tmp_path / 'canary'}", f"rows={tmp_path / 'rows.db'}") as running:
        until(lambda: "canary-failed" in {line.get("event") for line in running.lines()})
        assert running.predict(scene()).status_code == 200
    (event,) = [line for line in running.lines() if line.get("event") == "canary-failed"]
    assert event["detail"].startswith("CaseFailed: a: a mask of another size than its image; found: ")
    done = monitor(f"rows={tmp_path / 'rows.db'}", "page=", "alert=true")
    assert done.returncode == 1
    assert (
        "The canary could not be predicted the last time: CaseFailed: a: a mask of another size than its image"
        in done.stdout
    )
