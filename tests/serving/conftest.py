"""One service of each kind for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import CELLS, ORGAN, ROAD, Running, served_folder


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("road") / "road", ROAD, (32, 40))


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("cells") / "cells", CELLS, (32, 32))


@pytest.fixture(scope="session")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("organ") / "organ", ORGAN, (16, 16, 16))


@pytest.fixture(scope="session")
def road_service(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    rows = tmp_path_factory.mktemp("rows") / "rows.db"
    with Running(road, "pixels=400000", "body_bytes=2000000", f"rows={rows}") as running:
        yield running


@pytest.fixture(scope="session")
def organ_service(organ: Path) -> Iterator[Running]:
    with Running(organ, "voxels=200000") as running:
        yield running
