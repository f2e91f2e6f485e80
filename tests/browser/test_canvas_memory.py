"""Two hundred images on the canvas, alone and in the application: the browser and the service keep what they had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from app_data import write_data
from canvas_page import CanvasPage, png, scene
from served import ROAD, Running, served_folder

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1800)]
MIB = 2**20
WARM, ALL = 60, 200


def heap(measure: Any) -> int:
    """Bytes of the scripts of a page, once nothing is left to be thrown away."""
    measure.send("HeapProfiler.collectGarbage")
    return int(measure.send("Runtime.getHeapUsage")["usedSize"])


def check(first: tuple[int, int], last: tuple[int, int]) -> None:
    """Of the service and of the page, after `WARM` images and after `ALL`."""
    print(
        f"service {first[0] / MIB:.0f} → {last[0] / MIB:.0f} MiB, page {first[1] / MIB:.1f} → {last[1] / MIB:.1f} MiB"
    )
    assert last[0] - first[0] < 48 * MIB
    assert last[1] - first[1] < 4 * MIB


def test_files_that_are_opened_on_the_plain_page(browser: Any, tmp_path: Path) -> None:
    files = [png(scene(number, (320, 240))) for number in range(8)]
    with Running(served_folder(tmp_path / "road", ROAD, (32, 40)), "interactive=true", cwd=tmp_path) as running:
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        page = context.new_page()
        view = CanvasPage(page)
        page.goto(f"{running.address}annotate")
        measure = context.new_cdp_session(page)
        at: dict[int, tuple[int, int]] = {}
        for number in range(1, ALL + 1):
            view.upload(f"file {number}.png", files[number % len(files)])
            view.click(*view.places(1)[0])
            view.idle()
            if number in (WARM, ALL):
                at[number] = (running.rss(), heap(measure))
        assert not view.troubles
        context.close()
    check(at[WARM], at[ALL])


def test_images_of_the_data_in_the_application(browser: Any, tmp_path: Path) -> None:
    names = tuple(f"image {number:02}" for number in range(20))
    words = write_data(tmp_path / "data", (240, 320), names)
    with Running(served_folder(tmp_path / "road", ROAD, (64, 80)), *words, verb="app", cwd=tmp_path) as running:
        context = browser.new_context(base_url=running.address, viewport={"width": 1280, "height": 900})
        page = context.new_page()
        view = CanvasPage(page)
        page.goto("/prompt?image=image 00")
        view.ready()
        measure = context.new_cdp_session(page)
        at: dict[int, tuple[int, int]] = {}
        for number in range(1, ALL + 1):
            page.get_by_role("button", name="Next").first.click()
            page.locator(".seglab-canvas .name", has_text=names[number % len(names)]).wait_for()
            view.ready()
            if number in (WARM, ALL):
                at[number] = (running.rss(), heap(measure))
        context.close()
    check(at[WARM], at[ALL])
