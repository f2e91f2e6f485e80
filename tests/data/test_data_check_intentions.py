"""What a config intends with a data set: a monitor that is never defined, left and right that are mirrored."""

from __future__ import annotations

import numpy as np
import pytest
from checked_sets import masks_of

from seglab.data.augment import Augment, none
from seglab.data.check.config_conflicts import find_mirrored_sides, find_undefined_monitor
from seglab.data.check.sides import named_sides
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.splits import Split
from seglab.task import Task

ABC = Split(("a",), ("b",), ("c",))
SIDES = Task(2, 1, ("background", "left_lung", "right_lung"))


def undefined(source, monitor):
    facts = {case.id: examine(source.samples[case.id], source.task) for case in source.cases}
    return list(find_undefined_monitor(monitor, ABC, facts, source.task))


@pytest.mark.parametrize(
    ("monitor", "in_val", "there"),
    [
        ("val_dice", [], True),
        ("val_iou", [], True),
        ("val_dice", [1], False),
        ("val_dice/left", [1], False),
        ("val_dice/right", [1], True),
        ("val_loss", [], False),
        ("train_dice", [], False),
        ("val_dice/background", [], False),
        ("val_dice/no such class", [], False),
    ],
)
def test_a_monitor_that_no_mask_defines_is_a_warning(monitor, in_val, there):
    found = undefined(masks_of(a=[1, 2], b=in_val, c=[1, 2]), monitor)
    assert [finding.name for finding in found] == ["monitor-undefined"] * there
    for finding in found:
        assert finding.severity == "warning"
        assert finding.remedy.startswith("trainer.monitor=val_loss; or ")


def mirrored(task, **settings):
    return list(find_mirrored_sides(Augment(task, **settings), task))


def test_sides_that_are_mirrored_are_a_warning_whose_remedy_keeps_them_apart():
    (finding,) = mirrored(SIDES)
    assert (finding.name, finding.severity) == ("sides-mirrored", "warning")
    assert "left_lung, right_lung" in finding.found
    # What the remedy says, done: no column changes places with another any more.
    assert finding.remedy.startswith("augment.axes=[0];")
    assert mirrored(SIDES, axes=[0]) == []
    image, mask = np.zeros((8, 8, 1), np.float32), np.tile(np.arange(8), (8, 1))
    for seed in range(20):
        _, changed = Augment(SIDES, axes=[0], intensity=0.0)(image, mask, np.random.default_rng(seed))
        np.testing.assert_array_equal(changed, mask)


@pytest.mark.parametrize(
    ("rank", "settings", "remedy"),
    [
        (2, {}, "augment.axes=[0]"),
        (2, {"axes": "all"}, "augment.axes=[0]"),
        (2, {"axes": [1]}, "augment.flip=0.0"),
        (2, {"axes": [0]}, None),
        (2, {"flip": 0.0}, None),
        (3, {}, "augment.flip=0.0"),
        (3, {"axes": "all"}, "augment.axes=[1,2]"),
        (3, {"axes": [1, 2]}, None),
    ],
)
def test_only_the_axis_from_left_to_right_matters(rank, settings, remedy):
    task = Task(rank, 1, SIDES.class_names)
    assert [finding.remedy.partition(";")[0] for finding in mirrored(task, **settings)] == [remedy] * bool(remedy)


def test_without_mirror_images_or_sides_there_is_nothing_to_find():
    assert list(find_mirrored_sides(none(SIDES), SIDES)) == []
    assert list(find_mirrored_sides(lambda image, mask, rng, spacing=None: (image, mask), SIDES)) == []
    assert mirrored(Task(2, 1, ("background", "bright", "copyright"))) == []


@pytest.mark.parametrize(
    "names",
    [
        ("left_hippocampus", "right_hippocampus"),
        ("Right-Hippocampus", "Left-Hippocampus"),
        ("left", "right"),
        ("LEFT LUNG", "RIGHT LUNG"),
        ("lungLeft", "lungRight"),
        ("rib_left_1", "rib_right_1"),
        ("left lung", "right upper lobe"),
        ("hippocampus_lt", "hippocampus_rt"),
        ("Rt. kidney", "Lt. kidney"),
        ("L_lung", "R_lung"),
        ("lung_R", "lung_L"),
        ("lungL", "lungR"),
        ("LLung", "RLung"),
        ("L", "R"),
        ("lt", "rt"),
        ("ctx-lh-cuneus", "ctx-rh-cuneus"),
        ("niere links", "niere rechts"),
        ("linke Niere", "rechte Niere"),
        ("rene_sinistra", "rene_destra"),
        ("rene sx", "rene dx"),
        ("poumon gauche", "poumon droit"),
        ("riñón izquierdo", "riñón derecho"),
        ("левая почка", "правая почка"),
        ("左肾", "右肾"),
    ],
)
def test_names_of_both_sides(names):
    sides = named_sides(("background", *names, "heart"))
    assert sides is not None
    assert sides.both
    assert set(sides.names.split(", ")) == set(names)


@pytest.mark.parametrize(
    "names",
    [
        ("bright", "dark"),
        ("copyright", "upright"),
        ("leftover", "rightful"),
        ("cleft", "playwright"),
        ("links", "rects"),
        ("L1", "R1"),
        ("l", "r", "m"),
        ("zone_k", "zone_l", "zone_m", "zone_r"),
        ("a_l", "b_r"),
        ("cell_L", "wall"),
        ("sol", "arbre"),
    ],
)
def test_names_that_only_look_like_sides(names):
    assert named_sides(("background", *names)) is None


def test_one_side_alone_is_a_note():
    sides = named_sides(("background", "left atrium"))
    assert sides is not None
    assert not sides.both
    (finding,) = mirrored(Task(3, 1, ("background", "left atrium")))
    assert finding.severity == "note"
