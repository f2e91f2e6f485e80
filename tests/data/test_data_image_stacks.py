"""Image folders with several pages a file, of 16 bits, in each other's place, or with one case."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from image_folders import DEEP, GREY, HALVES, _save, folder, open
from PIL import Image

from seglab.data.io.image_files import count_pages, read_image_file
from seglab.data.splits import make_split
from seglab.errors import DataError

__all__ = ["folder"]


@pytest.fixture(params=["plain", "imagej", "lzw"])
def stack(request, tmp_path):
    """An image file of four pages, its mask file, and one pair of single files."""
    pages = np.stack([GREY, GREY[::-1], GREY[:, ::-1], GREY ^ 255])
    masks = np.stack([HALVES, HALVES[:, ::-1], HALVES, HALVES])
    for place, content in (("images", pages), ("masks", masks)):
        (tmp_path / place).mkdir()
        path = tmp_path / place / "stack.tif"
        if request.param == "lzw":
            first, *rest = [Image.fromarray(page) for page in content]
            first.save(path, save_all=True, append_images=rest, compression="tiff_lzw")
        else:
            kind = {"imagej": True, "metadata": {"axes": "ZYX"}} if request.param == "imagej" else {}
            tifffile.imwrite(path, content, photometric="minisblack", **kind)
        _save(tmp_path / place / "a.png", content[0])
    return tmp_path, pages, masks


def test_each_page_is_a_case_of_its_own(stack):
    root, pages, masks = stack
    source = open(root)
    assert [case.id for case in source.cases] == ["a", "stack#1", "stack#2", "stack#3", "stack#4"]
    for case, page, mask in zip(source.cases[1:], pages, masks, strict=True):
        sample = source.read(case)
        assert np.array_equal(sample.image[..., 0], page)
        assert np.array_equal(sample.mask, mask // 255)
    assert "stack.tif, page 2" in source.describe_files(source.cases[2])
    assert len(source.digest()) == 64


def test_pages_of_a_file_are_one_group_unless_cut_into_blocks(stack):
    root, _, _ = stack
    assert [case.group for case in open(root).cases] == ["a", "stack", "stack", "stack", "stack"]
    cut = [case.group for case in open(root, block_size=3).cases]
    assert cut == ["a/block0", "stack/block0", "stack/block0", "stack/block0", "stack/block1"]


def test_a_file_of_pages_is_no_single_image(stack):
    root, pages, _ = stack
    path = root / "images" / "stack.tif"
    assert count_pages(path) == 4
    assert np.array_equal(read_image_file(path, page=3)[..., 0], pages[3])
    with pytest.raises(DataError, match="a TIFF of several pages"):
        read_image_file(path)


def test_a_mask_of_16_bit_is_read_by_its_values(folder):
    for name in ("s1", "s2", "s10"):
        _save(folder / "masks" / f"{name}.png", np.where(HALVES > 0, 300, 0).astype(np.uint16))
    source = open(folder, label_values=[0, 300])
    assert np.array_equal(source.read(source.cases[0]).mask, HALVES // 255)
    with pytest.raises(DataError, match="not declared: 300"):
        open(folder).read(source.cases[0])


def test_swapped_folders_are_named(folder):
    for name in ("s1", "s2", "s10"):
        _save(folder / "images" / f"{name}.png", (DEEP >> 8).astype(np.uint8))
    with pytest.raises(DataError, match="swapped"):
        _read_all_swapped(folder)
    for name in ("s1", "s2", "s10"):
        _save(folder / "images" / f"{name}.png", GREY)
    with pytest.raises(DataError, match="swapped"):
        _read_all_swapped(folder)


def _read_all_swapped(root):
    source = open(root, images="masks", masks="images")
    return [source.read(case) for case in source.cases]


def test_one_case_is_read_and_cannot_be_split(tmp_path):
    _save(tmp_path / "images" / "only.png", GREY)
    _save(tmp_path / "masks" / "only.png", HALVES)
    source = open(tmp_path)
    assert len(source.cases) == 1
    with pytest.raises(DataError, match="too few groups"):
        make_split(source.cases, train=0.7, val=0.15, test=0.15, seed=0)


def test_another_image_changes_the_digest_of_the_data_and_not_of_how_it_is_read(folder):
    before = open(folder).digest()
    for kind, pixels in (("images", GREY), ("masks", HALVES)):
        _save(folder / kind / "s11.png", pixels)
    after = open(folder).digest()
    assert before != after
    assert before.reading == after.reading
    assert open(folder, ignore_value=9).digest().reading != before.reading


@pytest.mark.parametrize("pages", [1, 3])
def test_a_region_of_one_page_holds_for_every_page(tmp_path, pages):
    inside = np.zeros((3, 20, 30), np.uint8)
    for page in range(3):
        inside[page, : 5 + page] = 255
    for name, stack in (("images", np.stack([GREY] * 3)), ("masks", np.stack([HALVES] * 3)), ("fov", inside[:pages])):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", stack if len(stack) > 1 else stack[0], photometric="minisblack")
    source = open(tmp_path, roi="fov")
    masks = [source.read(case).mask for case in source.cases]
    assert [int((mask != 255).any(axis=1).sum()) for mask in masks] == ([5, 6, 7] if pages == 3 else [5, 5, 5])
