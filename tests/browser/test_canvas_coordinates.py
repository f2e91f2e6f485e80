"""What is seen below a click is what the service is asked about: every pixel of the image tells by its colour where it
is, so the colour on the screen is compared with that at the place that was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from canvas_page import CanvasPage, opened, png
from playwright.sync_api import Browser, Route
from served import ROAD, Running, served_folder

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTH, HEIGHT = 4000, 3000
SLOPE = 2  # of the colours, in levels for a pixel
BLOCK = 128  # pixels, in which no two have the same green and blue
BESIDE = (236, 238, 241)  # the colour around the image
SIZES = ({"width": 1280, "height": 900}, {"width": 1000, "height": 700}, {"width": 1503, "height": 811})


def colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`(..., 3)`: green rises and falls with x, blue with y, red tells the block."""
    rise = [np.abs((at + 0.5) % (2 * BLOCK) - BLOCK) * SLOPE for at in (x, y)]
    red = (np.floor((x + 0.5) / BLOCK) * 37 + np.floor((y + 0.5) / BLOCK) * 59) % 251
    return np.stack([red, *rise], axis=-1)


@pytest.fixture(scope="module")
def image() -> bytes:
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    return png(np.clip(colours(x, y), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = served_folder(tmp_path_factory.mktemp("road") / "road", ROAD, (32, 40))
    accepted: Path = tmp_path_factory.mktemp("work") / "accepted"
    with Running(folder, "interactive=true", f"accepted={accepted}") as service:
        yield service


def to_zoom(view: CanvasPage, zoom: float) -> None:
    """By keys, from wherever it is."""
    for _ in range(40):
        shown = float(view.page.locator(".seglab-canvas output").inner_text().split()[0]) / 100
        if abs(shown - zoom) < 0.005:
            return
        view.press("+" if shown < zoom else "-")
    raise AssertionError(shown)


def differs(sent: tuple[float, float], seen: np.ndarray, zoom: float) -> str:
    """What is wrong with a place that was sent, by the four pixels of the device `(2, 2, 3)` that meet where it was
    clicked: half a pixel of the screen is allowed."""
    if not all(-0.5 < value < length - 0.51 for value, length in zip(sent, (WIDTH, HEIGHT), strict=True)):
        return ""  # cut to the image
    half = 0.5 / zoom
    if zoom >= 1:  # each pixel of the image has its own colour
        columns, rows = ({int(np.floor(value + off + 0.5)) for off in (-half, half)} for value in sent)
        wanted = [colours(np.asarray(x), np.asarray(y)) for x in columns for y in rows]
        right = any((one == pixel).all() for one in wanted for pixel in seen.reshape(4, 3))
        return "" if right else f"{sent}: {seen.tolist()} are seen there, one of {wanted} was expected"
    if min(min((value + 0.5) % BLOCK, BLOCK - (value + 0.5) % BLOCK) for value in sent) < 3 / zoom:
        return ""  # colours turn there
    off = np.abs(colours(*(np.asarray(value) for value in sent)) - seen.mean((0, 1)))
    return "" if off[1:].max() <= SLOPE * half + 1 and off[0] <= 1 else f"{sent}: {seen.tolist()}, off by {off}"


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("zoom", [0.25, 1, 4])
def test_fifty_clicks_and_twenty_boxes(
    running: Running, browser: Browser, image: bytes, zoom: float, ratio: int
) -> None:
    rng = np.random.default_rng(int(100 * zoom) + ratio)

    def at_once(route: Route) -> None:
        """Masks of 12 million pixels are no matter here; what the real service read is asked of it below."""
        body = json.loads(route.request.post_data or "")
        fields = {"points": body["points"], "labels": body["labels"], "box": body["box"], "score": 1, "verdict": None}
        fields |= {"undo": 1, "redo": 0, "area": 0, "perimeter": 0, "components": 0, "mask_box": None, "warnings": []}
        route.fulfill(body=b"", content_type="image/png", headers={"X-Prompt": json.dumps(fields)})

    with opened(browser, f"{running.address}annotate", viewport=SIZES[0], device_scale_factor=ratio) as view:
        view.upload("grid.png", image)
        view.page.route("**/predict", at_once)
        clicks = boxes = batch = 0
        while clicks < 50 or boxes < 20:
            view.page.set_viewport_size(SIZES[batch % 3])
            batch += 1
            to_zoom(view, zoom)
            by = rng.integers(-200, 200, 2)
            view.drag((300, 250), (300 + int(by[0]), 250 + int(by[1])), "middle")
            view.press("n")
            view.idle()
            seen, (width, height) = view.pixels(), view.size()
            assert seen.shape[1] == ratio * SIZES[(batch - 1) % 3]["width"]

            def place(width: float = width, height: float = height) -> tuple[int, int]:
                return int(rng.integers(8, width - 8)), int(rng.integers(8, height - 40))  # above the place it tells

            def colour(left: int, top: int, seen: np.ndarray = seen) -> np.ndarray:
                x, y = view.at(left, top)
                row, column = round(y * ratio), round(x * ratio)
                return seen[row - 1 : row + 1, column - 1 : column + 1].astype(float)

            for number in range(6):
                at, count = place(), len(view.prompts)
                view.click(*at, button="right" if number % 2 else "left")
                view.idle()
                if len(view.prompts) == count:  # beside the image
                    assert (colour(*at) == BESIDE).all()
                    continue
                assert differs(tuple(view.prompts[-1]["points"][-1]), colour(*at), zoom) == ""
                assert view.prompts[-1]["labels"][-1] == (number % 2 == 0)
                clicks += 1
            for _ in range(3):
                one, other = place(), place()
                inside = not any((colour(*at) == BESIDE).all() for at in (one, other))
                if not inside or min(abs(one[0] - other[0]), abs(one[1] - other[1])) < 8:
                    continue
                view.drag(one, other)
                view.idle()
                x0, y0, x1, y1 = view.prompts[-1]["box"]
                (left, right), (top, low) = sorted((one[0], other[0])), sorted((one[1], other[1]))
                assert differs((x0, y0), colour(left, top), zoom) == ""
                assert differs((x1, y1), colour(right, low), zoom) == ""
                boxes += 1
        assert view.troubles == []


@pytest.mark.parametrize("zoom", [0.25, 1, 4])
def test_every_edge_can_be_reached_and_the_service_takes_it(
    running: Running, browser: Browser, image: bytes, zoom: float
) -> None:
    with opened(browser, f"{running.address}annotate", viewport=SIZES[0], device_scale_factor=1) as view:
        view.upload("grid.png", image)
        to_zoom(view, zoom)
        width, height = view.size()
        for across, down in ((-1, -1), (1, 1)):
            for _ in range(int(3 + WIDTH * zoom / 280)):
                view.drag((width / 2, height / 2), (width / 2 - 300 * across, height / 2 - 300 * down), "middle")
            # The middle of the canvas is a corner of the image now.
            view.press("n")
            view.click(width / 2 - 0.6 * across, height / 2 - 0.6 * down)
            view.idle()
            x, y = view.prompts[-1]["points"][-1]
            assert x == pytest.approx(-0.5 if across < 0 else WIDTH - 0.5, abs=1.2 / zoom)
            assert y == pytest.approx(-0.5 if down < 0 else HEIGHT - 0.5, abs=1.2 / zoom)
            assert not view.page.locator(".error").is_visible()
            count = len(view.prompts)
            view.click(width / 2 + 30 * across, height / 2 + 30 * down)  # beside the image: no click
            view.idle()
            assert len(view.prompts) == count
        view.press("0", "n")
        view.drag((1, 1), (width - 1, height - 1))
        view.idle()
        assert view.prompts[-1]["box"] == [-0.5, -0.5, WIDTH - 0.5, HEIGHT - 0.5]
        fields, _ = view.answers[-1]
        assert fields["box"] == [-0.5, -0.5, WIDTH - 0.5, HEIGHT - 0.5]
