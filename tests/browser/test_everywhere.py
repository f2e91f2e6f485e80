"""What holds on every page: usable by everyone, in light and dark, behind a prefix, with a key, and for a long time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from app_data import write_data
from axe_playwright_python.sync_playwright import Axe
from prefix_proxy import PrefixProxy
from served import Running
from viewing import wait_for_viewer

pytestmark = [pytest.mark.browser, pytest.mark.slow]
KEY = "a-key-of-this-test-0123456789"
PAGES = {"images?image=a": " a", "compare?image=a": "a road+"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", PAGES)
def test_nothing_serious_is_found_by_axe(address: str, scheme: str, page: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"/{address}")
    wait_for_viewer(page, PAGES[address])
    page.wait_for_timeout(500)
    found = Axe().run(page).response["violations"]
    serious = [
        (one["id"], node["target"], node.get("failureSummary", ""))
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
        if any("viewer" in str(part) for part in node["target"])
    ]
    assert not serious
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    red, green, blue = (int(part) for part in background.removeprefix("rgb(").rstrip(")").split(","))
    assert (red + green + blue > 600) == (scheme == "light")


def test_keyboard_alone_reaches_everything(page: Any) -> None:
    page.goto("/images?image=a")
    wait_for_viewer(page, " a")
    reached: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { let one = document.activeElement;
                while (one.shadowRoot && one.shadowRoot.activeElement) one = one.shadowRoot.activeElement;
                return one.className + ' ' + (one.getAttribute('aria-label') || one.innerText || one.type || ''); }"""
            )
        )
    listing = "\n".join(reached)
    for wanted in ("window Picture", "zoom in", "Show all", "range", "checkbox", "Next", "Search"):
        assert wanted in listing, wanted


def test_behind_a_prefix_on_another_port_with_a_key(
    browser: Any, road_models: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(KEY)
    words = (*write_data(tmp_path / "data"), f"keys={tmp_path / 'keys'}", "root_path=/lab", "interactive=false")
    with Running(road_models[0], *words, verb="app", cwd=tmp_path) as running:
        proxy = PrefixProxy(running.port, b"/lab")
        at = f"http://127.0.0.1:{proxy.port}"
        context = browser.new_context(http_credentials={"username": "", "password": KEY})
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda one: asked.append(one.url))
        page.goto(f"{at}/lab/")
        page.wait_for_url("**/lab/images**")
        wait_for_viewer(page)
        page.goto(f"{at}/lab/images?image=a")
        wait_for_viewer(page, " a")
        assert page.locator(".stage img").first.evaluate("one => one.decode().then(() => one.naturalWidth)") == 64
        strange = [url for url in asked if not url.startswith((f"{at}/lab/", "data:", "blob:"))]
        assert not strange
        context.close()
        proxy.close()


@pytest.mark.timeout(1200)
def test_two_hundred_images_leave_memory_as_it_was(
    browser: Any, road_models: tuple[Path, Path], tmp_path: Path
) -> None:
    names = tuple(f"image {number:02}" for number in range(40))
    words = write_data(tmp_path / "data", (256, 320), names)
    with Running(road_models[0], *words, "interactive=false", verb="app", cwd=tmp_path) as running:
        context = browser.new_context(base_url=running.address, viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto("/images?image=image 00")
        wait_for_viewer(page, "image 00")
        measure = context.new_cdp_session(page)

        def heap() -> int:
            measure.send("HeapProfiler.collectGarbage")
            return int(measure.send("Runtime.getHeapUsage")["usedSize"])

        at: dict[int, tuple[int, int]] = {}
        for number in range(1, 201):
            page.keyboard.press("n")
            wait_for_viewer(page, names[number % 40])
            if number in (80, 200):
                at[number] = (running.rss(), heap())
        context.close()
    (rss, used), (rss_end, used_end) = at[80], at[200]
    assert rss_end - rss < 24 * 2**20, f"{rss >> 20} MiB became {rss_end >> 20}"
    assert used_end - used < 4 * 2**20, f"{used >> 10} KiB became {used_end >> 10}"
