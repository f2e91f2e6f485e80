"""Image files of further kinds: bitmaps, several pages, portable maps, WebP, JPEG 2000."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from stored_images import DEEP, GREY, HALVES, _save

from seglab.data.io import stored_pixels
from seglab.data.io.image_files import count_pages, read_image_file, read_mask_file
from seglab.errors import DataError


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


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


@pytest.mark.parametrize("ending", ["webp", "jp2", "j2k", "ppm", "gif"])
def test_every_further_kind_is_read_as_pillow_shows_it(tmp_path, ending):
    pixels = GREY if ending == "gif" else np.dstack([GREY, 255 - GREY, GREY // 2])
    exactly = {"webp": {"lossless": True}}.get(ending, {})
    name = tmp_path / f"a.{ending.upper()}"
    Image.fromarray(pixels).save(name, **exactly)
    assert (read_image_file(name) == np.asarray(Image.open(name).convert("RGB"))).all()  # one channel or three
    _truncate(name)
    with pytest.raises(DataError, match=f"cannot be read(?s:.*)a.{ending.upper()}"):
        read_image_file(name)


def _pnm(path, kind, values, white=None):
    """A Netpbm file with a comment in its header."""
    height, width = values.shape[:2]
    head = f"{kind}\n# drawn\n{width} {height}\n" + ("" if white is None else f"{white}\n")
    if kind in ("P1", "P2", "P3"):
        body = "\n".join(" ".join(map(str, row.ravel())) for row in values).encode()
    elif kind == "P4":
        body = np.packbits(values, axis=1).tobytes()
    else:
        body = values.astype(np.uint8 if white < 256 else ">u2").tobytes()
    path.write_bytes(head.encode() + body)


@pytest.mark.parametrize("kind", ["P2", "P5"])
@pytest.mark.parametrize("white", [1, 3, 20, 255, 4095, 65535])
def test_the_numbers_of_a_pgm_are_kept_and_stretched_to_be_seen(tmp_path, kind, white):
    values = (DEEP[..., 0].astype(int) % (white + 1)).astype(np.uint16)
    _pnm(tmp_path / "a.pgm", kind, values, white)
    assert np.array_equal(read_mask_file(tmp_path / "a.pgm"), values)
    shown = np.round(values * (255 / white)) if white < 255 else values
    assert np.array_equal(read_image_file(tmp_path / "a.pgm")[..., 0], shown)


@pytest.mark.parametrize("kind", ["P1", "P4"])
def test_a_pbm_is_0_where_it_is_black(tmp_path, kind):
    ink = (GREY > 99).astype(np.uint8)  # 1 is black in the file
    _pnm(tmp_path / "a.pbm", kind, ink)
    assert np.array_equal(read_mask_file(tmp_path / "a.pbm"), 1 - ink)
    assert np.array_equal(read_image_file(tmp_path / "a.pbm")[..., 0], np.asarray(Image.open(tmp_path / "a.pbm")) * 255)


@pytest.mark.parametrize(
    "content",
    [b"P5\n30 20\n255\n" + b"1" * 599, b"P5 30 20 255", b"P5\n0 20\n255\n", b"P5\n2 1\n3\n\1\4", b"P2\n2 1\n3\n1 x",
     b"P5\n30 20\n70000\n", b"P6\nwords", b"P4\n9 2\n\0\0\0",
     # Else a minus or a letter taken for nothing, or pixels of another size.
     b"P5\n2 1\n255\nabcd", b"P1\n2 1\n0 -1", b"P1\n2 1\n0 x1", b"P2\n2 1\n255\n1_0 5", b"P2\n2 1\n255\n1 5 9"],
)  # fmt: skip
def test_a_pnm_that_is_not_whole_is_refused(tmp_path, content):
    (tmp_path / "a.pgm").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_image_file(tmp_path / "a.pgm")


@pytest.mark.parametrize("content", [b"P5\n2 1\n255# by hand\n\1\4\n", b"P5\r\n2 1\r\n255\r\n\1\4"])
def test_what_ends_the_header_of_a_pgm_is_no_pixel(tmp_path, content):
    (tmp_path / "a.pgm").write_bytes(content)
    assert read_mask_file(tmp_path / "a.pgm").tolist() == [[1, 4]]


def test_a_webp_that_pillow_finds_too_large_is_refused(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.webp")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"(?s)cannot be read.*600 pixels"):
        read_image_file(tmp_path / "a.webp")


def test_the_size_of_a_jpeg_2000_is_that_of_its_codestream_and_of_no_other_box(tmp_path, monkeypatch):
    small, whole = (imagecodecs.jpeg2k_encode(a, level=0, codecformat="jp2") for a in (GREY[:4, :4], GREY))
    boxes = 12 + int.from_bytes(whole[12:16], "big")  # signature, kind of file
    stream = small[small.index(b"\xff\x4f\xff\x51") :]
    free = (8 + len(stream)).to_bytes(4, "big") + b"free" + stream
    (tmp_path / "a.jp2").write_bytes(whole[:boxes] + free + whole[boxes:])
    assert np.array_equal(read_mask_file(tmp_path / "a.jp2"), GREY)
    monkeypatch.setattr(stored_pixels, "available_bytes", lambda: 3 * GREY.size - 1)
    with pytest.raises(DataError, match=r"too large for the memory(?s:.*)20×30 pixels"):
        read_mask_file(tmp_path / "a.jp2")


def test_a_file_of_several_pictures_is_refused(tmp_path):
    image = Image.fromarray(GREY)
    image.save(tmp_path / "a.webp", save_all=True, append_images=[Image.fromarray(255 - GREY)])
    (tmp_path / "a.pgm").write_bytes(b"P5\n2 1\n255\n\1\4P5\n2 1\n255\n\1\4")
    for name in ("a.webp", "a.pgm"):
        with pytest.raises(DataError, match="of several pictures"):
            read_mask_file(tmp_path / name)


@pytest.mark.parametrize("depth", [1, 4, 12, 16])
def test_jpeg_2000_keeps_its_bits(tmp_path, depth):
    values = DEEP[..., 0] >> (16 - depth)
    values = values.astype(np.uint8 if depth <= 8 else np.uint16)
    (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(values, bitspersample=depth, level=0, reversible=True))
    assert np.array_equal(read_mask_file(tmp_path / "a.jp2"), values)
    shown = {1: 255, 4: 17, 12: 1, 16: 1}[depth] * values
    assert np.array_equal(read_image_file(tmp_path / "a.jp2")[..., 0], shown)
    signed = imagecodecs.jpeg2k_encode(values.astype(np.int16), level=0, reversible=True)
    (tmp_path / "s.jp2").write_bytes(signed)
    with pytest.raises(DataError, match="of a kind that is not read"):
        read_mask_file(tmp_path / "s.jp2")
