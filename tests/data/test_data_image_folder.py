"""Image folders: what is read, and the message for every way that files can be wrong."""

from __future__ import annotations

import os
import shutil
import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from seglab.data.io.image_files import count_pages, read_image_file
from seglab.data.sources.image_folder import ImageFolder
from seglab.data.splits import make_split
from seglab.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
DEEP = RNG.integers(0, 65536, (20, 30, 3), np.uint16)
HALVES = np.repeat(np.array([[0, 255]], np.uint8), 20, 0).repeat(15, 1)


@pytest.fixture
def folder(tmp_path):
    """Three pairs of grey PNG, masks 0 and 255."""
    for name in ("s1", "s2", "s10"):
        _save(tmp_path / "images" / f"{name}.png", GREY)
        _save(tmp_path / "masks" / f"{name}.png", HALVES)
    return tmp_path


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _open(root, **options):
    return ImageFolder(root=str(root), **{"label_values": [0, 255], **options})


def test_pairs_are_found_in_natural_order_and_read(folder):
    source = _open(folder)
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
    assert [case.id for case in _open(folder).cases] == ["s1", "s2", "s10"]


def test_reversed_values_make_the_other_value_the_foreground(folder):
    source = _open(folder, label_values=[255, 0], class_names=["cell", "membrane"])
    assert np.array_equal(source.read(source.cases[0]).mask, 1 - HALVES // 255)
    assert source.task.class_names == ("cell", "membrane")


def test_an_ignored_value_becomes_the_ignore_label(folder):
    half = HALVES.copy()
    half[0, 0] = 9
    _save(folder / "masks" / "s1.png", half)
    assert _open(folder, ignore_value=9).read(_open(folder, ignore_value=9).cases[0]).mask[0, 0] == 255


def test_endings_may_differ_and_be_upper_case(folder):
    (folder / "images" / "s2.png").rename(folder / "images" / "s2.PNG")
    tifffile.imwrite(folder / "masks" / "s2.tif", HALVES)
    (folder / "masks" / "s2.png").unlink()
    (folder / "masks" / "notes.txt").write_text("not an image")
    (folder / "masks" / ".hidden.png").write_bytes(b"")
    source = _open(folder)
    assert np.array_equal(source.read(source.cases[1]).mask, HALVES // 255)


def test_names_may_hold_spaces_and_accents_in_either_spelling(tmp_path):
    # macOS stores é as e and an accent, Linux and Windows as one character.
    apart, whole = unicodedata.normalize("NFD", "coupe é 1"), unicodedata.normalize("NFC", "coupe é 1")
    assert apart != whole
    _save(tmp_path / "images" / f"{apart}.png", GREY)
    _save(tmp_path / "masks" / f"{whole}.png", HALVES)
    source = _open(tmp_path)
    assert [case.id for case in source.cases] == [whole]
    assert np.array_equal(source.read(source.cases[0]).mask, HALVES // 255)
    assert len(source.digest()) == 64


def test_a_name_that_is_no_text_is_refused(folder):
    (folder / "images" / "s1.png").rename(folder / "images" / os.fsdecode(b"s\xff.png"))
    with pytest.raises(DataError, match="a file name that is no text") as caught:
        _open(folder)
    assert r"s\udcff.png" in str(caught.value)


def test_groups_come_from_names_and_blocks(folder):
    assert [case.group for case in _open(folder, block_size=2).cases] == ["block0", "block0", "block1"]
    assert [case.group for case in _open(folder, group_pattern=r"s\d").cases] == ["s1", "s2", "s1"]


def test_the_digest_follows_contents_and_settings_and_not_the_place(folder, tmp_path_factory):
    digest = _open(folder).digest()
    moved = tmp_path_factory.mktemp("elsewhere") / "data"
    shutil.copytree(folder, moved)
    assert _open(moved).digest() == digest
    assert _open(folder, label_values=[255, 0]).digest() != digest
    changed = GREY.copy()
    changed[0, 0] ^= 1
    _save(moved / "images" / "s1.png", changed)
    assert _open(moved).digest() != digest


def _read_all(root):
    source = _open(root)
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
        _open(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"3 pairs by this rule:\s+data\.images=images$"):
        _open(folder, images="image")
    for name in ("s2", "s10"):  # a rule would pair a single image
        (folder / "images" / f"{name}.png").unlink()
    with pytest.raises(DataError, match="did you mean 'images'"):
        _open(folder, images="image")
    with pytest.raises(DataError, match=r"data\.masks"):
        _open(folder, masks="truth")
    with pytest.raises(ConfigError, match="class names"):
        _open(folder, class_names=["one"])


@pytest.fixture(params=["plain", "imagej", "lzw"])
def stack(request, tmp_path):
    """An image file of four pages, its mask file, and one pair of single files."""
    pages = np.stack([GREY, GREY[::-1], GREY[:, ::-1], GREY ^ 255])
    masks = np.stack([HALVES, HALVES[:, ::-1], HALVES, HALVES])
    for folder, content in (("images", pages), ("masks", masks)):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "stack.tif"
        if request.param == "lzw":
            first, *rest = [Image.fromarray(page) for page in content]
            first.save(path, save_all=True, append_images=rest, compression="tiff_lzw")
        else:
            kind = {"imagej": True, "metadata": {"axes": "ZYX"}} if request.param == "imagej" else {}
            tifffile.imwrite(path, content, photometric="minisblack", **kind)
        _save(tmp_path / folder / "a.png", content[0])
    return tmp_path, pages, masks


def test_each_page_is_a_case_of_its_own(stack):
    root, pages, masks = stack
    source = _open(root)
    assert [case.id for case in source.cases] == ["a", "stack#1", "stack#2", "stack#3", "stack#4"]
    for case, page, mask in zip(source.cases[1:], pages, masks, strict=True):
        sample = source.read(case)
        assert np.array_equal(sample.image[..., 0], page)
        assert np.array_equal(sample.mask, mask // 255)
    assert "stack.tif, page 2" in source.describe_files(source.cases[2])
    assert len(source.digest()) == 64


def test_pages_of_a_file_are_one_group_unless_cut_into_blocks(stack):
    root, _, _ = stack
    assert [case.group for case in _open(root).cases] == ["a", "stack", "stack", "stack", "stack"]
    cut = [case.group for case in _open(root, block_size=3).cases]
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
    source = _open(folder, label_values=[0, 300])
    assert np.array_equal(source.read(source.cases[0]).mask, HALVES // 255)
    with pytest.raises(DataError, match="not declared: 300"):
        _open(folder).read(source.cases[0])


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
    source = _open(root, images="masks", masks="images")
    return [source.read(case) for case in source.cases]


def test_one_case_is_read_and_cannot_be_split(tmp_path):
    _save(tmp_path / "images" / "only.png", GREY)
    _save(tmp_path / "masks" / "only.png", HALVES)
    source = _open(tmp_path)
    assert len(source.cases) == 1
    with pytest.raises(DataError, match="too few groups"):
        make_split(source.cases, train=0.7, val=0.15, test=0.15, seed=0)


def test_another_image_changes_the_digest_of_the_data_and_not_of_how_it_is_read(folder):
    before = _open(folder).digest()
    for kind, pixels in (("images", GREY), ("masks", HALVES)):
        _save(folder / kind / "s11.png", pixels)
    after = _open(folder).digest()
    assert before != after
    assert before.reading == after.reading
    assert _open(folder, ignore_value=9).digest().reading != before.reading


@pytest.mark.parametrize("pages", [1, 3])
def test_a_region_of_one_page_holds_for_every_page(tmp_path, pages):
    inside = np.zeros((3, 20, 30), np.uint8)
    for page in range(3):
        inside[page, : 5 + page] = 255
    for name, stack in (("images", np.stack([GREY] * 3)), ("masks", np.stack([HALVES] * 3)), ("fov", inside[:pages])):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", stack if len(stack) > 1 else stack[0], photometric="minisblack")
    source = _open(tmp_path, roi="fov")
    masks = [source.read(case).mask for case in source.cases]
    assert [int((mask != 255).any(axis=1).sum()) for mask in masks] == ([5, 6, 7] if pages == 3 else [5, 5, 5])
