"""Cityscapes: layout, 7 categories or 19 classes, void, cities, and which images the test score is of."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seglab.data.sources.cityscapes import Cityscapes
from seglab.data.splits import make_split
from seglab.errors import DataError

CITIES = {"train": {"aachen": 5, "bochum": 3, "ulm": 1}, "val": {"lindau": 2}, "test": {"berlin": 1}}
# Unlabelled, out of the region, road, parking, wall, polegroup, terrain, sky, rider, caravan, bicycle.
VALUES = [0, 3, 7, 9, 12, 18, 22, 23, 25, 29, 33]


@pytest.fixture
def folder(tmp_path):
    """Eleven labelled scenes of 4 cities and one of a city without labels."""
    rng = np.random.default_rng(0)
    for split, cities in CITIES.items():
        for city, count in cities.items():
            for n in range(count):
                stem = f"{city}_{n:06d}_000019"
                mask = np.array(VALUES, np.uint8).repeat(6).reshape(len(VALUES), 6)
                if split == "test":
                    mask[:] = 3
                image = rng.integers(0, 256, (*mask.shape, 3), np.uint8)
                _save(tmp_path / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", image)
                _save(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png", mask)
                if split != "test":
                    ids = np.where(mask == 33, np.uint16(33001), mask)
                    _save(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_instanceIds.png", ids)
                (tmp_path / "gtFine" / split / city / f"{stem}_gtFine_color.png").write_bytes(b"")
    return tmp_path


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _first_mask(folder, **options):
    source = Cityscapes(root=str(folder), **options)
    return source.read(source.cases[0]).mask[:, 0].tolist()


def test_categories_leave_void_out(folder):
    source = Cityscapes(root=str(folder))
    assert source.task.class_names == ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
    assert (source.task.channels, source.task.unscored) == (3, ())
    assert _first_mask(folder) == [255, 255, 0, 0, 1, 2, 3, 4, 5, 6, 6]


def test_void_as_a_class_is_the_eighth_and_not_in_the_mean(folder):
    source = Cityscapes(root=str(folder), void="class")
    assert source.task.class_names[7:] == ("void",)
    assert (source.task.classes, source.task.scored) == (8, tuple(range(7)))
    assert _first_mask(folder, void="class") == [7, 7, 0, 0, 1, 2, 3, 4, 5, 6, 6]


def test_classes_are_the_nineteen(folder):
    assert Cityscapes(root=str(folder), labels="classes").task.classes == 19
    assert _first_mask(folder, labels="classes") == [255, 255, 0, 255, 3, 255, 9, 10, 12, 255, 18]
    assert Cityscapes(root=str(folder), labels="classes", void="class").task.classes == 20


def test_groups_are_cities_and_instances_are_found(folder):
    source = Cityscapes(root=str(folder), test_on="none")
    assert source.cases[0].id == "aachen_000000_000019"
    assert source.cases[0].group == "aachen"
    assert source.cases[0].instances.endswith("aachen_000000_000019_gtFine_instanceIds.png")
    before = source.digest()
    path = folder / "gtFine" / "train" / "aachen" / "aachen_000000_000019_gtFine_instanceIds.png"
    _save(path, np.zeros((11, 6), np.uint16))
    assert Cityscapes(root=str(folder), test_on="none").digest() != before
    path.unlink()
    assert Cityscapes(root=str(folder), test_on="none").cases[0].instances is None


def test_the_official_validation_cities_are_the_test_split(folder):
    source = Cityscapes(root=str(folder))
    # 9 training images, 12% of them are 1.08: one city, ulm, has 1, so bochum is held out too.
    assert sorted(source.split["val"]) == [*(f"bochum_{n:06d}_000019" for n in range(3)), "ulm_000000_000019"]
    assert len(source.split["train"]) == 5
    assert source.split["test"] == ["lindau_000000_000019", "lindau_000001_000019"]
    make_split(source.cases, train=1.0, val=0.0, test=0.0, seed=0, predefined=source.split)


def test_the_official_split_has_no_test_score(folder):
    split = Cityscapes(root=str(folder), test_on="none").split
    assert {name: len(ids) for name, ids in split.items()} == {"train": 9, "val": 2}


def test_a_labelled_test_folder_is_used_when_asked_for(folder):
    with pytest.raises(DataError, match="a test folder without labels") as caught:
        Cityscapes(root=str(folder), test_on="test")
    assert "data.test_on=val" in str(caught.value)
    path = folder / "gtFine" / "test" / "berlin" / "berlin_000000_000019_gtFine_labelIds.png"
    _save(path, np.full((11, 6), 7, np.uint8))
    split = Cityscapes(root=str(folder), test_on="test").split
    assert {name: len(ids) for name, ids in split.items()} == {"train": 9, "val": 2, "test": 1}


def test_one_training_city_cannot_be_held_out(folder):
    for kind in ("leftImg8bit", "gtFine"):
        for city in ("bochum", "ulm"):
            (folder / kind / "train" / city).rename(folder / f"{kind}_{city}")
    with pytest.raises(DataError, match=r"data\.test_on=none"):
        Cityscapes(root=str(folder))
    assert Cityscapes(root=str(folder), test_on="none").split


def test_what_is_missing_is_named(folder):
    city = folder / "gtFine" / "val" / "lindau"
    label = city / "lindau_000001_000019_gtFine_labelIds.png"
    content = label.read_bytes()
    label.unlink()
    with pytest.raises(DataError, match="an image without a mask") as caught:
        Cityscapes(root=str(folder))
    assert "no lindau/lindau_000001_000019_gtFine_labelIds.png" in str(caught.value)
    label.write_bytes(content)
    (city / "lindau_000009_000019_gtFine_labelIds.png").write_bytes(content)
    with pytest.raises(DataError, match="a mask without an image"):
        Cityscapes(root=str(folder))
    with pytest.raises(DataError, match="without its files"):
        Cityscapes(root=str(folder / "gtFine"))
    with pytest.raises(DataError, match="data folder not found"):
        Cityscapes(root=str(folder / "nowhere"))


def test_a_value_that_is_no_label_is_refused(folder):
    path = folder / "gtFine" / "train" / "aachen" / "aachen_000000_000019_gtFine_labelIds.png"
    _save(path, np.full((11, 6), 34, np.uint8))
    source = Cityscapes(root=str(folder))
    with pytest.raises(DataError, match="not declared: 34"):
        source.read(source.cases[0])


def test_endings_in_upper_case_are_found(folder):
    city = folder / "leftImg8bit" / "val" / "lindau"
    (city / "lindau_000001_000019_leftImg8bit.png").rename(city / "lindau_000001_000019_leftImg8bit.PNG")
    assert len(Cityscapes(root=str(folder)).split["test"]) == 2
