"""Labels that are not quite one whole number a voxel: rounded with a word, or recognised for what they are."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from volumes import AFFINE, IMAGE, LABEL, SHAPE, folders, save

from seglab.data.check.case_contents import find_rounded_labels
from seglab.data.labels.label_map import LabelMap, whole_numbers
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.sources.nifti import Nifti
from seglab.errors import DataError


def _source(root, label, **settings):
    folders(root, ("a",))
    save(root / "labels" / "a.nii.gz", label)
    return Nifti(root=str(root), **settings)


@pytest.mark.parametrize("off", [1e-9, 1e-4, 9.9e-4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_within_a_thousandth_are_rounded_with_a_finding(tmp_path, off, dtype):
    source = _source(tmp_path, (LABEL * (3 - off)).astype(dtype), label_values=[0, 3])
    sample = source.read(source.cases[0])
    assert np.array_equal(sample.mask, LABEL)
    expected = 3 - float(dtype(3 - off))
    assert sample.label_off == pytest.approx(expected, rel=1e-3, abs=1e-12)
    findings = list(find_rounded_labels({"a": examine(sample, source.task)}))
    assert [(f.name, f.severity, f.where) for f in findings] == [("label-rounded", "note", "a")] * (expected > 0)
    assert all(f"up to {expected:.2g} from whole numbers" in finding.found for finding in findings)


def test_whole_numbers_have_no_finding(tmp_path):
    source = _source(tmp_path, LABEL.astype(np.float32))
    assert list(find_rounded_labels({"a": examine(source.read(source.cases[0]), source.task)})) == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0, 3 - 0.002], r"2.998 \(1 of 2 values, up to 0.002 from a whole number\)"),
        ([0.5, 1.75, 2], r"0.5, 1.75 \(2 of 3 values, up to 0.5 from a whole number\)"),
        ([0, np.nan, np.inf], r"nan|inf"),
        ([0, 1e30], r"1e\+30 \(1 of 2 values\)"),
    ],
)
def test_values_farther_off_say_how_far(values, says):
    with pytest.raises(DataError, match=says) as caught:
        LabelMap((0, 1, 2, 3)).ids(np.array(values), "m")
    assert caught.value.finding == "label-not-whole"
    assert "within 0.001" in caught.value.expected


def test_integers_are_taken_as_they_are():
    mask = np.array([0, 300], np.uint16)
    assert whole_numbers(mask, "m")[0] is mask
    assert whole_numbers(mask, "m")[1] == 0


def _three_classes():
    classes = np.random.default_rng(3).integers(0, 3, SHAPE)
    return classes, np.stack([classes == k for k in range(3)], -1)


def _save_as_advised(error, path):
    """Run the code of a remedy on the file that it names."""
    code = (
        error.remedy[error.remedy.index("i = nib.load") : error.remedy.index("nib.save(n, new)")] + "nib.save(n, new)"
    )
    exec(code, {"nib": nib, "np": np, "file": str(path), "new": str(path)})
    return error.remedy


@pytest.mark.parametrize(
    ("kind", "says", "values"),
    [
        ("one-hot", "exactly one of 3 channels is 1", "[0,1,2]"),
        ("floats", "exactly one of 3 channels is 1", "[0,1,2]"),
        ("a fifth axis", "exactly one of 3 channels is 1", "[0,1,2]"),
        ("channels first", "exactly one of 3 channels is 1", "[0,1,2]"),
        ("channels second", "exactly one of 3 channels is 1", "[0,1,2]"),
        ("channels third", "exactly one of 3 channels is 1", "[0,1,2]"),
        ("as 255", "exactly one of 3 channels is not 0", "[0,1,2]"),
        ("by class values", "at most one of 2 channels is not 0", "[0,1,2]"),
        ("no background", "at most one of 2 channels is 1", "[0,1,2]"),
        ("probabilities", "the 3 channels add up to 1", "[0,1,2]"),
    ],
)
def test_a_channel_for_each_class_is_recognised_and_the_remedy_works(tmp_path, kind, says, values):
    classes, channels = _three_classes()
    label = {
        "one-hot": channels.astype(np.uint8),
        "floats": channels * np.float32(0.99999),
        "a fifth axis": channels[..., None, :].astype(np.uint8),
        "channels first": np.moveaxis(channels, -1, 0).astype(np.uint8),
        "channels second": np.moveaxis(channels, -1, 1).astype(np.uint8),
        "channels third": np.moveaxis(channels, -1, 2).astype(np.uint8),
        "as 255": channels.astype(np.uint8) * 255,
        "by class values": (channels[..., 1:] * [1, 2]).astype(np.uint8),
        "no background": channels[..., 1:].astype(np.uint8),
        "probabilities": channels * 0.7 + 0.1,
    }[kind]
    source = _source(tmp_path, label, label_values=[0, 1, 2])
    with pytest.raises(DataError, match=says) as caught:
        source.read(source.cases[0])
    assert caught.value.finding == "label-channels"
    assert ("probability" if kind == "probabilities" else "one-hot") in caught.value.what
    assert "labels/a.nii.gz" in caught.value.where
    assert f"data.label_values={values}" in _save_as_advised(caught.value, tmp_path / "labels" / "a.nii.gz")
    assert np.array_equal(source.read(source.cases[0]).mask, classes)


def test_other_labels_of_four_axes_are_not_called_one_hot(tmp_path):
    classes, channels = _three_classes()
    overlapping = channels.astype(np.uint8)
    overlapping[0, 0, 0] = 1
    for label, what in ((overlapping, "channels overlap"), (np.stack([classes] * 2, -1), "several volumes")):
        source = _source(tmp_path, label.astype(np.uint8), label_values=[0, 1, 2])
        with pytest.raises(DataError, match=what) as caught:
            source.read(source.cases[0])
        assert "one-hot" not in str(caught.value)


def test_a_header_that_scales_labels_is_named_and_the_remedy_takes_it_off(tmp_path):
    source = _source(tmp_path, LABEL)
    path = tmp_path / "labels" / "a.nii.gz"
    image = nib.Nifti1Image(LABEL, AFFINE)
    image.header.set_slope_inter(1.176, 0)
    nib.save(image, path)
    with pytest.raises(DataError, match=r"1\.176 \([\s\S]*multiplies by 1\.176 and moves by 0") as caught:
        source.read(source.cases[0])
    _save_as_advised(caught.value, path)
    assert np.array_equal(source.read(source.cases[0]).mask, LABEL)
    assert source.read(source.cases[0]).image.shape == (*IMAGE.shape, 1)
