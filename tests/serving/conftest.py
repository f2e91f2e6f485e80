"""One service of each kind for all tests of a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import CELLS, ORGAN, ROAD, Running, served_folder
from watched_rows import REFERENCE, answered, written

from seglab.export.folder import IMAGE, MASK, SUMS
from seglab.runtime.file_digest import sha256_of


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("road") / "road", ROAD, (32, 40), reference=REFERENCE)


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("cells") / "cells", CELLS, (32, 32))


@pytest.fixture(scope="session")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("organ") / "organ", ORGAN, (16, 16, 16))


@pytest.fixture(scope="session")
def road_service(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("watched")
    values = np.array(ROAD.label_values, np.uint8)
    for part, array in (("images", np.load(road / IMAGE)), ("masks", values[np.load(road / MASK)])):
        (place / "canary" / part).mkdir(parents=True)
        Image.fromarray(array).save(place / "canary" / part / "example.png")
    words = [f"rows={place / 'rows.db'}", f"canary={place / 'canary'}", "canary_seconds=0", "drift_seconds=0.2"]
    digest = sha256_of(road / SUMS)
    written(place / "rows.db", [answered(number, digest=digest) for number in range(120)], digest)  # of a day before
    with Running(road, "pixels=400000", "body_bytes=2000000", *words) as running:
        while not (running.count("seglab_canary_runs_total") and running.count("seglab_drift_statistic")):
            time.sleep(0.02)
        yield running


@pytest.fixture(scope="session")
def organ_service(organ: Path) -> Iterator[Running]:
    with Running(organ, "voxels=200000") as running:
        yield running
