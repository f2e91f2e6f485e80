"""Regions as dataset.json and the settings of the data say them, and every way in which they cannot be."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from checked_sets import ABC, check, elsewhere, masks_of
from nested_regions import NESTED, ORDER, REGIONS, nested_folder
from volumes import IMAGE, LABEL, save

from seglab.config.loss_checks import check_of_regions
from seglab.data.check.config_conflicts import find_undefined_monitor
from seglab.data.labels.description_labels import declared_labels
from seglab.data.labels.label_map import LabelMap
from seglab.data.labels.regions import declared_regions
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.sources.csv_tables import Csv
from seglab.data.sources.image_folder import ImageFolder
from seglab.data.sources.nifti import Nifti
from seglab.errors import ConfigError, DataError, SeglabError
from seglab.task import Region

__all__ = ["elsewhere"]
LABELS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}


def described(root, labels, **more):
    """Two volumes with values 0 to 3 that a dataset.json of nnU-Net's version 2 describes."""
    for name in ("a", "b"):
        save(root / "imagesTr" / f"{name}_0000.nii.gz", IMAGE)
        save(root / "labelsTr" / f"{name}.nii.gz", np.resize(np.arange(4, dtype=np.uint8), LABEL.shape))
    fields = {"channel_names": {"0": "T1"}, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz", **more}
    (root / "dataset.json").write_text(json.dumps(fields))
    return root


def test_a_dataset_json_of_regions_is_read_as_nnunet_reads_it(tmp_path):
    source = Nifti(root=str(described(tmp_path, LABELS, regions_class_order=ORDER)))
    assert source.task.regions == NESTED
    assert source.task.class_names == ("background", "label_1", "label_2", "enhancing")
    assert source.task.score_names == ("whole", "core", "enhancing")
    assert source.task.logit_channels == 3
    assert sorted(np.unique(source.read(source.cases[0]).mask)) == [0, 1, 2, 3]


def test_what_is_ignored_beside_regions_stays_ignored(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    source = Nifti(root=str(described(tmp_path, labels, regions_class_order=[1, 2])))
    assert source.task.regions == (Region("whole", (1, 2), 1), Region("core", (2,), 2))
    assert sorted(np.unique(source.read(source.cases[0]).mask)) == [0, 1, 2, 255]


def test_the_order_of_values_in_a_mask_is_not_that_of_their_names(tmp_path):
    """KiTS: the tumour is 2 and the cyst 3, and the masses are painted as cysts before the tumour is."""
    kits = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
    regions = Nifti(root=str(described(tmp_path, kits, regions_class_order=[1, 3, 2]))).task.regions
    assert [(one.name, one.paints) for one in regions] == [("kidney", 1), ("masses", 3), ("tumor", 2)]


def test_the_order_says_which_value_a_class_of_several_is_written_with(tmp_path):
    apart = {"background": 0, "edema": 1, "core": [2, 3]}
    ordered = described(tmp_path / "told", apart, regions_class_order=[1, 3])
    for root, written in ((ordered, (0, 1, 3)), (described(tmp_path / "untold", apart), (0, 1, 2))):
        source = Nifti(root=str(root))
        assert (source.task.regions, source.task.label_values) == ((), written)
        assert source.read(source.cases[0]).mask.ravel()[:4].tolist() == [0, 1, 2, 2]
    crossed = declared_labels({"background": 0, "a": [1, 3], "b": 2}, tmp_path, [3, 2])
    assert (crossed.label_map.first_values(), crossed.label_map.class_ids) == ((0, 3, 2), (0, 1, 1, 2))
    # What an order does not change has the digest that it had.
    assert declared_labels({"background": 0, "a": [1, 3], "b": 2}, tmp_path, [1, 2]).label_map.values == (0, 1, 2, 3)


@pytest.mark.parametrize("labels", [LABELS, {"background": 0, "whole": 1, "core": 2, "enhancing": 3}])
@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([9], "a value of its own for each region"),
        ([1, 2, 9], "painted 9"),
        ([3, 2, 1], "own values to be painted"),
        (["1", "2", "3"], '"regions_class_order": ["1", "2", "3"]'),
    ],
)
def test_a_wrong_order_is_refused_whether_regions_overlap_or_not(tmp_path, labels, order, message):
    with pytest.raises(DataError) as caught:
        declared_labels(labels, tmp_path / "dataset.json", order)
    assert message in str(caught.value)


def test_settings_say_the_same_for_volumes_and_images(tmp_path):
    plain = {"background": 0, "edema": 1, "necrosis": 2, "enhancing": 3}
    given = {"regions": REGIONS, "regions_class_order": ORDER}
    volumes = described(tmp_path / "volumes", plain)
    assert Nifti(root=str(volumes), **given).task.regions == NESTED
    root = nested_folder(tmp_path / "images", cases=2)
    options = {"root": str(root), "label_values": [0, 1, 2, 3]}
    images = ImageFolder(**options, **given)
    assert images.task.regions == NESTED
    (root / "table.csv").write_text("image,mask\nimages/case00.png,masks/case00.png\n")
    assert Csv(root=str(root / "table.csv"), label_values=[0, 1, 2, 3], **given).task.regions == NESTED
    # The same masks, and another thing to learn of them.
    assert images.digest() != ImageFolder(**options).digest()
    assert ImageFolder(**options).digest() == ImageFolder(**options, regions=None).digest()
    # Values of the files become class ids.
    spread = ImageFolder(
        root=str(root), label_values=[0, 3, 1, 2], regions={"b": [1, 2], "a": 1}, regions_class_order=[2, 1]
    )
    assert spread.task.regions == (Region("b", (2, 3), 3), Region("a", (2,), 2))


WRONG = [
    ({"whole": [1, 9], "core": 2}, [1, 2], "whole [1, 9]", "values of classes: 1, 2, 3"),
    ({"whole": [1, 2], "core": 2}, [1], "[1] for whole, core", "a value of its own for each region"),
    ({"whole": [1, 2], "core": 2}, [2, 2], "[2, 2] for whole, core", "a value of its own for each region"),
    ({"whole": [1, 2], "core": 2}, [9, 2], "painted 9", "values of classes: 1, 2, 3"),
    ({"whole": [1, 2], "core": 2}, [3, 2], "painted 3", "one of whole's own values"),
    ({"whole": [0, 1, 2], "core": 2}, [1, 2], "with the background", "but the background"),
    ({"whole": [], "core": 2}, [1, 2], "whole []", "values of classes"),
    ({"core": 2, "whole": [1, 2]}, [2, 1], "core [2] before whole [1, 2]", "the wider region first"),
    ({"one": [1, 2], "other": [1, 2]}, [1, 2], "one [1, 2] before other [1, 2]", "the wider region first"),
    ({"whole": [1, True]}, [1], "whole [1, True]", "values of classes"),
    ({"whole": ["1", 2]}, [2], "whole ['1', 2]", "values of classes"),
]


@pytest.mark.parametrize(("regions", "order", "found", "expected"), WRONG, ids=[row[2] for row in WRONG])
def test_regions_that_cannot_be_are_reported_in_words(regions, order, found, expected):
    for file, kind in (("", ConfigError), ("here/dataset.json", DataError)):
        with pytest.raises(kind) as caught:
            declared_regions(regions, order, LabelMap((0, 1, 2, 3)), file)
        error = caught.value
        assert error.code == "regions-invalid"
        assert found in error.found
        assert expected in error.expected
        assert (file or "data.regions_class_order") in error.where


def test_values_of_one_class_are_in_a_region_together():
    merged = LabelMap((0, 1, 2, 3), class_ids=(0, 1, 1, 2))
    assert declared_regions({"all": [1, 2, 3], "rest": 3}, [2, 3], merged)[0] == Region("all", (1, 2), 1)
    with pytest.raises(ConfigError, match=r"all \[1, 3\] without 2"):
        declared_regions({"all": [1, 3]}, [1], merged)


def test_a_label_in_no_region_is_outside_of_all_and_regions_need_not_be_nested():
    found = declared_regions({"ab": [1, 2], "bc": [2, 3]}, [1, 3], LabelMap((0, 1, 2, 3, 4)))
    assert found == (Region("ab", (1, 2), 1), Region("bc", (2, 3), 3))


def test_half_a_declaration_and_two_are_refused(tmp_path):
    root = nested_folder(tmp_path / "images", cases=1)
    for half in ({"regions": REGIONS}, {"regions_class_order": ORDER}, {"regions": {}, "regions_class_order": []}):
        with pytest.raises(ConfigError, match="without the values that they paint"):
            ImageFolder(root=str(root), label_values=[0, 1, 2, 3], **half)
    volumes = described(tmp_path / "volumes", LABELS, regions_class_order=ORDER)
    with pytest.raises(ConfigError, match="regions declared in two places"):
        Nifti(root=str(volumes), regions=REGIONS, regions_class_order=ORDER)
    for labels, order in ((LABELS, 7), ({key: of for key, of in LABELS.items() if key != "background"}, ORDER)):
        with pytest.raises(SeglabError, match=r"a dataset.json that cannot be used"):
            Nifti(root=str(described(tmp_path / "volumes", labels, regions_class_order=order)))


def test_a_loss_of_exclusive_classes_is_refused_before_anything_is_loaded():
    from nested_regions import TASK

    balanced = "seglab.losses.distribution.BalancedCrossEntropyLoss"
    dice = "seglab.losses.region.DiceLoss"
    for loss, arguments, metrics in (
        (balanced, {}, []),
        (dice, {"class_weights": [1, 1, 1, 1]}, []),
        ("keras.losses.CategoricalCrossentropy", {}, []),
        (dice, {}, ["keras.metrics.MeanIoU"]),
    ):
        with pytest.raises(ConfigError, match="regions whole, core, enhancing"):
            check_of_regions(TASK, loss, arguments, metrics)
    for loss, arguments, remedy in (
        (balanced, {}, "loss=combined"),
        (dice, {"class_weights": [1]}, "loss.class_weights=null"),
    ):
        with pytest.raises(ConfigError) as caught:
            check_of_regions(TASK, loss, arguments, [])
        assert caught.value.remedy == remedy
    check_of_regions(TASK, dice, {"class_weights": None}, [])
    check_of_regions(TASK, "theirs.Loss", {"class_weights": [1]}, [])


def findings(regions, **masks):
    """Name and place of what the check finds where `left` is 1 and `right` 2."""
    source = masks_of(**masks)
    source.task = replace(source.task, regions=regions)
    return [(one.name, one.where) for one in check(source, ABC).findings]


def test_the_check_looks_for_regions_and_not_for_their_classes():
    nested = (Region("both", (1, 2), 1), Region("core", (2,), 2))
    assert findings((), a=[1, 2], b=[2], c=[1, 2]) == [("class-not-in-split", "class left")]
    assert findings(nested, a=[1, 2], b=[2], c=[1, 2]) == []
    assert findings(nested, a=[1], b=[1, 2], c=[1]) == [("class-not-in-training", "region core")]
    assert findings(nested[1:], a=[1, 2], b=[1, 2], c=[1, 2]) == [("class-in-no-region", "class left")]
    source = masks_of(a=[1, 2], b=[1], c=[2])
    facts = {case.id: examine(source.samples[case.id], source.task) for case in source.cases}
    task = replace(source.task, regions=nested)
    assert not list(find_undefined_monitor("val_dice/both", ABC, facts, task))
    assert [one.name for one in find_undefined_monitor("val_dice/core", ABC, facts, task)] == ["monitor-undefined"]
