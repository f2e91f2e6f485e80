"""Masks that were accepted stay on the canvas in blue: what is painted is the same, however it came about."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from canvas_page import CanvasPage, opened, png, scene
from playwright.sync_api import Browser
from served import Running

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLOW_BITMAPS = """() => { const real = createImageBitmap;
window.createImageBitmap = async (...given) => {
await new Promise((done) => setTimeout(done, 400)); return real(...given); } }"""
COUNTED_LAYERS = """() => { window.layers = 0; const real = OffscreenCanvas;
window.OffscreenCanvas = class extends real { constructor(...size) { super(...size); layers++; } } }"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place: Path = tmp_path_factory.mktemp("kept")
    with Running("interactive=true", f"accepted={place / 'accepted'}", cwd=place) as service:
        yield service


@pytest.fixture
def view(running: Running, browser: Browser) -> Iterator[CanvasPage]:
    with opened(browser, f"{running.address}annotate", viewport={"width": 1200, "height": 800}) as found:
        again(found)
        yield found
        assert found.troubles == []


def again(view: CanvasPage) -> None:
    """The same image, with nothing on it."""
    view.upload("road.png", png(scene(0)))


def accept(view: CanvasPage) -> None:
    view.page.get_by_role("button", name="Accept").click()


def finished(view: CanvasPage, *clicks: tuple[float, float]) -> None:
    """Accept what came of clicks, of which those after the first are beside the object."""
    for number, place in enumerate(clicks):
        view.click(*place, button="right" if number else "left")
        view.idle()
    accept(view)
    view.idle()


def comes_to_be(view: CanvasPage, painting: bytes) -> bool:
    """Whether this is what is painted, within ten seconds."""
    until = time.monotonic() + 10
    while view.painting() != painting and time.monotonic() < until:
        view.page.wait_for_timeout(100)
    return view.painting() == painting


def test_what_is_accepted_before_its_mask_is_seen_is_kept(view: CanvasPage) -> None:
    one, two = view.places(2)
    finished(view, one)
    first = view.painting()
    finished(view, two)
    both = view.painting()
    assert first != both
    again(view)
    view.page.evaluate(SLOW_BITMAPS)
    for place in (one, two):
        view.click(*place)
        accept(view)
    assert comes_to_be(view, both)


def test_a_mask_that_is_accepted_again_takes_the_place_of_the_former_one(view: CanvasPage) -> None:
    one, two = view.places(2)
    beside = (one[0] + 8, one[1])
    finished(view, one, beside)
    finished(view, two)
    wanted = view.painting()
    again(view)
    finished(view, one)
    finished(view, two)
    assert view.painting() != wanted
    view.press("z", "z")  # back to the second object, and on to the first
    view.click(*beside, button="right")
    accept(view)
    assert comes_to_be(view, wanted)


def test_what_is_kept_is_painted_at_once_however_many_masks_it_has(view: CanvasPage) -> None:
    for place in view.places(4):
        finished(view, place)
    view.page.evaluate(COUNTED_LAYERS)
    view.page.get_by_label("Opacity").fill("70")
    view.idle()
    assert view.page.evaluate("layers") == 1
