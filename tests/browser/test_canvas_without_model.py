"""The page `/annotate` of a service without a model: scores after a step back, long prompts, and a volume."""

from __future__ import annotations

from collections.abc import Iterator

import nibabel as nib
import numpy as np
import pytest
from canvas_page import CanvasPage, opened, png, scene
from playwright.sync_api import Browser
from served import Running

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("alone")
    with Running("interactive=true", cwd=place) as service:
        service.place = place  # type: ignore[attr-defined]
        yield service


@pytest.fixture
def view(running: Running, browser: Browser) -> Iterator[CanvasPage]:
    with opened(browser, f"{running.address}annotate", viewport={"width": 1200, "height": 800}) as found:
        yield found


def scores(view: CanvasPage) -> list[str]:
    return view.page.locator(".candidates button").all_inner_texts()


def test_scores_of_candidates_are_shown_after_undo_and_redo(view: CanvasPage) -> None:
    view.upload("scene.png", png(scene(0)))
    shown = []
    for place in view.places(3):
        view.click(*place)
        view.idle()
        shown.append(scores(view))
    assert all(" · 0." in text or " · 1." in text for texts in shown for text in texts)
    view.press("z")
    view.idle()
    assert scores(view) == shown[1]
    view.press("z")
    view.idle()
    assert scores(view) == shown[0]
    view.press("Shift+Z")
    view.idle()
    assert scores(view) == shown[1]


def volume() -> tuple[np.ndarray, bytes]:
    """A ball of radius 7 at 20, 24, 9 on a darker ground."""
    off = np.ogrid[:40, :48, :18]
    ball = sum((axis - at) ** 2 for axis, at in zip(off, (20, 24, 9), strict=True)) <= 49
    values = 100 + 300 * ball + np.random.default_rng(0).normal(0, 10, ball.shape)
    return ball, nib.Nifti1Image(values.astype(np.int16), np.diag([-0.7, 0.9, 3.0, 1.0])).to_bytes()


def test_a_volume_is_clicked_on_slice_by_slice(running: Running, view: CanvasPage) -> None:
    ball, content = volume()
    view.upload("scan.nii", content)
    index, axis = view.page.get_by_label("Slice", exact=True), view.page.locator(".seglab-canvas select")
    assert (axis.input_value(), index.input_value()) == ("z", "9")
    width, height = view.size()
    middle, zoom = (width / 2, height / 2), view.zoom()
    across, down = 7.5 * zoom, 7.5 * zoom * 0.9 / 0.7  # voxels are drawn as long as they are
    view.drag((middle[0] - across, middle[1] - down), (middle[0] + across, middle[1] + down))
    view.idle()
    asked = view.prompts[-1]
    assert (asked["axis"], asked["index"]) == ("z", 9)
    assert np.allclose(asked["box"], [12.5, 16.5, 27.5, 31.5], atol=1.5)
    assert "voxels" in view.status
    at_middle = view.painting()
    view.press("PageUp", "PageUp")
    view.idle()
    assert index.input_value() == "11"
    assert view.painting() != at_middle
    view.click(*middle, button="right")
    view.idle()
    fields = view.answers[-1][0]
    assert (fields["index"], fields["labels"], fields["prompted"]) == (11, [0], [9, 11])
    view.press("PageDown", "PageDown")
    view.idle()
    assert index.input_value() == "9"
    view.press("z")  # the step was made on another slice, which is shown
    view.idle()
    assert index.input_value() == "11"
    view.page.screenshot(path=running.place / "volume.png")  # type: ignore[attr-defined]
    view.page.get_by_role("button", name="Accept").click()
    view.page.locator(".status", has_text="Kept as").wait_for()
    (label,) = (running.place / "accepted" / "volumes" / "labels").iterdir()  # type: ignore[attr-defined]
    mask = np.asarray(nib.load(label).dataobj) > 0
    assert (mask & ball).sum() / (mask | ball).sum() > 0.8
    axis.select_option("x")
    view.idle()
    assert index.input_value() == "20"
    assert view.troubles == []
