"""The page `/annotate` behind a prefix, with a key, and with a photograph that a camera has turned."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from canvas_page import CanvasPage, opened, png, scene
from PIL import Image
from playwright.sync_api import Browser
from prefix_proxy import PrefixProxy
from served import ROAD, Running, served_folder

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "a-key-of-this-test-0123456789"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Behind a proxy that takes the prefix off."""
    place = tmp_path_factory.mktemp("keyed")
    (place / "keys").write_text(KEY)
    words = (f"keys={place / 'keys'}", "root_path=/lab", "interactive=true", f"accepted={place / 'accepted'}")
    with Running(served_folder(place / "road", ROAD, (32, 40)), *words) as service:
        proxy = PrefixProxy(service.port, b"/lab")
        yield f"127.0.0.1:{proxy.port}"
        proxy.close()


@pytest.fixture
def view(address: str, browser: Browser) -> Iterator[CanvasPage]:
    with opened(browser, f"http://{address}/lab/annotate", viewport={"width": 1200, "height": 800}) as found:
        found.page.get_by_label("Key of the service").fill(KEY)
        found.page.get_by_role("button", name="Use this key").click()
        yield found
        assert found.troubles == []
        assert found.hosts == {address}


def test_behind_a_prefix_with_a_key(view: CanvasPage) -> None:
    view.upload("one.png", png(scene(0)))
    view.click(*view.places(1)[0])
    view.idle()
    assert view.answers[-1][0]["area"] > 0


def test_a_turned_photograph_is_drawn_as_the_model_sees_it(view: CanvasPage) -> None:
    stored = np.zeros((40, 100, 3), np.uint8)
    stored[:20, :50] = 255  # upper left; at the upper right once it is turned by a quarter
    written, photo = io.BytesIO(), Image.fromarray(stored)
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(written, "JPEG", exif=exif, quality=95)
    view.upload("photo.jpg", written.getvalue())
    width, height = view.size()
    seen = view.pixels()
    (left, top), zoom = view.at(width / 2, height / 2), (height - 16) / 100
    bright = [
        seen[int(top + y * zoom), int(left + x * zoom)].mean() > 127 for x, y in ((-10, -25), (10, -25), (10, 25))
    ]
    assert bright == [False, True, False]
    view.click(width / 2 + 10 * zoom, height / 2 - 25 * zoom)
    view.idle()
    assert view.prompts[-1]["points"][0] == pytest.approx([29.5, 24.5], abs=0.5)
    assert view.answers[-1][0]["points"] == view.prompts[-1]["points"]
