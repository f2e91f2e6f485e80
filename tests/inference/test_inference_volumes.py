"""From a volume file to its mask file: the mask lies where the image does, at every orientation and target spacing."""

from __future__ import annotations

import itertools
from pathlib import Path

import keras
import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import inv_ornt_aff, ornt_transform
from predicted_files import predict_files

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference.predictor import Predictor
from seglab.task import Task

RAS = np.array([[0, 1], [1, 1], [2, 1]])
ORIENTATIONS = [
    np.array(list(zip(axes, signs, strict=True)))
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
SIZE = (8, 8, 8)
_KEPT: dict[object, Predictor] = {}


def above_half(spacing: tuple[float, ...] | None, channels: int = 1) -> Predictor:
    """The object is where the last channel is brighter than 0.5, at the spacing that the network knows."""
    if (spacing, channels) not in _KEPT:
        task = Task(rank=3, channels=channels, class_names=("background", "object"))
        convolution = keras.layers.Conv3D(1, 1)
        image = keras.Input((*SIZE, channels))
        model = keras.Model(image, convolution(image))
        kernel = np.zeros(convolution.kernel.shape)
        kernel[..., -1, 0] = 20
        convolution.set_weights([kernel, np.array([-10.0])])
        preprocessing = Preprocessing("scale", channels)
        _KEPT[spacing, channels] = Predictor(model, task, preprocessing, SIZE, "patch", spacing=spacing)
    return _KEPT[spacing, channels]


def affine_of(spacing: tuple[float, ...], turn: float) -> np.ndarray:
    """RAS and off the origin; turned about two axes by `turn` degrees."""
    a, b = np.radians(turn), np.radians(-turn / 2)
    around_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    around_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = around_z @ around_x * spacing
    affine[:3, 3] = (-31.5, 12.25, 7)
    return affine


def save(path: Path, voxels: np.ndarray, affine: np.ndarray, orientation: np.ndarray) -> None:
    """Writes voxels that are given in RAS order in that orientation."""
    to_file = ornt_transform(RAS, orientation)
    turned = nib.orientations.apply_orientation(voxels, to_file)
    image = nib.Nifti1Image(turned, affine @ inv_ornt_aff(to_file, voxels.shape))
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=2)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)


def check(folder: Path, predictor: Predictor, mask: np.ndarray, affine: np.ndarray, orientation: np.ndarray) -> None:
    """Predicts the mask that is drawn in an image file, and compares the two files voxel for voxel."""
    save(folder / "scan.nii", mask.astype(np.float32), affine, orientation)
    (path,) = predict_files(predictor, [folder / "scan.nii"], folder / "masks", existing="replace")
    image, written = nib.load(folder / "scan.nii"), nib.load(path)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(image.dataobj))
    np.testing.assert_array_equal(written.affine, image.affine)
    assert written.header.get_data_dtype() == np.uint8
    for part in ("qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z", "quatern_b", "pixdim"):
        np.testing.assert_array_equal(written.header[part], image.header[part])


@pytest.mark.parametrize("turn", [0, 25])
@pytest.mark.parametrize("target", [None, (0.25, 0.4, 1.0)], ids=["native", "resampled"])
def test_the_mask_of_every_orientation_is_the_mask_in_the_image(
    tmp_path: Path, target: tuple[float, ...] | None, turn: float
) -> None:
    mask = np.zeros((6, 5, 4), np.uint8)
    mask[1:4, 2:, 1:3] = 1  # a box against one side, so that no turn or mirror image of it is the same
    mask[4:, :2, 3] = 1
    for orientation in ORIENTATIONS:
        check(tmp_path, above_half(target), mask, affine_of((0.5, 0.8, 5.0), turn), orientation)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 5.0])] * 3),
    factor=st.tuples(*[st.sampled_from([1, 3, 5])] * 3),
    turn=st.floats(0, 40),
    orientation=st.sampled_from(ORIENTATIONS),
    seed=st.integers(0, 99),
)
def test_any_mask_comes_back_from_a_finer_grid(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    factor: tuple[int, ...],
    turn: float,
    orientation: np.ndarray,
    seed: int,
) -> None:
    """An odd number of voxels in each old one: the middle one is the old one, and the mean around it decides alike."""
    mask = np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8)
    # A voxel of another class on both sides along all three axes may lose the vote: blocks of two do not.
    mask = mask.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    predictor = above_half(tuple(step / n for step, n in zip(spacing, factor, strict=True)))
    check(tmp_path_factory.mktemp("v"), predictor, mask, affine_of(spacing, turn), orientation)


def test_a_file_for_each_modality(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 5, 6, 7), np.float32)
    affine = affine_of((1.0, 1.0, 2.0), 0)
    for name, voxels in (("a_0001", second), ("a_0000", first), ("b_0000", second), ("b_0001", first)):
        save(tmp_path / f"{name}.nii.gz", voxels, affine, ORIENTATIONS[7])
    files = sorted(tmp_path.glob("*.nii.gz"))
    written = predict_files(above_half(None, channels=2), files[::-1], tmp_path / "masks")
    assert [path.name for path in written] == ["a.nii.gz", "b.nii.gz"]
    for path, last in zip(written, (second, first), strict=True):
        np.testing.assert_array_equal(nib.as_closest_canonical(nib.load(path)).get_fdata(), last > 0.5)
    with pytest.raises(DataError, match="other modalities"):
        predict_files(above_half(None, channels=2), files[1:], tmp_path / "masks")
    # As one file of four axes, numbers are a part of the name.
    nib.save(nib.Nifti1Image(np.stack([first, second], -1), affine), tmp_path / "c_0001.nii.gz")
    (path,) = predict_files(above_half(None, channels=2), [tmp_path / "c_0001.nii.gz"], tmp_path / "masks")
    assert path.name == "c_0001.nii.gz"
    np.testing.assert_array_equal(nib.load(path).get_fdata(), second > 0.5)


@pytest.mark.parametrize(
    ("voxels", "says"),
    [
        (np.zeros((5, 6), np.float32), "no volume"),
        (np.full((5, 6, 7), np.nan, np.float32), "NaN"),
        (np.zeros((5, 6, 7, 2), np.float32), "number of channels"),
        (np.zeros((5, 6, 7, 2, 2), np.float32), "more axes"),
    ],
)
def test_volumes_that_cannot_be_predicted_are_named(tmp_path: Path, voxels: np.ndarray, says: str) -> None:
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "scan.nii")
    with pytest.raises(DataError, match=says) as caught:
        predict_files(above_half((1.0, 1.0, 1.0)), [tmp_path / "scan.nii"], tmp_path / "masks")
    assert "scan.nii" in str(caught.value)
    assert not (tmp_path / "masks").exists()


def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((5, 6, 7), np.float32), None)
    image.set_qform(np.diag([1, 1, 2, 1]), code=1)
    image.set_sform(np.diag([-1, 1, 2, 1]), code=1)
    nib.save(image, tmp_path / "scan.nii")
    with pytest.raises(DataError, match="qform and sform disagree"):
        predict_files(above_half(None), [tmp_path / "scan.nii"], tmp_path / "masks")
