"""The page of images in a real browser: what is seen, and that it is what the API answers."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from app_data import HOSTILE, SIZE, VALUES, image_of
from PIL import Image
from served import Running
from viewing import pixels, wait_for_viewer

from seglab.viz import palette

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def drawn(page: Any, pane: str, kind: str = "overlay") -> np.ndarray:
    size, painted = pixels(page, pane, kind)
    return np.array(painted, np.uint8).reshape(*size, 4)


def of_color(seen: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    return (seen == (*color, 255)).all(axis=-1)


def predicted_ids(app: Running, id: str) -> np.ndarray:
    content = app.client.get(f"/api/images/{id}").content
    return np.searchsorted(VALUES, np.asarray(Image.open(io.BytesIO(app.predict_at("/api/predict", content)))))


def true_ids(id: str) -> np.ndarray:
    """See `write_data`."""
    ids = image_of(id).argmax(axis=2)
    ids[:24, :32] = (ids[:24, :32] + 1) % 3
    return ids


def test_a_journey_through_the_images(page: Any, app: Running) -> None:
    page.goto("/")
    page.wait_for_url("**/images**")
    wait_for_viewer(page)
    page.goto("/images?image=a")
    wait_for_viewer(page, " a")
    ids = predicted_ids(app, "a")
    seen = drawn(page, "Predicted mask")
    assert seen.shape == (*SIZE, 4)
    colors = np.array([(0, 0, 0), (200, 10, 20), (30, 180, 40)])
    inside = ids > 0
    np.testing.assert_array_equal(seen[inside][:, :3], colors[ids[inside]])
    assert (seen[~inside][:, 3] == 0).all()
    page.keyboard.press("n")
    wait_for_viewer(page, " b c")
    assert "image=b" in page.url


def test_errors_are_drawn_by_kind(page: Any, app: Running) -> None:
    page.goto("/images?image=a")
    wait_for_viewer(page, " a")
    truth = true_ids("a")
    predicted = predicted_ids(app, "a")
    seen = drawn(page, "Errors")
    np.testing.assert_array_equal(of_color(seen, palette.TRUE_POSITIVE), (truth == predicted) & (truth > 0))
    np.testing.assert_array_equal(of_color(seen, palette.FALSE_POSITIVE), (truth == 0) & (predicted > 0))
    wrong = (truth > 0) & (predicted > 0) & (truth != predicted)
    np.testing.assert_array_equal(of_color(seen, palette.CONFUSED), wrong)
    page.get_by_label("Errors of").select_option(label="red")
    seen = drawn(page, "Errors")
    np.testing.assert_array_equal(of_color(seen, palette.TRUE_POSITIVE), (truth == 1) & (predicted == 1))
    np.testing.assert_array_equal(of_color(seen, palette.FALSE_POSITIVE), (truth != 1) & (predicted == 1))
    dark = tuple(part // 4 for part in palette.FALSE_NEGATIVE)
    lines, between = of_color(seen, palette.FALSE_NEGATIVE), of_color(seen, dark)
    np.testing.assert_array_equal(lines | between, (truth == 1) & (predicted != 1))
    assert lines.sum() > between.sum() > 0  # hatched
    assert "false negative" in page.locator("figcaption").last.inner_text()


def test_opacity_contours_and_zoom_ask_nobody(page: Any) -> None:
    page.goto("/images?image=a")
    wait_for_viewer(page, " a")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.get_by_label("Opacity of masks").fill("25")
    overlay = page.locator("canvas.overlay").first
    assert overlay.evaluate("one => getComputedStyle(one).opacity") == "0.25"
    assert drawn(page, "Predicted mask", "contour").any()
    page.get_by_label("Contours").uncheck()
    assert not drawn(page, "Predicted mask", "contour").any()
    window = page.locator(".window").first
    window.focus()
    for key in ("+", "+", "ArrowRight"):
        page.keyboard.press(key)
    moved = page.locator(".stage").last.evaluate("one => one.style.transform")
    assert "scale(1.5625)" in moved
    page.keyboard.press("0")
    assert "scale(1)" in page.locator(".stage").last.evaluate("one => one.style.transform")
    assert not asked


def test_what_lies_under_the_pointer_is_reported(page: Any) -> None:
    page.goto("/images?image=a")
    wait_for_viewer(page, " a")
    truth = true_ids("a")
    window = page.locator(".window").first
    box = window.bounding_box()
    for row, column in ((4, 4), (44, 60), (20, 36)):
        window.hover(
            position={"x": (column + 0.5) / SIZE[1] * box["width"], "y": (row + 0.5) / SIZE[0] * box["height"]}
        )
        text = page.locator(".pointed").inner_text()
        assert f"column {column}, row {row}" in text
        assert f"true: {('ground', 'red', 'green')[truth[row, column]]}" in text


def test_hostile_names_are_text(page: Any) -> None:
    page.goto("/images?image=" + quote(HOSTILE))
    wait_for_viewer(page, "onerror")
    assert page.locator("h3").inner_text() == HOSTILE
    assert page.locator("img[src=x]").count() == 0
    assert page.get_by_role("combobox", name="Image (4)").count() == 1


def test_an_image_of_ones_own(page: Any) -> None:
    page.goto("/images")
    wait_for_viewer(page)
    room = io.BytesIO()
    Image.fromarray(image_of("own", (80, 112)).astype(np.uint8)).save(room, "TIFF")
    page.locator("input[type=file]").set_input_files(
        {"name": "<b>own</b>.tif", "mimeType": "image/tiff", "buffer": room.getvalue()}
    )
    wait_for_viewer(page, "own ")
    assert page.locator("h3").inner_text() == "<b>own</b>.tif"
    assert drawn(page, "Predicted mask").shape == (80, 112, 4)
    width = page.locator(".stage img").first.evaluate("one => one.decode().then(() => one.naturalWidth)")
    assert width == 112


def test_a_file_that_is_no_image_is_reported(page: Any) -> None:
    page.goto("/images")
    wait_for_viewer(page)
    page.locator("input[type=file]").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"text"})
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "kind that is not read" in alert.inner_text()


def test_masks_and_pictures_are_saved(page: Any, app: Running) -> None:
    page.goto("/images?image=a")
    wait_for_viewer(page, " a")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Mask as PNG").click()
    saved = np.asarray(Image.open(waiting.value.path()))
    content = app.client.get("/api/images/a").content
    np.testing.assert_array_equal(saved, np.asarray(Image.open(io.BytesIO(app.predict_at("/api/predict", content)))))
    page.get_by_label("Opacity of masks").fill("0")
    page.get_by_label("Contours").uncheck()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save").first.click()
    assert waiting.value.suggested_filename == "a_road_picture.png"
    np.testing.assert_array_equal(np.asarray(Image.open(waiting.value.path()))[..., :3], image_of("a"))


def test_two_sessions_do_not_see_each_other(page: Any, browser: Any, app: Running) -> None:
    page.goto("/images?image=a")
    wait_for_viewer(page, " a")
    other = browser.new_context(base_url=app.address).new_page()
    other.goto("/images?image=b c")
    wait_for_viewer(other, " b c")
    other.get_by_label("Search").fill("zzz")
    other.keyboard.press("Enter")
    other.get_by_text("No image matches").wait_for()
    assert page.locator("h3").inner_text() == "a"
    page.keyboard.press("n")
    wait_for_viewer(page, " b c")
    other.context.close()
