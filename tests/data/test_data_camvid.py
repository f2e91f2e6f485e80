"""CamVid: folders, classes, sequences, and the customary split with its leak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from seglab.data.cases import Case
from seglab.data.check.palettes import check_palettes
from seglab.data.sources.camvid import CamVid
from seglab.data.splits import make_split
from seglab.errors import DataError

FRAMES = {
    "train": ["0001TP_006690", "0006R0_f00930", "0016E5_04530"],
    "val": ["0016E5_07959"],
    "test": ["0001TP_008550", "Seq05VD_f00000"],
}


@pytest.fixture
def folder(tmp_path):
    """Six frames of four drives; the masks hold every value from 0 to 11."""
    rng = np.random.default_rng(0)
    mask = np.arange(12, dtype=np.uint8).repeat(8).reshape(12, 8)
    for name, frames in FRAMES.items():
        for kind in (name, f"{name}annot"):
            (tmp_path / kind).mkdir()
        for frame in frames:
            Image.fromarray(rng.integers(0, 256, (12, 8, 3), np.uint8)).save(tmp_path / name / f"{frame}.png")
            Image.fromarray(mask).save(tmp_path / f"{name}annot" / f"{frame}.png")
    return tmp_path


def test_void_is_ignored_and_eleven_classes_count(folder):
    source = CamVid(root=str(folder))
    assert (source.task.rank, source.task.channels, source.task.classes) == (2, 3, 11)
    assert (source.task.class_names[0], source.task.class_names[10]) == ("sky", "bicyclist")
    assert source.task.scored == tuple(range(11))
    assert source.read(source.cases[0]).mask[:, 0].tolist() == [*range(11), 255]
    assert source.read_image(source.cases[0]).image.shape == (12, 8, 3)


def test_folders_of_other_names_are_not_taken_for_its_own(folder):
    (folder / "train").rename(folder / "images")
    with pytest.raises(DataError) as caught:
        CamVid(root=str(folder))
    assert caught.value.expected == "train in data.root"
    assert caught.value.remedy == "data.root=<the folder that holds train>"


def test_a_group_is_a_drive(folder):
    groups = {case.id: case.group for case in CamVid(root=str(folder)).cases}
    assert groups["0016E5_07959"] == groups["0016E5_04530"] == "0016E5"
    assert set(groups.values()) == {"0001TP", "0006R0", "0016E5", "Seq05VD"}


def test_the_customary_split_is_that_of_the_folders(folder):
    assert CamVid(root=str(folder)).split is None
    source = CamVid(root=str(folder), customary_split=True)
    assert {name: list(ids) for name, ids in source.split.items()} == FRAMES
    group = {case.id: case.group for case in source.cases}
    assert {group[i] for i in source.split["train"]} & {group[i] for i in source.split["test"]} == {"0001TP"}


def test_what_is_missing_is_named(folder):
    (folder / "valannot" / "0016E5_07959.png").rename(folder / "elsewhere.png")
    with pytest.raises(DataError, match="without images") as caught:
        CamVid(root=str(folder))
    assert "valannot" in str(caught.value)
    (folder / "elsewhere.png").rename(folder / "valannot" / "other.png")
    with pytest.raises(DataError, match="an image without a mask"):
        CamVid(root=str(folder))
    with pytest.raises(DataError, match="data folder not found"):
        CamVid(root=str(folder / "nowhere"))


def test_a_frame_in_two_folders_is_refused(folder):
    for kind in ("", "annot"):
        (folder / f"val{kind}" / "0016E5_07959.png").rename(folder / f"val{kind}" / "0016E5_04530.png")
    with pytest.raises(DataError, match="two images of one name"):
        CamVid(root=str(folder))


def test_a_frame_without_a_drive_in_its_name_is_refused(folder):
    for kind in ("val", "valannot"):
        (folder / kind / "0016E5_07959.png").rename(folder / kind / "frame.png")
    with pytest.raises(DataError, match="case frame"):
        CamVid(root=str(folder))


def test_the_page_splits_four_drives_with_dusk_in_training():
    page = yaml.safe_load((Path(__file__).parents[2] / "conf" / "data" / "camvid.yaml").read_text())
    frames = {"0001TP": 124, "0006R0": 101, "0016E5": 305, "Seq05VD": 171}
    cases = [Case(f"{drive}_{n}", (), None, drive) for drive, count in frames.items() for n in range(count)]
    split = make_split(cases, **page["split"], seed=page["split_seed"])
    drives = {name: {i.partition("_")[0] for i in getattr(split, name)} for name in ("train", "val", "test")}
    assert drives == {"train": {"0001TP", "0016E5"}, "val": {"0006R0"}, "test": {"Seq05VD"}}


def test_masks_whose_palettes_disagree_are_saved_anew(tmp_path):
    """The layout has classes of its own and no data.label_colors, which the remedy named."""
    for name, count in (("train", 4), ("val", 2), ("test", 2)):
        for part in (name, f"{name}annot"):
            (tmp_path / part).mkdir()
        for n in range(count):
            seen = np.zeros((8, 8), np.uint8)
            seen[2:5, 2:6] = 1
            mask = Image.fromarray(1 - seen if n % 2 else seen)
            mask.putpalette([255, 0, 0, 0, 0, 0] if n % 2 else [0, 0, 0, 255, 0, 0])
            Image.fromarray(np.dstack([seen * 90] * 3)).save(tmp_path / name / f"{name}{n}_1.png")
            mask.save(tmp_path / f"{name}annot" / f"{name}{n}_1.png")
    source = CamVid(root=str(tmp_path))
    with pytest.raises(DataError) as caught:
        check_palettes(source, source.cases)
    assert caught.value.remedy == "save the masks anew, with the class value of each pixel in a grey PNG"
