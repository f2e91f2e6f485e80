"""Volumes in folders and tables, in one file or one for each modality."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest
from volumes import AFFINE, IMAGE, LABEL, SHAPE, folders, save

from seglab.data.sources.nifti import Nifti
from seglab.errors import ConfigError, DataError


def _table(root, rows, name="cases.csv"):
    with (root / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return name


def test_two_folders_of_equal_names(tmp_path):
    source = Nifti(root=str(folders(tmp_path / "my set")), group_pattern=r"case_(\d)")
    assert (source.name, source.split, source.task.rank, source.task.channels) == ("my set", None, 3, 1)
    assert source.task.class_names == ("label_0", "label_1")
    assert [(case.id, case.group) for case in source.cases] == [("case_2", "2"), ("case_10", "1")]
    sample = source.read(source.cases[0])
    assert np.array_equal(sample.image[..., 0], IMAGE)
    assert np.array_equal(sample.mask, LABEL)
    assert sample.spacing == pytest.approx((0.5, 0.8, 5.0))


def test_other_folders_values_names_and_upper_case_endings(tmp_path):
    save(tmp_path / "scans ä" / "ein Fall.nii", IMAGE).rename(tmp_path / "scans ä" / "ein Fall.NII")
    save(tmp_path / "truth" / "ein Fall.nii.gz", LABEL * np.uint16(300)).rename(tmp_path / "truth" / "ein Fall.NII.GZ")
    (tmp_path / "truth" / "notes.txt").write_text("x")
    save(tmp_path / "truth" / ".hidden.nii", LABEL)
    options = {"images": "scans ä", "labels": "truth"}
    source = Nifti(root=str(tmp_path), **options, label_values=[0, 300], class_names=["none", "organ"])
    assert source.task.class_names == ("none", "organ")
    assert np.array_equal(source.read(source.cases[0]).mask, LABEL)
    undeclared = Nifti(root=str(tmp_path), **options)
    with pytest.raises(DataError, match=r"a mask value that is not declared: 300[\s\S]*NII\.GZ"):
        undeclared.read(undeclared.cases[0])
    ignoring = Nifti(root=str(tmp_path), **options, label_values=[0, 7], ignore_value=300)
    assert np.array_equal(ignoring.read(ignoring.cases[0]).mask, LABEL * 255)
    assert ignoring.digest() != Nifti(root=str(tmp_path), **options, label_values=[0, 300]).digest()


def test_a_table_of_labels_names_the_classes(tmp_path):
    folders(tmp_path)
    (tmp_path / "labels.csv").write_text("id,name,color\n0,air,#000000\n1,bone,#ffffff\n")
    source = Nifti(root=str(tmp_path), label_schema=str(tmp_path / "labels.csv"))
    assert source.task.class_names == ("air", "bone")
    assert source.task.class_colors[1] == (255, 255, 255)


def test_a_file_for_each_modality_in_a_folder(tmp_path):
    folders(tmp_path, image="{}_0000.nii.gz")
    for number in (2, 1):
        for name in ("case_2", "case_10"):
            save(tmp_path / "images" / f"{name}_000{number}.nii.gz", IMAGE + np.int16(number))
    source = Nifti(root=str(tmp_path))
    assert source.task.channels == 3
    sample = source.read(source.cases[0])
    assert sample.image.shape == (*SHAPE, 3)
    for number in range(3):
        assert np.array_equal(sample.image[..., number], IMAGE + number)
    assert source.describe_files(source.cases[0]).count(" and ") == 2
    before = source.digest()
    save(tmp_path / "images" / "case_2_0002.nii.gz", IMAGE)
    assert Nifti(root=str(tmp_path)).digest() != before
    (tmp_path / "images" / "case_2_0002.nii.gz").unlink()
    with pytest.raises(DataError, match=r"other modalities[\s\S]*case_2"):
        Nifti(root=str(tmp_path))


def test_a_number_that_the_label_has_too_is_a_part_of_the_name(tmp_path):
    source = Nifti(root=str(folders(tmp_path, ("scan_0000", "scan_0001"))))
    assert ([case.id for case in source.cases], source.task.channels) == (["scan_0000", "scan_0001"], 1)


def test_a_volume_of_four_axes_has_channels(tmp_path):
    save(tmp_path / "images" / "a.nii.gz", np.stack([IMAGE, IMAGE + 5], -1))
    save(tmp_path / "labels" / "a.nii.gz", LABEL)
    source = Nifti(root=str(tmp_path))
    assert source.task.channels == 2
    assert np.array_equal(source.read(source.cases[0]).image[..., 1], IMAGE + 5)
    save(tmp_path / "images" / "a.nii.gz", np.zeros((*SHAPE, 2, 2), np.int16))
    with pytest.raises(DataError, match="more axes"):
        source.read(source.cases[0])


def test_modalities_must_lie_on_one_grid(tmp_path):
    folders(tmp_path, ("a",), "{}_0000.nii.gz")
    source_of = lambda: Nifti(root=str(tmp_path))  # noqa: E731
    other = tmp_path / "images" / "a_0001.nii.gz"
    for array, affine, what in (
        (IMAGE[1:], AFFINE, "an image of another size"),
        (IMAGE, np.diag([0.5, 0.8, 2.0, 1]), "an image that lies elsewhere"),
    ):
        save(other, array, affine)
        source = source_of()
        with pytest.raises(DataError, match=what) as caught:
            source.read(source.cases[0])
        assert "a_0001.nii.gz" in str(caught.value)
    # Stored in another orientation it is the same grid.
    nib.save(nib.Nifti1Image(IMAGE, AFFINE).as_reoriented([[1, -1], [0, 1], [2, -1]]), other)
    sample = source_of().read(source_of().cases[0])
    assert np.array_equal(sample.image[..., 0], sample.image[..., 1])


def test_a_table_with_modalities_groups_and_splits(tmp_path):
    for patient in ("p1", "p2", "p3"):
        for kind, array in (("t1", IMAGE), ("t2", IMAGE + np.int16(9)), ("seg", LABEL)):
            save(tmp_path / patient / f"{kind}.nii.gz", array)
    rows = [
        {
            "id": f"{patient}-scan",
            "image_t1": f"{patient}/t1.nii.gz",
            "image_t2": str(tmp_path / patient / "t2.nii.gz"),
            "label": f"{patient}/seg.nii.gz" if split != "test" else "",
            "group": "brothers" if patient != "p3" else "",
            "split": split,
        }
        for patient, split in (("p1", "train"), ("p2", "val"), ("p3", "test"))
    ]
    source = Nifti(root=str(tmp_path), table=_table(tmp_path, rows))
    assert source.task.channels == 2
    assert [(case.id, case.group) for case in source.cases] == [
        ("p1-scan", "brothers"),
        ("p2-scan", "brothers"),
        ("p3-scan", "p3-scan"),
    ]
    assert source.split == {"train": ["p1-scan"], "val": ["p2-scan"], "test": ["p3-scan"]}
    assert np.array_equal(source.read(source.cases[0]).image[..., 1], IMAGE + 9)
    assert source.read(source.cases[2]).mask is None
    assert source.describe_files(source.cases[2]).endswith("cases.csv, line 4")
    source.digest()


def test_a_column_of_groups_is_named(tmp_path):
    folders(tmp_path, ("a", "b", "c"))
    rows = [
        {"image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz", "image site": site}
        for name, site in (("a", "Bern"), ("b", ""), ("c", "Bern"))
    ]
    table, named = _table(tmp_path, rows), {"group_column": "image site"}
    source = Nifti(root=str(tmp_path), table=table, **named)
    assert [case.group for case in source.cases] == ["Bern", "b", "Bern"]
    assert source.task.channels == 1
    for options, error, says in (
        ({"table": table, "group_column": "image sites"}, DataError, "did you mean 'image site'"),
        ({"table": table, "group_pattern": ".", **named}, ConfigError, "two ways to group the cases"),
        (named, ConfigError, "a column of groups without a table"),
    ):
        with pytest.raises(error, match=says):
            Nifti(root=str(tmp_path), **options)


def test_a_table_from_a_spreadsheet_with_semicolons(tmp_path):
    folders(tmp_path)
    (tmp_path / "cases.csv").write_text("image; label\nimages/case_2.nii.gz; labels/case_2.nii.gz\n")
    source = Nifti(root=str(tmp_path), table="cases.csv")
    assert np.array_equal(source.read(source.cases[0]).mask, LABEL)


def test_a_table_comes_before_a_description(tmp_path):
    folders(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "a", "1": "b"}}))
    name = _table(tmp_path, [{"image": "images/case_2.nii.gz", "label": "labels/case_2.nii.gz"}])
    source = Nifti(root=str(tmp_path), table=name)
    assert ([case.id for case in source.cases], source.split) == (["case_2"], None)
    with pytest.raises(ConfigError, match="labels declared in two places"):
        Nifti(root=str(tmp_path), class_names=["x", "y"])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"picture": "a", "label": "b"}], "columns picture, label"),
        ([{"image": "images/case_2.nii.gz"}], "columns image"),
        ([{"image": "images/none.nii.gz", "label": ""}], "none.nii.gz"),
        ([{"image": "cases.csv", "label": ""}], "line 2"),
        ([{"image": "images/case_2.nii.gz", "label": ""}] * 2, "two cases of one name"),
        ([{"image": "images/case_2.nii.gz", "label": "", "split": "training"}], "an unknown split"),
        ([{"image": "images/case_2.nii.gz", "label": "", "extra": "1"}], "columns image, label, extra"),
        (
            [
                {"image": "images/case_2.nii.gz", "label": "", "split": "train"},
                {"image": "images/case_10.nii.gz", "label": "", "split": ""},
            ],
            "cases without a split",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path, rows, says):
    folders(tmp_path)
    with pytest.raises(DataError) as caught:
        Nifti(root=str(tmp_path), table=_table(tmp_path, rows))
    assert says in str(caught.value)
    assert "cases.csv" in str(caught.value)


def test_tables_and_folders_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read[\s\S]*nowhere\.csv"):
        Nifti(root=str(tmp_path), table="nowhere.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="0 rows"):
        Nifti(root=str(tmp_path), table="empty.csv")
    with pytest.raises(DataError, match=r"data\.root"):
        Nifti(root=str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"folders in data\.root, which holds none[\s\S]*data\.root=<folder"):
        Nifti(root=str(tmp_path))
    (tmp_path / "image").mkdir()
    with pytest.raises(DataError, match="did you mean 'image'"):
        Nifti(root=str(tmp_path))
    with pytest.raises(DataError, match="without volumes"):
        Nifti(root=str(tmp_path), images="image", labels="image")


def test_a_folder_of_data_sets_is_distinguished_from_one_of_them(tmp_path):
    raw = tmp_path / "nnUNet raw"
    for name in ("Dataset007_Pancreas", "Dataset042_Liver"):
        (raw / name).mkdir(parents=True)
        (raw / name / "dataset.json").write_text("{}")
    with pytest.raises(DataError) as caught:
        Nifti(root=str(raw))
    assert caught.value.where == "data.root"
    assert caught.value.remedy == f"choose one: data.root='{raw}/Dataset007_Pancreas', or Dataset042_Liver"


def test_a_tilde_that_the_shell_left_is_reported_with_the_folder_that_is_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError) as caught:
        Nifti(root="~/my sets")
    assert caught.value.found == "~/my sets"
    assert (
        caught.value.remedy == f"the shell leaves ~ as it is behind a word with a point: data.root='{tmp_path}/my sets'"
    )


def test_partners_that_are_missing_and_names_that_stand_twice(tmp_path):
    folders(tmp_path)
    (tmp_path / "labels" / "case_2.nii.gz").unlink()
    with pytest.raises(DataError, match=r"an image without a mask[\s\S]*case_2"):
        Nifti(root=str(tmp_path))
    (tmp_path / "images" / "case_2.nii.gz").unlink()
    save(tmp_path / "labels" / "case_7.nii.gz", LABEL)
    with pytest.raises(DataError, match=r"a mask without an image[\s\S]*case_7"):
        Nifti(root=str(tmp_path))
    (tmp_path / "labels" / "case_7.nii.gz").unlink()
    save(tmp_path / "images" / "case_10.nii", IMAGE)
    with pytest.raises(DataError, match="two files of one name"):
        Nifti(root=str(tmp_path))


def test_an_accent_in_one_character_or_in_two_is_the_same_name(tmp_path):
    folders(tmp_path, ("e\u0301",))
    (tmp_path / "labels" / "e\u0301.nii.gz").rename(tmp_path / "labels" / "\u00e9.nii.gz")
    assert [case.id for case in Nifti(root=str(tmp_path)).cases] == ["\u00e9"]


def test_volumes_of_another_number_of_channels_are_refused(tmp_path):
    folders(tmp_path)
    source = Nifti(root=str(tmp_path))
    save(tmp_path / "images" / "case_10.nii.gz", np.stack([IMAGE] * 2, -1))
    with pytest.raises(DataError, match=r"declared channels[\s\S]*case_10[\s\S]*C = 1"):
        source.read(source.cases[1])
