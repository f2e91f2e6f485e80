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
    with Running("interactive=true", cwd=tmp_path_factory.mktemp("alone")) as service:
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


def test_a_volume_is_told_about_in_a_sentence(view: CanvasPage) -> None:
    content = nib.Nifti1Image(np.zeros((8, 9, 5), np.int16), np.eye(4)).to_bytes()
    given = {"name": "scan.nii", "mimeType": "application/octet-stream", "buffer": content}
    view.page.locator(".seglab-canvas .file").set_input_files(given)
    alert = view.page.get_by_role("alert")
    alert.wait_for()
    assert "This is a volume" in alert.inner_text()
    assert "seglab segment" in alert.inner_text()
