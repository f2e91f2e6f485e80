"""Images and masks that pair by pattern, by capitals, by endings, or not at all."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from opened_sets import opened, read_all, refused
from public_sets import SETS, draw, save, white

from seglab.data.check.file_reading import find_left_out
from seglab.data.sources.paired_files import pair_files
from seglab.data.sources.pairing_rules import find_rules
from seglab.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("images", "masks", "what"),
    [
        ("images", "masks/{id}_{id}", "without one {id}"),
        ("images", "{id}/mask", "without one {id}"),
        ("images", "{id}/{id}_mask", "without one {id}"),
        ("images", "masks/{ID}_mask", "without one {id}"),
        ("images", "masks/{case}", "without one {id}"),
        ("images", "images", "the same files"),
        ("images/{id}", "images/../images", "the same files"),
        ("{id}", ".", "the same files"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused(tmp_path, images, masks, what):
    save(tmp_path / "images" / "a.png", draw(0)[0])
    with pytest.raises(ConfigError, match=what):
        pair_files(tmp_path, images, masks)


def test_names_are_of_any_letters_and_ids_stay_names(tmp_path):
    cases = ["01", "1", "a b", "Größe é", "x.1", "ÄÖ_2", "007"]
    for n, case in enumerate(cases):
        save(tmp_path / f"{case} photo.JPG".replace("JPG", "JPG" if n % 2 else "jpg"), draw(n)[0])
        save(tmp_path / f"{case} truth.PNG", draw(n)[1].astype(np.uint8))
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "._01 photo.jpg").write_bytes(b"x")
    assert [settings for _, settings in refused(tmp_path)] == [["data.images={id} photo", "data.masks={id} truth"]]
    source = opened(tmp_path, "data.images={id} photo", "data.masks={id} truth")
    assert {case.id for case in source.cases} == set(cases)
    assert not source.left_out
    os.rename(tmp_path / "007 truth.PNG", tmp_path / "007 Truth.PNG")
    with pytest.raises(DataError, match=r"007 photo(?s:.*)6 pairs"):
        opened(tmp_path, "data.images={id} photo", "data.masks={id} truth")


def test_images_without_a_mask_are_left_out_only_when_that_is_set(tmp_path):
    SETS["chests"](tmp_path)
    for n in range(3):
        save(tmp_path / "CXR_png" / f"CHNCXR_{n + 500:04d}_1.png", draw(n)[0][..., 0])
    words = ["data.images=CXR_png", "data.masks=mask/{id}_mask", "data.label_values=[0,255]"]
    (reason, settings), *_ = refused(tmp_path)
    assert settings == [*words, "data.unlabelled=left_out"]
    assert reason == "12 pairs, without the 3 images that have no mask, by this rule"
    with pytest.raises(DataError, match=r"an image without a mask(?s:.*)3 such files"):
        opened(tmp_path, *words)
    source = opened(tmp_path, *words, "data.unlabelled=left_out")
    assert len(source.cases) == 12
    [warning] = find_left_out(source)
    assert (warning.severity, "3 images without a mask: CHNCXR_0500_1.png" in warning.found) == ("warning", True)


def test_names_that_differ_in_capitals_alone_say_so(tmp_path):
    save(tmp_path / "images" / "IMG_1.png", draw(0)[0])
    save(tmp_path / "masks" / "img_1.png", draw(0)[1].astype(np.uint8))
    with pytest.raises(DataError, match=r"rename img_1\.png"):
        opened(tmp_path)


def test_same_names_with_two_endings_in_one_folder(tmp_path):
    for n in range(4):
        save(tmp_path / f"{n:03d}.jpg", draw(n)[0])
        save(tmp_path / f"{n:03d}.png", draw(n)[1].astype(np.uint8))
    assert [settings for _, settings in refused(tmp_path)] == [["data.images={id}.jpg", "data.masks={id}.png"]]
    assert [case.id for case in opened(tmp_path, "data.images={id}.jpg", "data.masks={id}.png").cases] == [
        f"{n:03d}" for n in range(4)
    ]
    save(tmp_path / "masks" / "000.png", draw(0)[1].astype(np.uint8))
    with pytest.raises(DataError, match=r"two files of one name(?s:.*)which ending counts, data\.images='\{id\}\.png'"):
        pair_files(tmp_path, ".", "masks")


def test_one_mask_that_is_missing_or_too_many(tmp_path):
    for n in range(3):
        save(tmp_path / "images" / f"{n}.png", draw(n)[0])
        save(tmp_path / "masks" / f"{n}.png", draw(n)[1].astype(np.uint8))
    (tmp_path / "masks" / "1.png").unlink()
    (reason, settings), *more = refused(tmp_path)
    assert (reason, settings) == (
        "2 pairs, without the 1 image that has no mask, by this rule",
        ["data.unlabelled=left_out"],
    )
    assert not more
    assert [case.id for case in opened(tmp_path, *settings).cases] == ["0", "2"]
    (tmp_path / "images" / "1.png").unlink()
    save(tmp_path / "masks" / "3.png", draw(1)[1].astype(np.uint8))
    with pytest.raises(DataError, match=r"a mask without an image(?s:.*)equal up to the ending$"):
        opened(tmp_path)


def test_masks_in_colours_pair_as_well(tmp_path):
    for n in range(3):
        save(tmp_path / f"{n}.png", draw(n)[0])
        save(tmp_path / f"{n}_L.png", np.dstack([white(draw(n)[1]), white(~draw(n)[1]), 0 * white(draw(n)[1])]))
    assert [settings for _, settings in refused(tmp_path)] == [["data.images=.", "data.masks={id}_L"]]
    colors = "data.label_colors=[[0,255,0],[255,0,0]]"
    source = opened(tmp_path, "data.images=.", "data.masks={id}_L", colors)
    assert np.array_equal(read_all(source)[2], draw(2)[1])


def test_nothing_is_proposed_where_nothing_pairs(tmp_path):
    for n in range(4):
        save(tmp_path / "images" / f"{'abcd'[n]}.png", draw(n)[0])
        save(tmp_path / "masks" / f"{'wxyz'[n]}.png", draw(n)[1].astype(np.uint8))
        save(tmp_path / "more" / f"{'abcd'[n]}_2.png", draw(n)[0])  # photographs of the same names
    assert find_rules(tmp_path) == []
    with pytest.raises(DataError, match=r"must be equal up to the ending$"):
        opened(tmp_path)


def test_dark_photographs_are_images(tmp_path):
    """Fluorescence in JPEG: most of it is nearly black, as of a lossy mask."""
    for n in range(3):
        image = np.random.default_rng(n).integers(0, 9, (72, 96), np.uint8) + draw(n)[1] * np.uint8(90 + n)
        save(tmp_path / "seen" / f"{n}_dapi.jpg", image)
        save(tmp_path / "truth" / f"{n}_cells.png", white(draw(n)[1]))
    assert [(str(r.images), str(r.masks)) for r in find_rules(tmp_path)] == [("seen/{id}_dapi", "truth/{id}_cells")]


def test_folders_of_the_same_numbers_are_not_mixed(tmp_path):
    """BUSI: `benign (1).png` with `benign (1)_mask.png`, and the same in a folder of malignant ones."""
    for n in range(6):
        for kind in ("benign", "malignant"):
            save(tmp_path / kind / f"{kind} ({n + 1}).png", draw(n)[0])
            save(tmp_path / kind / f"{kind} ({n + 1})_mask.png", draw(n)[1].astype(np.uint8))
    found = [(str(rule.images), str(rule.masks)) for rule in find_rules(tmp_path)]
    assert found == [(f"{kind}/{{id}}", f"{kind}/{{id}}_mask") for kind in ("benign", "malignant")]
    # One image has a second mask: a form of names that leaves it aside pairs the others.
    save(tmp_path / "benign" / "benign (2)_mask_1.png", draw(2)[1].astype(np.uint8))
    settings = next(settings for _, settings in refused(tmp_path) if "benign" in settings[0])
    source = opened(tmp_path, *settings)
    assert [int(re.findall(r"\d+", case.id)[0]) for case in source.cases] == [*range(1, 7)]
    [warning] = find_left_out(source)
    assert (warning.severity, "benign (2)_mask_1.png" in warning.found) == ("warning", True)
