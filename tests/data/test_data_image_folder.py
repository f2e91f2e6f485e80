"""Image folders: what is read, and the message for every way that files can be wrong."""

from __future__ import annotations

import os
import shutil
import unicodedata

import numpy as np
import pytest
import tifffile
from image_folders import DEEP, GREY, HALVES, RNG, _save, folder, open
from PIL import Image

from seglab.data.sources.image_folder import ImageFolder
from seglab.errors import ConfigError, DataError

__all__ = ["folder"]


def test_pairs_are_found_in_natural_order_and_read(folder):
    source = open(folder)
    assert [case.id for case in source.cases] == ["s1", "s2", "s10"]
    sample = source.read(source.cases[2])
    assert np.array_equal(sample.image[..., 0], GREY)
    assert np.array_equal(sample.mask, HALVES // 255)
    assert sample.spacing == (1.0, 1.0)
    assert source.read_image(source.cases[0]).mask is None
    assert source.task.class_names == ("label_0", "label_255")
    assert (source.task.rank, source.task.channels, source.split) == (2, 1, None)
    assert "s10.png" in source.describe_files(source.cases[2])


def test_a_link_that_leads_nowhere_or_to_itself_is_no_file(folder):
    for name, leads in (("loop.png", "loop.png"), ("gone.png", "nowhere.png")):
        (folder / "images" / name).symlink_to(leads)
    assert [case.id for case in open(folder).cases] == ["s1", "s2", "s10"]


def test_reversed_values_make_the_other_value_the_foreground(folder):
    source = open(folder, label_values=[255, 0], class_names=["cell", "membrane"])
    assert np.array_equal(source.read(source.cases[0]).mask, 1 - HALVES // 255)
    assert source.task.class_names == ("cell", "membrane")


def test_an_ignored_value_becomes_the_ignore_label(folder):
    half = HALVES.copy()
    half[0, 0] = 9
    _save(folder / "masks" / "s1.png", half)
    assert open(folder, ignore_value=9).read(open(folder, ignore_value=9).cases[0]).mask[0, 0] == 255


def test_endings_may_differ_and_be_upper_case(folder):
    (folder / "images" / "s2.png").rename(folder / "images" / "s2.PNG")
    tifffile.imwrite(folder / "masks" / "s2.tif", HALVES)
    (folder / "masks" / "s2.png").unlink()
    (folder / "masks" / "notes.txt").write_text("not an image")
    (folder / "masks" / ".hidden.png").write_bytes(b"")
    source = open(folder)
    assert np.array_equal(source.read(source.cases[1]).mask, HALVES // 255)


def test_names_may_hold_spaces_and_accents_in_either_spelling(tmp_path):
    # macOS stores é as e and an accent, Linux and Windows as one character.
    apart, whole = unicodedata.normalize("NFD", "coupe é 1"), unicodedata.normalize("NFC", "coupe é 1")
    assert apart != whole
    _save(tmp_path / "images" / f"{apart}.png", GREY)
    _save(tmp_path / "masks" / f"{whole}.png", HALVES)
    source = open(tmp_path)
    assert [case.id for case in source.cases] == [whole]
    assert np.array_equal(source.read(source.cases[0]).mask, HALVES // 255)
    assert len(source.digest()) == 64


def test_a_name_that_is_no_text_is_refused(folder):
    (folder / "images" / "s1.png").rename(folder / "images" / os.fsdecode(b"s\xff.png"))
    with pytest.raises(DataError, match="a file name that is no text") as caught:
        open(folder)
    assert r"s\udcff.png" in str(caught.value)


def test_groups_come_from_names_and_blocks(folder):
    assert [case.group for case in open(folder, block_size=2).cases] == ["block0", "block0", "block1"]
    assert [case.group for case in open(folder, group_pattern=r"s\d").cases] == ["s1", "s2", "s1"]


def test_the_digest_follows_contents_and_settings_and_not_the_place(folder, tmp_path_factory):
    digest = open(folder).digest()
    moved = tmp_path_factory.mktemp("elsewhere") / "data"
    shutil.copytree(folder, moved)
    assert open(moved).digest() == digest
    assert open(folder, label_values=[255, 0]).digest() != digest
    changed = GREY.copy()
    changed[0, 0] ^= 1
    _save(moved / "images" / "s1.png", changed)
    assert open(moved).digest() != digest


def _read_all(root):
    source = open(root)
    return [source.read(case) for case in source.cases]


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _spoil(kind, root):
    image, mask = root / "images" / "s1.png", root / "masks" / "s1.png"
    if kind == "image alone":
        mask.unlink()
    elif kind == "mask alone":
        image.unlink()
    elif kind == "two of a name":
        _save(root / "images" / "s1.jpg", GREY)
    elif kind == "truncated image":
        _truncate(image)
    elif kind == "truncated mask":
        _truncate(mask)
    elif kind == "other size":
        _save(mask, HALVES[:, :-2])
    elif kind == "colour mask":
        _save(mask, (DEEP >> 8).astype(np.uint8))
    elif kind == "lossy mask":
        mask.unlink()
        Image.fromarray(np.clip(HALVES * 0.8 + GREY * 0.2, 0, 255).astype(np.uint8)).save(mask.with_suffix(".jpg"))
    elif kind == "other channels":
        _save(root / "images" / "s2.png", (DEEP >> 8).astype(np.uint8))
    elif kind == "no images":
        for file in (root / "images").iterdir():
            file.unlink()
    elif kind == "not a number":
        image.unlink()
        tifffile.imwrite(image.with_suffix(".tif"), np.where(GREY > 9, GREY, np.nan).astype(np.float32))
    elif kind == "pages":
        image.unlink()
        tifffile.imwrite(image.with_suffix(".tif"), np.stack([GREY] * 5), photometric="minisblack")
    elif kind in ("truncated TIFF", "truncated deflated TIFF"):
        image.unlink()
        pixels = RNG.integers(0, 256, (200, 30), np.uint8)
        compression = "zlib" if "deflated" in kind else None
        tifffile.imwrite(image.with_suffix(".tif"), pixels, rowsperstrip=20, compression=compression)
        _truncate(image.with_suffix(".tif"))
    elif kind == "truncated JPEG":
        image.unlink()
        _save(image.with_suffix(".jpg"), GREY)
        _truncate(image.with_suffix(".jpg"))
    elif kind == "flipped byte":
        damaged = bytearray(image.read_bytes())
        damaged[len(damaged) // 2] ^= 255
        image.write_bytes(damaged)
    elif kind == "empty file":
        image.write_bytes(b"")


@pytest.mark.parametrize(
    ("kind", "what", "names"),
    [
        ("image alone", "an image without a mask", "images/s1.png"),
        ("mask alone", "a mask without an image", "masks/s1.png"),
        ("two of a name", "two files of one name", "s1.jpg and s1.png"),
        ("truncated image", "a file that cannot be read", "images/s1.png"),
        ("truncated mask", "a file that cannot be read", "masks/s1.png"),
        ("truncated TIFF", "a file that cannot be read", "images/s1.tif"),
        ("truncated deflated TIFF", "a file that cannot be read", "images/s1.tif"),
        ("truncated JPEG", "a file that cannot be read", "images/s1.jpg"),
        ("flipped byte", "a file that cannot be read", "images/s1.png"),
        ("empty file", "a file that cannot be read", "images/s1.png"),
        ("other size", "a mask of another size than its image", "masks/s1.png"),
        ("colour mask", "a mask in colours", "masks/s1.png"),
        ("lossy mask", "a mask value that is not declared", "masks/s1.jpg"),
        ("other channels", "an image with another number of channels", "images/s2.png"),
        ("no images", "a data folder without images", "images"),
        ("not a number", "an image with NaN or infinite values", "images/s1.tif"),
        ("pages", "a mask with another number of pages", "masks/s1.png"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(folder, kind, what, names):
    _spoil(kind, folder)
    with pytest.raises(DataError) as caught:
        _read_all(folder)
    assert caught.value.what.startswith(what)
    assert names in str(caught.value)
    assert "remedy" in str(caught.value)


def test_black_and_white_masks_get_their_remedy(folder):
    source = ImageFolder(root=str(folder))
    with pytest.raises(DataError, match=r"data\.label_values=\[0,255\]") as caught:
        source.read(source.cases[0])
    assert "masks/s1.png" in str(caught.value)
    assert "values 0, 255" in str(caught.value)


def test_missing_folders_name_what_is_there(folder, tmp_path):
    with pytest.raises(DataError, match=r"data\.root"):
        open(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"3 pairs by this rule:\s+data\.images=images$"):
        open(folder, images="image")
    for name in ("s2", "s10"):  # a rule would pair a single image
        (folder / "images" / f"{name}.png").unlink()
    with pytest.raises(DataError, match="did you mean 'images'"):
        open(folder, images="image")
    with pytest.raises(DataError, match=r"data\.masks"):
        open(folder, masks="truth")
    with pytest.raises(ConfigError, match="class names"):
        open(folder, class_names=["one"])
