"""What words on a command line mean, and how their outputs are named. No model is loaded here."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from seglab.errors import DataError
from seglab.inference.input_files import found_files, named_inputs
from seglab.inference.mask_writer import write_mask
from seglab.inference.predict_files import plan_files
from seglab.task import Task

FLAT = Task(2, 1, ("background", "object"))
VOLUMES = Task(3, 2, ("background", "object"))


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_a_folder_a_pattern_and_files_each_once_in_order(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    touch(*(scans / name for name in ("s10.png", "s2.PNG", ".hidden.png", "notes.txt", "deep/s3.tif")))
    assert [file.name for file in found_files([scans], FLAT)] == ["s2.PNG", "s10.png"]
    assert [file.name for file in found_files([f"{scans}/*.png"], FLAT)] == ["s10.png"]
    assert [file.name for file in found_files([f"{scans}/**/*"], FLAT)] == ["s3.tif", "s2.PNG", "s10.png"]
    again = found_files([scans / "s10.png", scans, f"{scans}/../scans/s2.PNG"], FLAT)
    assert [file.name for file in again] == ["s10.png", "s2.PNG"]


def test_a_name_of_magic_characters_is_a_file_where_there_is_one(tmp_path: Path) -> None:
    touch(tmp_path / "a[1].png", tmp_path / "a1.png")
    assert found_files([tmp_path / "a[1].png"], FLAT) == [tmp_path / "a[1].png"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("empty", r"no image there.*empty.*no file"),
        ("texts", r"no image there.*1 files, none of them an image.*\.png"),
        ("texts/*.tif", r"no image there.*texts/\*\.tif"),
        ("nothing", r"no image there.*nothing.*no such file or folder.*check the path"),
        ("texts/a.txt", r"a file that a 2D model cannot read.*a\.txt"),
        ("scan.nii.gz", r"a file that a 2D model cannot read.*with a model of its rank"),
    ],
)
def test_words_without_an_image_are_refused(word: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "texts" / "a.txt", tmp_path / "scan.nii.gz")
    with pytest.raises(DataError, match=f"(?s){message}"):
        found_files([tmp_path / word], FLAT)


def test_images_of_one_name_lie_in_folders_as_they_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right, third = (tmp_path / f / "x.png" for f in ("day/left", "day/right", "day/right/deep"))
    touch(left, right, third)
    plan = plan_files(FLAT, [left, right, third], tmp_path / "out")
    assert [job.mask.relative_to(tmp_path / "out") for job in plan.jobs] == [
        Path("left/x.png"),
        Path("right/x.png"),
        Path("right/deep/x.png"),
    ]
    monkeypatch.chdir(tmp_path / "day" / "left")  # however they are spelt
    plan = plan_files(FLAT, ["x.png", "../right/x.png"], tmp_path / "out")
    assert [str(job.mask.relative_to(tmp_path / "out")) for job in plan.jobs] == ["left/x.png", "right/x.png"]
    # Without two of a name, none is in a folder.
    other = tmp_path / "night" / "y.png"
    touch(other)
    assert [job.mask.name for job in plan_files(FLAT, [left, other], tmp_path / "out").jobs] == ["x.png", "y.png"]


def test_two_of_one_name_in_one_folder_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "x.png", tmp_path / "X.tif")
    with pytest.raises(DataError, match=r"(?s)would have one name.*one file on some disks"):
        plan_files(FLAT, [tmp_path / "x.png", tmp_path / "X.tif"], tmp_path / "out")
    touch(tmp_path / "y.png", tmp_path / "y_overlay.png")
    plan_files(FLAT, [tmp_path / "y.png", tmp_path / "y_overlay.png"], tmp_path / "out")
    with pytest.raises(DataError, match="would have one name"):
        plan_files(FLAT, [tmp_path / "y.png", tmp_path / "y_overlay.png"], tmp_path / "out", overlays=True)


def test_nothing_is_written_where_images_are_read(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.tif", tmp_path / "in" / "b.png")
    os.symlink(tmp_path / "in", tmp_path / "link")
    for out in (tmp_path / "in", tmp_path / "in" / ".", tmp_path / "link"):
        with pytest.raises(DataError, match="in the folder of the images"):
            plan_files(FLAT, [tmp_path / "in"], out)
    # Also where folders are kept: the masks of in/ and of more/ would lie there.
    touch(tmp_path / "more" / "a.tif")
    with pytest.raises(DataError, match="in the folder of the images"):
        plan_files(FLAT, [tmp_path / "in" / "a.tif", tmp_path / "more" / "a.tif"], tmp_path)


def test_masks_that_are_there_are_refused_replaced_or_left(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "a.png", tmp_path / "in" / "b.png")
    out = tmp_path / "out"
    write_mask(out / "a.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"(?s)predicted before.*1 of 2 files.*skip_existing=true"):
        plan_files(FLAT, [tmp_path / "in"], out)
    skipping = plan_files(FLAT, [tmp_path / "in"], out, existing="skip")
    assert (skipping.skipped, [job.mask.name for job in skipping.jobs]) == ([out / "a.png"], ["b.png"])
    assert len(plan_files(FLAT, [tmp_path / "in"], out, existing="replace").jobs) == 2
    Image.new("L", (4, 4)).save(out / "b.png")  # somebody's
    for existing in ("refuse", "replace"):
        with pytest.raises(DataError, match="not written by this program"):
            plan_files(FLAT, [tmp_path / "in"], out, existing=existing)


def test_modalities_of_each_folder_and_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    volume = nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4))
    for folder in ("p1", "p2"):
        (tmp_path / folder).mkdir()
        for number in (1, 0):
            nib.save(volume, tmp_path / folder / f"x_000{number}.nii.gz")
    (tmp_path / "p1" / "a_0000.nii.gz").write_bytes(b"broken")
    (tmp_path / "p1" / "a_0001.nii.gz").write_bytes(b"broken")
    files = found_files([tmp_path / "p1", tmp_path / "p2"], VOLUMES)
    named = named_inputs(files, VOLUMES)
    assert [str(one.name) for one in named] == ["p1/a", "p1/x", "p2/x"]
    assert [part.name for part in named[2].parts] == ["x_0000.nii.gz", "x_0001.nii.gz"]
