"""Whatever unit a header names, spacing, distances and findings are in mm, and a mask goes back in the file's own."""

from __future__ import annotations

import re
from types import SimpleNamespace

import hydra
import nibabel as nib
import numpy as np
import pytest
from predicted_files import predict_files
from volumes import SHAPE, folders

from seglab.config.places import CONF
from seglab.config.run_config import load_config
from seglab.data.check.full_check import check_full
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.preprocessing.spacing import resample_image, resampled_shape
from seglab.data.sources.nifti import Nifti
from seglab.errors import DataError
from seglab.metrics.shape_scores import tolerance_note
from seglab.metrics.surface import surface_scores
from seglab.task import Task

# The same voxel of 50 µm in each unit that a header may name.
EDGES = {"micron": 50.0, "mm": 0.05, "meter": 5e-5, "unknown": 0.05}
BOX = np.zeros(SHAPE, np.uint8)
BOX[1:3, 1:4, 2:5] = 1


def _save(path, array, edge, unit):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, np.diag([edge, edge, 2 * edge, 1]))
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, path)


def _volume(seed):
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def _set(root, units, edges=EDGES):
    """A case for each unit, image and label alike."""
    for n, unit in enumerate(units):
        _save(root / "images" / f"v{n}.nii.gz", _volume(n), edges[unit], unit)
        _save(root / "labels" / f"v{n}.nii.gz", BOX, edges[unit], unit)
    return root


def _check(root, *words):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = load_config(hydra.compose("train", ["data=nifti", f"data.root={root}", "model=unet3d", *words]))
    return check_full(config, processes=1)


@pytest.mark.parametrize("unit", EDGES)
def test_distances_are_in_mm(tmp_path, unit):
    source = Nifti(root=str(_set(tmp_path, [unit])))
    sample = source.read(source.cases[0])
    assert sample.spacing == pytest.approx((0.05, 0.05, 0.1))
    assert sample.affine == pytest.approx(np.diag([0.05, 0.05, 0.1, 1]))
    one, other = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    one[0, 1, 1] = other[3, 1, 1] = True
    # Three voxels of 50 µm along the first axis.
    scores = surface_scores(one, other, sample.spacing, 0.1)
    assert scores[:2] == pytest.approx((0.15, 0.15))
    # Two slices of 100 µm: the surfaces, of voxels that are two apart, differ by 0.2 mm, not by 0.1 or 200.
    assert surface_scores(one, np.roll(one, 2, axis=2), sample.spacing, 0.1)[0] == pytest.approx(0.2)
    assert CasePreprocessing((), "patch", (0.1, 0.1, 0.1))(sample, source.task).outline.shape == (
        2,
        2,
        6,
    )  # 4, 5, 6 voxels


def test_a_set_in_mixed_units_is_one_set(tmp_path):
    assert _check(_set(tmp_path, [*EDGES, "micron"])).report.findings == ()


@pytest.mark.parametrize("unit", EDGES)
def test_a_mask_goes_back_in_the_unit_of_its_image(tmp_path, unit):
    _set(tmp_path, [unit])
    seen = []
    predictor = SimpleNamespace(
        task=Task(3, 1, ("a", "b")), predict=lambda image, spacing, observer: seen.append(spacing) or BOX.astype(int)
    )
    (path,) = predict_files(predictor, [tmp_path / "images" / "v0.nii.gz"], tmp_path / "masks")
    assert seen == [pytest.approx((0.05, 0.05, 0.1))]
    written = nib.load(path)
    assert written.header.get_xyzt_units() == (unit, "sec")
    assert written.header.get_zooms() == pytest.approx((EDGES[unit], EDGES[unit], 2 * EDGES[unit]))
    assert np.array_equal(np.asarray(written.dataobj), BOX)


def test_a_label_without_a_unit_has_that_of_its_image(tmp_path):
    """As libraries write it that keep the affine of the image and no unit; or else it is in mm, whatever the image."""
    _set(tmp_path, ["micron"])
    source = Nifti(root=str(tmp_path))
    for edge in (50.0, 0.05):
        _save(tmp_path / "labels" / "v0.nii.gz", BOX, edge, "unknown")
        assert np.array_equal(source.read(source.cases[0]).mask, BOX)
    for edge, unit in ((0.04, "unknown"), (50.0, "mm")):
        _save(tmp_path / "labels" / "v0.nii.gz", BOX, edge, unit)
        with pytest.raises(DataError, match=rf"lies elsewhere[\s\S]*\(units {unit}, micron\)[\s\S]*set_xyzt_units"):
            source.read(source.cases[0])


def test_modalities_in_two_units_lie_on_one_grid(tmp_path):
    folders(tmp_path, ("a",), "{}_0000.nii.gz")
    _save(tmp_path / "images" / "a_0000.nii.gz", _volume(0), 50.0, "micron")
    _save(tmp_path / "images" / "a_0001.nii.gz", _volume(1), 0.05, "mm")
    _save(tmp_path / "labels" / "a.nii.gz", BOX, 5e-5, "meter")
    source = Nifti(root=str(tmp_path))
    sample = source.read(source.cases[0])
    assert sample.image.shape == (*SHAPE, 2)
    assert sample.spacing == pytest.approx((0.05, 0.05, 0.1))


def test_the_remedy_for_mixed_spacing_is_a_spacing_that_occurs(tmp_path):
    """Of two halves the median lies where no volume is. What the remedy says is given, and the finding is gone."""
    for n in range(4):
        edge = 0.5 if n % 2 else 2.0
        for folder, array in (("images", _volume(n)), ("labels", BOX)):
            _save(tmp_path / folder / f"v{n}.nii.gz", array, edge, "mm")
    (finding,) = _check(tmp_path).report.findings
    assert (finding.name, finding.found) == ("mixed-spacing", "voxels from 0.5 × 0.5 × 1 to 2 × 2 × 4 mm")
    assert finding.remedy == "data.spacing=[0.5,0.5,1]"
    assert "mixed-spacing" not in {f.name for f in _check(tmp_path, finding.remedy).report.findings}


def test_wrong_units_are_no_matter_of_resampling(tmp_path):
    """Half of the headers say mm and mean microns: the remedy is to say so, and then nothing is found."""
    _set(tmp_path, ["micron", "mm"] * 2)
    for folder, array in (("images", _volume(0)), ("labels", BOX)):
        _save(tmp_path / folder / "v0.nii.gz", array, 50.0, "mm")
    found = {finding.name: finding for finding in _check(tmp_path).report.findings}
    assert set(found) == {"mixed-spacing", "implausible-spacing"}
    assert "data.spacing" not in found["mixed-spacing"].remedy
    assert "v0" in found["mixed-spacing"].remedy
    assert found["implausible-spacing"].found == "voxels of 50 × 50 × 100 mm"
    assert found["implausible-spacing"].where == "v0"
    for folder in ("images", "labels"):
        image = nib.load(tmp_path / folder / "v0.nii.gz", mmap=False)
        image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
        remedy = re.search(r"image\.header\.set_xyzt_units\('micron'\)", found["mixed-spacing"].remedy)
        exec(remedy[0], {"image": image})
        nib.save(image, tmp_path / folder / "v0.nii.gz")
    assert _check(tmp_path).report.findings == ()


def test_a_spacing_of_another_order_is_refused_before_anything_is_allocated(tmp_path):
    """Given in microns, or a header that means microns: every axis is a factor of 1000 off."""
    for spacing in ([50, 50, 100], [5e-5, 5e-5, 1e-4]):
        checked = _check(_set(tmp_path, ["micron"] * 4), f"data.spacing={spacing}")
        assert {finding.name for finding in checked.report.findings} >= {"spacing-mismatch"}
        (first, *_) = [f for f in checked.report.findings if f.name == "spacing-mismatch"]
        assert "v0.nii.gz" in first.where
        assert "4×5×6 voxels of 0.05×0.05×0.1 mm" in first.found
    assert resampled_shape((4, 5, 6), (1, 1, 1), (2, 0.5, 2)) == (2, 10, 3)
    with pytest.raises(DataError, match="fit into memory"):
        resample_image(np.zeros((400, 400, 400, 1), np.uint8), (1, 1, 1), (0.011, 0.011, 0.011))


def test_a_tolerance_of_many_voxels_is_reported():
    assert tolerance_note(1.0, 1.0) == tolerance_note(0.4, 0.05) == ""
    assert tolerance_note(1.0, 0.05).startswith("tolerance_mm=1 is 20 voxels of 0.05 mm")
