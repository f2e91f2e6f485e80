"""The service answers what `seglab predict` writes, bit for bit, or refuses with its code."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from served import Running, served_folder

from seglab.data.io.image_files import read_mask_file
from seglab.export.folder import read_folder
from seglab.inference.predict_files import plan_files, predict_plan
from seglab.task import Task

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (45, 61, 3), np.uint8)
DEEP = RNG.integers(0, 65536, (45, 61, 3), np.uint16)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    room = io.BytesIO()
    image.save(room, kind, **options)
    return room.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    room = io.BytesIO()
    tifffile.imwrite(room, array, **options)  # type: ignore[arg-type]
    return room.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return saved(Image.fromarray(COLOURS), kind, exif=exif)


def turned_by_xmp(kind: str, orientation: int) -> bytes:
    """Said in XMP alone, which browsers do not look at."""
    packet = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    if kind == "JPEG":
        return saved(Image.fromarray(COLOURS), kind, xmp=packet.encode())
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet)
    return saved(Image.fromarray(COLOURS), kind, pnginfo=text)


def deep_png() -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(DEEP))


RGB = Image.fromarray(COLOURS)
FILES = {
    "rgb.png": saved(RGB, "PNG"),
    "rgb.jpg": saved(RGB, "JPEG"),
    "rgb.bmp": saved(RGB, "BMP"),
    "rgb.tif": tiff(COLOURS, photometric="rgb"),
    "zlib.tif": tiff(COLOURS, photometric="rgb", compression="zlib"),
    "palette.png": saved(RGB.quantize(16), "PNG"),
    "palette.bmp": saved(RGB.quantize(16), "BMP"),
    "alpha.png": saved(RGB.convert("RGBA"), "PNG"),
    "grey.png": saved(RGB.convert("L"), "PNG"),
    "grey-alpha.png": saved(RGB.convert("LA"), "PNG"),
    "bits.png": saved(RGB.convert("1"), "PNG"),
    "cmyk.jpg": saved(RGB.convert("CMYK"), "JPEG"),
    "cmyk.tif": saved(RGB.convert("CMYK"), "TIFF"),
    "deep.png": deep_png(),
    "deep.tif": tiff(DEEP, photometric="rgb"),
    "real.tif": tiff(COLOURS.astype(np.float32), photometric="rgb"),
    "nan.tif": tiff(np.full((9, 9, 3), np.nan, np.float32), photometric="rgb"),
    "pages.tif": tiff(np.zeros((4, 9, 9), np.uint8), photometric="minisblack"),
    "small.png": saved(RGB.resize((3, 2)), "PNG"),
    "one.png": saved(RGB.resize((1, 1)), "PNG"),
    **{f"exif{number}.jpg": turned("JPEG", number) for number in range(1, 9)},
    **{f"exif{number}.png": turned("PNG", number) for number in (3, 6, 9)},
    **{
        f"exif{number}.tif": tiff(COLOURS, photometric="rgb", extratags=[(274, 3, 1, number, True)])
        for number in (6, 8)
    },
    "exif6-xmp.jpg": turned_by_xmp("JPEG", 6),
    "exif6-xmp.png": turned_by_xmp("PNG", 6),
}


@pytest.fixture(scope="module")
def predicted(road: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray | str]:
    """What `seglab predict` makes of each: a mask, or the code that it is refused with."""
    place, predictor, found = tmp_path_factory.mktemp("files"), read_folder(road).predictor(), {}
    for name, content in FILES.items():
        (place / name).write_bytes(content)
        out = tmp_path_factory.mktemp("masks")
        done = predict_plan(predictor, plan_files(predictor.task, [place / name], out), failed=lambda file, error: None)
        found[name] = read_mask_file(done.masks[0]) if done.masks else next(iter(done.failed.values())).code
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_same_mask_or_the_same_refusal(
    name: str, predicted: dict[str, np.ndarray | str], road_service: Running, tmp_path: Path
) -> None:
    answer, expected = road_service.predict(FILES[name]), predicted[name]
    if isinstance(expected, str):
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["code"] == expected
        return
    assert answer.status_code == 200, answer.text
    (tmp_path / "mask.png").write_bytes(answer.content)
    mask = read_mask_file(tmp_path / "mask.png")
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == expected.dtype
    if name.startswith("exif"):
        orientation = answer.headers["x-orientation"]
        number = name[4]
        assert orientation == ("as stored" if number in "19" else f"turned upright from EXIF orientation {number}")
        assert mask.shape == ((61, 45) if number in "5678" else (45, 61))


def test_what_is_refused(predicted: dict[str, np.ndarray | str]) -> None:
    refused = {name: code for name, code in predicted.items() if isinstance(code, str)}
    one_channel = dict.fromkeys(("alpha.png", "grey.png", "grey-alpha.png", "bits.png"), "image-channels-of-training")
    deep = dict.fromkeys(("deep.png", "deep.tif"), "image-scale")
    assert refused == {**one_channel, **deep, "nan.tif": "image-not-finite", "pages.tif": "several-pages"}


def test_sixteen_bits_where_the_model_wants_them(tmp_path: Path) -> None:
    folder = served_folder(tmp_path / "deep", Task(2, 3, ("a", "b", "c")), (32, 40), "letterbox", scale="words")
    expected = read_folder(folder).predictor().predict(DEEP)
    assert len(np.unique(expected)) == 3
    with Running(folder) as running:
        for content in (FILES["deep.tif"], FILES["deep.png"]):
            answer = running.predict(content, "application/octet-stream")
            found = np.frombuffer(answer.content, np.uint8).reshape(45, 61)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_volumes_come_back_in_their_own_geometry(
    axes: str, ending: str, organ: Path, organ_service: Running, tmp_path: Path
) -> None:
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), (20, 30, 25))
    image = nib.Nifti1Image(RNG.integers(0, 256, (20, 30, 25)).astype(np.uint8), np.diag([1, 2, 3, 1]) @ turn)
    file = tmp_path / f"scan{ending}"
    nib.save(image, file)
    predictor = read_folder(organ).predictor()
    (mask_file,) = predict_plan(predictor, plan_files(predictor.task, [file], tmp_path / "out")).masks
    expected: Any = nib.load(mask_file)
    answer = organ_service.predict(file.read_bytes(), "application/gzip")
    assert answer.status_code == 200, answer.text
    (tmp_path / "found.nii.gz").write_bytes(answer.content)
    found: Any = nib.load(tmp_path / "found.nii.gz")
    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj))
    np.testing.assert_array_equal(found.affine, expected.affine)
    assert found.header.binaryblock == expected.header.binaryblock
    raw = organ_service.predict(file.read_bytes(), "application/octet-stream")
    assert raw.headers["x-mask-shape"] == "20,30,25"
    ids = np.frombuffer(raw.content, np.uint8).reshape(20, 30, 25)
    np.testing.assert_array_equal(ids, np.asarray(expected.dataobj))
    fields = organ_service.predict(file.read_bytes(), "application/json").json()
    assert fields["shape"] == [20, 30, 25]
    for row in fields["classes"]:
        inside = ids == row["value"]
        assert (row["pixels"], row["share"]) == (inside.sum(), pytest.approx(inside.mean()))
        assert row["volume_mm3"] == pytest.approx(6 * inside.sum())  # voxels of 1 × 2 × 3 mm
        sides = [(held.min(), held.max() + 1) for held in np.nonzero(inside)]
        assert row["box"] == [[int(low), int(high)] for low, high in sides]
