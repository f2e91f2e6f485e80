"""Volumes: read in RAS whatever the file's orientation, put back exactly, refused by name when damaged."""

from __future__ import annotations

import gzip
import itertools
import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel import orientations

from seglab.data.io.nifti_files import restore_orientation
from seglab.data.sources.nifti import Nifti
from seglab.errors import DataError

ALL_ORIENTATIONS = [
    "".join(codes)
    for order in itertools.permutations([("L", "R"), ("P", "A"), ("I", "S")])
    for codes in itertools.product(*order)
]
RNG = np.random.default_rng(0)
SHAPE, SPACING = (5, 6, 7), (0.5, 0.8, 5.0)
IMAGE = RNG.integers(0, 4000, SHAPE).astype(np.int16)
LABEL = RNG.integers(0, 3, SHAPE).astype(np.uint8)
# RAS with anisotropic spacing and an origin.
AFFINE = np.array([[0.5, 0, 0, -10], [0, 0.8, 0, 20], [0, 0, 5.0, 3], [0, 0, 0, 1]])


def _dataset(root, files, labels=None, modality=None):
    """Write volumes `{id: (image, label)}` (nibabel images) as a Decathlon folder."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    pairs = []
    for case_id, (image, label) in files.items():
        pairs.append({"image": f"./imagesTr/{case_id}.nii.gz", "label": f"./labelsTr/{case_id}.nii.gz"})
        nib.save(image, root / pairs[-1]["image"])
        nib.save(label, root / pairs[-1]["label"])
    described = {
        "name": "Toy",
        "labels": labels or {"0": "background", "1": "head", "2": "tail"},
        "modality": modality or {"0": "MRI"},
        "training": pairs,
    }
    (root / "dataset.json").write_text(json.dumps(described))
    return root


@pytest.mark.parametrize(
    ("channels", "modality"),
    [
        (["CT"], "ct"),
        (["MRI"], "mri"),
        (["FLAIR", "T1w", "t1gd", "T2w"], "mri"),
        (["T2", "ADC"], "mri"),
        (["CT", "PET"], None),
        (["CT", "MRI"], None),
        (["ultrasound"], None),
    ],
)
def test_the_modality_is_known_where_the_description_says_it(tmp_path, channels, modality):
    image = np.stack([IMAGE] * len(channels), -1)
    described = {str(n): name for n, name in enumerate(channels)}
    source = Nifti(root=str(_dataset(tmp_path, {"a": (_volume(image), _volume(LABEL))}, modality=described)))
    assert (source.modality, source.task.channels) == (modality, len(channels))
    table = "image,label\nimagesTr/a.nii.gz,labelsTr/a.nii.gz\n"
    (tmp_path / "cases.csv").write_text(table)
    assert Nifti(root=str(tmp_path), table="cases.csv").modality is None


def _volume(array, affine=AFFINE):
    return nib.Nifti1Image(array, affine)


def _turned(array, codes, affine=AFFINE):
    """The same volume stored in another orientation: same places in mm, other axis order and directions."""
    change = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(codes))
    turned = orientations.apply_orientation(array, change)
    return _volume(turned, affine @ orientations.inv_ornt_aff(change, array.shape))


def _open(root, **options):
    return Nifti(root=str(root), **options)


def test_description_gives_classes_channels_and_cases(tmp_path):
    pair = (_volume(IMAGE), _volume(LABEL))
    source = _open(_dataset(tmp_path, {"case_10": pair, "case_2": pair}), group_pattern=r"case_(\d)")
    assert source.name == "Toy"
    assert source.task.class_names == ("background", "head", "tail")
    assert (source.task.rank, source.task.channels, source.split) == (3, 1, None)
    assert [case.id for case in source.cases] == ["case_2", "case_10"]
    assert [case.group for case in source.cases] == ["2", "1"]
    sample = source.read(source.cases[0])
    assert np.array_equal(sample.image[..., 0], IMAGE)
    assert sample.image.dtype == np.float32
    assert np.array_equal(sample.mask, LABEL)
    assert sample.spacing == pytest.approx(SPACING)
    assert source.read_image(source.cases[0]).mask is None
    assert "case_2.nii.gz" in source.describe_files(source.cases[0])


def test_all_48_orientations_read_the_same_and_go_back(tmp_path):
    assert len(set(ALL_ORIENTATIONS)) == 48
    for codes in ALL_ORIENTATIONS:
        stored = _turned(LABEL, codes)
        root = _dataset(tmp_path / codes, {"c": (_turned(IMAGE, codes), stored)})
        source = _open(root)
        sample = source.read(source.cases[0])
        assert np.array_equal(sample.image[..., 0], IMAGE), codes
        assert np.array_equal(sample.mask, LABEL), codes
        assert sample.spacing == pytest.approx(SPACING), codes
        assert sample.affine == pytest.approx(AFFINE), codes
        back = restore_orientation(sample.mask, sample.file_affine)
        assert np.array_equal(back, np.asarray(stored.dataobj)), codes


def test_an_oblique_volume_goes_back_too(tmp_path):
    tilt = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    stored = _turned(LABEL, "PIL", turn @ AFFINE)
    source = _open(_dataset(tmp_path, {"c": (_turned(IMAGE, "PIL", turn @ AFFINE), stored)}))
    sample = source.read(source.cases[0])
    assert sample.spacing == pytest.approx(SPACING, rel=1e-5)
    assert np.array_equal(restore_orientation(sample.mask, sample.file_affine), np.asarray(stored.dataobj))


def test_header_scaling_and_channels(tmp_path):
    # Stored as int16 with the slope that fits the range: a header that says value = slope × stored + intercept.
    floats = (IMAGE * 0.37 - 100).astype(np.float32)
    scaled = _volume(floats)
    scaled.set_data_dtype(np.int16)
    source = _open(_dataset(tmp_path / "scaled", {"c": (scaled, _volume(LABEL))}))
    assert nib.load(source.cases[0].image[0]).dataobj.slope < 0.1
    assert np.allclose(source.read(source.cases[0]).image[..., 0], floats, atol=np.ptp(floats) / 65535)
    two = _volume(np.stack([IMAGE, IMAGE + 1], -1))
    source = _open(_dataset(tmp_path / "two", {"c": (two, _volume(LABEL))}, modality={"0": "T1", "1": "T2"}))
    sample = source.read(source.cases[0])
    assert sample.image.shape == (*SHAPE, 2)
    assert np.array_equal(sample.image[..., 1], IMAGE + 1)


def test_label_values_need_not_be_consecutive(tmp_path):
    label = np.where(LABEL == 2, 7, LABEL).astype(np.uint8)
    root = _dataset(tmp_path, {"c": (_volume(IMAGE), _volume(label))}, labels={"7": "tail", "0": "none", "1": "head"})
    source = _open(root)
    assert source.task.class_names == ("none", "head", "tail")
    assert np.array_equal(source.read(source.cases[0]).mask, LABEL)


def test_a_label_with_an_axis_of_one_is_a_label(tmp_path):
    source = _open(_dataset(tmp_path, {"c": (_volume(IMAGE), _volume(LABEL[..., None]))}))
    assert np.array_equal(source.read(source.cases[0]).mask, LABEL)


def test_numbers_of_labels_may_have_leading_zeros_and_the_file_a_byte_order_mark(tmp_path):
    root = _dataset(
        tmp_path, {"c": (_volume(IMAGE), _volume(LABEL))}, labels={"02": "tail", "00": "none", "01": "head"}
    )
    described = (root / "dataset.json").read_text()
    (root / "dataset.json").write_text(described, encoding="utf-8-sig")
    source = _open(root)
    assert source.task.class_names == ("none", "head", "tail")
    assert np.array_equal(source.read(source.cases[0]).mask, LABEL)


def test_files_of_one_name_in_several_folders_all_count_for_the_digest(tmp_path):
    digests = set()
    for changed in (None, "p1", "p2"):
        root = _dataset(tmp_path / str(changed), {})
        pairs = []
        for patient in ("p1", "p2"):
            (root / patient).mkdir()
            pairs.append({"image": f"imagesTr/{patient}.nii.gz", "label": f"{patient}/seg.nii.gz"})
            nib.save(_volume(IMAGE), root / pairs[-1]["image"])
            nib.save(_volume(LABEL * 0 if patient == changed else LABEL), root / pairs[-1]["label"])
        described = json.loads((root / "dataset.json").read_text())
        (root / "dataset.json").write_text(json.dumps({**described, "training": pairs}))
        digests.add(_open(root).digest())
    assert len(digests) == 3


@pytest.mark.parametrize("spacing", [0.0, np.nan, np.inf])
def test_a_header_without_a_place_is_refused(tmp_path, spacing):
    source = _open(_dataset(tmp_path, {"c": (_volume(IMAGE), _volume(LABEL))}))
    path = source.cases[0].image[0]
    spoilt = bytearray(gzip.decompress(Path(path).read_bytes()))
    # The first row of the affine is at bytes 280 to 296 of a NIfTI-1 header; 252 and 254 say which affine counts.
    spoilt[280:296] = struct.pack("<4f", spacing, 0, 0, 0)
    spoilt[252:256] = struct.pack("<2h", 0, 1)
    Path(path).write_bytes(gzip.compress(bytes(spoilt)))
    with pytest.raises(DataError, match="does not say where its voxels lie") as caught:
        source.read(source.cases[0])
    assert "imagesTr/c.nii.gz" in str(caught.value)


def test_the_digest_follows_contents_and_classes(tmp_path):
    pair = (_volume(IMAGE), _volume(LABEL))
    digest = _open(_dataset(tmp_path / "a", {"c": pair})).digest()
    assert _open(_dataset(tmp_path / "b", {"c": pair})).digest() == digest
    labels = {"0": "background", "1": "x", "2": "y", "3": "z"}
    assert _open(_dataset(tmp_path / "c", {"c": pair}, labels=labels)).digest() != digest
    other = (_volume(IMAGE), _volume(LABEL[::-1].copy()))
    assert _open(_dataset(tmp_path / "d", {"c": other})).digest() != digest


def _with(image=IMAGE, label=LABEL, affine=AFFINE):
    return _volume(image), _volume(label, affine)


SHIFTED = AFFINE + np.array([[0, 0, 0, 1.0], [0] * 4, [0] * 4, [0] * 4])


@pytest.mark.parametrize(
    ("pair", "what", "names"),
    [
        (_with(label=LABEL * 2), "a mask value that is not declared: 4", "labelsTr/c.nii.gz"),
        (_with(label=LABEL * np.float32(0.7)), "a mask whose values are no whole numbers", "labelsTr/c.nii.gz"),
        (_with(label=np.full(SHAPE, np.nan, np.float32)), "a mask whose values are no whole", "labelsTr/c.nii.gz"),
        (_with(label=LABEL[:-1]), "a label of another size than its image", "labelsTr/c.nii.gz"),
        (_with(label=LABEL[..., None].repeat(2, -1)), "a label of several volumes", "labelsTr/c.nii.gz"),
        (_with(affine=SHIFTED), "a label that lies elsewhere than its image", "2.00 voxels"),
        (_with(image=np.where(IMAGE > 99, IMAGE, np.nan).astype("f4")), "an image with NaN", "imagesTr/c.nii.gz"),
        (_with(image=np.stack([IMAGE] * 2, -1)), "an image that does not have the declared channels", "C = 1"),
        (_with(image=IMAGE[0]), "an image that is no volume", "imagesTr/c.nii.gz"),
    ],
)
def test_volumes_that_cannot_be_used_are_refused_by_name(tmp_path, pair, what, names):
    source = _open(_dataset(tmp_path, {"c": pair}))
    with pytest.raises(DataError) as caught:
        source.read(source.cases[0])
    assert caught.value.what.startswith(what)
    assert names in str(caught.value)
    assert "remedy" in str(caught.value)


def test_an_undeclared_label_points_to_the_description(tmp_path):
    source = _open(_dataset(tmp_path, {"c": _with(label=LABEL * 2)}))
    with pytest.raises(DataError, match=r'declare it under "labels" in .*dataset\.json'):
        source.read(source.cases[0])


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
@pytest.mark.parametrize("kind", ["truncated gzip", "truncated volume", "no volume at all"])
def test_damaged_files_are_refused_by_name(tmp_path, folder, kind):
    source = _open(_dataset(tmp_path, {"c": _with()}))
    path = tmp_path / folder / "c.nii.gz"
    whole = path.read_bytes()
    if kind == "truncated gzip":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "truncated volume":
        path.write_bytes(gzip.compress(gzip.decompress(whole)[:-50]))
    else:
        path.write_bytes(b"hello")
    with pytest.raises(DataError, match="a file that cannot be read") as caught:
        source.read(source.cases[0])
    assert f"{folder}/c.nii.gz" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": {}}, '"labels"'),
        ({"labels": {"background": "head"}}, "whole numbers as keys"),
        ({"labels": {"0": "a", "1": "b", "01": "c"}}, "a value and a name of its own"),
        ({"labels": {"0": "a", "1": "b", "2": "b"}}, "a value and a name of its own"),
        ({"modality": None}, '"modality"'),
        ({"training": []}, '"training"'),
        ({"training": ["a.nii.gz"]}, 'an object with "image" and "label"'),
        ({"training": [{"image": ["a.nii.gz"], "label": 1}]}, 'an object with "image" and "label"'),
        ({"training": [{"image": "imagesTr/x.nii.gz", "label": "labelsTr/c.nii.gz"}]}, "x.nii.gz"),
        ({"training": [{"image": "imagesTr/c.nii.gz", "label": "labelsTr/c.nii.gz"}] * 2}, "two training images"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(tmp_path, change, says):
    root = _dataset(tmp_path, {"c": _with()})
    described = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**described, **change}))
    with pytest.raises(DataError) as caught:
        _open(root)
    assert says in str(caught.value)


def test_a_folder_without_description_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.root"):
        _open(tmp_path)
    (tmp_path / "dataset.json").write_text("{nonsense")
    with pytest.raises(DataError, match="invalid JSON"):
        _open(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(DataError, match="list"):
        _open(tmp_path)
