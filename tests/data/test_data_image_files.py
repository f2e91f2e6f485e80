"""Image files: every kind is decoded as it is stored, and a damaged one is named."""

from __future__ import annotations

import struct
import zlib

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from stored_images import DEEP, GREY, HALVES, RNG, _save

from seglab.data.io import stored_pixels
from seglab.data.io.image_files import open_mask_file, read_image_file, read_mask_colors, read_mask_file
from seglab.errors import DataError


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


def _png(path, values, depth, colours=0, palette=None, orientation=None):
    """A PNG with samples of `depth` bits, as they are given."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :].reshape(len(values), -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    head = struct.pack(">IIBBBBB", *values.shape[::-1], depth, colours, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head)]
    if palette is not None:
        parts.append(chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    if orientation:
        parts.append(chunk(b"eXIf", struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)))
    path.write_bytes(b"".join([*parts, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_few_bits_are_labels_in_a_mask_and_brightness_in_an_image(tmp_path, depth):
    values = GREY >> (8 - depth)
    _png(tmp_path / "few.png", values, depth)
    assert np.array_equal(read_mask_file(tmp_path / "few.png"), values)
    shown = {1: 255, 2: 85, 4: 17, 8: 1}[depth] * values  # the largest value is white
    assert np.array_equal(read_image_file(tmp_path / "few.png")[..., 0], shown)


TURNS = {  # how the pixels lie that are seen as `GREY`
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: np.rot90,  # stored a quarter to the left, and to be turned to the right
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_file_is_turned_as_it_is_seen(tmp_path, orientation):
    stored = np.ascontiguousarray(TURNS[orientation](GREY))
    _png(tmp_path / "grey.png", stored, 8, orientation=orientation)
    _png(tmp_path / "few.png", stored >> 4, 4, orientation=orientation)
    _png(tmp_path / "palette.png", stored >> 4, 4, 3, np.arange(48).reshape(16, 3), orientation)
    tifffile.imwrite(tmp_path / "grey.tif", stored, extratags=[(274, 3, 1, orientation, True)])
    palette = np.arange(768, dtype=np.uint16).reshape(3, 256)
    tag = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(tmp_path / "palette.tif", stored, photometric="palette", colormap=palette, extratags=tag)
    for name in ("grey.png", "grey.tif", "palette.tif"):
        assert np.array_equal(read_mask_file(tmp_path / name), GREY)
        assert read_image_file(tmp_path / name).shape[:2] == GREY.shape
    assert np.array_equal(read_image_file(tmp_path / "grey.tif")[..., 0], GREY)
    for name in ("few.png", "palette.png"):
        assert np.array_equal(read_mask_file(tmp_path / name), GREY >> 4)
    deep = np.ascontiguousarray(np.stack([stored.astype(np.uint16) * 200] * 3, -1))
    cv2.imwrite(str(tmp_path / "plain.png"), deep)
    content = (tmp_path / "plain.png").read_bytes()
    exif = (tmp_path / "grey.png").read_bytes()
    chunk = exif[exif.index(b"eXIf") - 4 : exif.index(b"IDAT") - 4]
    (tmp_path / "deep.png").write_bytes(content[:33] + chunk + content[33:])
    assert np.array_equal(read_image_file(tmp_path / "deep.png")[..., 0], GREY.astype(np.uint16) * 200)


def test_a_file_is_what_it_holds_whatever_its_ending(tmp_path):
    tifffile.imwrite(tmp_path / "t.png", DEEP)
    assert np.array_equal(read_image_file(tmp_path / "t.png"), DEEP)
    Image.fromarray(GREY).save(tmp_path / "p.png")
    (tmp_path / "p.png").rename(tmp_path / "p.tif")
    assert np.array_equal(read_mask_file(tmp_path / "p.tif"), GREY)
    (tmp_path / "w.png").write_bytes(b"words")
    with pytest.raises(DataError, match="none of the kinds"):
        read_image_file(tmp_path / "w.png")


def test_a_grey_png_of_16_bits_keeps_them_beside_its_alpha(tmp_path):
    two = np.ascontiguousarray(DEEP[..., :2])
    (tmp_path / "la.png").write_bytes(imagecodecs.png_encode(two))
    assert np.array_equal(read_image_file(tmp_path / "la.png"), two)


def test_a_gif_is_read_and_a_moving_one_refused(tmp_path):
    image = Image.fromarray(GREY % 3, "P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 250])
    image.save(tmp_path / "m.gif")
    assert np.array_equal(read_mask_file(tmp_path / "m.gif"), GREY % 3)
    assert (read_image_file(tmp_path / "m.gif")[GREY % 3 == 1] == [200, 0, 0]).all()
    image.save(tmp_path / "m.gif", save_all=True, append_images=[Image.fromarray(GREY % 2, "P")])
    with pytest.raises(DataError, match="2 pictures"):
        read_mask_file(tmp_path / "m.gif")


def test_the_colours_of_a_mask(tmp_path):
    _png(tmp_path / "p.png", GREY % 3, 2, 3, [(10, 20, 30), (200, 0, 0), (0, 0, 250)])
    values, palette = open_mask_file(tmp_path / "p.png")
    assert np.array_equal(values, GREY % 3)
    assert palette[:3].tolist() == [[10, 20, 30], [200, 0, 0], [0, 0, 250]]
    assert np.array_equal(read_mask_colors(tmp_path / "p.png"), palette[GREY % 3])
    _save(tmp_path / "g.png", GREY)
    assert open_mask_file(tmp_path / "g.png").palette is None
    assert np.array_equal(read_mask_colors(tmp_path / "g.png")[..., 2], GREY)
    _save(tmp_path / "d.png", DEEP[..., 0])
    with pytest.raises(DataError, match="no colours"):
        read_mask_colors(tmp_path / "d.png")


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


@pytest.mark.parametrize("name", ["large.png", "large.jpg", "large.bmp", "large.tif", "deep.png"])
def test_the_memory_and_no_count_of_pixels_is_the_limit(tmp_path, monkeypatch, name):
    """Pillow refuses above 179 million pixels and warns above 89; here no more than the room for it counts."""
    path = tmp_path / name
    _save(path, GREY if name != "deep.png" else DEEP[..., 0])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image_file(path).shape == (20, 30, 1)
    assert read_mask_file(path).shape == (20, 30)
    size = 20 * 30 * (2 if name == "deep.png" else 1)
    monkeypatch.setattr(stored_pixels, "available_bytes", lambda: 3 * size)
    read_image_file(path)
    monkeypatch.setattr(stored_pixels, "available_bytes", lambda: 3 * size - 1)
    with pytest.raises(DataError, match=r"(?s)too large for the memory.*20×30 pixels.*remedy: +cut it"):
        read_image_file(path)


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
