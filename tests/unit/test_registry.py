"""From a run to a champion: the gate, the register, the log, the card; and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import keras
import numpy as np
import pandas as pd
import pytest
import toys
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mounts import needs_mounts, small, within

from seglab.comparison.tables import CaseTable
from seglab.data.preprocess import Preprocessing
from seglab.errors import ConfigError, TrackingError
from seglab.inference.bundle import Bundle, save_bundle
from seglab.registry import promotion
from seglab.registry.gate import Contender, Gate, Rule, check, load_gate
from seglab.registry.promotion import CARD, LOG_FILE, promote, rollback
from seglab.task import Task
from seglab.tracking.bundles import find_bundle
from seglab.tracking.store import Store, open_store
from seglab.tracking.tracker import Tracker

ROOT = Path(__file__).parents[2]
TASK = Task(2, 1, ("background", "cell"), class_frequencies=(0.9, 0.1))
GATE = Gate(
    rules=[Rule(metric="test_dice", direction="higher", threshold=0.5)],
    not_worse_than_champion="dice",
    allowed_findings=False,
)


def table(*dice: float) -> CaseTable:
    ids = [f"case{i}" for i in range(len(dice))]
    return CaseTable(ids, ids, {"dice": np.array(dice)})


def contender(metrics: dict[str, float], cases: CaseTable | None = None, **tags: str) -> Contender:
    return Contender(metrics, {"split_digest": "s", **tags}, cases)


@pytest.mark.parametrize(
    ("direction", "value", "passed"),
    [("higher", 0.5, True), ("higher", 0.499, False), ("lower", 0.5, True), ("lower", 0.501, False)],
)
def test_a_threshold_is_met_from_its_good_side(direction: str, value: float, passed: bool) -> None:
    gate = Gate.model_validate(
        {
            "rules": [{"metric": "test_dice", "direction": direction, "threshold": 0.5}],
            "not_worse_than_champion": None,
            "allowed_findings": True,
        }
    )
    assert [each.passed for each in check(gate, contender({"test_dice": value}), None)] == [passed]


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


def test_what_cannot_be_paired_fails() -> None:
    champion = contender({}, table(0.8, 0.7))
    for other, word in (
        (contender({}, table(0.8, 0.7), split_digest="t"), "another split"),
        (contender({}), "without a table"),
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
    (tmp_path / "bad.yaml").write_text("rules: [{metric: test_dice, direction: up, threshold: 0.5}]\n")
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_gate("bad", tmp_path)
    assert "direction" in str(caught.value)


def made_bundle(folder: Path, task: Task = TASK) -> Path:
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(task.logit_channels, 1)(inputs))
    return save_bundle(
        folder, model, Bundle(task, Preprocessing("scale", 1, 255.0), (8, 8), "resize", split_digest="s")
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(None, toys.fresh_store(tmp_path / "mlruns"))


def trained(store: Store, bundle: Path | None, *dice: float, names: tuple[str, ...] = TASK.class_names) -> str:
    """A finished run with these scores of its test cases."""
    columns = {"id": [f"{i:03d}" for i in range(len(dice))], "group": "g", "dice": dice, "iou": dice}
    for name in names:
        columns |= {f"dice/{name}": dice, f"iou/{name}": dice}
    tags = {"split_digest": "s", "data_digest": "d", "seed": "1", "git_commit": "c0ffee"}
    params = {"loss": {"name": "DiceLoss"}, "data": {"name": "Cells"}}
    with Tracker(toys.tracking(), store.directory, run_name="UNet", params=params, tags=tags) as tracked:
        tracked.emit({"test_dice": float(np.mean(dice))}, 1)
        tracked.log_table(pd.DataFrame(columns), "test_cases.csv")
        if bundle is not None:
            example = np.zeros((1, 8, 8, 1), np.float32)
            tracked.log_bundle(bundle, example=example, prediction=np.zeros((1, 8, 8), np.uint8))
    return tracked.run_id


def log(store: Store) -> list[dict[str, object]]:
    return [json.loads(line) for line in (store.directory / LOG_FILE).read_text().splitlines()]


def test_promotion_moves_the_alias_and_rollback_moves_it_back(store: Store, bundle: Path) -> None:
    first, second = trained(store, bundle, 0.6, 0.7, 0.65), trained(store, bundle, 0.7, 0.8, 0.75)
    done = promote(store, store.run(first), "cells", GATE, reason="the first")
    assert (done.passed, done.version, done.former) == (True, "1", None)
    done = promote(store, store.run(second), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "2", "1")
    version = store.client.get_model_version_by_alias
    assert (version("cells", "champion").run_id, version("cells", "previous").run_id) == (second, first)
    # The champion is loadable, and has its card beside the weights.
    folder = find_bundle("models:/cells@champion", store.uri, store.directory)
    card = next(folder.parents[1].rglob(CARD)).read_text()
    assert "| cell | 0.750 [" in card
    assert second in card
    assert "Lowest Dice: 000 (0.700)" in card
    assert version("cells", "champion").description.startswith("# Model card: cells")
    assert rollback(store, "cells", reason="complaints") == ("1", "2")
    assert (version("cells", "champion").run_id, version("cells", "previous").run_id) == (first, second)
    assert [(line["action"], line["run"], line["reason"]) for line in log(store)] == [
        ("promote", first, "the first"),
        ("promote", second, ""),
        ("rollback", first, "complaints"),
    ]
    assert log(store)[0]["scores"] == {"test_dice": pytest.approx(0.65)}


def test_a_rejected_run_changes_nothing_but_its_tags_and_the_log(store: Store, bundle: Path) -> None:
    good, bad = trained(store, bundle, 0.9, 0.9, 0.9), trained(store, bundle, 0.6, 0.7, 0.6)
    promote(store, store.run(good), "cells", GATE)
    done = promote(store, store.run(bad), "cells", GATE)
    assert (done.passed, done.version) == (False, None)
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == good
    assert len(store.client.search_model_versions("name = 'cells'")) == 1
    assert store.run(bad).data.tags["promotion"] == "REJECTED"
    assert "FAILED: dice not significantly worse" in store.run(bad).data.tags["promotion_reasons"]
    assert store.run(good).data.tags["promotion"] == "VALIDATED"
    assert [line["action"] for line in log(store)] == ["promote", "reject"]


def test_promoting_the_champion_again_keeps_its_version_and_the_previous(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    promote(store, store.run(run), "cells", GATE)
    done = promote(store, store.run(run), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "1", "1")
    with pytest.raises(TrackingError, match="nothing to roll back to"):
        rollback(store, "cells")


def test_a_run_without_a_model_is_refused(store: Store) -> None:
    run = trained(store, None, 0.9, 0.9)
    with pytest.raises(TrackingError, match="no model bundle"):
        promote(store, store.run(run), "cells", GATE)
    store.client.update_run(run, status="FAILED")
    with pytest.raises(TrackingError, match="only a finished run"):
        promote(store, store.run(run), "cells", GATE)


@pytest.mark.parametrize("names", [("cell", "background"), ("background", "cell", "wall"), ("background", "nucleus")])
def test_a_model_of_other_classes_does_not_take_the_name_over(
    store: Store, bundle: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    first = trained(store, bundle, 0.6, 0.7)
    promote(store, store.run(first), "cells", GATE)
    other = trained(store, made_bundle(tmp_path / "other", Task(2, 1, names)), 0.9, 0.9, names=names)
    done = promote(store, store.run(other), "cells", GATE)
    assert not done.passed
    assert [str(each) for each in done.checks if not each.passed] == [
        f"FAILED: channels and classes are the champion's (found 2D, 1 channel(s), {', '.join(names)})"
    ]
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == first
    assert promote(store, store.run(other), "others", GATE).passed


def test_a_champion_whose_files_are_gone_can_be_replaced(store: Store, bundle: Path) -> None:
    first, second = trained(store, bundle, 0.6, 0.7), trained(store, bundle, 0.7, 0.8)
    promote(store, store.run(first), "cells", GATE)
    shutil.rmtree(find_bundle(first, store.uri, store.directory))
    done = promote(store, store.run(second), "cells", GATE)
    assert done.passed
    assert "the champion has a model bundle that is gone" in done.checks[-1].found


def test_a_run_whose_table_of_cases_is_gone_registers_nothing(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    Path(store.run(run).info.artifact_uri.removeprefix("file://"), "test_cases.csv").unlink()
    with pytest.raises(TrackingError, match=r"no test_cases\.csv"):
        promote(store, store.run(run), "cells", GATE)
    assert not store.client.search_registered_models()
    assert not (store.directory / LOG_FILE).exists()


def test_a_table_of_cases_of_other_classes_registers_nothing(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9, names=("background", "nucleus"))
    with pytest.raises(TrackingError, match="does not fit its model") as caught:
        promote(store, store.run(run), "cells", GATE)
    assert "no dice/cell" in str(caught.value)
    assert not store.client.search_registered_models()


def test_a_register_that_does_not_answer_is_no_missing_champion(
    store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = trained(store, bundle, 0.9, 0.9), trained(store, bundle, 0.6, 0.6)
    promote(store, store.run(first), "cells", GATE)

    def silent(name: str, alias: str) -> None:
        raise MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE)

    with monkeypatch.context() as patched:
        patched.setattr(store.client, "get_model_version_by_alias", silent)
        with pytest.raises(TrackingError, match="does not say who the champion is") as caught:
            promote(store, store.run(second), "cells", GATE)
    assert "database is locked" in str(caught.value)
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == first


def test_a_promotion_that_goes_on_for_ever_is_told(store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "_LOCK_SECONDS", 0.2)
    run = trained(store, bundle, 0.9, 0.9)
    with (
        filelock.FileLock(store.directory / ".promotion-cells.lock"),
        pytest.raises(TrackingError, match="another promotion of cells is under way"),
    ):
        promote(store, store.run(run), "cells", GATE)
    assert promote(store, store.run(run), "cells", GATE).passed


@needs_mounts
def test_a_full_disk_leaves_the_champion_and_promoting_again_ends_it(store: Store, bundle: Path) -> None:
    first, second = trained(store, bundle, 0.6, 0.7), trained(store, bundle, 0.8, 0.9)
    promote(store, store.run(first), "cells", GATE)
    place = Path(store.run(second).info.artifact_uri.removeprefix("file://"))
    picture = place / "pictures" / "test_worst.png"
    picture.parent.mkdir()
    picture.write_bytes(bytes(300_000))
    model_id = store.run(second).outputs.model_outputs[0].model_id
    weights = Path(store.client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    kept = shutil.copytree(weights, store.directory / "kept")
    # The folder of the weights on a disk with no room for the card.
    mount = f"{small(weights, '250k')} && cp -r {kept}/. {weights}"
    command = [sys.executable, str(ROOT / "scripts" / "promote.py"), f"run={second}", "name=cells"]
    code, said = within(mount, command, store.directory.parent)
    assert code == 2
    assert "error: the promotion could not be brought to its end" in said
    assert "No space left on device" in said
    assert "champion is version 1 as before" in said
    assert "Traceback" not in said
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == first
    done = promote(store, store.run(second), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "2", "1")


def test_a_moved_store_is_not_promoted_in(store: Store, bundle: Path, tmp_path: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    moved = open_store(None, store.directory.rename(tmp_path / "after"))
    with pytest.raises(TrackingError, match="a store that was moved"):
        promote(moved, moved.run(run), "cells", GATE)
    assert not store.directory.exists()


def test_two_promotions_at_once_both_count(store: Store, bundle: Path) -> None:
    runs = [trained(store, bundle, 0.8, 0.9, value) for value in (0.85, 0.86)]
    command = [sys.executable, str(ROOT / "scripts" / "promote.py"), "name=cells"]
    started = [
        subprocess.Popen(
            [*command, f"run={run}"],
            cwd=store.directory.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for run in runs
    ]
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    version = store.client.get_model_version_by_alias
    assert {version("cells", alias).run_id for alias in ("champion", "previous")} == set(runs)
    assert [line["action"] for line in log(store)] == ["promote", "promote"]
    assert all("VALIDATED" in text for text in said)


def test_the_command_says_what_it_needs(tmp_path: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / "promote.py"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    for words, told in (
        (["run=abc"], "name"),
        (["run=abc", "nmae=x"], "did you mean 'name'"),
        (["run=abc", "name=x", "gate=none"], "no gate of this name"),
        (["run=abc", "name=x"], "no run of this id"),
    ):
        done = call(*words)
        assert done.returncode == 2
        assert told in done.stderr
