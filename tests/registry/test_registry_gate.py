"""The gate: thresholds, and the champion case by case, whichever way is better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglab.comparison.case_tables import CaseTable, read_table
from seglab.errors import ConfigError
from seglab.registry.gate import Contender, Gate, GateRule, check, load_gate

RULE = GateRule(metric="test_dice", direction="higher", threshold=0.5, not_worse_than_champion=True)
GATE = Gate(rules=[RULE], allowed_findings=False)


def table(*values: float, column: str = "dice") -> CaseTable:
    ids = [f"case{i}" for i in range(len(values))]
    return CaseTable(ids, ids, {column: np.array(values)})


def contender(
    metrics: dict[str, float], cases: CaseTable | None = None, file: str = "test_cases.csv", **tags: str
) -> Contender:
    return Contender(metrics, {"split_digest": "s", "data_digest": "d", **tags}, {} if cases is None else {file: cases})


@pytest.mark.parametrize(
    ("direction", "value", "passed"),
    [
        ("higher", 0.5, True),
        ("higher", 0.499, False),
        ("higher", 0.49999, False),
        ("lower", 0.5, True),
        ("lower", 0.501, False),
    ],
)
def test_a_threshold_is_met_from_its_good_side(direction: str, value: float, passed: bool) -> None:
    gate = Gate.model_validate(
        {
            "rules": [{"metric": "test_dice", "direction": direction, "threshold": 0.5}],
            "allowed_findings": True,
        }
    )
    [found] = check(gate, contender({"test_dice": value}), None)
    assert (found.passed, float(found.found)) == (passed, value)


def test_a_metric_that_is_missing_or_undefined_fails() -> None:
    for metrics, found in (({}, "no such metric"), ({"test_dice": float("nan")}, "not a number")):
        first = check(GATE, contender(metrics), None)[0]
        assert (first.passed, first.found) == (False, found)


def test_the_champion_is_compared_case_by_case() -> None:
    champion = contender({}, table(0.8, 0.7, 0.9, 0.6))
    better = check(GATE, contender({"test_dice": 0.8}, table(0.81, 0.72, 0.91, 0.62)), champion)[1]
    assert better.passed
    # +0.01 +0.02 +0.01 +0.02 over four cases.
    assert better.found.startswith("+0.0150 [")
    assert better.found.endswith("over 4 cases")
    worse = check(GATE, contender({"test_dice": 0.8}, table(0.79, 0.68, 0.89, 0.58)), champion)[1]
    assert not worse.passed
    unclear = check(GATE, contender({"test_dice": 0.8}, table(0.7, 0.8, 0.8, 0.65)), champion)[1]
    assert unclear.passed


def test_false_alarms_do_not_beat_a_champion_that_is_silent_where_nothing_is() -> None:
    truth = np.array([9.0] * 10 + [0.0] * 20)
    dice = 0.8 + 0.01 * np.arange(10)

    def scored(blanks: float, predicted: float, gain: float) -> CaseTable:
        ids = [f"case{i}" for i in range(30)]
        scores = {"dice": np.concatenate([dice + gain, np.full(20, blanks)])}
        return CaseTable(ids, ids, scores, {"object": truth}, {"object": np.where(truth > 0, 9.0, predicted)})

    champion = contender({}, scored(np.nan, 0, 0.0))
    found = check(GATE, contender({"test_dice": 0.9}, scored(0.0, 1, 0.001)), champion)[1]
    assert not found.passed
    # 10 cases a thousandth better, 20 that count 0 against 1
    assert found.found.startswith(f"{(10 * 0.001 - 20) / 30:+.4f} [")
    assert found.found.endswith("over 30 cases")


def test_a_distance_that_misses_cases_is_no_criterion() -> None:
    rule = GateRule(metric="eval_test_hd95_nonempty", direction="lower", threshold=9.0, not_worse_than_champion=True)
    gate = Gate(rules=[rule], allowed_findings=False)
    file = "evaluation/test/cases.csv"
    champion = contender({}, table(4.0, 6.0, 5.0, 28.0, column="hd95_nonempty"), file)
    run = contender({rule.metric: 5.0}, table(3.0, 5.0, 4.0, np.nan, column="hd95_nonempty"), file)
    found = check(gate, run, champion)[1]
    assert not found.passed
    assert "defined on different cases" in found.found


def test_of_a_distance_less_is_better() -> None:
    rule = GateRule(metric="eval_test_hd95_nonempty", direction="lower", threshold=9.0, not_worse_than_champion=True)
    gate = Gate(rules=[rule], allowed_findings=False)
    file = "evaluation/test/cases.csv"
    assert gate.tables == [file]

    def held(*distances: float) -> bool:
        champion = contender({}, table(4.0, 6.0, 5.0, 8.0, column="hd95_nonempty"), file)
        run = contender({rule.metric: 5.0}, table(*distances, column="hd95_nonempty"), file)
        return check(gate, run, champion)[1].passed

    assert held(3.5, 5.0, 4.6, 7.1)  # significantly less, which by its size alone would look like a loss
    assert not held(4.9, 6.8, 5.9, 8.8)
    assert held(4.9, 5.1, 5.9, 7.1)


def test_a_volume_error_counts_by_its_size(tmp_path: Path) -> None:
    rule = GateRule(metric="eval_val_volume_error/cell", direction="lower", threshold=0.2, not_worse_than_champion=True)
    gate = Gate(rules=[rule], allowed_findings=False)

    def scored(*errors: float) -> Contender:
        """As `evaluate.py` writes it, and as it is read."""
        lines = [f"case{i},g,{error}" for i, error in enumerate(errors)]
        (tmp_path / "cases.csv").write_text("\n".join(["id,group,volume_error/cell", *lines]))
        means = {rule.metric: float(np.mean(errors)), "eval_val_volume_error_abs/cell": float(np.mean(np.abs(errors)))}
        return contender(means, read_table(tmp_path / "cases.csv"), "evaluation/val/cases.csv")

    champion = scored(0.1, -0.1, 0.12, -0.08)
    # The mean with its sign is 0.0 here, and far below the champion's where all is missed.
    assert [each.passed for each in check(gate, scored(0.9, -0.9, 0.8, -0.8), champion)] == [False, False, True]
    assert [each.passed for each in check(gate, scored(-0.9, -0.8, -0.9, -0.8), champion)] == [False, False, True]
    assert [each.passed for each in check(gate, scored(-0.05, 0.05, -0.06, 0.04), champion)] == [True, True, True]


def test_what_cannot_be_paired_fails() -> None:
    champion = contender({}, table(0.8, 0.7))
    for other, word in (
        (contender({}, table(0.8, 0.7), split_digest="t"), "another split"),
        (contender({}, table(0.8, 0.7), data_digest="e"), "other data"),
        (contender({}), "the run without a table test_cases.csv"),
        (contender({}, CaseTable(["x"], ["x"], {"dice": np.array([0.5])})), "no case"),
    ):
        found = check(GATE, other, champion)[1]
        assert not found.passed
        assert word in found.found


def test_allowed_findings_keep_a_run_out_unless_the_gate_says_so() -> None:
    run = contender({"test_dice": 0.9}, data_allowed="group-in-two-splits")
    assert [each.passed for each in check(GATE, run, None)] == [True, False]
    lenient = GATE.model_copy(update={"allowed_findings": True})
    assert [each.passed for each in check(lenient, run, None)] == [True]


def test_gates_are_files_and_bad_ones_are_named(tmp_path: Path) -> None:
    assert load_gate("default").rules[0].metric == "test_dice"
    with pytest.raises(ConfigError, match="no gate of this name") as caught:
        load_gate("defualt")
    assert "did you mean 'default'" in str(caught.value)
    assert load_gate("default").tables == ["test_cases.csv"]
    (tmp_path / "bad.yaml").write_text("rules: [{metric: test_dice, direction: up, threshold: 0.5}]\n")
    with pytest.raises(ConfigError, match="invalid gate file") as caught:
        load_gate("bad", tmp_path)
    assert "direction" in str(caught.value)
    rule = "{metric: val_dice, direction: higher, threshold: 0.5, not_worse_than_champion: true}"
    (tmp_path / "curve.yaml").write_text(f"rules: [{rule}]\nallowed_findings: false\n")
    with pytest.raises(ConfigError, match="invalid gate file") as caught:
        load_gate("curve", tmp_path)
    assert "val_dice" in str(caught.value)


@pytest.mark.parametrize("asked", ["test_dice/печень", "test_dice/<5mm", "test_dice/_5mm"])
def test_a_class_is_asked_for_by_its_name_and_as_the_store_spells_it(asked: str) -> None:
    rule = GateRule(metric=asked, direction="higher", threshold=0.5, not_worse_than_champion=True)
    stored = {"test_dice/печень": 0.9, "test_dice/_5mm": 0.8}
    name = "<5mm" if "5mm" in asked else "печень"
    run = contender(stored, table(0.9, 0.8, 0.85, column=f"dice/{name}"))
    assert [each.passed for each in check(Gate(rules=[rule], allowed_findings=False), run, run)] == [True] * 3
