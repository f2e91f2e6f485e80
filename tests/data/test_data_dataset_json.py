"""What a `dataset.json` describes: nnU-Net's two forms beside the Decathlon's, and mistakes that people make in it."""

from __future__ import annotations

import json
import shlex
import time

import cv2
import numpy as np
import pytest
from data_cards import data_config
from volumes import IMAGE, LABEL, save

from seglab.data.cases import SPLIT_NAMES
from seglab.data.check.case_contents import find_other_modality
from seglab.data.sources.image_folder import ImageFolder
from seglab.data.sources.nifti import Nifti
from seglab.data.splits import make_split
from seglab.errors import DataError, SeglabError

LABELS = {"background": 0, "PZ": 1, "TZ": 2}


def describe(root, **changes):
    """A description with `changes`; what is None is left out."""
    described = {
        "channel_names": {"0": "T2", "1": "ADC"},
        "labels": LABELS,
        "numTraining": 2,
        "file_ending": ".nii.gz",
        **changes,
    }
    text = json.dumps({key: value for key, value in described.items() if value is not None})
    (root / "dataset.json").write_text(text)
    return root


def nnunet(root, *, names=("a", "b"), part="Tr", channels=2, ending=".nii.gz", values=(0, 1, 2), **changes):
    """Cases as nnU-Net v2 wants them, which hold all values."""
    for name in names:
        for channel in range(channels):
            save(root / f"images{part}" / f"{name}_{channel:04d}{ending}", IMAGE + np.int16(channel))
        label = np.resize(np.array(values, np.uint8), LABEL.shape)
        save(root / f"labels{part}" / f"{name}{ending}", label)
    return describe(root, **changes)


def source_of(root):
    return Nifti(root=str(root))


def test_version_two_of_nnunet(tmp_path):
    root = nnunet(tmp_path / "Dataset005_Prostate", reference="x", overwrite_image_reader_writer="SimpleITKIO")
    source = source_of(root)
    assert (source.name, source.modality, source.split) == ("Dataset005_Prostate", "mri", None)
    assert source.task.class_names == ("background", "PZ", "TZ")
    assert source.task.channels == 2
    assert [case.id for case in source.cases] == ["a", "b"]
    sample = source.read(source.cases[1])
    assert np.array_equal(sample.image[..., 0], IMAGE)
    assert np.array_equal(sample.image[..., 1], IMAGE + 1)
    assert sorted(np.unique(sample.mask)) == [0, 1, 2]


@pytest.mark.parametrize(("ending", "message"), [(".nii", ".nii"), (".nii.gz", "nii.gz"), (".nii", None)])
def test_other_endings_of_volumes(tmp_path, ending, message):
    assert len(source_of(nnunet(tmp_path, ending=ending, file_ending=message)).cases) == 2


def test_channels_are_in_the_order_of_their_numbers(tmp_path):
    named = {str(n): f"kind {n}" for n in (10, 2, 1, 0, 3, 4, 5, 6, 7, 8, 9)}
    source = source_of(nnunet(tmp_path, channels=11, channel_names=named))
    assert np.array_equal(source.read(source.cases[0]).image[0, 0, 0], IMAGE[0, 0, 0] + np.arange(11))


def test_labelled_test_images_are_the_test_split(tmp_path):
    nnunet(tmp_path, names=("x", "y"), part="Ts")
    source = source_of(nnunet(tmp_path, names=[f"c{n}" for n in range(8)], numTraining=8))
    assert source.split == {"test": ("x", "y")}
    split = make_split(source.cases, train=0.6, val=0.2, test=0.2, seed=1, predefined=source.split)
    assert [len(getattr(split, name)) for name in SPLIT_NAMES] == [6, 2, 2]
    assert split.test == ("x", "y")
    folds = make_split(source.cases, train=0.6, val=0.2, test=0.2, seed=1, predefined=source.split, fold=0)
    assert set(folds.test) != {"x", "y"}
    # Without labels they are for prediction, as nnU-Net and the Decathlon have it.
    for label in (tmp_path / "labelsTs").iterdir():
        label.unlink()
    assert source_of(tmp_path).split is None
    assert len(source_of(tmp_path).cases) == 8


def test_files_listed_one_by_one(tmp_path):
    (tmp_path / "set").mkdir()
    nnunet(tmp_path / "set" / "elsewhere", names=("p1", "p2"))
    paths = {
        f"case {n}": {
            "images": [f"./elsewhere/imagesTr/p{n}_{channel}.nii.gz" for channel in ("0001", "0000")],
            "label": f"elsewhere/labelsTr/../labelsTr/p{n}.nii.gz",
        }
        for n in (1, 2)
    }
    source = source_of(describe(tmp_path / "set", dataset=paths))
    assert [case.id for case in source.cases] == ["case 1", "case 2"]
    assert np.array_equal(source.read(source.cases[0]).image[..., 0], IMAGE + 1)


def test_a_description_names_no_file_outside_of_its_folder(tmp_path):
    nnunet(tmp_path / "mine", names=("p",))
    (tmp_path / "set").mkdir()
    inside = {"image": "mine/imagesTr/p_0000.nii.gz", "label": "mine/labelsTr/p.nii.gz"}
    (tmp_path / "set" / "mine").symlink_to(tmp_path / "mine")  # a link of the user's own
    for key, path in (
        ("image", "../mine/imagesTr/p_0000.nii.gz"),
        ("image", str(tmp_path / "mine/imagesTr/p_0000.nii.gz")),
        ("label", "mine/../../mine/labelsTr/p.nii.gz"),
    ):
        pair = {**inside, key: path}
        text = {"labels": {"0": "b", "1": "x", "2": "y"}, "modality": {"0": "CT"}, "training": [pair]}
        (tmp_path / "set" / "dataset.json").write_text(json.dumps(text))
        with pytest.raises(DataError, match="outside of the folder of the data set") as caught:
            source_of(tmp_path / "set")
        assert path in caught.value.found
        (tmp_path / "set" / "dataset.json").unlink()
        listed = {"p": {"images": [pair["image"]], "label": pair["label"]}}
        with pytest.raises(DataError, match="outside of the folder of the data set"):
            source_of(describe(tmp_path / "set", dataset=listed))
    text = {"labels": {"0": "b", "1": "x", "2": "y"}, "modality": {"0": "CT"}, "training": [inside]}
    (tmp_path / "set" / "dataset.json").write_text(json.dumps(text))
    assert len(source_of(tmp_path / "set").cases) == 1


def test_version_one_lists_images_without_the_numbers_of_their_files(tmp_path):
    nnunet(tmp_path)
    pairs = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in "ab"]
    text = {"labels": {"0": "b", "1": "x", "2": "y"}, "modality": {"0": "CT", "1": "CT"}, "training": pairs}
    (tmp_path / "dataset.json").write_text(json.dumps(text))
    source = source_of(tmp_path)
    assert (source.modality, source.task.channels, len(source.cases)) == ("ct", 2, 2)
    assert source.read(source.cases[0]).image.shape[-1] == 2


def test_what_is_ignored_is_neither_trained_on_nor_scored(tmp_path):
    source = source_of(nnunet(tmp_path, values=(0, 1, 2, 3), labels={**LABELS, "ignore": 3}))
    assert source.task.class_names == ("background", "PZ", "TZ")
    mask = source.read(source.cases[0]).mask
    assert sorted(np.unique(mask)) == [0, 1, 2, 255]
    assert (mask == 255).sum() == mask.size // 4


def test_regions_that_lie_apart_are_classes_of_several_values(tmp_path):
    labels = {"background": 0, "tumour": [2, 4], "organ": [1], "ignore": 5}
    source = source_of(nnunet(tmp_path, values=(0, 1, 2, 4, 5), labels=labels, regions_class_order=[2, 1]))
    assert source.task.class_names == ("background", "organ", "tumour")
    mask = source.read(source.cases[0]).mask.ravel()
    stored = np.resize(np.array([0, 1, 2, 4, 5]), LABEL.shape).ravel()
    assert {(int(a), int(b)) for a, b in zip(stored, mask, strict=True)} == {(0, 0), (1, 1), (2, 2), (4, 2), (5, 255)}


def test_a_ct_for_a_config_of_mri_is_reported_with_its_remedy(tmp_path):
    source = source_of(nnunet(tmp_path, channels=1, channel_names={"0": "CT"}))
    [finding] = find_other_modality(source, data_config(size=[16, 16, 16], modality="mri"))
    assert "data.modality=ct" in finding.remedy


MISTAKES = [
    ({"labels": {"left": 1, "right": 2}}, ['"background": 0 among them']),
    ({"labels": {"background": 0, "a": 1, "b": 1}}, ["a value of its own", '"a": 1', '"b": 1']),
    ({"labels": {"background": 0, "a": 1.5}}, ["a whole number", "1.5"]),
    ({"labels": {"background": 0, "a": True}}, ["a whole number", "true"]),
    ({"labels": {"background": 0, "a": -1}}, ["a whole number", "-1"]),
    ({"labels": {"background": 0, "a": 10**12}}, ["a whole number"]),
    ({"labels": {"background": 0, "a": []}}, ["a whole number", "[]"]),
    ({"labels": {"background": 0, "a": 1, "ignore": [2, 3]}}, ['"ignore": one number']),
    ({"labels": {"background": 0, "a": 1, "ignore": 1}}, ["a value of its own", '"ignore": 1']),
    ({"labels": {"9" * 5000: "background"}}, ["whole numbers as keys"]),
    ({"labels": {"background": 0}}, ["the background and one class or more"]),
    ({"labels": {}}, ['"labels": {}']),
    ({"labels": ["background", "a"]}, ['"labels": ["background", "a"]']),
    ({"channel_names": None}, ['"channel_names": null', '{"0": "CT"}']),
    ({"channel_names": {"0": "T2", "2": "ADC"}}, ['the keys "0", "1"', '"2": "ADC"']),
    ({"channel_names": ["T2", "ADC"]}, ['"channel_names": ["T2", "ADC"]']),
    ({"channel_names": {"0": "T2"}}, ["not those of the channels", "a_0001.nii.gz", "a_0000 (T2)"]),
    ({"channel_names": {"0": "T2", "1": "ADC", "2": "DWI"}}, ["a_0002 (DWI)", "add the missing file"]),
    ({"numTraining": 3}, ['"numTraining": 3, and 2 cases', 'or "numTraining": 2']),
    ({"numTraining": "2"}, ['"numTraining": "2"']),
    ({"file_ending": ".mnc"}, ["files that are not read", '".mnc"', "convert images and labels"]),
    ({"file_ending": ".nii"}, ["no file ending in .nii"]),
    ({"file_ending": 7}, ['"file_ending": 7']),
    ({"dataset": {"a": ["x"]}}, ['"dataset"', '"images": a list of paths']),
    ({"dataset": {"a": {"images": ["no.nii.gz"], "label": "no.nii.gz"}}}, ["file not found", "no.nii.gz"]),
    ({"dataset": {"a": {"images": ["n" * 5000], "label": "no.nii.gz"}}}, ["file not found"]),
    ({"dataset": {}}, ['"dataset": {}']),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=[str(row[0])[:60] for row in MISTAKES])
def test_a_mistake_is_reported_in_words(tmp_path, change, message):
    nnunet(tmp_path, **change)
    with pytest.raises(SeglabError) as caught:
        source_of(tmp_path)
    text = str(caught.value)
    assert "dataset.json" in text or "imagesTr" in text
    for word in (*message, "where:", "found:", "remedy:"):
        assert word in text, text


def test_overlapping_regions_without_an_order_are_refused_with_labels_that_work(tmp_path):
    kits = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
    root = nnunet(tmp_path, values=(0, 1, 2, 3), labels=kits)
    with pytest.raises(DataError, match=r"regions that overlap[\s\S]*kidney \[1, 2, 3\] and masses \[2, 3\]") as caught:
        source_of(root)
    plain = caught.value.remedy.partition('"labels": ')[2].partition("; ")[0]
    source = source_of(describe(root, labels=json.loads(plain)))
    assert source.task.class_names == ("background", "label_1", "tumor", "label_3")
    assert sorted(np.unique(source.read(source.cases[0]).mask)) == [0, 1, 2, 3]


def test_so_many_labels_that_no_two_can_be_compared_are_refused_at_once(tmp_path):
    root = nnunet(tmp_path, labels={"background": 0, **{f"cell {n}": n for n in range(1, 20_000)}})
    began = time.process_time()
    with pytest.raises(SeglabError, match="too many label values"):
        source_of(root)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "lists or objects within one another"),
        ('{"a":' * 100_000, "lists or objects within one another"),
        ('{"labels": {"background": 0, "a": 1, "a": 2}}', "the key 'a' twice"),
        ('{"numTraining": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ("", "Expecting value"),
        ("\x00\x01", "Expecting value"),
    ],
    ids=["lists", "objects", "twice", "digits", "empty", "binary"],
)
def test_no_json_is_reported_in_words(tmp_path, text, message):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"invalid JSON in dataset\.json") as caught:
        source_of(tmp_path)
    assert message in str(caught.value)


def test_a_missing_folder_file_or_channel_is_named(tmp_path):
    root = nnunet(tmp_path / "one")
    (root / "imagesTr" / "b_0001.nii.gz").unlink()
    with pytest.raises(DataError, match=r"other modalities than the rest[\s\S]*b_0000"):
        source_of(root)
    root = nnunet(tmp_path / "two")
    (root / "labelsTr" / "b.nii.gz").unlink()
    with pytest.raises(DataError, match="an image without a mask"):
        source_of(root)
    with pytest.raises(DataError, match=r"folder of the data set not found[\s\S]*imagesTr"):
        source_of(describe(tmp_path))
    nnunet(tmp_path / "two", names=("a",), part="Ts")
    nnunet(tmp_path / "two")
    with pytest.raises(DataError, match="a case of imagesTr and of imagesTs named a"):
        source_of(tmp_path / "two")


def test_2d_images_are_shown_the_way(tmp_path):
    root = tmp_path / "road set"
    for folder, name in (("imagesTr", "{}_0000.png"), ("labelsTr", "{}.png")):
        (root / folder).mkdir(parents=True)
        for n in "ab":
            cv2.imwrite(str(root / folder / name.format(n)), np.resize(np.array([0, 1, 2], np.uint8), (16, 16)))
    describe(root, file_ending=".png", labels={"background": 0, "road": 1, "ignore": 2}, channel_names={"0": "R"})
    with pytest.raises(DataError, match="a data set of images, and not of volumes") as caught:
        source_of(root)
    words = shlex.split(caught.value.remedy)
    assert words[:2] == ["data=image_folder", f"data.root={root}"]
    assert words[2:4] == ["data.images=imagesTr/{id}_0000", "data.masks=labelsTr"]
    assert words[4:] == ["data.label_values=[0,1]", "data.class_names=[background,road]", "data.ignore_value=2"]
    names = {"images": "imagesTr/{id}_0000", "masks": "labelsTr"}
    source = ImageFolder(root=str(root), **names, label_values=[0, 1], ignore_value=2)
    assert sorted(np.unique(source.read(source.cases[0]).mask)) == [0, 1, 255]
    assert [case.id for case in source.cases] == ["a", "b"]
    for n in "ab":
        cv2.imwrite(str(root / "imagesTr" / f"{n}_0001.png"), np.zeros((16, 16), np.uint8))
    describe(root, file_ending=".png", channel_names={"0": "near infrared", "1": "red"})
    with pytest.raises(DataError, match="join them into one of 2 channels") as caught:
        source_of(root)
    assert "of near infrared, red, the first alone: data=image_folder" in caught.value.remedy
    for n in "ab":
        (root / "imagesTr" / f"{n}_0001.png").unlink()
        (root / "imagesTr" / f"{n}_0000.png").rename(root / "imagesTr" / f"{n}.png")
    with pytest.raises(DataError, match=r"data=image_folder data.root='.*' data.images=imagesTr data.masks=labelsTr"):
        source_of(root)
