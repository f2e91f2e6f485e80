"""Findings about labels: each remedy is pasted here, after which nothing is found and the masks are right."""

from __future__ import annotations

import re
import shlex

import hydra
import numpy as np
import pytest
from PIL import Image

from seglab.cli.nnunet_dataset import run as write_nnunet
from seglab.config.places import CONF
from seglab.config.run_config import load_config
from seglab.data.check.full_check import check_full
from seglab.data.check.palettes import check_palettes
from seglab.errors import DataError

BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)
SEEN = np.zeros((24, 32), np.uint8)
SEEN[4:12, 6:20] = 1
SEEN[14:22, 6:20] = 2


def folder(root, masks):
    """A folder of noise with these masks: an array, or one of palette numbers with its colours."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for n, mask in enumerate(masks):
        noise = np.random.default_rng(n).integers(0, 255, (6, 8), np.uint8)
        Image.fromarray(np.kron(noise, np.ones((4, 4), np.uint8))).save(root / "images" / f"c{n}.png")
        values, colours = mask if isinstance(mask, tuple) else (mask, None)
        image = Image.fromarray(values)
        if colours is not None:
            image.putpalette([part for colour in colours for part in colour])
        image.save(root / "masks" / f"c{n}.png")
    return root


def check(root, *words):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = load_config(
            hydra.compose(
                "train", overrides=["data=image_folder", f"data.root={root}", "data.resize_mode=resize", *words]
            )
        )
    return check_full(chosen, processes=1)


def found(checked, name):
    return [finding for finding in checked.report.findings if finding.name == name]


def masks_of(checked):
    return [checked.source.read(case).mask for case in checked.source.cases]


def two(order):
    """The object alone, shown in white on black, whichever number stands for which."""
    mask = SEEN % 2
    return (mask, (BLACK, WHITE)) if order else (1 - mask, (WHITE, BLACK))


def test_palettes_in_another_order_are_found_and_the_remedy_reads_them_alike(tmp_path):
    root = folder(tmp_path, [two(n % 3) for n in range(9)])
    (row,) = found(check(root), "palettes-differ")
    assert (row.severity, row.where) == ("error", row.where)
    assert "and 2 more masks" in row.where
    assert "0 is #ffffff, 1 is #000000; elsewhere 0 is #000000, 1 is #ffffff (6 masks)" in row.found
    word = row.remedy.split()[0]
    assert word == "data.label_colors=[[0,0,0],[255,255,255]]"
    again = check(root, word)
    assert not found(again, "palettes-differ")
    assert all(np.array_equal(mask, SEEN % 2) for mask in masks_of(again))


def test_palettes_are_looked_at_where_no_check_of_the_data_is_made(tmp_path):
    """Of other data that a model is scored on, clicked in or written for nnU-Net, half came out inverted."""
    source = check(folder(tmp_path, [two(n % 3) for n in range(9)])).source
    with pytest.raises(DataError, match="and 2 more masks") as caught:
        check_palettes(source, source.cases)
    assert (caught.value.code, caught.value.remedy.split()[0]) == (
        "palettes-differ",
        "data.label_colors=[[0,0,0],[255,255,255]]",
    )
    with pytest.raises(DataError, match="and 2 more masks"):
        write_nnunet(["data=image_folder", f"data.root={tmp_path}", f"out={tmp_path / 'nnunet'}"])
    same = check(folder(tmp_path / "same", [two(True)] * 9)).source
    check_palettes(same, same.cases)


@pytest.mark.parametrize("ignored", [None, 2])
def test_three_colours_and_a_value_without_a_truth(tmp_path, ignored):
    turned = np.array([2, 0, 1], np.uint8)[SEEN]
    root = folder(tmp_path, [(SEEN, (BLACK, RED, WHITE))] * 5 + [(turned, (RED, WHITE, BLACK))] * 3)
    labels = ["data.label_values=[0,1,2]"] if ignored is None else [f"data.ignore_value={ignored}"]
    (row,) = found(check(root, *labels), "palettes-differ")
    again = check(root, *labels, row.remedy.split()[0])
    assert not again.report.errors
    expected = SEEN if ignored is None else np.where(SEEN == 2, 255, SEEN)
    assert all(np.array_equal(mask, expected) for mask in masks_of(again))


def test_palettes_that_agree_are_no_finding_nor_are_numbers_that_no_mask_holds(tmp_path):
    root = folder(tmp_path, [(SEEN % 2, (BLACK, WHITE, *([RED] * (n % 2)))) for n in range(8)] + [SEEN % 2])
    assert not found(check(root), "palettes-differ")


def test_colours_that_differ_without_changing_places_are_a_warning(tmp_path):
    root = folder(tmp_path, [(SEEN % 2, (BLACK, (200, n, 0))) for n in range(8)])
    (row,) = found(check(root), "palettes-differ")
    assert row.severity == "warning"


def test_white_on_black_in_a_palette_beside_grey_files(tmp_path):
    """A palette of white, then black, shows 0 in white, where files without a palette show it in black."""
    root = folder(tmp_path, [two(True), two(False), *[SEEN % 2] * 7])
    (row,) = found(check(root), "palettes-differ")
    assert row.severity == "error"
    assert "save the masks anew" in row.remedy
    root = folder(tmp_path / "b", [two(False), *[SEEN % 2] * 7])
    (row,) = found(check(root), "palettes-differ")
    assert (row.where, "a brighter grey for a larger value" in row.found) == ("c0", True)


def test_the_remedy_for_undeclared_values_is_one_for_all_masks(tmp_path):
    seven, nine = np.where(SEEN == 2, 7, SEEN), np.where(SEEN == 2, 9, SEEN)
    masks = [np.asarray(mask, np.uint8) for mask in [*[SEEN] * 8, seven, nine]]
    root = folder(tmp_path, masks)
    labels = ["data.label_values=[0,1,2,3]", "data.class_names=[none,cell,'rare one',spare]"]
    rows = found(check(root, *labels), "undeclared-label")
    assert len(rows) == 2
    (remedy,) = {row.remedy for row in rows}
    words = shlex.split(re.sub(r"^if .*?: ", "", remedy).partition(";")[0])
    assert words[0] == "data.label_values=[0,1,2,3,7,9]"
    again = check(root, *words)
    assert not found(again, "undeclared-label")
    assert again.source.task.class_names == ("none", "cell", "rare one", "spare", "label_7", "label_9")


def test_black_and_white_beside_a_mask_of_0_and_1_is_not_advised_away(tmp_path):
    root = folder(tmp_path, [*[SEEN % 2] * 7, SEEN % 2 * np.uint8(255)])
    (row,) = found(check(root), "undeclared-label")
    assert "[0,255]" not in row.remedy
    assert "data.label_values=[0,1,255]" in row.remedy
