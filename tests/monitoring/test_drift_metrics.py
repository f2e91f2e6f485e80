"""Drift in `/metrics`: the numbers of `seglab monitor`, of the model that answers now."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from served import ROAD, Running, served_folder
from test_rows import scene
from watched_rows import REFERENCE, answered, written

from seglab.export.folder import SUMS
from seglab.monitoring.newest_answers import newest_drift
from seglab.monitoring.row_summary import summarise
from seglab.runtime.file_digest import sha256_of


def until(seen: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.05)


def metric_values(running: Running, name: str) -> dict[tuple[str, str], float]:
    """By kind and feature."""
    page = running.client.get("/metrics").text
    found = re.findall(rf'^{name}{{feature="(\w+)",kind="(\w+)"}} (\S+)$', page, re.MULTILINE)
    return {(kind, feature): float(value) for feature, kind, value in found}


def test_drift_is_reported_and_forgotten_with_its_model(tmp_path: Path) -> None:
    """120 dark answers of the day before: brightness has changed, sharpness has not, and masks are less sure."""
    folder = served_folder(tmp_path / "first" / "road", ROAD, (32, 40), reference=REFERENCE)
    digest = sha256_of(folder / SUMS)
    rows = [answered(number, digest=digest, soft_dice=0.6) for number in range(120)]
    for number, row in enumerate(rows):
        row["image"] = json.dumps({**json.loads(row["image"]), "mean": 70.0 + number % 9})
    place = written(tmp_path / "rows.db", rows, digest)
    link = tmp_path / "current"
    link.symlink_to(folder)
    words = [f"rows={place}", "drift_seconds=0.2", "watch_seconds=0.2"]
    with Running(link, *words) as running:
        until(lambda: running.count("seglab_drift_units") == 120)
        until(lambda: len(metric_values(running, "seglab_drift_changed")) == 4)
        drift = summarise(place).drift
        assert drift.quality is not None
        expected = {(one.kind, one.name): one for one in (*drift.features, drift.quality)}
        assert metric_values(running, "seglab_drift_statistic") == pytest.approx(
            {k: one.distance for k, one in expected.items()}
        )
        assert metric_values(running, "seglab_drift_p") == pytest.approx({k: one.p for k, one in expected.items()})
        changed = {key for key, value in metric_values(running, "seglab_drift_changed").items() if value}
        assert changed == {("image", "mean"), ("quality", "soft_dice")}
        other = tmp_path / "next"
        other.symlink_to(served_folder(tmp_path / "second" / "road", ROAD, (32, 40), turned=1))
        os.replace(other, link)
        until(lambda: running.count("seglab_swaps_total") == 1)
        until(lambda: not metric_values(running, "seglab_drift_changed"))
        assert running.predict(scene()).status_code == 200


def test_it_looks_again_once_there_is_news(tmp_path: Path) -> None:
    place = written(tmp_path / "rows.db", [answered(number) for number in range(150)])
    newest, drift = newest_drift(place, "d" * 64, 0, 20, 0.01, 200)
    assert newest == 150
    assert drift is not None
    assert drift.units == 150
    written(place, [answered(number) for number in range(150, 169)])
    assert newest_drift(place, "d" * 64, newest, 20, 0.01, 200) == (150, None)
    written(place, [answered(169)])
    newest, drift = newest_drift(place, "d" * 64, newest, 20, 0.01, 200)
    assert drift is not None
    assert (newest, drift.units) == (170, 170)
    newest, drift = newest_drift(place, "another model", 0, 20, 0.01, 200)
    assert drift is not None
    assert drift.units == 0


@pytest.mark.slow
def test_what_cannot_be_read_is_reported_once_and_costs_nothing(tmp_path: Path) -> None:
    place = tmp_path / "rows.db"
    place.write_bytes(b"no database" * 100)
    folder = served_folder(tmp_path / "road", ROAD, (32, 40))
    with Running(folder, f"rows={place}", "drift_seconds=0.1") as running:
        until(lambda: "drift-unknown" in {line.get("event") for line in running.lines()})
        time.sleep(0.5)
        assert running.predict(scene()).status_code == 200
    assert len([line for line in running.lines() if line.get("event") == "drift-unknown"]) == 1
