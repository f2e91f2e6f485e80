"""`seglab segment` on a volume: coordinates of the file, a mask in its geometry, measures in mm; bad input refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import tifffile
from foreign_volumes import itk_image, write_series
from zarr_images import write_image

from seglab.cli.segment import read_words, run
from seglab.data.io.volume_files import read_header
from seglab.errors import ConfigError, DataError
from seglab.interactive.volume_segmentation import slice_prompts

SHAPE, CENTRE, RADIUS = (44, 50, 20), (15, 30, 8), 7
# The file's first axis goes to the front, the second to the left, the third down; 1.5 × 0.5 × 2 mm.
AFFINE = np.array([[0, -0.5, 0, 20], [1.5, 0, 0, -7], [0, 0, -2.0, 30], [0, 0, 0, 1]])


def truth() -> np.ndarray:
    off = np.ogrid[tuple(slice(length) for length in SHAPE)]
    return np.asarray(sum((axis - at) ** 2 for axis, at in zip(off, CENTRE, strict=True)) <= RADIUS**2)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).normal(0, 15, SHAPE)
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "scan.nii.gz"
    nib.save(nib.Nifti1Image((100 + 300 * truth() + noise).astype(np.int16), AFFINE), file)
    return file


@pytest.mark.parametrize(
    "prompt",
    [
        ["box=[7.5,22.5,8,22.5,37.5,8]"],
        ["box=[7.5,30,0.5,22.5,30,15.5]"],
        ["box=[7.5,22.5,8,22.5,37.5,8]", "points=[[15,30,8,1]]"],
    ],
    ids=["on z", "on y", "with a click"],
)
def test_a_mask_where_the_file_has_the_object(volume: Path, tmp_path: Path, prompt: list[str]) -> None:
    out = tmp_path / "out"
    assert run([f"image={volume}", *prompt, f"out={out}"]) == 0
    written = nib.load(out / "scan.nii.gz")
    mask = np.asarray(written.dataobj)
    assert np.allclose(written.affine, AFFINE)
    assert set(np.unique(mask)) == {0, 1}
    wanted = truth()
    assert (wanted & (mask > 0)).sum() / (wanted | (mask > 0)).sum() > 0.85
    (row,) = pd.read_csv(out / "segments.csv").to_dict("records")
    assert row["voxels"] == mask.sum()
    assert row["volume_mm3"] == pytest.approx(mask.sum() * 1.5)
    assert row["components"] >= 1
    (line,) = [json.loads(text) for text in (out / "prompts.jsonl").read_text().splitlines()]
    assert (line["size"], line["spacing_mm"]) == (list(SHAPE), [1.5, 0.5, 2.0])
    before = volume.read_bytes()
    with pytest.raises(DataError) as caught:
        run([f"image={volume}", *prompt, f"out={out}"])
    assert caught.value.code == "mask-exists"
    assert run([f"image={volume}", *prompt, f"out={out}", "overwrite=true"]) == 0
    assert volume.read_bytes() == before


def test_a_volume_in_microns_is_measured_in_mm(volume: Path, tmp_path: Path) -> None:
    image = nib.load(volume)
    affine = AFFINE * np.array([[50.0]] * 3 + [[1.0]])  # 75 × 25 × 100 µm, the same shape of a voxel
    small = nib.Nifti1Image(np.asarray(image.dataobj), affine)
    small.header.set_xyzt_units("micron")
    nib.save(small, volume)
    out = tmp_path / "out"
    assert run([f"image={volume}", "box=[7.5,22.5,8,22.5,37.5,8]", f"out={out}"]) == 0
    written = nib.load(out / "scan.nii.gz")
    assert (written.header.get_xyzt_units()[0], np.allclose(written.affine, affine)) == ("micron", True)
    (row,) = pd.read_csv(out / "segments.csv").to_dict("records")
    assert row["volume_mm3"] == pytest.approx(row["voxels"] * 0.075 * 0.025 * 0.1, abs=0.0005)
    assert row["volume_mm3"] > 0.1
    (line,) = [json.loads(text) for text in (out / "prompts.jsonl").read_text().splitlines()]
    assert line["spacing_mm"] == [0.075, 0.025, 0.1]


@pytest.mark.parametrize("kind", ["stack.tif", "series"])
def test_a_stack_in_tiff_and_a_series_are_volumes(tmp_path: Path, kind: str) -> None:
    """Columns, rows and slices are the axes, and what a single TIFF is stays an image."""
    values = (100 + 300 * truth()).astype(np.uint16)
    file = tmp_path / "in" / kind
    file.parent.mkdir()
    if kind == "series":
        write_series(file, itk_image(values))
    else:
        tifffile.imwrite(file, values.transpose(2, 1, 0), imagej=True, metadata={"axes": "ZYX"})
    assert run([f"image={file}", "box=[7.5,22.5,8,22.5,37.5,8]", f"out={tmp_path / 'out'}"]) == 0
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    mask = np.asarray(nib.load(written).dataobj)
    assert mask.shape == SHAPE
    assert (truth() & (mask > 0)).sum() / (truth() | (mask > 0)).sum() > 0.85
    tifffile.imwrite(tmp_path / "one.tif", values[..., 8].T)
    with pytest.raises(ConfigError, match="x, y, and 1 on the object"):
        read_words([f"image={tmp_path / 'one.tif'}", "points=[[15,30,8,1]]", "out=o"])


def test_one_file_of_dicom_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    """Its own spacing gives the mm, z is 0, and the mask lies on the file; what is of images alone is refused with how
    to say it."""
    values = (100 + 300 * truth()[..., 8:9]).astype(np.uint16)
    (file,) = write_series(tmp_path / "in", itk_image(values)).glob("*.dcm")
    out = tmp_path / "out"
    words = [f"image={file}", "box=[7.5,22.5,0,22.5,37.5,0]", "points=[[15,30,0,1]]", f"out={out}"]
    assert run(words) == 0
    (found,) = out.glob("*.nii.gz")
    written = nib.load(found)
    mask = np.asarray(written.dataobj) > 0
    there = truth()[..., 8:9]
    assert mask.shape == there.shape
    assert (there & mask).sum() / (there | mask).sum() > 0.75
    np.testing.assert_allclose(written.affine[:, :3], read_header(str(file)).affine[:, :3], atol=1e-4)
    (row,) = pd.read_csv(out / "segments.csv").to_dict("records")
    assert row["volume_mm3"] == pytest.approx(mask.sum() * abs(np.linalg.det(written.affine[:3, :3])), rel=1e-4)
    with pytest.raises(ConfigError, match="z is 0 in a file of one slice") as caught:
        read_words([f"image={file}", "points=[[15,30,1]]", "out=o"])
    assert caught.value.code == "prompt-form"
    bare = file.rename(file.with_name("IM000001"))
    with pytest.raises(ConfigError, match=r"without the ending[\s\S]*IM000001\.dcm") as caught:
        read_words([f"image={bare}", "points=[[15,30,1]]", "out=o"])
    assert caught.value.code == "image-format"


def test_zarr_is_refused_with_how_to_give_it(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.zarr", [np.zeros((8, 8, 8), np.uint8)])
    for prompt in ("points=[[1,2,3,1]]", "box=center"):
        with pytest.raises(ConfigError, match=r"a volume of Zarr[\s\S]*tifffile.imwrite") as caught:
            read_words([f"image={image}", prompt, "out=o"])
        assert caught.value.code == "image-format"


def test_a_volume_in_nrrd_gives_the_mask_of_the_same_in_nifti(volume: Path, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.ReadImage(str(volume)), str(volume.with_name("other.nrrd")))
    for name in (volume.name, "other.nrrd"):
        assert run([f"image={volume.with_name(name)}", "box=[7.5,22.5,8,22.5,37.5,8]", f"out={tmp_path / name}"]) == 0
    one, other = nib.load(tmp_path / volume.name / "scan.nii.gz"), nib.load(tmp_path / "other.nrrd" / "other.nii.gz")
    np.testing.assert_array_equal(np.asarray(other.dataobj), np.asarray(one.dataobj))
    np.testing.assert_allclose(other.affine, one.affine, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["points=[[15,30,1]]"], "prompt-form"),
        (["points=[[15,30,8,1]]", "candidate=1"], "settings-exclude"),
        (["box=center"], "settings-exclude"),
    ],
)
def test_words_that_are_not_of_a_volume(words: list[str], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_words(["image=scan.nii.gz", *words, "out=x"])
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["points=[[15,30,20,1]]"], "prompt-point-outside"),
        (["points=[[15,99,8,1]]"], "prompt-point-outside"),
        (["points=[[15,30,8,0]]"], "prompt-without-object"),
        (["points=[[15,30,8,2]]"], "prompt-form"),
        (["points=[[15,30,.nan,1]]"], "prompt-not-finite"),
        (["box=[1,2,3,4]"], "prompt-form"),
        (["box=[7,22,8,22,37,9]"], "prompt-form"),
        (["box=[7,22,8,7,37,8]"], "prompt-form"),
    ],
)
def test_bad_prompts_write_nothing(volume: Path, tmp_path: Path, words: list[str], code: str) -> None:
    with pytest.raises(DataError) as caught:
        run([f"image={volume}", *words, f"out={tmp_path / 'out'}"])
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_each_slice_has_its_own_prompt() -> None:
    axis, prompts = slice_prompts([[1, 2, 3, 1], [5, 2.4, 6, 0], [7, 8, 9, 1]], [0, 2, 1, 9, 2, 8])
    assert axis == 1
    assert set(prompts) == {2, 8}
    assert (prompts[2].points, list(prompts[2].labels), prompts[2].box) == ([[1, 3], [5, 6]], [1, 0], [0, 1, 9, 8])
    assert (prompts[8].points, prompts[8].box) == ([[7, 9]], None)
