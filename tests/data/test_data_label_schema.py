"""Label tables: what they mean, what is refused, and the two that come with the package."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from seglab.data.labels.label_schema import built_in_schema, declared_classes, read_schema
from seglab.data.sources.image_folder import ImageFolder
from seglab.errors import ConfigError, DataError

TABLE = """id,name,train_id,category,ignored,color
0,nothing,,void,true,#000000
7,grass,1,ground,false,#00ff00
9,road,0,ground,false,#804080
12,sky,2,above,true,#0000ff
300,post,,ground,true,#ffffff
"""


def _write(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_classes_follow_their_train_ids_and_the_rest_is_ignored(tmp_path):
    classes = read_schema(_write(tmp_path, TABLE)).classes()
    assert classes.names == ("road", "grass", "sky")
    assert classes.colors == ((128, 64, 128), (0, 255, 0), (0, 0, 255))
    assert classes.unscored == (2,)  # learnt, and left out of the mean
    mask = np.array([0, 7, 9, 12, 300], np.uint16)
    assert classes.label_map.ids(mask, "m").tolist() == [255, 1, 0, 2, 255]


def test_void_as_a_class_comes_last_and_is_not_scored(tmp_path):
    classes = read_schema(_write(tmp_path, TABLE)).classes(void="class")
    assert classes.names == ("road", "grass", "sky", "void")
    assert classes.unscored == (2, 3)
    assert classes.label_map.ids(np.array([0, 7, 9, 12, 300]), "m").tolist() == [3, 1, 0, 2, 3]


def test_categories_hold_all_their_labels(tmp_path):
    classes = read_schema(_write(tmp_path, TABLE)).classes("categories")
    # ground: grass, road and the post that is no class of its own; its colour is that of its first class.
    assert classes.names == ("ground", "above")
    assert classes.colors == ((0, 255, 0), (0, 0, 255))
    assert classes.unscored == (1,)
    assert classes.label_map.ids(np.array([0, 7, 9, 12, 300]), "m").tolist() == [255, 0, 0, 1, 0]


def test_a_table_of_ids_and_names_is_enough(tmp_path):
    text = "- {id: 0, name: cell}\n- {id: 255, name: membrane, color: 'ff0000'}\n"
    classes = read_schema(_write(tmp_path, text, "labels.yaml")).classes()
    assert classes.names == ("cell", "membrane")
    assert classes.colors == ((0, 0, 0), (255, 0, 0))
    assert classes.unscored == ()
    assert classes.label_map.ids(np.array([0, 255], np.uint8), "m").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("7,grass", "9,grass", "a label id that stands twice"),
        ("7,grass", "7,road", "a label name that stands twice"),
        ("grass,1", "grass,0", "a label train_id that stands twice"),
        ("grass,1", "grass,5", "train ids that do not count up from 0"),
        ("grass,1", "grass,-1", "train ids that do not count up from 0"),
        ("2,above,true", ",above,false", "a label that is scored but never trained on"),
        ("grass,1", "grass,one", "column train_id"),
        ("7,grass", "seven,grass", "column id"),
        ("7,grass", ",grass", "column id"),
        ("7,grass", "7,", "column name"),
        ("ground,false,#00", "ground,maybe,#00", "column ignored"),
        ("#00ff00", "green", "column color"),
        (",train_id", ",train", "did you mean 'train_id'"),
        ("#00ff00", "#00ff00,more", "an unknown column"),
        (TABLE, "", "a label table without rows"),
        (TABLE, "id,name\n", "a label table without rows"),
    ],
)
def test_a_table_that_cannot_work_is_refused_by_place(tmp_path, old, new, what):
    path = _write(tmp_path, TABLE.replace(old, new))
    with pytest.raises(ConfigError, match=what) as caught:
        read_schema(path)
    assert str(path) in str(caught.value)
    assert "remedy" in str(caught.value)


@pytest.mark.parametrize("text", ["a: b", "[1, 2]", "{", "- {id: true, name: x}"])
def test_a_yaml_that_is_no_table_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"labels\.yaml"):
        read_schema(_write(tmp_path, text, "labels.yaml"))


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_schema(tmp_path / "none.csv")


def test_a_user_declares_labels_in_one_place(tmp_path):
    path = str(_write(tmp_path, TABLE))
    assert declared_classes((0, 1), None, None, path).names == ("road", "grass", "sky")
    assert declared_classes((0, 9), None, 7, None).names == ("label_0", "label_9")
    for names, ignored in ((["a", "b"], None), (None, 7)):
        with pytest.raises(ConfigError, match="labels declared in two places"):
            declared_classes((0, 1), names, ignored, path)


def test_an_undeclared_value_names_the_table(tmp_path):
    path = _write(tmp_path, TABLE)
    with pytest.raises(DataError, match="not declared: 8") as caught:
        read_schema(path).classes().label_map.ids(np.array([8], np.uint8), "mask.png")
    assert str(path) in str(caught.value)


def test_cityscapes_has_8_categories_and_19_classes():
    schema = built_in_schema("cityscapes")
    assert len(schema.labels) == 35
    assert {label.id for label in schema.labels} == set(range(-1, 34))
    classes = schema.classes("classes", "ignored")
    assert (len(classes.names), classes.unscored) == (19, ())
    assert classes.names[:3] == ("road", "sidewalk", "building")
    assert classes.colors[13] == (0, 0, 142)  # car
    assert classes.label_map.ids(np.array([7, 26, 33, 0, 9], np.uint8), "m").tolist() == [0, 13, 18, 255, 255]
    categories = schema.classes("categories", "ignored")
    assert categories.names == ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
    assert categories.unscored == ()
    # road and parking, guard rail, polegroup, terrain, sky, rider, caravan; unlabelled and ground are void.
    ids = categories.label_map.ids(np.array([7, 9, 14, 18, 22, 23, 25, 29, 0, 6], np.uint8), "m")
    assert ids.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 255, 255]
    with_void = schema.classes("categories", "class")
    assert (with_void.names[7], with_void.unscored) == ("void", (7,))
    assert with_void.label_map.ids(np.array([0, 6, 7], np.uint8), "m").tolist() == [7, 7, 0]


# As the benchmark's own scripts have them: id, name, train id, category.
OFFICIAL = """
0 unlabeled 255 void
1 ego_vehicle 255 void
2 rectification_border 255 void
3 out_of_roi 255 void
4 static 255 void
5 dynamic 255 void
6 ground 255 void
7 road 0 flat
8 sidewalk 1 flat
9 parking 255 flat
10 rail_track 255 flat
11 building 2 construction
12 wall 3 construction
13 fence 4 construction
14 guard_rail 255 construction
15 bridge 255 construction
16 tunnel 255 construction
17 pole 5 object
18 polegroup 255 object
19 traffic_light 6 object
20 traffic_sign 7 object
21 vegetation 8 nature
22 terrain 9 nature
23 sky 10 sky
24 person 11 human
25 rider 12 human
26 car 13 vehicle
27 truck 14 vehicle
28 bus 15 vehicle
29 caravan 255 vehicle
30 trailer 255 vehicle
31 train 16 vehicle
32 motorcycle 17 vehicle
33 bicycle 18 vehicle
-1 license_plate -1 vehicle
"""


def test_all_35_labels_of_cityscapes_are_the_official_ones():
    rows = [line.split() for line in OFFICIAL.split("\n") if line]
    schema = built_in_schema("cityscapes")
    ours = [(str(label.id), label.name.replace(" ", "_"), label.category) for label in schema.labels]
    assert ours == [(number, name, category) for number, name, _, category in rows]
    ignored = [label.train_id is None for label in schema.labels]
    assert ignored == [label.ignored for label in schema.labels] == [row[2] in ("255", "-1") for row in rows]
    stored = [row for row in rows if row[0] != "-1"]
    ids = np.array([int(row[0]) for row in stored], np.uint8)
    assert schema.classes("classes").label_map.ids(ids, "m").tolist() == [int(row[2]) for row in stored]
    categories = ["flat", "construction", "object", "nature", "sky", "human", "vehicle", "void"]
    for void, of_void in (("ignored", 255), ("class", 7)):
        expected = [of_void if row[3] == "void" else categories.index(row[3]) for row in stored]
        assert schema.classes("categories", void).label_map.ids(ids, "m").tolist() == expected


@pytest.mark.skipif(importlib.util.find_spec("cityscapesscripts") is None, reason="pip install cityscapesscripts")
def test_cityscapes_is_what_its_own_scripts_say():
    from cityscapesscripts.helpers.labels import labels as official

    ours = built_in_schema("cityscapes").labels
    assert len(ours) == len(official)
    for label, row in zip(ours, official, strict=True):
        assert (label.id, label.name, label.category, label.color) == (row.id, row.name, row.category, row.color)
        assert label.ignored == row.ignoreInEval
        assert label.train_id == (None if row.trainId in (255, -1) else row.trainId)
    categories = built_in_schema("cityscapes").classes("categories").label_map
    for row in official:
        if row.id >= 0:
            expected = 255 if row.categoryId == 0 else row.categoryId - 1
            assert categories.ids(np.array([row.id], np.uint8), "m").tolist() == [expected]


def test_camvid_has_11_classes_that_all_count():
    classes = built_in_schema("camvid").classes()
    assert (len(classes.names), classes.unscored) == (11, ())
    assert classes.label_map.ids(np.arange(12, dtype=np.uint8), "m").tolist() == [*range(11), 255]


def test_a_folder_takes_a_table(tmp_path):
    from PIL import Image

    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "images" / "a.png")
    Image.fromarray(np.array([[9] * 20] * 10 + [[300] * 20] * 10, np.uint16)).save(tmp_path / "masks" / "a.png")
    source = ImageFolder(root=str(tmp_path), label_schema=str(_write(tmp_path, TABLE)))
    assert source.task.class_names == ("road", "grass", "sky")
    assert source.task.unscored == (2,)
    mask = source.read(source.cases[0]).mask
    assert (mask[:10] == 0).all()
    assert (mask[10:] == 255).all()


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_as_a_spreadsheet_saves_it(tmp_path, delimiter):
    rows = [["id", "name", "color"], ["0", "none", "#000000"], ["7", "up to 1,5 mm, or more", "#ff0000"]]
    (tmp_path / "labels.csv").write_text("\n".join(delimiter.join(row) for row in rows) + "\n")
    labels = read_schema(tmp_path / "labels.csv").labels
    assert [(label.id, label.name) for label in labels] == [(0, "none"), (7, "up to 1,5 mm, or more")]
