"""Slices of a volume whose voxels are no cubes: drawn in their true proportions, and asked about in voxels. Each voxel
has a grey value by chance, so the value that is seen below a click tells which voxel it was on."""

from __future__ import annotations

import io
from collections.abc import Iterator

import nibabel as nib
import numpy as np
import pytest
from canvas_page import CanvasPage, opened
from PIL import Image
from playwright.sync_api import Browser
from served import Running

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHAPE, SPACING = (36, 20, 12), (0.5, 1.25, 4.0)
BESIDE = np.array([236, 238, 241])  # the colour around the image
RATIOS = {"x": 4.0 / 1.25, "y": 4.0 / 0.5, "z": 1.25 / 0.5}  # height of a pixel against its width


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running("interactive=true", cwd=tmp_path_factory.mktemp("slices")) as service:
        yield service


@pytest.fixture(scope="module")
def content() -> bytes:
    values = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.int16)
    return nib.Nifti1Image(values, np.diag([*SPACING, 1.0])).to_bytes()


@pytest.fixture(params=[1, 2])
def view(running: Running, browser: Browser, request: pytest.FixtureRequest) -> Iterator[CanvasPage]:
    size = {"width": 1200, "height": 800}
    with opened(browser, f"{running.address}annotate", viewport=size, device_scale_factor=request.param) as found:
        yield found


def at_slice(running: Running, view: CanvasPage, axis: str) -> np.ndarray:
    """Choose the axis; `(H, W)`, the grey values of the slice that is shown then."""
    with view.page.expect_request(lambda one: "/image?" in one.url and f"axis={axis}" in one.url) as found:
        view.page.locator(".seglab-canvas select").select_option(axis)
    view.idle()
    picture = running.client.get(found.value.url).content
    return np.asarray(Image.open(io.BytesIO(picture)).convert("L")).astype(int)


@pytest.mark.parametrize("axis", ["y", "x", "z"])
def test_a_click_is_on_the_voxel_that_is_seen_below_it(
    running: Running, view: CanvasPage, content: bytes, axis: str
) -> None:
    view.upload("chance.nii", content)
    if axis == "z":
        at_slice(running, view, "x")
    grey = at_slice(running, view, axis)
    ratio = view.page.evaluate("devicePixelRatio")
    rng, count = np.random.default_rng(1), 0
    for zoomed in range(3):
        view.press("n", *["+"] * zoomed)
        view.idle()
        left, top = view.at(0, 0)
        width, height = view.size()
        seen = view.pixels()[round(top * ratio) : round((top + height) * ratio),
                             round(left * ratio) : round((left + width) * ratio)].astype(int)  # fmt: skip
        if not zoomed:
            row, column = seen[seen.shape[0] // 2], seen[:, seen.shape[1] // 2]
            across, down = (int((np.abs(line - BESIDE).max(-1) > 0).sum()) for line in (row, column))
            borders = 2 * ratio  # of the element
            wanted = RATIOS[axis] * grey.shape[0] / grey.shape[1]
            assert (down - borders) / (across - borders) == pytest.approx(wanted, rel=0.03)
        for _ in range(8):
            x = int(width / 2 + rng.uniform(-0.55, 0.55) * across / ratio)  # some are beside the slice
            y = int(rng.integers(10, height - 40))
            asked = len(view.prompts)
            view.click(x, y)
            view.idle()
            meeting = seen[round(y * ratio) - 1 : round(y * ratio) + 1, round(x * ratio) - 1 : round(x * ratio) + 1]
            if len(view.prompts) == asked:
                assert (meeting == BESIDE).all(-1).any()
                continue
            at = np.array(view.prompts[-1]["points"][-1])
            column, row = np.floor(at + 0.5).astype(int)
            off = 0.6 / (view.zoom() * np.array([1, RATIOS[axis]]))  # of the screen
            near = {
                int(grey[min(max(int(np.floor(at[1] + b + 0.5)), 0), grey.shape[0] - 1),
                         min(max(int(np.floor(at[0] + a + 0.5)), 0), grey.shape[1] - 1)])
                for a in (-off[0], off[0]) for b in (-off[1], off[1])
            }  # fmt: skip
            assert 0 <= column < grey.shape[1]
            assert 0 <= row < grey.shape[0]
            assert {int(one[0]) for one in meeting.reshape(-1, 3)} & near, (at, meeting.tolist(), near)
            assert view.answers[-1][0]["points"] == view.prompts[-1]["points"]
            count += 1
            view.press("n")
            view.idle()
    assert count >= 12
    assert view.troubles == []


def test_keys_move_by_voxels_and_a_box_is_drawn_in_them(running: Running, view: CanvasPage, content: bytes) -> None:
    view.upload("chance.nii", content)
    grey = at_slice(running, view, "y")
    view.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown", "Enter")
    view.idle()
    middle = np.floor((np.array(grey.shape[::-1]) - 1) / 2 + 0.5)
    assert view.prompts[-1]["points"] == [[middle[0] + 2, middle[1] + 1]]
    view.press("n")
    width, height = view.size()
    view.drag((1, 1), (width - 1, height - 1))
    view.idle()
    assert view.prompts[-1]["box"] == [-0.5, -0.5, grey.shape[1] - 0.5, grey.shape[0] - 0.5]
    with view.page.expect_download() as found:
        view.page.get_by_role("button", name="Save overlay").click()
    assert Image.open(found.value.path()).size == grey.shape[::-1]
