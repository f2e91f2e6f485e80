"""A prompt on one slice becomes a mask of the volume, in its own geometry."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from seglab.data.io.nifti_files import read_image
from seglab.errors import DataError
from seglab.inference.mask_writer import write_mask
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.volumes import SlicePrompt, segment_volume


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> np.ndarray:
    off = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return sum((axis - at) ** 2 for axis, at in zip(off, centre, strict=True)) <= radius**2


@pytest.fixture(scope="module")
def volume() -> tuple[np.ndarray, np.ndarray]:
    truth = ball((60, 50, 24), (25, 30, 12), 9)
    rng = np.random.default_rng(0)
    return (100 + 400 * truth + rng.normal(0, 25, truth.shape)).astype(np.float32), truth


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_on_the_middle_slice_finds_a_ball(volume: tuple[np.ndarray, np.ndarray], axis: int) -> None:
    image, truth = volume
    centre = (25, 30, 12)
    left = [value for number, value in enumerate(centre) if number != axis]
    box = [left[0] - 9.5, left[1] - 9.5, left[0] + 9.5, left[1] + 9.5]
    found = segment_volume(GrabCut(), image, {centre[axis]: SlicePrompt(box=box)}, axis)
    assert iou(found, truth) > 0.85
    assert not found[45:].any()


def test_a_correction_on_another_slice_counts_there(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = volume
    image, truth = image.copy(), truth.copy()
    second = ball(image.shape, (48, 10, 20), 3)
    image[second] += 400
    prompts = {12: SlicePrompt(box=[15.5, 20.5, 34.5, 39.5]), 20: SlicePrompt(box=[44.5, 6.5, 51.5, 13.5])}
    found = segment_volume(GrabCut(), image, prompts)
    assert found[48, 10, 20]
    assert found[25, 30, 12]
    assert iou(found[..., :16], truth[..., :16]) > 0.8


def test_a_mask_lies_on_its_volume_in_its_own_geometry(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("nifti")
    truth = ball((30, 40, 20), (15, 20, 10), 6)
    affine = np.array([[0, -1.5, 0, 20], [0.9, 0, 0, -7], [0, 0, -3.0, 30], [0, 0, 0, 1]])
    file = place / "image.nii.gz"
    nib.save(nib.Nifti1Image((100 + 300 * truth).astype(np.int16), affine), file)
    image, _, _ = read_image([str(file)])
    there = np.argwhere(image[..., 0] > 250).mean(0)
    box = [there[0] - 6.5, there[1] - 6.5, there[0] + 6.5, there[1] + 6.5]
    found = segment_volume(GrabCut(), image, {round(there[2]): SlicePrompt(box=box)})
    write_mask(place / "mask.nii.gz", found.astype(np.uint8), like=file, values=(0, 1))
    written = nib.load(place / "mask.nii.gz")
    assert np.allclose(written.affine, affine)
    assert iou(np.asarray(written.dataobj) > 0, truth) > 0.85


def test_bad_slices(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = volume
    for prompts, code in (
        ({}, "prompt-without-object"),
        ({24: SlicePrompt(box=[1, 1, 5, 5])}, "prompt-point-outside"),
        ({3: SlicePrompt(points=[[99, 1]], labels=[1])}, "prompt-point-outside"),
    ):
        with pytest.raises(DataError) as caught:
            segment_volume(GrabCut(), image, prompts)
        assert caught.value.code == code
