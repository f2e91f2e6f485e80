"""Runs, a study and what was answered: pages over a real store and real rows, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_data import HOSTILE, write_data
from axe_playwright_python.sync_playwright import Axe
from served import Running
from shown_runs import LONG, RUNNING, STUDY, write_runs
from viewing import wait_for_viewer

from seglab.run_record import RUNS

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PATIENCE = 120_000  # milliseconds: MLflow begins with the first look


@pytest.fixture(scope="module")
def app(road_models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """In place of the one of all journeys: with a store of runs, and rows."""
    place = tmp_path_factory.mktemp("watched")
    words = (*write_data(place / "data"), f"runs={write_runs(place / RUNS)}", f"rows={place / 'rows.db'}")
    with Running(road_models[0], *words, "interactive=false", verb="app", cwd=place) as running:
        yield running


def cells(page: Any, number: int = 0) -> str:
    """What a reader of the screen finds in a table."""
    table = page.locator("[data-testid=stDataFrame]").nth(number)
    table.wait_for(timeout=PATIENCE)
    table.locator("td").first.wait_for(state="attached", timeout=PATIENCE)
    return "\n".join(table.locator("td").all_text_contents())


def serious(page: Any, without: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """Rules of axe that a part of the page breaks badly."""
    found = Axe().run(page).response["violations"]
    bad = [one for one in found if one["impact"] in ("serious", "critical")]
    return [
        (one["id"], node["target"], node.get("failureSummary", ""))
        for one in bad
        for node in one["nodes"]
        if not any(part in str(node["html"]) for part in without)
    ]


def test_runs_are_found_with_state_score_and_time_left(page: Any) -> None:
    page.goto("/runs")
    assert all(word in cells(page) for word in ("6 of 8", "ended", HOSTILE))
    page.get_by_role("textbox", name="Search").fill("at_work")
    page.keyboard.press("Enter")
    page.wait_for_timeout(1000)
    rows = cells(page, 1)
    assert all(word in rows for word in (RUNNING, "▶ running", "1 min 00 s"))
    page.get_by_role("textbox", name="Search").fill("")
    page.keyboard.press("Enter")
    page.get_by_role("combobox", name="Curves of").click()
    page.get_by_role("option").filter(has_text=LONG[:20]).first.click()
    chart = page.locator("[data-testid=stVegaLiteChart]").first
    chart.wait_for(timeout=PATIENCE)
    width = chart.evaluate("one => one.querySelector('canvas, svg').getBoundingClientRect().width")
    assert width > 600
    assert re.search(r"run=[0-9a-f]{32}", page.url)
    assert page.locator("img[src=x]").count() == 0


def test_a_study_is_compared(page: Any) -> None:
    page.goto("/study")
    page.get_by_role("heading", name=f"Comparison: {STUDY}").wait_for(timeout=PATIENCE)
    rows = cells(page)
    assert "UNet" in rows
    assert page.locator("[data-testid=stImage] img").count() >= 1
    assert page.locator("img[src=x]").count() == 0


def test_what_clients_asked_is_counted_and_what_pages_ask_is_not(page: Any, app: Running) -> None:
    page.goto("/images?image=a")
    wait_for_viewer(page, " a")
    content = app.client.get("/api/images/a").content
    for _ in range(3):
        app.predict_at("/api/predict", content)
    app.predict_at("/api/predict", b"no image")
    time.sleep(2)  # rows are written in batches
    page.goto("/monitor?hours=1")
    metric = page.locator("[data-testid=stMetric]").filter(has_text="Requests")
    metric.wait_for(timeout=PATIENCE)
    assert re.search(r"\b4\b", metric.inner_text())
    assert page.get_by_role("heading", name="Alerts").count() == 1


def test_the_bars_of_the_time_are_drawn(page: Any) -> None:
    page.goto("/monitor?hours=1")
    page.locator("[data-testid=stVegaLiteChart]").first.wait_for(timeout=PATIENCE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["runs", "study", "monitor?hours=all"])
def test_nothing_serious_is_found_by_axe(address: str, scheme: str, page: Any, app: Running) -> None:
    app.predict_at("/api/predict", app.client.get("/api/images/a").content)  # a row, at least
    time.sleep(2)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"/{address}")
    page.locator("[data-testid=stDataFrame]").first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    assert not serious(page)
