"""An image of 64 million pixels, the most that a service takes, in the browser: opened, clicked, shown with masks."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from canvas_page import opened, png
from PIL import Image
from playwright.sync_api import Browser
from served import ROAD, Running, served_folder
from viewing import wait_for_viewer

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1200)]

SIDE, RADIUS = 8000, 900
AT = (5200, 2700)  # of the disk's middle, column first


@pytest.fixture(scope="module")
def disk() -> np.ndarray:
    """`(SIDE, SIDE, 3)`: a red disk on green noise."""
    image = np.random.default_rng(0).integers(20, 60, (SIDE // 8, SIDE // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    image[..., 1] += 90
    rows, columns = np.ogrid[:SIDE, :SIDE]
    image[(columns - AT[0]) ** 2 + (rows - AT[1]) ** 2 < RADIUS**2] = (220, 40, 30)
    return image


def test_a_click_on_the_canvas_is_about_its_own_pixels(browser: Browser, disk: np.ndarray, tmp_path: Path) -> None:
    folder = served_folder(tmp_path / "road", ROAD, (32, 40))
    with (
        Running(folder, "interactive=true", cwd=tmp_path) as running,
        opened(browser, f"{running.address}annotate", viewport={"width": 1280, "height": 900}) as view,
    ):
        began = time.monotonic()
        view.upload("disk.png", png(disk))
        opening = time.monotonic() - began
        (width, height), zoom = view.size(), view.zoom()
        left, top = (length / 2 + (at - SIDE / 2) * zoom for length, at in zip((width, height), AT, strict=True))
        reach = RADIUS * zoom * 1.2
        began = time.monotonic()
        view.drag((left - reach, top - reach), (left + reach, top + reach))
        view.idle()
        view.click(left, top)
        view.idle()
        took = time.monotonic() - began
        print(f"opened in {opening:.1f} s, a box and a click in {took:.1f} s; service {running.rss() >> 20} MiB")
        assert view.prompts[-1]["points"][-1] == pytest.approx(AT, abs=0.5 / zoom + 0.5)
        fields, _ = view.answers[-1]
        assert fields["area"] == pytest.approx(np.pi * RADIUS**2, rel=0.05)  # GrabCut looks at it smaller
        assert view.troubles == []


def test_its_masks_are_shown_with_every_fourth_pixel(browser: Any, disk: np.ndarray, tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    truth = np.where(disk[..., 0] > 200, 8, 11).astype(np.uint8)
    Image.fromarray(disk).save(tmp_path / "data/images/disk.png", compress_level=1)
    Image.fromarray(truth).save(tmp_path / "data/masks/disk.png", compress_level=1)
    words = ("data=image_folder", "data.label_values=[7,8,11]", "data.class_names=[ground,red,green]")
    folder = served_folder(tmp_path / "road", ROAD, (256, 256), fit="resize")
    with Running(folder, *words, f"data.root={tmp_path / 'data'}", verb="app", cwd=tmp_path) as running:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.monotonic()
        page.goto(f"{running.address}images?image=disk")
        wait_for_viewer(page, " disk", 300_000)
        print(f"shown in {time.monotonic() - began:.1f} s; application {running.rss() >> 20} MiB")
        print(f"browser {sum(one.memory_info().rss for one in psutil.Process().children(recursive=True)) >> 20} MiB")
        overlay = page.locator("figure", has=page.get_by_text("True mask", exact=True)).locator("canvas.overlay")
        content = base64.b64decode(overlay.evaluate("one => one.toDataURL().split(',')[1]"))
        drawn = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))
        red = (drawn == (200, 10, 20, 255)).all(axis=-1)
        np.testing.assert_array_equal(red, truth[::4, ::4] == 8)
        page.close()
