"""The page of a service in a real browser: it names the classes, sends a file straight to the API, shows the mask."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from served import ORGAN, ROAD, Running, served_folder

pytestmark = [pytest.mark.browser, pytest.mark.slow]
KEY = "a-key-of-this-test-0123456789"
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
PIXELS = """image => { const canvas = document.createElement("canvas");
canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
const drawing = canvas.getContext("2d"); drawing.drawImage(image, 0, 0);
return Array.from(drawing.getImageData(0, 0, canvas.width, canvas.height).data) }"""


def png() -> bytes:
    room = io.BytesIO()
    Image.fromarray(IMAGE).save(room, "PNG")
    return room.getvalue()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[Running], Any]]:
    """Opens the page of a service, which asks nobody else and has no faults."""
    contexts, faults = [], []

    def open_page(running: Running) -> Any:
        context = browser.new_context(base_url=running.address, viewport={"width": 900, "height": 800})
        contexts.append(context)
        page = context.new_page()
        own = ("data:", "blob:", running.address)
        page.on("request", lambda one: None if one.url.startswith(own) else faults.append(one.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto("/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults


def sent(page: Any, name: str, content: bytes) -> None:
    page.set_input_files("input[type=file]", {"name": name, "mimeType": "", "buffer": content})
    page.click("button")


def test_an_image_is_sent_to_the_api_and_its_mask_shown(opened: Callable[[Running], Any], tmp_path: Path) -> None:
    with Running(served_folder(tmp_path / "road", ROAD, (64, 80))) as running:
        page = opened(running)
        assert page.inner_text("#here") == running.address
        assert [cell.inner_text() for cell in page.query_selector_all("td:nth-child(2)")] == list(ROAD.class_names)
        with page.expect_request("**/predict") as request:
            sent(page, "street.png", png())
        assert request.value.method == "POST"
        page.wait_for_selector("#shown img")
        seen = np.array(page.eval_on_selector("#shown img", PIXELS), np.uint8).reshape(90, 120, 4)[..., :3]
        answer = Image.open(io.BytesIO(running.predict(png()).content))
        np.testing.assert_array_equal(seen, np.asarray(answer.convert("RGB")))
        assert len(np.unique(seen.reshape(-1, 3), axis=0)) == 3
        answer_text = page.inner_text("#shown")
        assert "mean confidence 0." in answer_text
        assert running.client.get("/health").json()["bundle"] in answer_text
        first = page.get_attribute("#shown img", "src")
        sent(page, "street.png", png())
        page.wait_for_function("first => document.querySelector('#shown img')?.src !== first", arg=first)
        gone = "place => new Promise(end => Object.assign(new Image(), "
        gone += "{src: place, onload: () => end(false), onerror: () => end(true)}))"
        page.wait_for_selector("#shown img")
        assert page.evaluate(gone, first)  # the browser holds the newest mask alone
        assert not page.evaluate(gone, page.get_attribute("#shown img", "src"))
        sent(page, "a.png", b"no image")
        page.wait_for_selector("#shown p:has-text('send a PNG')")
        assert page.query_selector("#shown img") is None
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_who_needs_a_key_is_asked_for_it(opened: Callable[[Running], Any], tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY)
    with Running(served_folder(tmp_path / "road", ROAD, (64, 80)), f"keys={tmp_path / 'keys'}") as running:
        page = opened(running)
        assert not page.is_visible("#key")
        sent(page, "street.png", png())
        page.wait_for_selector("#shown p:has-text('without a key')")
        page.fill("#key", KEY)
        page.click("button")
        page.wait_for_selector("#shown img")


def test_the_mask_of_a_volume_is_there_to_save(opened: Callable[[Running], Any], tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 256, (20, 18, 16), np.uint8)
    content = nib.Nifti1Image(volume, np.diag([1.0, 2, 3, 1])).to_bytes()
    with Running(served_folder(tmp_path / "organ", ORGAN, (16, 16, 16))) as running:
        page = opened(running)
        sent(page, "scan.nii", content)
        with page.expect_download() as download:
            page.click("#shown a")
        assert download.value.suggested_filename == "mask.nii.gz"
        kept = nib.Nifti1Image.from_bytes(gzip.decompress(download.value.path().read_bytes()))
        answer = running.predict(content, "application/gzip").content
        expected = nib.Nifti1Image.from_bytes(gzip.decompress(answer))
        np.testing.assert_array_equal(np.asarray(kept.dataobj), np.asarray(expected.dataobj))
