"""Ten data sets that nobody has, and the plans that are right for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seglab.command import composed_config
from seglab.config.run_config import load_config
from seglab.errors import ConfigError, DataError
from seglab.planning.budget import Budget, epochs_within
from seglab.planning.cascade_plans import first_stage
from seglab.planning.fingerprint import ClassFacts, Fingerprint
from seglab.planning.plan import Plan, make_plan
from seglab.planning.shape_rules import network_for, target_spacing
from seglab.planning.study_files import words_of

BUDGET = Budget(hours=2, memory_gb=16)


def data(
    shape: tuple[int, ...],
    spacing: tuple[float, ...] | None = None,
    *,
    cases: int = 40,
    share: float = 0.1,
    names: tuple[str, ...] = ("background", "organ"),
    **more: Any,
) -> Fingerprint:
    """A data set of equal cases."""
    train = max(cases * 7 // 10, 1)
    facts = tuple(ClassFacts(name, share / (len(names) - 1), train if share else 0) for name in names[1:])
    known: dict[str, Any] = {
        "rank": len(shape),
        "channels": 1,
        "class_names": names,
        "shapes": (shape,) * train,
        "spacings": (spacing or (1.0,) * len(shape),) * train,
        "foreground": (share,) * train,
        "classes": facts,
        "cases": cases,
        "groups": cases,
        "intensity": ((0.0, 1.0, 200.0, 255.0),) * more.get("channels", 1),
    }
    return Fingerprint(**{**known, **more})


def values(plan: Plan) -> dict[str, Any]:
    return {one.key: one.value for one in plan.choices}


def test_thin_slices_keep_their_axis_until_the_others_are_as_coarse() -> None:
    plan = values(make_plan(data((320, 320, 20), (0.7, 0.7, 5.0), modality="mri"), BUDGET))
    assert plan["model"] == "dynunet"
    assert plan["model.kernels"][:3] == [[3, 3, 1], [3, 3, 1], 3]  # at 2.8 × 2.8 × 5 mm all axes are alike
    assert plan["model.strides"][:4] == [1, [2, 2, 1], [2, 2, 1], 2]
    assert plan["data.size"][2] % 2 == 0
    assert plan["data.spacing"] is None


def test_huge_images_are_seen_in_patches() -> None:
    plan = values(make_plan(data((3000, 4000), channels=3, cases=200), BUDGET))
    assert (plan["data.size"], plan["data.resize_mode"]) == ([512, 512], "patch")
    assert plan["data.patches_per_case"] == 2, "as many as leave time to see each image twenty times"
    assert values(make_plan(data((3000, 4000), channels=3, cases=200), Budget(400, 16)))["data.patches_per_case"] == 8
    assert plan["augment.axes"] == [1], "a colour image has an up and a down"
    assert (plan["model"], plan["augment"]) == ("unet", "light")


def test_tiny_objects_are_drawn_around_and_counted_over_the_batch() -> None:
    plan = values(make_plan(data((256, 256, 256), share=1e-4), BUDGET))
    assert plan["data.resize_mode"] == "patch"
    assert plan["data.foreground_share"] == 0.5
    assert plan["loss.batch_dice"] is True


def test_one_case_is_memorised_and_stated_to_be() -> None:
    plan = make_plan(data((64, 64, 64), cases=1), BUDGET)
    assert values(plan)["data.validate_on_train"] is True
    assert plan.sweep[:2] == ("seed", (0,))
    assert any("memorised" in note for note in plan.notes)
    assert values(plan)["data.batch_size"] == 1


def test_many_modalities_share_one_normalisation() -> None:
    known = data((240, 240, 155), channels=4, modality="mri")
    plan = values(make_plan(known, BUDGET))
    assert plan["data.normalize"] == "zscore"
    mixed = replace(known, modality=None, intensity=((-1000.0, -900.0, 1.0, 2.0), *known.intensity[1:]))
    chosen = next(one for one in make_plan(mixed, BUDGET).choices if one.key == "data.modality")
    assert (chosen.value, "CT beside others" in chosen.reason) == ("mri", True)


def test_empty_masks_are_refused() -> None:
    with pytest.raises(DataError, match="nothing to learn"):
        make_plan(data((64, 64, 64), share=0.0), BUDGET)


def test_left_and_right_are_not_mirrored() -> None:
    sides = data((64, 64, 64), names=("background", "left_lung", "right_lung"))
    assert values(make_plan(sides, BUDGET))["augment.flip"] == 0.0
    assert values(make_plan(data((64, 64, 64)), BUDGET))["augment.flip"] == 0.5
    flat = values(make_plan(data((64, 64), names=("background", "left eye", "right eye")), BUDGET))
    assert (flat["augment.flip"], flat["augment.rotate90"]) == (0.0, 0.0)


def test_folds_are_no_more_than_groups() -> None:
    plan = make_plan(data((64, 64, 64), groups=4), BUDGET)
    assert values(plan)["data.folds"] == 4
    assert plan.sweep[:2] == ("data.fold", (0, 1, 2, 3))
    two = values(make_plan(data((64, 64, 64), groups=2), BUDGET))
    assert (two["data.folds"], two["trainer.monitor"], two["data.split"]["val"]) == (2, "train_dice", 0.0)
    own = make_plan(data((64, 64, 64), own_split=True), BUDGET)
    assert own.sweep[:2] == ("seed", (0, 1, 2))


def test_small_volumes_are_taken_whole() -> None:
    plan = values(make_plan(data((43, 59, 47), cases=200, modality="mri"), BUDGET))
    assert (plan["data.size"], plan["data.resize_mode"]) == ([48, 64, 48], "pad")
    assert (plan["model"], plan["model.depth"], plan["model.width"]) == ("unet3d", 3, 16)
    assert (plan["data.batch_size"], plan["data.foreground_share"]) == (2, 0.0)
    hurried = values(make_plan(data((43, 59, 47), cases=200, modality="mri"), replace(BUDGET, hours=0.2)))
    assert (hurried["data.size"], hurried["model.width"]) == ([48, 64, 48], 16)


def test_the_median_case_is_taken_where_room_for_the_largest_would_be_mostly_border() -> None:
    unlike = {"shapes": ((35, 51, 35),) * 27 + ((42, 59, 45),), "cases": 40, "modality": "mri"}
    found = make_plan(data((35, 51, 35), **unlike), BUDGET)
    plan = values(found)
    # 48 × 64 × 48 would be 1.65 times as many voxels.
    assert (plan["data.size"], plan["data.resize_mode"], found.covered) == ([40, 56, 40], "pad", 1.0)
    assert (plan["model.depth"], plan["data.foreground_share"], plan["loss.batch_dice"]) == (3, 0.0, False)
    assert plan["trainer.keep"] == "last"
    alike = values(
        make_plan(data((41, 57, 41), **{**unlike, "shapes": ((41, 57, 41),) * 27 + ((42, 59, 45),)}), BUDGET)
    )
    assert alike["data.size"] == [48, 64, 48]
    given = values(make_plan(data((35, 51, 35), **unlike), BUDGET, {"data.size": [48, 64, 48]}))
    assert (given["data.size"], given["data.resize_mode"]) == ([48, 64, 48], "pad")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, "last"),
        ({"schedule": "polynomial"}, "last"),
        ({"schedule": "constant"}, "best"),
        ({"trainer.patience_epochs": 5}, "best"),
    ],
)
def test_the_last_weights_are_kept_where_the_learning_rate_falls_to_the_end(given: dict[str, Any], kept: str) -> None:
    assert values(make_plan(data((64, 64, 64)), BUDGET, given))["trainer.keep"] == kept


def test_spacings_that_differ_meet_at_the_median_but_for_thick_slices() -> None:
    steps = tuple((0.8, 0.8, thick) for thick in (3.0, 3.0, 4.0, 5.0, 5.0, 6.0, 6.0))
    known = data((320, 320, 24), cases=10, spacings=steps)
    target, why = target_spacing(known)
    assert target == [0.8, 0.8, 3.0]
    assert "thick slices" in why
    alike = replace(known, spacings=tuple((0.8, 0.8, z / 5) for _, _, z in steps))
    assert target_spacing(alike)[0] == [0.8, 0.8, 1.0]


def test_ct_is_known_by_its_values() -> None:
    plan = values(make_plan(data((64, 64, 64), intensity=((-1024.0, -1000.0, 800.0, 3000.0),)), BUDGET))
    assert (plan["data.modality"], plan["data.normalize"], plan["augment.bias"]) == ("ct", "window", 0.0)


def test_slices_are_a_network_without_a_third_axis() -> None:
    known = data((128, 128, 20), (0.7, 0.7, 5.0))
    plan = values(make_plan(known, BUDGET, configuration="slices"))
    assert (plan["data.size"], plan["data.patches_per_case"]) == ([128, 128, 1], 8)
    assert all(stride[2] == 1 for stride in plan["model.strides"][1:])
    assert all(kernel[2] == 1 for kernel in plan["model.kernels"])
    assert any("configuration=slices" in note for note in make_plan(known, BUDGET).notes)
    with pytest.raises(ConfigError, match="a configuration of other data"):
        make_plan(data((64, 64)), BUDGET, configuration="slices")


def test_hours_that_are_few_make_patches_smaller() -> None:
    known = data((512, 512, 450), (0.8, 0.8, 1.0), cases=130, modality="ct")
    sizes = [values(make_plan(known, Budget(hours, 16)))["data.size"] for hours in (2, 8, 400)]
    assert sizes[0] == [64, 64, 64]
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[2][0] > 128


def test_a_first_stage_goes_before_a_patch_that_covers_less_than_a_quarter() -> None:
    known, budget = data((512, 512, 128), (0.8, 0.8, 3.0)), Budget(8, 4)
    full = make_plan(known, budget)
    assert full.covered < 0.02
    coarse, why = first_stage(known, budget, {"data.spacing": [0.8, 0.8, 3.0], "model.width": 16}, full)
    assert coarse is not None
    assert "goes before a fine one" in why
    found = values(coarse)
    x, y, z = found["data.spacing"]
    median = np.array([512 * 0.8 / x, 512 * 0.8 / y, 128 * 3 / z]).round()
    assert 0.25 <= coarse.covered == pytest.approx(np.minimum(np.array(found["data.size"]) / median, 1).prod())
    assert x == y
    assert 1 < z / x <= 2.1, "fine axes were made coarser first"
    assert found["model.width" if "model.width" in found else "model.widths"] in (16, [16, 32, 64, 128, 256])
    finer = [step / 1.03**2 for step in found["data.spacing"]]
    assert make_plan(known, budget, {}, None, None, (finer, "")).covered < 0.25, "the finest that does"


def test_why_there_is_no_first_stage() -> None:
    whole = data((64, 64, 64))
    plan, why = first_stage(whole, BUDGET, {}, make_plan(whole, BUDGET))
    assert plan is None
    assert "covers 100% of the median volume" in why
    given = {"data.size": [64, 64, 64]}
    near = data((104, 104, 104))
    full = make_plan(near, BUDGET, given)
    assert full.covered < 0.25
    plan, why = first_stage(near, BUDGET, given, full)
    assert plan is None
    assert "times fewer voxels, and see little more" in why
    flat = data((64, 64))
    assert first_stage(flat, BUDGET, {}, make_plan(flat, BUDGET)) == (None, "")


def test_what_is_given_goes_before_the_rules_and_the_rest_follows() -> None:
    given = {"data.size": [32, 32, 32], "trainer.epochs": 7}
    plan = make_plan(data((64, 64, 64)), BUDGET, given)
    found = values(plan)
    assert (found["data.size"], found["data.resize_mode"], found["trainer.epochs"]) == ([32, 32, 32], "patch", 7)
    assert found["model.depth"] == 3
    reason = next(one.reason for one in plan.choices if one.key == "data.size")
    assert reason.startswith("as given; the plan's own would be [64, 64, 64]")
    short = values(make_plan(data((64, 64, 64)), BUDGET, {"trainer.epochs": 1}))
    assert (short["trainer.epochs"], short["schedule.warmup_epochs"]) == (1, 0), "a warm-up of it all is refused"


def test_what_does_not_fit_is_refused_with_the_nearest_that_does() -> None:
    with pytest.raises(ConfigError) as refused:
        make_plan(data((256, 256, 256)), Budget(2, 4), {"data.size": [256, 256, 256]})
    nearest = [int(n) for n in refused.value.remedy.split("data.size=[")[1].split("]")[0].split(",")]
    make_plan(data((256, 256, 256)), Budget(2, 4), {"data.size": nearest})
    more = float(refused.value.remedy.split("budget.memory_gb=")[1])
    make_plan(data((256, 256, 256)), Budget(2, more), {"data.size": [256, 256, 256]})


def test_a_plan_is_the_same_each_time_and_every_value_has_a_reason() -> None:
    known = data((120, 130, 60), (1.0, 1.0, 2.5))
    assert make_plan(known, BUDGET) == make_plan(known, BUDGET)
    assert all(one.reason for one in make_plan(known, BUDGET).choices)


@pytest.mark.parametrize(
    ("size", "steps", "multiple"),
    [
        ((48, 64, 48), (1, 1, 1), (8, 8, 8)),
        ((256, 256, 1), (1, 1, 1), (32, 32, 1)),  # one slice: nnU-Net #2809, #1587
        ((360, 480), (1, 1), (32, 32)),  # 512 channels are the most
        ((7, 7, 7), (1, 1, 1), (1, 1, 1)),  # too small to halve: nnU-Net #1583
        ((16, 512, 512), (1, 1, 1), (4, 32, 32)),
        ((200, 20, 200), (0.5, 4.0, 0.5), (32, 4, 32)),  # thick along the second axis
    ],
)
def test_an_axis_is_halved_while_it_has_positions_left(size: Any, steps: Any, multiple: Any) -> None:
    assert network_for(size, steps, 16).multiple == multiple


# What planners of nnU-Net have failed on: MIC-DKFZ/nnUNet by number.
TRIPPED = {
    "#2809, volumes of one slice": data((1500, 1960, 1), (1.0, 1.0, 999.0)),
    "#1587, images as volumes of one slice": data((256, 256, 1)),
    "#1583, nothing that can be halved": data((7, 7, 7), cases=5),
    "#538, two coarse axes": data((200, 30, 30), (0.5, 4.0, 4.0)),
    "#2092, images of an odd size": data((575, 575), channels=3, cases=1145),
    "#986, images of a large camera": data((2464, 3280), channels=3, cases=130),
    "#297, long and thin": data((40, 1999, 1026), (1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize("known", TRIPPED.values(), ids=list(TRIPPED))
def test_what_has_tripped_others_gives_a_config_that_can_be_trained(known: Fingerprint) -> None:
    plan = make_plan(known, BUDGET)
    source = ["data=nifti"] if known.rank == 3 else ["data=image_folder"]
    config = load_config(composed_config([*source, "data.root=somewhere", *words_of(plan.choices)]))
    card = config.data_config
    assert all(0 < side <= max(known.largest_shape) + 64 for side in card.size)
    assert make_plan(known, BUDGET).choices == plan.choices


def test_folds_that_the_data_bring_or_somebody_says_are_those_of_the_sweep() -> None:
    own = make_plan(data((64, 64, 64), own_folds=3, own_split=True), BUDGET)
    assert (own.sweep[:2], values(own)["data.folds"]) == (("data.fold", (0, 1, 2)), 3)
    assert make_plan(data((64, 64, 64)), BUDGET, {"data.fold": 2}).sweep[:2] == ("data.fold", (2,))


def test_epochs_step_down_to_one_of_a_ladder() -> None:
    assert [epochs_within(n) for n in (4.9, 5, 27.5, 29, 5000)] == [None, 5, 25, 25, 1000]
