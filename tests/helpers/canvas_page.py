"""The canvas for prompts in a real Chromium, with what goes to the service and comes from it."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response

from seglab.data.synthetic.road_scenes import make_scene


@dataclass
class CanvasPage:
    """A page with the canvas.

    Attributes:
        page: of playwright.
        prompts: bodies of all prompts that were sent, in their order.
        answers: status, told and mask of whatever was answered with a mask.
        hosts: that anything was asked of.
        troubles: errors of scripts and on the console.
    """

    page: Page
    prompts: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[dict[str, Any], bytes]] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._requested)
        self.page.on("response", self._answered)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.troubles.append(dialog.message), dialog.dismiss()))

    @property
    def canvas(self) -> Any:
        """Its element."""
        return self.page.locator(".seglab-canvas canvas")

    @property
    def status(self) -> str:
        """What it says."""
        return self.page.locator(".seglab-canvas .status").inner_text()

    def log(self) -> list[str]:
        """Its lines, the first one first."""
        return self.page.locator(".seglab-canvas .log li").all_inner_texts()[::-1]

    def ready(self) -> None:
        """Wait until the image is seen."""
        self.page.locator(".seglab-canvas .status", has_text="Click on an object").wait_for(timeout=60_000)

    def upload(self, name: str, content: bytes) -> None:
        """Open a file of one's own, and wait for it."""
        self.page.locator(".seglab-canvas .file").set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        )
        self.page.locator(".seglab-canvas .name", has_text=name).wait_for()
        self.ready()

    def idle(self) -> None:
        """Wait until everything is answered and painted."""
        self.page.locator(".seglab-canvas .status[data-waiting='0']").wait_for(state="attached", timeout=120_000)
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 30)))")

    def at(self, left: float, top: float) -> tuple[float, float]:
        """A place on the page of one on the canvas."""
        box = self.canvas.bounding_box()
        return box["x"] + left, box["y"] + top

    def click(self, left: float, top: float, **how: Any) -> None:
        """Click on a place of the canvas."""
        self.page.mouse.click(*self.at(left, top), **how)

    def drag(self, first: tuple[float, float], last: tuple[float, float], button: Any = "left") -> None:
        """From one place of the canvas to another."""
        self.page.mouse.move(*self.at(*first))
        self.page.mouse.down(button=button)
        self.page.mouse.move(*self.at(*last), steps=3)
        self.page.mouse.up(button=button)

    def press(self, *keys: str) -> None:
        """On the canvas."""
        for key in keys:
            self.canvas.press(key)

    def pixels(self) -> np.ndarray:
        """What is seen of the page: `(H, W, 3)` uint8 in pixels of the device."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def painting(self) -> bytes:
        """What was drawn on the canvas, as a PNG."""
        return base64.b64decode(self.canvas.evaluate("(one) => one.toDataURL().split(',')[1]"))

    def size(self) -> tuple[float, float]:
        """Of the canvas in pixels of the screen."""
        box = self.canvas.bounding_box()
        return box["width"], box["height"]

    def zoom(self) -> float:
        """Pixels of the screen a pixel of the image."""
        text = self.page.locator(".seglab-canvas output[aria-label='zoom']").inner_text()
        return float(text.split()[0].replace(",", "")) / 100

    def places(self, count: int) -> list[tuple[int, int]]:
        """Of the canvas, where the image is."""
        width, height = self.size()
        off = np.random.default_rng(0).uniform((-0.35, -0.2), (0.35, 0.2), (count, 2)) * min(width, height)
        return [(int(width / 2 + x), int(height / 2 + y)) for x, y in off]

    def above_the_model(self, count: int) -> np.ndarray:
        """Milliseconds from a click to its painted mask without those of the model, with 40 images more on the page."""
        self.page.evaluate(
            """() => { const empty = new Blob(['<svg xmlns="http://www.w3.org/2000/svg"/>'], {type: 'image/svg+xml'});
            for (let n = 0; n < 40; n++) { const image = new Image(512, 256);
            image.src = URL.createObjectURL(empty); document.body.append(image); } }"""
        )
        for place in self.places(count):
            self.click(*place)
            self.idle()
        took = [re.search(r"in ([\d,]+) ms \(model ([\d,]+) ms\)", line) for line in self.log()]
        pairs = [[float(part.replace(",", "")) for part in one.groups()] for one in took if one]
        assert len(pairs) == count
        above = np.array([whole - model for whole, model in pairs])
        print(f"above the model: p50 {np.percentile(above, 50):.0f} ms, p95 {np.percentile(above, 95):.0f} ms")
        return above

    def _requested(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data"):
            self.hosts.add(parts.netloc)
        if parts.path.endswith("/predict"):
            self.prompts.append(json.loads(request.post_data or "{}"))

    def _answered(self, response: Response) -> None:
        fields = response.headers.get("x-prompt")
        if fields:
            self.answers.append((json.loads(fields), b""))


@contextmanager
def opened(browser: Browser, address: str, **context: Any) -> Iterator[CanvasPage]:
    """The page at an address, in a context of its own."""
    own: BrowserContext = browser.new_context(**context)
    page = CanvasPage(own.new_page())
    page.page.goto(address)
    yield page
    own.close()


def png(image: np.ndarray) -> bytes:
    """A file of it."""
    written = io.BytesIO()
    Image.fromarray(image).save(written, "PNG", compress_level=1)
    return written.getvalue()


def scene(number: int, size: tuple[int, int] = (512, 256)) -> np.ndarray:
    """A generated road of this size, width first; another for each number."""
    image, _, _ = make_scene(np.random.default_rng(number))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
