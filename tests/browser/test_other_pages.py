"""Models side by side, runs, volumes: each page by its own journey."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from served import ORGAN, Running, served_folder
from viewing import pixels, wait_for_viewer

from seglab.viz import palette

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_two_models_are_swiped(page: Any) -> None:
    page.goto("/compare?image=a")
    wait_for_viewer(page, "a road+")
    size, drawn = pixels(page, "Where the models disagree")
    seen = np.array(drawn, np.uint8).reshape(*size, 4)
    dark = tuple(part // 4 for part in palette.CONFUSED)
    differ = (seen == (*palette.CONFUSED, 255)).all(axis=-1) | (seen == (*dark, 255)).all(axis=-1)
    masks = []
    for name in ("road", "other"):
        size, drawn = pixels(page, f"Mask of {name}")
        masks.append(np.array(drawn, np.uint8).reshape(*size, 4))
    np.testing.assert_array_equal(differ, (masks[0] != masks[1]).any(axis=-1))
    assert f"All agree on {1 - differ.mean():.2%} of the pixels" in page.get_by_text("All agree on").inner_text()
    swipe = page.get_by_label("Swipe: road to the left, other to the right")
    swipe.fill("25")
    clips = (
        page.locator("figure").first.locator("canvas.overlay").evaluate_all("all => all.map((o) => o.style.clipPath)")
    )
    assert clips == ["inset(0px 75% 0px 0px)", "inset(0px 0px 0px 25%)"]


def test_without_a_store_the_page_of_runs_says_what_to_do(page: Any) -> None:
    page.goto("/runs")
    page.get_by_text("There is no store of runs yet").wait_for(timeout=120_000)
    text = page.locator("[data-testid=stAlert]").inner_text()
    assert "seglab train" in text
    assert page.locator("[data-testid=stAlertContentError]").count() == 0


def test_pages_are_chosen_above(page: Any) -> None:
    page.goto("/images?image=b c")
    wait_for_viewer(page, " b c")
    page.get_by_role("link", name="Compare").click()
    page.wait_for_url("**/compare**")
    wait_for_viewer(page, "b c road+")  # the image goes along


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("volumes")
    axes = np.meshgrid(*[np.linspace(-1, 1, side) for side in (30, 34, 20)], indexing="ij")
    radius = np.sqrt(np.square(axes).sum(axis=0))
    for part in ("images", "labels"):
        (place / "data" / part).mkdir(parents=True)
    image, label = (220 * np.exp(-2 * radius**2)).astype(np.uint8), (radius < 0.5).astype(np.uint8)
    for part, values in (("images", image), ("labels", label)):
        nib.save(nib.Nifti1Image(values, np.diag([-1.0, 1.0, 2.0, 1.0])), place / "data" / part / "scan.nii.gz")
    words = ("data=nifti", f"data.root={place / 'data'}", "data.class_names=[background,organ]", "interactive=false")
    other = served_folder(place / "other", ORGAN, (16, 16, 16), bias=-3.0)
    with Running(
        served_folder(place / "organ", ORGAN, (16, 16, 16)), *words, f"compare=[{other}]", verb="app", cwd=place
    ) as running:
        yield running


def test_a_volume_is_seen_in_three_planes_with_its_mask(page: Any, volumes: Running, elsewhere: list[str]) -> None:
    page.goto(f"{volumes.address}images?image=scan")
    inside = page.frame_locator("iframe[src*='/api/volume']")
    inside.locator("body[data-shown=predicted]").wait_for(timeout=60_000)
    color = inside.locator("#legend i").evaluate("one => getComputedStyle(one).backgroundColor")
    assert inside.locator("#legend").inner_text().strip() == "organ"
    red = page.frame(url=lambda url: "/api/volume" in url).evaluate(REDDISH)
    assert red > 500, color
    inside.get_by_label("Opacity").fill("0")
    page.wait_for_timeout(300)
    assert page.frame(url=lambda url: "/api/volume" in url).evaluate(REDDISH) == 0
    inside.get_by_role("combobox", name="Mask").select_option(label="true")
    inside.locator("body[data-shown=':true']").wait_for()
    inside.get_by_label("View").select_option(label="axial")
    wait_for_viewer(page, "scan")
    assert page.get_by_role("row").filter(has_text="organ").count() == 1
    elsewhere[:] = [
        address for address in elsewhere if not address.startswith((volumes.address, "ws" + volumes.address[4:]))
    ]


REDDISH = """() => {
  const { nv } = views[0];
  nv.drawScene();
  const gl = nv.gl;
  const seen = new Uint8Array(gl.drawingBufferWidth * gl.drawingBufferHeight * 4);
  gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, seen);
  let count = 0;
  for (let at = 0; at < seen.length; at += 4) count += seen[at] > seen[at + 2] + 40;
  return count;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_found_by_axe_in_a_volume(
    page: Any, volumes: Running, scheme: str, elsewhere: list[str]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{volumes.address}api/volume?id=scan&truth=true")
    page.locator("body[data-shown=predicted]").wait_for(timeout=60_000)
    found = Axe().run(page).response["violations"]
    assert not [(one["id"], one["nodes"]) for one in found if one["impact"] in ("serious", "critical")]
    elsewhere.clear()


def test_two_models_of_volumes_stand_side_by_side(page: Any, volumes: Running, elsewhere: list[str]) -> None:
    page.goto(f"{volumes.address}compare?image=scan")
    frame = page.frame_locator("iframe[src*='/api/volume']")
    frame.locator("body[data-shown='organ other']").wait_for(timeout=60_000)
    inside = page.frame(url=lambda url: "/api/volume" in url)
    counts = inside.evaluate("views.map((view) => view.nv.volumes[1].img.reduce((sum, value) => sum + (value > 0), 0))")
    assert counts[0] != counts[1]
    frame.get_by_role("combobox", name="Mask").nth(1).select_option(label="where organ and other differ")
    frame.locator("body[data-shown='organ :differ']").wait_for()
    differ = inside.evaluate("views[1].nv.volumes[1].img.reduce((sum, value) => sum + (value > 0), 0)")
    voxels = 30 * 34 * 20
    text = page.get_by_text("All agree on").inner_text()
    assert f"{1 - differ / voxels:.2%} of the voxels" in text
    wait_for_viewer(page, "scan")
    assert page.get_by_role("rowheader", name="organ").count() == 1
    elsewhere.clear()
