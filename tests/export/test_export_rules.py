"""The rules of an export in numbers: which cases calibrate, what may differ, what a bill of materials holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.preprocessing.intensity_stats import IntensityStats
from seglab.export.accuracy import accuracy, check, failures, limits_of, only_rounded
from seglab.export.calibration_inputs import choose
from seglab.export.examining import CaseComparison, compare_logits
from seglab.export.export_targets import ExportRefused, Target, targets_of
from seglab.export.folder import ANSWER, GIVEN, IMAGE, MANIFEST, MASK, write_json
from seglab.export.inventory import bill_of_materials
from seglab.export.proving import from_exact
from seglab.inference.reference_data import fingerprint
from seglab.task import Task

TASK = Task(2, 1, ("background", "a", "b"))


def test_every_class_has_its_turn_in_the_calibration_the_rarest_first() -> None:
    classes = [frozenset({0, 1})] * 30 + [frozenset({0, 2})] * 2 + [frozenset()] * 3
    chosen = choose(classes, 6)
    assert {30, 31} <= set(chosen)
    assert len(chosen) == len(set(chosen)) == 6
    assert not set(chosen) & {32, 33, 34}
    assert choose(classes, 6) == chosen
    assert choose(classes, 1) in ([30], [31])
    assert choose(classes, 99) == list(range(35))


def answer(confusion: list[list[int]], **change: float) -> CaseComparison:
    pixels = int(np.sum(confusion))
    return replace(CaseComparison(confusion, 0, pixels, 1e-6, 0, pixels, 0.0), **change)


GOOD = [[900, 0, 0], [0, 60, 0], [0, 0, 40]]
WORSE = [[900, 0, 0], [0, 60, 0], [0, 1, 39]]


def test_scores_stand_beside_the_reference_with_their_interval() -> None:
    found = accuracy([answer(GOOD), answer(WORSE)], [np.array(GOOD)] * 2, [None, None], TASK)
    row = found["dice"]["b"]
    assert (row["reference"], row["cases"]) == (1.0, 2)
    assert row["difference"] == pytest.approx((2 * 39 / 79 - 1) / 2)
    assert row["low"] < row["difference"] < row["high"]
    a = 2 * 60 / 121
    assert found["dice"]["mean"]["target"] == pytest.approx((1 + (a + 2 * 39 / 79) / 2) / 2)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_class_that_nobody_has_is_no_difference() -> None:
    without = [[900, 0, 0], [0, 100, 0], [0, 0, 0]]
    found = accuracy([answer(without)], [np.array(without)], [None], TASK)
    assert found["dice"]["b"] == {
        "reference": None,
        "target": None,
        "difference": None,
        "low": None,
        "high": None,
        "cases": 0,
    }
    assert found["dice"]["a"]["difference"] == 0
    assert failures(found, limits_of(Target("openvino", "int8")), TASK) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logit": 2e-4}, "a logit differs"),
        ({"logit": float("nan")}, "a logit differs"),
        ({"label_differs": 2}, "2 of 1000 pixels get another class"),
        ({"label_differs": 1, "labels": 100_000, "margin": 2e-3}, "at a margin of 0.002"),
        ({"mask_differs": 2}, "2 of 1000 pixels of the masks differ"),
    ],
)
def test_float32_is_held_to_its_logits(change: dict, message: str) -> None:
    target = Target("onnx", "float32")
    check(target, accuracy([answer(GOOD)], [np.array(GOOD)], [None], TASK), limits_of(target), TASK)
    with pytest.raises(ExportRefused, match=message) as caught:
        check(target, accuracy([answer(GOOD, **change)], [np.array(GOOD)], [None], TASK), limits_of(target), TASK)
    assert "onnx-float32" in str(caught.value)


def test_a_logit_that_float32_itself_rounds_by_more_is_held_to_the_exact_one() -> None:
    target = Target("openvino", "float32")
    found = accuracy([answer(GOOD, logit=1.5e-4)], [np.array(GOOD)], [None], TASK)
    assert len(failures(found, limits_of(target), TASK)) == 1
    near = found | {"exact": {"target": 8e-5, "reference": 9e-5}}
    assert failures(near, limits_of(target), TASK) == []
    far = found | {"exact": {"target": 4.1e-5, "reference": 1e-5}}
    assert failures(far, limits_of(target), TASK) == [
        "a logit differs by 0.00015, more than 0.0001",
        "it is 4.1e-05 from the exact one, and the trained model in float32 1e-05",
    ]
    for value in (float("nan"), float("inf"), 9e-4):
        assert len(failures(near | {"exact": {"target": value, "reference": value / 3}}, limits_of(target), TASK)) == 2
    for value in (float("nan"), float("inf")):
        assert len(failures(near | {"exact": {"target": value, "reference": 1e-5}}, limits_of(target), TASK)) == 2


class Summing:
    """Stands for a network whose logits are exactly 1: in float32 the trained one, and a target, are off by so much."""

    def __init__(self, off: float):
        self.off, self.network = off, self
        self.predictor, self.example_spacing = self, None

    def exact_logits(self, window: np.ndarray) -> np.ndarray:
        return np.ones((1, 2, 2, 3))

    def logits(self, window: np.ndarray) -> np.ndarray:
        return np.full((1, 2, 2, 3), 1 + self.off, np.float32)

    def answer(self, file: Path) -> CaseComparison:
        with np.load(file) as case:
            largest = compare_logits(self.logits(case["window"]), case["logits"], TASK)[0]
        return CaseComparison(GOOD, 0, 1000, largest, 0, 1000, 0.0)


@pytest.mark.parametrize(
    ("trained", "target", "worst", "verdict"),
    [
        (3e-5, -3e-5, 6e-5, None),  # within the rule: nobody computes the exact one
        (9e-5, -9e-5, 1.8e-4, True),
        (1e-5, -1.2e-4, 1.3e-4, False),  # the target is what is off
    ],
)
def test_what_is_exact_is_computed_where_the_rule_is_broken(
    trained: float, target: float, worst: float, verdict: bool | None, tmp_path: Path
) -> None:
    reference, window = Summing(trained), np.zeros((1, 2, 2, 3), np.float32)
    arrays = {IMAGE: window[0], GIVEN: window, ANSWER: reference.logits(window), MASK: np.zeros((2, 2), np.uint8)}
    for name, array in arrays.items():
        np.save(tmp_path / name, array)
    write_json(tmp_path / MANIFEST, {"target": {"name": "openvino-float32"}})
    found = from_exact(reference, Summing(target), tmp_path, tmp_path, (worst, window))
    manifest = json.loads((tmp_path / MANIFEST).read_text())["target"]
    if verdict is None:
        assert found == {}
        return
    assert found == {"target": pytest.approx(abs(target), rel=1e-2), "reference": pytest.approx(trained, rel=1e-2)}
    assert only_rounded(found) is verdict
    expected = {"logit": pytest.approx(trained + abs(target), rel=1e-2)} if verdict else {}
    assert manifest == {"name": "openvino-float32", **expected}


def test_int8_is_held_to_its_dice_unless_somebody_lets_it_through() -> None:
    target = Target("openvino", "int8")
    found = accuracy([answer(WORSE, logit=0.3)], [np.array(GOOD)], [None], TASK)
    reasons = failures(found, limits_of(target), TASK)
    assert len(reasons) == 2  # the mean, and b; a loses 0.0083, which is allowed to a class
    assert "the Dice of b falls from 1.0000 to 0.9873, by more than 0.01" in reasons[1]
    assert failures(found, limits_of(target, allow_drop=0.02), TASK) == []


def test_margins_are_those_of_the_reference() -> None:
    reference = np.array([[[3.0, 1.0, 0.0], [1.0, 1.0005, 0.0]]], np.float32)
    found = reference + np.array([[[0, 0, 0], [0.001, 0, 0]]], np.float32)
    largest, other, labels, margin = compare_logits(found, reference, TASK)
    assert (other, labels) == (1, 2)
    assert largest == pytest.approx(1e-3, rel=1e-3)
    assert margin == pytest.approx(5e-4, rel=1e-3)
    binary = Task(2, 1, ("background", "object"))
    one = np.array([[[0.1], [-0.2]]], np.float32)
    assert compare_logits(one + 0.15, one, binary)[1] == 0
    assert compare_logits(one + 0.25, one, binary)[1:] == (1, 2, pytest.approx(0.2))
    assert compare_logits(one + 0.25, one, binary, threshold=0.9)[1] == 0  # log-odds 2.2


def test_targets_are_every_format_in_every_precision_it_is_offered_in() -> None:
    names = [one.name for one in targets_of(["openvino", "onnx", "onnx"], ["float32", "int8"], "logits")]
    assert names == ["openvino-float32", "openvino-int8", "onnx-float32"]


def test_a_bill_of_materials_is_cyclonedx_and_always_the_same() -> None:
    files = {"model.onnx": "ab" * 32}
    made = bill_of_materials("onnx-float32", {".": files}, "onnx", False, "unet")
    assert made == bill_of_materials("onnx-float32", {".": files}, "onnx", False, "unet")
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    model = made["metadata"]["component"]
    (file,) = model["components"]
    assert (file["name"], file["hashes"]) == ("model.onnx", [{"alg": "SHA-256", "content": "ab" * 32}])
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "unet"
    references = {one["bom-ref"] for one in made["components"]}
    assert set(made["dependencies"][0]["dependsOn"]) == references
    scopes = {one["name"]: one["scope"] for one in made["components"]}
    assert (scopes["onnxruntime"], scopes["tensorflow"]) == ("required", "excluded")


def test_a_bill_of_materials_names_every_file_of_every_network() -> None:
    second = {"model.xml": "aa" * 32, "model.bin": "bb" * 32}
    first = {"model.xml": "aa" * 32, "model.bin": "cc" * 32}
    made = bill_of_materials("openvino-float32", {".": second, "first_stage": first}, "openvino", False)
    answering, (other, *packages) = made["metadata"]["component"], made["components"]
    assert other["name"] == "openvino-float32/first_stage"
    for one, files in ((answering, second), (other, first)):
        assert one["type"] == "machine-learning-model"
        assert {part["name"]: part["hashes"][0]["content"] for part in one["components"]} == files
    assert answering["version"] != other["version"], "of other weights"
    needed = [one["bom-ref"] for one in packages]
    assert made["dependencies"] == [
        {"ref": answering["bom-ref"], "dependsOn": [other["bom-ref"], *needed]},
        {"ref": other["bom-ref"], "dependsOn": needed},
    ]
    retrained = bill_of_materials("openvino-float32", {".": first}, "openvino", False)
    assert (
        retrained["serialNumber"]
        != bill_of_materials("openvino-float32", {".": second}, "openvino", False)["serialNumber"]
    )


def test_a_fingerprint_tells_the_spread_of_the_cases_and_none_of_them() -> None:
    facts = [
        CaseFingerprint(
            (8 + n, 8),
            "uint8",
            (1.0, 1.0),
            (60, 4 * n),
            0,
            IntensityStats((0,), (255,), (10.0 * n,), (5,), (1,), (250,), (10.0 * n,), (5,)),
            "h",
            0,
            "",
        )
        for n in range(1, 6)
    ]
    found = fingerprint(facts)
    assert found["cases"] == 5
    assert found["mean"] == [[10.0, 12.0, 20.0, 30.0, 40.0, 48.0, 50.0]]
    assert found["side"][0][3] == 11
    assert found["class_share"][1][0] == pytest.approx(4 / 64)
    assert fingerprint([]) == {}
