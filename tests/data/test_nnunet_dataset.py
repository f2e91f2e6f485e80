"""A data set goes out as nnU-Net reads it and comes back as it was: values, geometry, classes and folds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from seglab.cli.main import main
from seglab.command import composed_config
from seglab.config.run_config import load_data
from seglab.data.nnunet import write_nnunet
from seglab.data.sources.image_folder import ImageFolder
from seglab.data.sources.nifti import Nifti
from seglab.data.splits import make_split, split_for
from seglab.errors import ConfigError, DataError
from seglab.task import Region

RNG = np.random.default_rng(0)
AFFINE = np.array([[0.5, 0, 0, -10], [0, 0.8, 0, 20], [0, 0, 5.0, 3], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve cases of six patients, two channels, a value that is ignored, in LPS."""
    root = tmp_path_factory.mktemp("set")
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for number in range(12):
        name = f"p{number // 2}_{'ab'[number % 2]}"
        image = RNG.integers(0, 4000, (6, 5, 4, 2)).astype(np.int16)
        label = RNG.choice([0, 4, 9, 250], (6, 5, 4)).astype(np.uint8)
        turned = AFFINE @ np.diag([-1.0, -1.0, 1.0, 1.0])
        nib.save(nib.Nifti1Image(image, turned), root / "images" / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(label, turned), root / "labels" / f"{name}.nii.gz")
    return root


def words(root: Path) -> list[str]:
    named = ["data.label_values=[0,4,9]", "data.class_names=[background,liver,ignore]", "data.ignore_value=250"]
    return ["data=nifti", f"data.root={root}", *named, "data.group_pattern=^(p[0-9]+)", "data.folds=3"]


@pytest.fixture(scope="module")
def written(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw") / "Dataset042_Liver"
    assert main(["nnunet-dataset", *words(root), f"out={out}"]) in (0, None)
    return out


def test_it_comes_back_as_it_was(root: Path, written: Path) -> None:
    source = load_data(composed_config(words(root))).data.build()
    again = Nifti(root=str(written))
    assert again.task.class_names == ("background", "liver", "ignore_class")
    assert again.task.channels == 2
    assert [case.id for case in again.cases] == [case.id for case in source.cases]
    for case, same in zip(source.cases, again.cases, strict=True):
        sample, other = source.read(case), again.read(same)
        np.testing.assert_array_equal(other.image, sample.image)
        np.testing.assert_array_equal(other.mask, sample.mask)
        np.testing.assert_allclose(other.affine, sample.affine, atol=1e-5)


def test_files_are_named_and_described_as_version_2_wants_them(written: Path) -> None:
    described = json.loads((written / "dataset.json").read_text())
    assert described["labels"] == {"background": 0, "liver": 1, "ignore_class": 2, "ignore": 3}
    assert described["channel_names"] == {"0": "MRI", "1": "MRI"}
    assert (described["numTraining"], described["file_ending"]) == (12, ".nii.gz")
    assert sorted(file.name for file in (written / "imagesTr").iterdir())[:3] == [
        "p0_a_0000.nii.gz",
        "p0_a_0001.nii.gz",
        "p0_b_0000.nii.gz",
    ]
    label = np.asarray(nib.load(written / "labelsTr" / "p0_a.nii.gz").dataobj)
    assert set(np.unique(label)) == {0, 1, 2, 3}, "without a gap, what is ignored last"


def test_both_have_the_same_folds_of_whole_patients(root: Path, written: Path) -> None:
    folds = json.loads((written / "splits_final.json").read_text())
    source, config = (
        load_data(composed_config(words(root))).data.build(),
        load_data(composed_config(words(root))).data_config,
    )
    again = Nifti(root=str(written), folds_file="splits_final.json")
    for number, fold in enumerate(folds):
        here = config.model_copy(update={"fold": number})
        assert set(fold["val"]) == set(split_for(source, here, load_data(composed_config(words(root))).seed).test)
        assert not {one[:2] for one in fold["val"]} & {one[:2] for one in fold["train"]}
        split = split_for(again, here, 7)
        assert set(split.test) == set(fold["val"])
        assert set(split.train) | set(split.val) == set(fold["train"])
        assert split.val
    assert sorted(one for fold in folds for one in fold["val"]) == [case.id for case in again.cases]


def spoiled(change: Callable[[Any], object]) -> Callable[[Any], Any]:
    def made(folds: Any) -> Any:
        change(folds)
        return folds

    return made


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folds: {}, "0 folds"),
        (lambda folds: [1, 2], "TypeError"),
        (spoiled(lambda folds: folds[0]["val"].append("stranger")), "case stranger"),
        (spoiled(lambda folds: folds[0]["val"].append(folds[1]["val"][0])), "held out by two"),
        (spoiled(lambda folds: folds[0]["train"].append(folds[0]["val"][0])), "fold 0 trains on other cases"),
        (spoiled(lambda folds: folds[2]["train"].pop()), "fold 2 trains on other cases"),
        (lambda folds: folds[:1], "1 folds"),
    ],
)
def test_folds_that_leak_or_miss_a_case_are_refused(
    written: Path, tmp_path: Path, change: Callable[[Any], Any], says: str
) -> None:
    folds = json.loads((written / "splits_final.json").read_text())
    (tmp_path / "folds.json").write_text(json.dumps(change(folds)))
    with pytest.raises(DataError, match=says):
        Nifti(root=str(written), folds_file=str(tmp_path / "folds.json"))


@pytest.mark.parametrize(("fold", "folds", "says"), [(None, 3, "none is chosen"), (0, 5, "another number of folds")])
def test_a_fold_of_the_file_is_chosen_by_its_number(written: Path, fold: int | None, folds: int, says: str) -> None:
    source = Nifti(root=str(written), folds_file="splits_final.json")
    with pytest.raises(ConfigError, match=says):
        make_split(source.cases, train=0.7, val=0.1, test=0.2, seed=0, fold=fold, folds=folds, parts=source.folds)


def test_its_own_test_split_stays_one(tmp_path: Path, written: Path) -> None:
    root = tmp_path / "set"
    for part in ("Tr", "Ts"):
        for folder in ("images", "labels"):
            (root / f"{folder}{part}").mkdir(parents=True)
    for part, names in (("Tr", "abcdef"), ("Ts", "xy")):
        for name in names:
            nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.int16), AFFINE), root / f"images{part}/{name}_0000.nii.gz")
            nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), AFFINE), root / f"labels{part}/{name}.nii.gz")
    fields = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "bone": 1}, "numTraining": 6}
    (root / "dataset.json").write_text(json.dumps({**fields, "file_ending": ".nii.gz"}))
    config = load_data(composed_config(["data=nifti", f"data.root={root}", "data.folds=2"]))
    done: list[tuple[int, int]] = []
    found = write_nnunet(config.data.build(), config.data_config, 0, tmp_path / "out", lambda *n: done.append(n))
    assert (found.cases, found.tested, done[-1]) == (6, 2, (8, 8))
    folds = json.loads((tmp_path / "out" / "splits_final.json").read_text())
    assert sorted(one for fold in folds for one in fold["val"]) == list("abcdef")
    described = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert described["channel_names"] == {"0": "CT"}
    assert "ignore" not in described["labels"]
    assert Nifti(root=str(tmp_path / "out")).split == {"test": ("x", "y")}


def test_images_of_8_bits_are_png(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in "abcdef":
        Image.fromarray(RNG.integers(0, 256, (9, 8, 3)).astype(np.uint8)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(RNG.integers(0, 2, (9, 8)).astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    given = ["data=image_folder", f"data.root={tmp_path}", "data.label_values=[0,1]", "data.folds=2"]
    assert main(["nnunet-dataset", *given, f"out={tmp_path / 'out'}"]) in (0, None)
    described = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert described["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    again = ImageFolder(root=str(tmp_path / "out"), images="imagesTr/{id}_0000", masks="labelsTr", label_values=(0, 1))
    source = load_data(composed_config(given)).data.build()
    for case, same in zip(source.cases, again.cases, strict=True):
        np.testing.assert_array_equal(again.read(same).image, source.read(case).image)
        np.testing.assert_array_equal(again.read(same).mask, source.read(case).mask)


def test_nothing_is_written_over_and_nothing_half_written_stays(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="in the place of another"):
        main(["nnunet-dataset", *words(root), f"out={tmp_path / 'out'}"])
    bad = [word.replace("[0,4,9]", "[0,4,8]") for word in words(root)]
    with pytest.raises(DataError, match="9"):
        main(["nnunet-dataset", *bad, f"out={tmp_path / 'other'}"])
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_regions_go_out_in_nnunets_own_words(root: Path, tmp_path: Path) -> None:
    labels = ["data.label_values=[0,4,9]", "data.ignore_value=250"]
    regions = ["data.regions={both: [4,9], inner: 9}", "data.regions_class_order=[4,9]"]
    out, settings = tmp_path / "Dataset043_Both", ["data=nifti", f"data.root={root}", *labels, *regions, "data.folds=3"]
    assert main(["nnunet-dataset", *settings, f"out={out}"]) in (0, None)
    described = json.loads((out / "dataset.json").read_text())
    assert described["labels"] == {"background": 0, "both": [1, 2], "inner": [2], "ignore": 3}
    assert described["regions_class_order"] == [1, 2]
    source, again = load_data(composed_config(settings)).data.build(), Nifti(root=str(out))
    assert again.task.regions == source.task.regions == (Region("both", (1, 2), 1), Region("inner", (2,), 2))
    np.testing.assert_array_equal(again.read(again.cases[0]).mask, source.read(source.cases[0]).mask)
    # What is in no region has no name there.
    regions = ["data.regions={inner: 9}", "data.regions_class_order=[9]"]
    assert main(["nnunet-dataset", *settings[:4], *regions, "data.folds=3", f"out={tmp_path / 'inner'}"]) in (0, None)
    labels_there = nib.load(sorted((tmp_path / "inner" / "labelsTr").glob("*.nii.gz"))[0]).get_fdata()
    assert sorted(np.unique(labels_there)) == [0, 2, 3]
