"""TIFF: one reader for every way to store the same numbers, and a refusal where they would be others."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seglab.data.io.image_files import count_pages, read_image_file, read_mask_file
from seglab.errors import DataError

RNG = np.random.default_rng(0)
GREY = np.kron(RNG.integers(0, 256, (4, 5), np.uint8), np.ones((9, 8), np.uint8))
RGB = np.dstack([GREY, 255 - GREY, GREY // 2])
LOSSLESS = [None, "lzw", "deflate", "adobe_deflate", "packbits", "zstd", "lzma"]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_numbers_are_those_that_were_written_however_they_are_stored(tmp_path_factory, data):
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])))
    kind = data.draw(st.sampled_from(["minisblack", "miniswhite", "rgb"]))
    if kind != "minisblack":
        dtype = np.dtype(f"u{dtype.itemsize}") if dtype.itemsize < 4 else np.dtype("u1")
    bands = {
        "minisblack": st.sampled_from([1, 2, 3, 5, 12, 40]),
        "miniswhite": st.just(1),
        "rgb": st.sampled_from([3, 4]),
    }
    count = data.draw(bands[kind])
    compression = data.draw(st.sampled_from(LOSSLESS))
    apart = count > 1 and data.draw(st.booleans())
    numbers = RNG.integers(0, 120, (21, 37, count)) / (8 if dtype.kind == "f" else 1)
    written = numbers.astype(dtype)
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    tifffile.imwrite(
        path,
        np.moveaxis(written, -1, 0) if apart else written if count > 1 else written[..., 0],
        photometric=kind,
        compression=compression,
        byteorder=data.draw(st.sampled_from("<>")),
        bigtiff=data.draw(st.booleans()),
        tile=data.draw(st.sampled_from([None, (16, 32)])),
        rowsperstrip=data.draw(st.sampled_from([None, 5])),
        predictor=bool(compression) and dtype.itemsize > 1 and data.draw(st.booleans()),
        planarconfig=("separate" if apart else "contig") if count > 1 else None,
        extrasamples=["unassalpha"] if kind == "rgb" and count == 4 else None,
        metadata=None,
    )
    expected = np.iinfo(dtype).max - written if kind == "miniswhite" else written
    found = read_image_file(path)
    assert found.dtype == (dtype if dtype in (np.uint8, np.uint16) else np.float32)
    assert np.array_equal(found, expected.astype(found.dtype))
    if count == 1:
        assert np.array_equal(read_mask_file(path), expected[..., 0])


@pytest.mark.parametrize("kind", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 10, 12, 14])
def test_samples_that_are_no_whole_bytes(tmp_path, bits, kind):
    values = (GREY.astype(np.uint16) * 257 >> (16 - bits)).astype(np.uint8 if bits < 8 else np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, bitspersample=bits, photometric=kind)
    expected = values if kind == "minisblack" else 2**bits - 1 - values
    assert np.array_equal(read_mask_file(tmp_path / "a.tif"), expected)
    shown = read_image_file(tmp_path / "a.tif")[..., 0]
    assert shown.dtype == values.dtype
    assert np.array_equal(shown, np.round(expected * (255 / (2**bits - 1))) if bits < 8 else expected)


@pytest.mark.parametrize("zero", [0, 1], ids=["white", "black"])
@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_ccitt", "group3", "group4"])
def test_black_and_white_is_what_is_seen_whatever_0_stands_for(tmp_path, compression, zero):
    seen = Image.fromarray(GREY).convert("1", dither=0)
    seen.save(tmp_path / "a.tif", compression=compression, tiffinfo={262: zero})
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric == zero
    assert np.array_equal(read_mask_file(tmp_path / "a.tif"), np.asarray(seen))
    assert np.array_equal(read_image_file(tmp_path / "a.tif")[..., 0], np.asarray(seen) * 255)


@pytest.mark.parametrize("values", [(0, 1), (0, 255)])
@pytest.mark.parametrize("compression", [None, "lzw", "deflate"])
def test_a_mask_of_bytes_whose_0_is_white(tmp_path, compression, values):
    seen = np.where(GREY > 100, 255, 0).astype(np.uint8)
    stored = 255 - seen
    if values == (0, 1):  # by the letter: 1 is next to white, and both are undeclared
        stored //= 255
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", compression=compression)
    assert np.array_equal(read_mask_file(tmp_path / "a.tif"), 255 - stored)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_printing_colours_become_red_green_and_blue(tmp_path, compression):
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif", compression=compression)
    found = read_image_file(tmp_path / "a.tif")
    assert found.shape == RGB.shape
    assert np.abs(found.astype(int) - RGB).max() <= (8 if compression == "jpeg" else 0)


@pytest.mark.parametrize("kind", ["RGB", "YCbCr"])
def test_jpeg_within_tiff(tmp_path, kind):
    Image.fromarray(RGB).convert(kind).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric.name == kind.upper()
    assert np.median(np.abs(read_image_file(tmp_path / "a.tif").astype(int) - RGB)) <= 2
    Image.fromarray(RGB).convert("YCbCr").save(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"(?s)YCBCR with compression.*save it as RGB"):
        read_image_file(tmp_path / "b.tif")


@pytest.mark.parametrize("shift", [0, 8], ids=["16 bits", "8 bits, as some programs write it"])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_the_palette_of_a_tiff(tmp_path, compression, shift):
    colours = RNG.integers(256, 65536, (3, 256), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", GREY % 7, photometric="palette", colormap=colours >> shift, compression=compression
    )
    assert np.array_equal(read_mask_file(tmp_path / "a.tif"), GREY % 7)
    assert np.array_equal(read_image_file(tmp_path / "a.tif"), (colours >> 8).astype(np.uint8).T[GREY % 7])


def test_thumbnails_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RGB, photometric="rgb")
        file.write(RGB[::4, ::4], photometric="rgb", subfiletype=1)
    assert count_pages(tmp_path / "a.tif") == 1
    assert np.array_equal(read_image_file(tmp_path / "a.tif"), RGB)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"photometric": "miniswhite", "dtype": np.float32}, "MINISWHITE"),
        ({"photometric": "miniswhite", "dtype": np.int16}, "MINISWHITE"),
        ({"photometric": "minisblack", "dtype": np.complex64}, "complex64"),
        ({"photometric": "cielab", "dtype": np.uint8}, "CIELAB"),
        ({"photometric": "cfa", "dtype": np.uint16}, "CFA"),
    ],
)
def test_what_would_come_out_otherwise_is_refused_by_its_name(tmp_path, options, named):
    options = dict(options)
    shape = (8, 9, 3) if named == "CIELAB" else (8, 9)
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, options.pop("dtype")), **options)
    with pytest.raises(DataError, match=rf"(?s)a kind that is not read.*found: .*{named}.*remedy: +save"):
        read_image_file(tmp_path / "a.tif")


def test_a_compression_without_a_decoder_is_named(tmp_path):
    Image.fromarray(GREY).convert("1").save(tmp_path / "a.tif", compression="tiff_raw_16")
    with pytest.raises(DataError, match=r"(?s)CCIRLEW.*remedy: +save it with LZW"):
        read_mask_file(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [*LOSSLESS[:5], "jpeg", "group3", "group4"])
def test_a_tiff_that_ends_too_early_is_refused(tmp_path, compression):
    path, whole = tmp_path / "a.tif", np.tile(GREY, (4, 4))
    if compression in ("group3", "group4"):
        Image.fromarray(whole).convert("1").save(path, compression=compression)
    else:
        tifffile.imwrite(path, whole, compression=compression, rowsperstrip=32)
    content, sound = path.read_bytes(), read_image_file(path)
    for part in np.linspace(0.02, 0.98, 25):
        path.write_bytes(content[: int(len(content) * part)])
        with suppress(DataError):
            assert np.array_equal(read_image_file(path), sound)  # nothing but the end of a table is gone


def test_a_damaged_header_is_no_traceback(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.tile(GREY, (4, 4)), compression="deflate", rowsperstrip=32)
    content = path.read_bytes()
    for at in range(0, 300, 3):
        damaged = bytearray(content)
        damaged[at] ^= 255
        path.write_bytes(damaged)
        for read in (read_image_file, count_pages):
            with suppress(DataError):
                read(path)
