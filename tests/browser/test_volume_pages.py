"""Volumes and a study behind a prefix with a key, in two browsers at once, and with processes that are killed under the
page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from app_data import HOSTILE
from canvas_page import CanvasPage
from prefix_proxy import PrefixProxy
from served import ORGAN, Running, served_folder
from shown_runs import STUDY, write_runs

from seglab.run_record import RUNS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "a-key-of-this-test-0123456789"
SHAPE = (30, 34, 12)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The application with volumes, two models, a study and a key, told that it is at `/lab`."""
    place = tmp_path_factory.mktemp("volume_pages")
    (place / "keys").write_text(KEY)
    off = np.ogrid[tuple(slice(length) for length in SHAPE)]
    ball = sum((axis - at) ** 2 / r**2 for axis, at, r in zip(off, (15, 17, 6), (7, 7, 4), strict=True)) <= 1
    values = (40 + 180 * ball + np.random.default_rng(0).normal(0, 8, SHAPE)).astype(np.uint8)
    for part, content in (("images", values), ("labels", ball.astype(np.uint8))):
        (place / "data" / part).mkdir(parents=True)
        nib.save(nib.Nifti1Image(content, np.diag([-1.0, 1.0, 2.0, 1.0])), place / "data" / part / "scan.nii.gz")
    words = ["data=nifti", f"data.root={place / 'data'}", "data.class_names=[background,organ]"]
    words += [f"compare=[{served_folder(place / 'other', ORGAN, (16, 16, 16), bias=-3.0)}]"]
    words += [f"runs={write_runs(place / RUNS)}", f"keys={place / 'keys'}", "root_path=/lab"]
    with Running(served_folder(place / "organ", ORGAN, (16, 16, 16)), *words, verb="app", cwd=place) as app:
        yield app


@pytest.fixture(scope="module")
def address(running: Running) -> Iterator[str]:
    proxy = PrefixProxy(running.port, b"/lab")
    yield f"http://127.0.0.1:{proxy.port}/lab"
    proxy.close()


@pytest.fixture
def contexts(browser: Any) -> Iterator[Any]:
    """New profiles of a browser that know the key."""
    made: list[Any] = []

    def new() -> Any:
        credentials = {"username": "", "password": KEY}
        made.append(browser.new_context(http_credentials=credentials, viewport={"width": 1280, "height": 900}))
        return made[-1].new_page()

    yield new
    for page in made:
        page.close()


def opened(page: Any, address: str) -> CanvasPage:
    view = CanvasPage(page)
    page.goto(f"{address}/prompt?image=scan")
    view.ready()
    return view


def test_study_and_volumes_behind_a_prefix_with_a_key(contexts: Any, address: str) -> None:
    page = contexts()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(f"{address}/study")
    page.get_by_role("heading", name=f"Comparison: {STUDY}").wait_for(timeout=120_000)
    assert HOSTILE in STUDY
    assert page.locator("img[src=x]").count() == 0
    page.goto(f"{address}/compare?image=scan")
    frame = page.frame_locator("iframe[src*='/lab/api/volume']")
    frame.locator("body[data-shown='organ other']").wait_for(timeout=60_000)
    assert frame.locator("#status").inner_text() == "A click moves the crosshair, the wheel the slice."
    view = opened(page, address)
    width, height = view.size()
    view.click(width / 2, height / 2)
    view.idle()
    assert view.answers[-1][0]["slice_area"] > 0
    assert not page.get_by_label("mm per pixel").is_visible()
    assert not [url for url in asked if not url.startswith((f"{address}/", "data:", "blob:"))]


def test_two_browsers_on_one_volume_do_not_see_each_other(contexts: Any, address: str) -> None:
    one, other = (opened(contexts(), address) for _ in range(2))
    empty = other.painting()
    width, height = one.size()
    one.click(width / 2, height / 2)
    one.idle()
    assert other.painting() == empty
    other.press("PageUp")
    other.idle()
    assert one.page.get_by_label("Slice", exact=True).input_value() == "6"
    other.click(width / 2, height / 2)
    other.idle()
    assert (other.answers[-1][0]["prompted"], one.answers[-1][0]["prompted"]) == ([7], [6])


def test_a_process_that_is_killed_under_the_page_costs_no_click(contexts: Any, address: str, running: Running) -> None:
    view = opened(contexts(), address)
    width, height = view.size()
    view.click(width / 2, height / 2)
    view.press("PageUp")
    view.click(width / 2 + 3, height / 2)
    view.idle()
    before, painted = view.answers[-1][0], view.painting()
    (child,) = [one for one in running.processes() if "prompt_process" in " ".join(one.cmdline())]
    child.kill()
    view.press("z", "Shift+Z")
    view.idle()
    assert view.painting() == painted
    fields = view.answers[-1][0]
    assert (fields["area"], fields["prompted"], fields["undo"]) == (before["area"], before["prompted"], before["undo"])
    assert view.troubles == []


def test_a_service_that_is_killed_under_the_page_is_reported(contexts: Any, address: str, running: Running) -> None:
    """The last of this module: nothing serves after it."""
    view = opened(contexts(), address)
    study = contexts()
    study.goto(f"{address}/study")
    study.get_by_role("heading", name=f"Comparison: {STUDY}").wait_for(timeout=120_000)
    for one in running.processes():
        one.kill()
    width, height = view.size()
    view.click(width / 2, height / 2)
    view.page.get_by_role("alert").get_by_text("cannot be reached").wait_for(timeout=60_000)
    assert view.page.get_by_role("button", name="Try again").is_visible()
    assert study.get_by_role("heading", name=f"Comparison: {STUDY}").is_visible()
