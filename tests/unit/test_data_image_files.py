"""Image files: every kind is decoded as it is stored, and a damaged one is named."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from seglab.data.image_files import count_pages, read_image_file, read_mask_file
from seglab.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
HALVES = np.repeat(np.array([[0, 255]], np.uint8), 20, 0).repeat(15, 1)


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_photograph_is_read_as_it_is_shown(tmp_path):
    image = Image.fromarray(GREY)
    exif = image.getexif()
    exif[0x0112] = 6  # orientation: to be turned by a quarter clockwise
    image.save(tmp_path / "photo.png", exif=exif)
    assert np.array_equal(read_image_file(tmp_path / "photo.png")[..., 0], np.rot90(GREY, -1))
    image.save(tmp_path / "photo.jpg", exif=exif)
    assert read_image_file(tmp_path / "photo.jpg").shape == (30, 20, 1)


def test_bit_depth_channels_and_palettes_are_kept(tmp_path):
    rgb16 = tmp_path / "rgb16.png"
    cv2.imwrite(str(rgb16), cv2.cvtColor(DEEP, cv2.COLOR_RGB2BGR))
    assert np.array_equal(read_image_file(rgb16), DEEP)
    rgba16 = tmp_path / "rgba16.png"
    four = np.dstack([DEEP, DEEP[..., 0]])
    cv2.imwrite(str(rgba16), cv2.cvtColor(four, cv2.COLOR_RGBA2BGRA))
    assert np.array_equal(read_image_file(rgba16), four)
    _save(tmp_path / "grey16.png", DEEP[..., 0])
    assert np.array_equal(read_image_file(tmp_path / "grey16.png")[..., 0], DEEP[..., 0])
    five = np.moveaxis(np.dstack([DEEP, DEEP[..., :2]]), -1, 0)
    tifffile.imwrite(tmp_path / "five.tif", five, planarconfig="separate", photometric="minisblack")
    assert np.array_equal(read_image_file(tmp_path / "five.tif"), np.moveaxis(five, 0, -1))
    tifffile.imwrite(tmp_path / "float.tif", DEEP[..., 0].astype(np.float64))
    assert read_image_file(tmp_path / "float.tif").dtype == np.float32
    Image.fromarray(DEEP[..., 0]).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    assert np.array_equal(read_image_file(tmp_path / "lzw.tif")[..., 0], DEEP[..., 0])


def test_palettes_are_numbers_in_masks_and_colours_in_images(tmp_path):
    numbers = GREY % 3
    image = Image.fromarray(numbers).convert("P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 250] + [0] * 759)
    for ending in ("png", "tif"):
        image.save(tmp_path / f"p.{ending}")
        assert np.array_equal(read_mask_file(tmp_path / f"p.{ending}"), numbers)
        colours = read_image_file(tmp_path / f"p.{ending}")
        assert colours.shape == (20, 30, 3)
        assert (colours[numbers == 0] == [10, 20, 30]).all()


def test_one_bit_files_are_0_and_1_in_masks_and_black_and_white_in_images(tmp_path):
    for ending in ("png", "tif"):
        Image.fromarray(HALVES).convert("1").save(tmp_path / f"one.{ending}")
        assert np.array_equal(read_mask_file(tmp_path / f"one.{ending}"), HALVES // 255)
        assert np.array_equal(read_image_file(tmp_path / f"one.{ending}")[..., 0], HALVES)


def test_grey_saved_as_rgb_is_a_mask(tmp_path):
    _save(tmp_path / "m.png", np.dstack([HALVES] * 3))
    assert np.array_equal(read_mask_file(tmp_path / "m.png"), HALVES)


@pytest.mark.parametrize("greys", [1, 3])
def test_an_alpha_channel_that_hides_nothing_is_no_matter_to_a_mask(tmp_path, greys):
    alpha = np.full_like(HALVES, 200)
    _save(tmp_path / "m.png", np.dstack([*[HALVES] * greys, alpha]))
    assert np.array_equal(read_mask_file(tmp_path / "m.png"), HALVES)
    alpha[3, 3] = 0
    _save(tmp_path / "m.png", np.dstack([*[HALVES] * greys, alpha]))
    with pytest.raises(DataError, match="a mask in colours"):
        read_mask_file(tmp_path / "m.png")


def test_an_image_too_large_to_trust_is_refused(tmp_path, monkeypatch):
    _save(tmp_path / "large.png", GREY)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="Image size"):
        read_image_file(tmp_path / "large.png")


def _chunks(content):
    at = 8
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        yield content[at:end]
        at = end


@pytest.mark.parametrize("pixels", [GREY, (DEEP >> 8).astype(np.uint8)], ids=["grey", "RGB"])
def test_a_plain_png_is_read_as_pillow_reads_it_or_refused(tmp_path, pixels, capfd):
    path = tmp_path / "plain.png"
    noise = np.tile(pixels, (20, 20) + (1,) * (pixels.ndim - 2))
    noise = noise ^ RNG.integers(0, 256, noise.shape, np.uint8)  # more than one chunk of data
    Image.fromarray(noise).save(path)
    assert np.array_equal(read_image_file(path), np.asarray(Image.open(path)).reshape(*noise.shape[:2], -1))
    content = path.read_bytes()
    chunks = list(_chunks(content))
    data = [n for n, chunk in enumerate(chunks) if chunk[4:8] == b"IDAT"]
    assert len(data) > 2
    for gone in (data[1], data[-1], len(chunks) - 1):
        path.write_bytes(content[:8] + b"".join(chunk for n, chunk in enumerate(chunks) if n != gone))
        if gone < len(chunks) - 1:  # pixels are missing, not the end mark alone
            with pytest.raises(DataError, match="cannot be read"):
                read_image_file(path)
    capfd.readouterr()
    for spoilt in (60, len(content) // 2, len(content) - 20):
        damaged = bytearray(content)
        damaged[spoilt] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read"):
            read_image_file(path)
    assert capfd.readouterr().err == ""  # nothing of the decoder's own
    for length in (4, 20, 30, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match="cannot be read"):
            read_image_file(path)


def test_bitmaps_are_read(tmp_path):
    rgb = (DEEP >> 8).astype(np.uint8)
    for name, pixels in (("grey", GREY), ("rgb", rgb)):
        _save(tmp_path / f"{name}.bmp", pixels)
        assert np.array_equal(read_image_file(tmp_path / f"{name}.bmp"), pixels.reshape(20, 30, -1))
    _save(tmp_path / "mask.BMP", HALVES // 255)
    assert np.array_equal(read_mask_file(tmp_path / "mask.BMP"), HALVES // 255)
    _truncate(tmp_path / "grey.bmp")
    with pytest.raises(DataError, match="cannot be read"):
        read_image_file(tmp_path / "grey.bmp")


def test_pages_of_several_sizes_are_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        for page in (GREY, GREY[:10]):
            file.write(page, photometric="minisblack")
    assert count_pages(tmp_path / "s.tif") == 2
    assert read_image_file(tmp_path / "s.tif", page=1).shape == (10, 30, 1)


def test_channels_are_no_pages(tmp_path):
    five = np.moveaxis(np.dstack([DEEP, DEEP[..., :2]]), -1, 0)
    tifffile.imwrite(tmp_path / "apart.tif", five, planarconfig="separate", photometric="minisblack")
    tifffile.imwrite(tmp_path / "imagej.tif", five, imagej=True, metadata={"axes": "CYX"})
    for name in ("apart.tif", "imagej.tif"):
        assert count_pages(tmp_path / name) == 1
        assert np.array_equal(read_image_file(tmp_path / name), np.moveaxis(five, 0, -1))
