"""The plain page and the files of the canvas, as a service hands them out, and its numbers of places on the screen."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from seglab.app.canvas.canvas_routes import FOLDER, add_annotate
from seglab.serving.asgi import make_app
from seglab.serving.keeping_rows import Rows
from seglab.serving.limits import Limits
from seglab.serving.queueing import InferenceThread
from seglab.serving.telemetry import Telemetry

KEY = "a key of sixteen or more"
Get = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def get() -> Get:
    telemetry = Telemetry(InferenceThread(1))
    rows = Rows("", telemetry)
    service: Any = SimpleNamespace(bundle="road", limits=Limits(), telemetry=telemetry, rows=rows)
    transport = httpx.ASGITransport(make_app(service, [KEY], [add_annotate]))

    def get(address: str, **headers: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.get(address, headers=headers)

        return asyncio.run(asked())

    return get


def test_the_page_runs_and_asks_for_nothing_but_its_own_files(get: Get) -> None:
    page = get("/annotate")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.search(r"<script(?! type=\"module\" src=)|<style|style=| on\w+=|javascript:", page.text) is None
    links = re.findall(r"(?:src|href)=\"(annotate/[^\"]+)\"", page.text)
    assert len(links) == 3
    for link in links:  # relative, so that the page works behind any prefix
        assert get(f"/{link}").status_code == 200


def test_files_have_their_types_and_are_asked_for_once(get: Get) -> None:
    names = sorted(path.name for path in FOLDER.glob("*.[jc]s*"))
    assert len(names) >= 8
    for name in names:
        answer = get(f"/annotate/{name}")
        assert answer.headers["content-type"].split(";")[0] == (
            "text/css" if name.endswith("css") else "text/javascript"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.content == (FOLDER / name).read_bytes()
        again = get(f"/annotate/{name}", **{"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for other in re.findall(r"from \"\./([^\"]+)\"", answer.text):
            assert other in names
        assert re.search(r"https?://", answer.text) is None


@pytest.mark.parametrize("name", ["routes.py", "annotate.html", "..%2Fsite.py", "%2e%2e/site.py", "a.js"])
def test_nothing_else_is_handed_out(get: Get, name: str) -> None:
    assert get(f"/annotate/{name}", **{"X-API-Key": KEY}).status_code == 404


def test_the_page_needs_no_key_and_what_it_asks_for_does(get: Get) -> None:
    for place in ("/images", "/sessions/x", "/annotated", "/metrics"):
        assert get(place).status_code == 401


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, which runs no other part of seglab")
def test_places_on_the_screen_and_on_the_image() -> None:
    script = """
import * as v from "./view.js";
let seed = 1;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
const say = [];
for (let n = 0; n < 2000; n++) {
  const image = { width: 1 + Math.floor(random() * 5000), height: 1 + Math.floor(random() * 4000),
    stretch: n % 2 ? [1, 1] : [1 + 5 * random(), 1 + 5 * random()] };
  let view = v.fitted(image, { width: 50 + random() * 2000, height: 50 + random() * 1500 });
  for (let k = 0; k < 6; k++) {
    const [left, top] = [random() * view.width, random() * view.height];
    const before = v.toImage(view, left, top);
    const next = [() => v.zoomed(image, view, view.zoom * 4 ** (random() - 0.5), left, top),
      () => v.moved(image, view, 900 * (random() - 0.5), 900 * (random() - 0.5)),
      () => v.resized(image, view, { width: 50 + random() * 2000, height: 50 + random() * 1500 })][k % 3]();
    view = next;
    const at = v.toImage(view, left, top);
    const back = v.toScreen(view, at.x, at.y);
    say.push(Math.abs(back.left - left) + Math.abs(back.top - top));
    const middle = v.toImage(view, view.width / 2, view.height / 2);
    if (middle.x < -0.5 - 1e-6 || middle.x > image.width - 0.5 + 1e-6) throw new Error("lost");
    const kept = v.onImage(image, before);
    if (!v.isOn(image, kept)) throw new Error(`beside ${JSON.stringify(kept)}`);
    const box = v.boxBetween(image, before, at);
    if (box && !(box[0] < box[2] && box[1] < box[3] && box[0] >= -0.5 && box[2] <= image.width - 0.5)) {
      throw new Error("box");
    }
  }
}
const view = { zoom: 4, across: 1, down: 1, x: 10, y: 20, width: 100, height: 60 };
const under = v.toImage(v.zoomed({ width: 900, height: 900, stretch: [1, 1] }, view, 8, 30, 10), 30, 10);
console.log(JSON.stringify({
  worst: Math.max(...say), at: v.toImage(view, 8, 4), under,
  fitted: v.fitted({ width: 400, height: 100, stretch: [1, 1] }, { width: 216, height: 116 }),
  stretched: v.fitted({ width: 100, height: 100, stretch: [4, 1] }, { width: 216, height: 116 }),
  zooms: [0.25, 0.3, 1, 1.42, 31].map((zoom) => [v.nextZoom(zoom, false), v.nextZoom(zoom, true)]),
  edge: v.onImage({ width: 10, height: 10 }, { x: 99, y: -99 }),
  box: v.boxBetween({ width: 10, height: 10 }, { x: 99, y: 3 }, { x: 4, y: -9 }),
  none: v.boxBetween({ width: 10, height: 10 }, { x: 20, y: 3 }, { x: 14, y: 9 }),
}));
"""
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script.replace("./view.js", (FOLDER / "view.js").as_uri())],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    fields = json.loads(done.stdout)
    assert fields["worst"] < 1e-6
    assert fields["at"] == {"x": 12, "y": 21}
    assert fields["under"] == pytest.approx({"x": 17.5, "y": 22.5})  # stays below the hand
    size, square = {"width": 216, "height": 116}, {"across": 1, "down": 1}
    assert fields["fitted"] == pytest.approx({"zoom": 0.5, **square, **size, "x": -16.5, "y": -66.5})
    # a slice whose voxels are four times as wide as they are high fills the canvas's width
    assert fields["stretched"] == pytest.approx({"zoom": 0.5, "across": 4, "down": 1, **size, "x": -4.5, "y": -66.5})
    root = 2**0.5
    zooms = [[0.25 / root, 0.25 * root], [0.25, root / 4], [1 / root, root], [root, 2], [16 * root, 32]]
    for found, wanted in zip(fields["zooms"], zooms, strict=True):
        assert found == pytest.approx(wanted)
    assert fields["edge"] == {"x": 9.49, "y": -0.5}
    assert fields["box"] == [4, -0.5, 9.5, 3]
    assert fields["none"] is None
