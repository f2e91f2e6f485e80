"""Values in mask files become class ids, and nothing undeclared gets through."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from seglab.data.labels.label_map import LabelMap, class_names_for
from seglab.data.labels.label_remedies import looks_lossy
from seglab.errors import ConfigError, DataError


def test_the_position_of_a_value_is_its_class_id():
    mask = np.array([[255, 0], [7, 255]], np.uint8)
    # label_values=[255, 0]: 255 is class 0 and 0 is class 1; 7 is ignored.
    ids = LabelMap((255, 0), ignore_value=7).ids(mask, "m.png")
    assert ids.tolist() == [[0, 1], [255, 0]]
    assert ids.dtype == np.uint8


@given(
    values=st.lists(st.integers(-5, 70_000), min_size=2, max_size=20, unique=True),
    picks=st.lists(st.integers(0, 10_000), min_size=1, max_size=30),
)
def test_every_mapping_is_undone_by_its_values(values, picks):
    mask = np.array([values[pick % len(values)] for pick in picks])
    ids = LabelMap(tuple(values)).ids(mask, "m")
    assert np.array_equal(np.array(values)[ids], mask)


@given(
    values=st.lists(st.integers(-2, 300), min_size=2, max_size=40, unique=True),
    mask=st.lists(st.integers(0, 255), min_size=1, max_size=30),
    ignored=st.booleans(),
)
def test_8_bit_masks_are_read_as_any_other(values, mask, ignored):
    labels = LabelMap(tuple(values[:-1]), values[-1]) if ignored else LabelMap(tuple(values))
    outcomes = []
    for number_type in (np.uint8, np.int32):
        try:
            outcomes.append(labels.ids(np.array([mask], number_type), "m").tolist())
        except DataError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[0], str) != (set(mask) <= set(values))


def test_labels_may_share_a_class_and_be_ignored():
    labels = LabelMap((5, 7, 9, 300), class_ids=(1, 0, 1, 255))
    assert labels.ids(np.array([[5, 7], [9, 5]], np.uint8), "m").tolist() == [[1, 0], [1, 1]]
    assert labels.ids(np.array([300, 7], np.uint16), "m").tolist() == [255, 0]


@given(
    values=st.lists(st.integers(0, 300), min_size=2, max_size=10, unique=True),
    stranger=st.integers(-400, 70_000),
)
def test_a_single_undeclared_value_is_refused(values, stranger):
    mask = np.array([*values, stranger])
    labels = LabelMap(tuple(values))
    if stranger in values:
        assert labels.ids(mask, "m").max() < len(values)
        return
    with pytest.raises(DataError, match="not declared") as caught:
        labels.ids(mask, "folder/m.png")
    assert str(stranger) in str(caught.value)
    assert "folder/m.png" in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "ignored", "values", "says"),
    [
        ((0, 1), None, [0, 255], "stored as black and white, 0 and 255: data.label_values=[0,255]"),
        (
            (0, 255),
            None,
            [0, 1],
            "stored as 0 and 1, as in PNG of 1 bit, which is shown as black and white: data.label_values=[0,1]",
        ),
        ((0, 1, 2), None, [0, 1, 2, 255], "if 255 marks pixels without a truth: data.ignore_value=255"),
        ((0, 1), None, [0, 1, 2], "data.label_values=[0,1,2]"),
        # What is declared stays, in its order, which is that of the class ids.
        ((0, 1, 2, 3), None, [0, 1, 7], "if it is one class more: data.label_values=[0,1,2,3,7]"),
        ((0, 1, 2, 3), None, [0, 1, 7], "if 7 marks pixels without a truth: data.ignore_value=7;"),
        ((255, 0), None, [0, 9, 100], "data.label_values=[255,0,9,100]"),
        ((0, 1, 2), None, [0, 255], "data.label_values=[0,1,2,255]"),
        ((0, 1), None, [0, 255], "if it is one class more: data.label_values=[0,1,255]"),
        ((0, 1), 255, [0, 1, 7], "if these are classes too: data.label_values=[0,1,7]"),
        ((0, 1, 2, 3), None, [252, 254], "says that 0 is white"),
        ((0, 255), 7, [0, 1], "only 0, 255 and 7 (ignored)"),
        ((0, 1), None, range(200), "this looks like a photograph or a lossy mask"),
        ((0, 1), None, [-3], "not declared: -3"),
        ((0, 1), None, [0.5], "no whole numbers"),
        ((0, 1), None, [np.nan, 1.0], "no whole numbers"),
        ((0, 1), None, [np.inf], "no whole numbers"),
    ],
)
def test_the_message_says_what_to_do(declared, ignored, values, says):
    with pytest.raises(DataError) as caught:
        LabelMap(declared, ignore_value=ignored).ids(np.array(list(values)), "m.png")
    assert says in str(caught.value)


def test_a_declared_value_to_ignore_is_not_replaced_by_a_remedy():
    for strange in ([0, 255], [0, 3], [3, 255]):
        with pytest.raises(DataError) as caught:
            LabelMap((0, 1), ignore_value=9).ids(np.array(strange), "m.png")
        assert "data.ignore_value=" not in caught.value.remedy


def test_names_that_were_given_stay_too():
    with pytest.raises(DataError) as caught:
        LabelMap((0, 1), names=("nothing at all", "cell")).ids(np.array([0, 7]), "m.png")
    words = shlex.split(caught.value.remedy.rpartition(": ")[2])
    assert words == ["data.label_values=[0,1,7]", "data.class_names=['nothing at all','cell','label_7']"]
    read = OverridesParser.create().parse_overrides(words)
    assert [override.value() for override in read] == [[0, 1, 7], ["nothing at all", "cell", "label_7"]]


def test_a_mask_is_read_by_its_colours():
    black, red, white = (0, 0, 0), (255, 0, 0), (255, 255, 255)
    labels = LabelMap((0, 5), ignore_value=9, colors=(white, red, black))
    mask = np.array([[white, red], [black, red]], np.uint8)
    assert labels.ids_of_colors(mask, "m.png").tolist() == [[0, 1], [255, 1]]
    mask[0, 0] = 1, 2, 3
    with pytest.raises(DataError, match=r"not declared: \[1, 2, 3\]") as caught:
        labels.ids_of_colors(mask, "m.png")
    more = "data.label_values=[0,5,10] data.label_colors=[[255,255,255],[255,0,0],[1,2,3],[0,0,0]]"
    assert caught.value.remedy == f"if these are classes too: {more}"
    again = LabelMap((0, 5, 10), ignore_value=9, colors=(white, red, (1, 2, 3), black))
    assert again.ids_of_colors(mask, "m.png").tolist() == [[2, 1], [255, 1]]
    assert labels.settings() != LabelMap((0, 5), ignore_value=9).settings()
    for colors in ((black, red), (black, red, red), ((0, 0), red, white), ((0, 0, 256), red, white)):
        with pytest.raises(ConfigError, match=r"data\.label_colors"):
            LabelMap((0, 5), ignore_value=9, colors=colors)


def test_a_format_can_say_its_own_remedy():
    with pytest.raises(DataError, match="edit the header"):
        LabelMap((0, 1), remedy="edit the header").ids(np.array([2]), "m")


def test_whole_numbers_stored_as_floats_or_booleans_are_fine():
    assert LabelMap((0, 1)).ids(np.array([0.0, 1.0]), "m").tolist() == [0, 1]
    assert LabelMap((0, 1)).ids(np.array([True, False]), "m").tolist() == [1, 0]


@pytest.mark.parametrize(("values", "ignored"), [((0, 0), None), ((0, 1), 1), (tuple(range(256)), None)])
def test_declarations_that_cannot_work_are_refused(values, ignored):
    with pytest.raises(ConfigError, match="label values"):
        LabelMap(values, ignore_value=ignored)


def test_classes_are_named_after_their_values_unless_named():
    assert class_names_for([0, 255], None) == ["label_0", "label_255"]
    assert class_names_for([0, 255], ["membrane", "cell"]) == ["membrane", "cell"]
    for names in (["one"], ["same", "same"], ["a", "b", "c"]):
        with pytest.raises(ConfigError, match="do not fit the label values"):
            class_names_for([0, 255], names)


@pytest.mark.parametrize(
    ("held", "name", "lossy"),
    [
        ({0: 900, 255: 80, **dict.fromkeys(range(20, 240, 20), 1)}, "soft.png", True),
        ({0: 900, 255: 100}, "plain.png", False),
        ({0: 800, 128: 100, 255: 100}, "cup_and_disc.png", False),
        (dict.fromkeys(range(19), 50), "cityscapes.png", False),
        ({**dict.fromkeys(range(11), 90), 255: 10}, "with_void.png", False),
        ({0: 900, **dict.fromkeys(range(21), 5), 255: 10}, "twenty_classes.png", False),
        (dict.fromkeys(range(256), 4), "photograph.png", False),
        (dict.fromkeys(range(256), 4), "photograph.jpg", False),
        ({0: 900, 1: 60, 2: 40}, "nothing_there.jpg", True),
        ({0: 900, 1: 60, 2: 40}, "three_classes.png", False),
        ({0: 900, 254: 50, 255: 50}, "best_quality.JPEG", True),
        ({0: 900, 40000: 100}, "deep.png", False),
        ({}, "empty.jpg", False),
    ],
)
def test_a_lossy_mask_is_distinguished_from_classes_and_photographs(held, name, lossy):
    assert looks_lossy(sorted(held), np.array([held[value] for value in sorted(held)], int), name) is lossy


def test_the_remedy_of_a_lossy_mask_is_a_threshold_and_of_a_photograph_none():
    labels = LabelMap((0, 1))
    ramp = np.zeros((40, 40), np.uint8)
    ramp[:, 20:] = 255
    ramp[:, 18:22] = RAMP
    with pytest.raises(DataError, match=r"data\.mask_threshold=128") as caught:
        labels.ids(ramp, "a.png")
    assert caught.value.lossy
    with pytest.raises(DataError, match="photograph") as caught:
        labels.ids(np.arange(256, dtype=np.uint8).reshape(16, 16), "a.jpg")
    assert "mask_threshold" not in str(caught.value)
    three = LabelMap((0, 1, 2))
    with pytest.raises(DataError) as caught:
        three.ids(ramp, "a.png")
    assert "mask_threshold" not in str(caught.value)  # it would tell two of three classes


RAMP = np.tile(np.array([20, 90, 160, 230], np.uint8), (40, 1)) + np.arange(40, dtype=np.uint8)[:, None] % 7
