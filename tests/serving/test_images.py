"""The cases of a data folder: which there are, an image as it is stored or as a browser shows it, its truth."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from served import Running

RNG = np.random.default_rng(6)
IMAGES = {name: RNG.integers(0, 256, (20, 30, 3), np.uint8) for name in ("a", "b c", "l\nb", "ü")}
DEEP = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
MASK = RNG.choice(np.array([7, 8, 11], np.uint8), (20, 30))
WORDS = ("data=image_folder", "data.label_values=[7,8,11]", "data.class_names=[ground,red,green]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data")
    (place / "images").mkdir()
    (place / "masks").mkdir()
    for name, image in IMAGES.items():
        Image.fromarray(image).save(place / "images" / f"{name}.png")
        Image.fromarray(MASK).save(place / "masks" / f"{name}.png")
    tifffile.imwrite(place / "images" / "deep.tif", DEEP, photometric="rgb")
    (place / "secret.png").write_bytes((place / "images" / "a.png").read_bytes())
    return place


@pytest.fixture(scope="module")
def showing(road: Path, folder: Path) -> Iterator[Running]:
    words = (*WORDS, f"data.root={folder}", "data.unlabelled=left_out")
    (folder / "masks" / "deep.png").unlink(missing_ok=True)
    Image.fromarray(MASK).save(folder / "masks" / "deep.png")
    with Running(road, *words) as running:
        yield running


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_the_list(showing: Running) -> None:
    fields = showing.client.get("/images").json()
    assert fields["count"] == 5
    assert [one["id"] for one in fields["images"]] == ["a", "b c", "deep", "l\nb", "ü"]
    assert all(one["truth"] for one in fields["images"])
    assert [one["id"] for one in showing.client.get("/images?offset=1&limit=2").json()["images"]] == ["b c", "deep"]
    assert showing.client.get("/images?limit=0").status_code == 422


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_and_its_truth(name: str, showing: Running, folder: Path) -> None:
    image = showing.client.get(f"/images/{quote(name)}")
    assert (image.status_code, image.headers["content-type"]) == (200, "image/png")
    assert image.content == (folder / "images" / f"{name}.png").read_bytes()
    truth = showing.client.get(f"/images/{quote(name)}/truth")
    np.testing.assert_array_equal(opened(truth.content), MASK)
    palette = Image.open(io.BytesIO(truth.content)).getpalette() or []
    assert palette[8 * 3 : 8 * 3 + 3] == [200, 10, 20]


def test_sixteen_bits_are_shown_in_eight(showing: Running) -> None:
    stored = showing.client.get("/images/deep")
    assert stored.headers["content-type"] == "image/tiff"
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(stored.content)), DEEP)
    shown = showing.client.get("/images/deep?preview=true")
    assert shown.headers["content-type"] == "image/png"
    assert (opened(shown.content).shape, opened(shown.content).dtype) == ((20, 30, 3), np.uint8)


def test_what_has_not_changed_is_not_sent_again(showing: Running, folder: Path) -> None:
    for path in ("/images/a", "/images/a?preview=true", "/images/a/truth"):
        first = showing.client.get(path)
        again = showing.client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert showing.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    before = showing.client.get("/images/a").headers["etag"]
    Image.fromarray(255 - IMAGES["a"]).save(folder / "images" / "a.png")
    after = showing.client.get("/images/a", headers={"If-None-Match": before})
    assert (after.status_code, after.headers["etag"] != before) == (200, True)
    Image.fromarray(IMAGES["a"]).save(folder / "images" / "a.png")


@pytest.mark.parametrize(
    "path",
    [
        "x",
        "../secret",
        "..%2Fsecret",
        "%2Fetc%2Fpasswd",
        "a.png",
        "images/a",
        "a%00",
        "%FF",
        "a/truth/truth",
        "n" * 3000,
    ],
)
def test_an_id_is_never_a_path(path: str, showing: Running) -> None:
    for ending in ("", "/truth"):
        answer = showing.client.get(f"/images/{path}{ending}")
        assert answer.status_code == 404
        assert answer.json()["code"] in ("image-unknown", "not-found")


def test_a_file_that_broke_meanwhile(showing: Running, folder: Path) -> None:
    file = folder / "masks" / "a.png"
    content = file.read_bytes()
    file.write_bytes(content[:40])
    answer = showing.client.get("/images/a/truth")
    file.write_bytes(content)
    assert (answer.status_code, answer.json()["code"]) == (404, "file-unreadable")
    assert str(folder) not in answer.text
    assert showing.client.get("/images/a/truth").status_code == 200


def test_a_service_without_data_says_so(road_service: Running) -> None:
    for path in ("/images", "/images/a", "/images/a/truth"):
        answer = road_service.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "data-missing")


@pytest.mark.slow
def test_volumes_without_a_truth(organ: Path, tmp_path: Path) -> None:
    (tmp_path / "imagesTs").mkdir()
    volume = RNG.integers(0, 256, (8, 9, 10)).astype(np.uint8)
    nib.save(nib.Nifti1Image(volume, np.diag([1, 2, 3, 1])), tmp_path / "scan.nii.gz")
    (tmp_path / "cases.csv").write_text("id,image,label\nscan,scan.nii.gz,\n")
    words = ("data=nifti", f"data.root={tmp_path}", f"data.table={tmp_path / 'cases.csv'}")
    with Running(organ, *words, "data.class_names=[background,organ]") as running:
        assert running.client.get("/images").json()["images"] == [{"id": "scan", "truth": False}]
        assert running.client.get("/images/scan").content == (tmp_path / "scan.nii.gz").read_bytes()
        missing = running.client.get("/images/scan/truth")
        assert (missing.status_code, missing.json()["code"]) == (404, "truth-missing")
        assert running.client.get("/images/scan?preview=true").headers["content-type"] == "image/png"
