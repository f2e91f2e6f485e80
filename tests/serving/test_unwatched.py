"""A request with `X-Monitoring: off` is answered as any other, and counted nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import ROAD, Running, served_folder
from test_answers import png

from seglab.monitoring.database import reading

OFF = {"X-Monitoring": "off", "Content-Type": "image/png", "Accept": "image/png"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("unwatched")
    words = (f"rows={place / 'rows.db'}", f"keep_images={place / 'kept'}")
    with Running(served_folder(place / "road", ROAD, (32, 40)), *words, cwd=place) as running:
        running.place = place  # type: ignore[attr-defined]
        yield running


@pytest.mark.slow
def test_it_leaves_a_line_in_the_log_and_nothing_else(service: Running) -> None:
    place: Path = service.place  # type: ignore[attr-defined]
    quiet = service.client.post("/predict", content=png(), headers=OFF)
    refused = service.client.post("/predict", content=b"no image", headers=OFF)
    assert (quiet.status_code, refused.status_code) == (200, 415)
    for name in ("seglab_masks_total", "seglab_refused_total"):
        assert service.count(name) == 0
    assert not list(place.glob("kept/**/*.*"))
    watched = service.predict(png())
    assert watched.content == quiet.content
    assert service.count("seglab_masks_total") == 1
    assert len([line for line in service.lines() if line.get("path") == "/predict"]) == 3
    service.__exit__(None, None, None)  # rows are written
    with reading(str(place / "rows.db")) as database:
        assert database.ask("SELECT status, count(*) FROM predictions GROUP BY status") == [(200, 1)]
    assert list(place.glob("kept/**/*.png"))
