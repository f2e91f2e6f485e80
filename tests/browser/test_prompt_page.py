"""The page of prompts in the application: the canvas asks the API; Streamlit gets accepted and rejected masks."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pytest
from app_data import HOSTILE, image_of
from axe_playwright_python.sync_playwright import Axe
from canvas_page import CanvasPage, png

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_click_accept_and_the_table(page: Any) -> None:
    view = CanvasPage(page)
    page.goto("/prompt?image=a")
    view.ready()
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda _: sent.append("frame")))
    width, height = view.size()
    view.click(width / 2, height / 2)
    view.idle()
    assert view.prompts[-1]["points"][0] == pytest.approx([31.5, 23.5], abs=0.6)
    assert view.answers[-1][0]["area"] > 0
    assert sent == []  # no rerun for a click
    view.press("r", "c")  # Streamlit's own keys
    assert page.get_by_text("Clear caches").count() == 0
    assert view.painting()
    page.get_by_label("Note").fill("fine")
    page.get_by_role("button", name="Accept").click()
    page.locator(".status", has_text="Kept as").wait_for()
    page.get_by_text("Accepted and rejected in this session").wait_for()
    view.click(width / 2, height / 2)  # the same canvas with the same session
    view.idle()
    assert (len(view.prompts[-1]["points"]), view.answers[-1][0]["undo"]) == (1, 2)


def test_from_click_to_paint_with_forty_images_on_the_page(page: Any) -> None:
    """`pytest -s` prints it."""
    view = CanvasPage(page)
    page.goto("/prompt?image=a")
    view.ready()
    view.upload("large.png", png(image_of("large", (1024, 1024))))
    p95 = np.percentile(view.above_the_model(25), 95)
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        pytest.skip(f"a busy machine says nothing of speed: p95 {p95:.0f} ms")
    assert p95 <= 150


def test_another_image_opens_another_session(page: Any) -> None:
    view = CanvasPage(page)
    ids: set[str] = set()
    page.on("request", lambda one: ids.update(re.findall(r"sessions/([^/?]+)/image", one.url)))
    page.goto("/prompt?image=a")
    view.ready()
    page.get_by_role("button", name="Next").first.click()
    page.locator(".seglab-canvas .name", has_text="b c").wait_for()
    view.ready()
    assert len(ids) == 2
    assert "image=b" in page.url


def test_hostile_names_are_text(page: Any) -> None:
    view = CanvasPage(page)
    page.goto(f"/prompt?image={HOSTILE.replace('<', '%3C').replace('`', '%60').replace(' ', '%20')}")
    view.ready()
    assert page.locator(".seglab-canvas .name").inner_text() == HOSTILE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_found_by_axe_in_the_canvas(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    view = CanvasPage(page)
    page.goto("/prompt?image=a")
    view.ready()
    width, height = view.size()
    view.click(width / 2, height / 2)
    view.idle()
    found = Axe().run(page).response["violations"]
    serious = [
        (one["id"], node["target"])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
        if any("canvas" in str(part) for part in node["target"])
    ]
    assert serious == []
