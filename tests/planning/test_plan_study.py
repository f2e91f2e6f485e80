"""From files on a disk to a study that Hydra composes: written once, the same each time, and over nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hydra
import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from volumes import save

from seglab.cli.completion import completions
from seglab.cli.plan import read_words
from seglab.command import composed_config
from seglab.config.places import CONF
from seglab.config.run_config import load_config
from seglab.data.augment import Augment
from seglab.data.cases import Case
from seglab.data.splits import split_for
from seglab.errors import ConfigError, DataError
from seglab.planning import cascade_plans, planning
from seglab.planning.budget import Budget
from seglab.planning.dry_run import Measured
from seglab.planning.forecast import Forecast, check_memory, epochs_for
from seglab.planning.plan import Plan, make_plan
from seglab.planning.plan_printing import print_planned
from seglab.planning.planning import Planned, PlanRequest, given_in, plan_study, planning_split
from seglab.planning.study_files import MEASURED, check_name, measured_file, measured_in
from seglab.reports.study.study import load_study
from seglab.task import Task

TOOK = Measured(
    memory_mb=1500,
    begin_seconds=10.0,
    compile_seconds=5.0,
    step_seconds=0.5,
    val_seconds=0.25,
    end_seconds=3.0,
    case_seconds=0.1,
    steps=20,
    val_steps=4,
    test_cases=10,
    val_cases=5,
    parameters=1000,
    device="CPU",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve volumes of two scanners, each with two balls: 20 to 24 voxels a side, slices of 3 and of 4 mm."""
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    for number in range(12):
        shape = (24, 24, 20 + number % 3)
        label = np.zeros(shape, np.uint8)
        label[3:8, 3:8, 3:8] = 1
        label[12:17, 12:17, 10:15] = 1
        label[22, ::4, 18] = 1  # crumbs of a brush
        image = (rng.normal(100, 10, shape) + 80 * label).astype(np.int16)
        affine = np.diag([1.0, 1.0, 3.0 + number % 2, 1])
        save(folder / "images" / f"p{number // 2}_{number}.nii.gz", image, affine)
        save(folder / "labels" / f"p{number // 2}_{number}.nii.gz", label, affine)
    return folder


def planned(root: Path, studies: Path, *words: str, **changes: object) -> Planned:
    asked = PlanRequest(
        words=("data=nifti", f"data.root={root}", f"data.cache_dir={studies / 'cache'}", *words),
        budget=Budget(2.0, 8.0),
        name="scans",
        measure="never",
    )
    return plan_study(replace(asked, **changes), studies)  # type: ignore[arg-type]


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_data_are_planned_alike_and_nothing_is_written_over(root: Path, tmp_path: Path) -> None:
    first = planned(root, tmp_path)
    before = texts(first.folder)
    assert set(before) == {"study.yaml", "plan.md"}
    assert first.written
    again = planned(root, tmp_path)
    assert not again.written
    assert texts(again.folder) == before
    with pytest.raises(ConfigError, match=r"study\.yaml.*with other contents"):
        planned(root, tmp_path, "data.batch_size=3")
    assert texts(first.folder) == before
    assert planned(root, tmp_path, "data.batch_size=3", overwrite=True).plan.value("data.batch_size") == 3


def test_groups_and_patterns_that_were_given_are_those_of_the_study(root: Path, tmp_path: Path) -> None:
    plan = planned(root, tmp_path, r"data.group_pattern=^(p\d)_").plan
    assert plan.value("data.group_pattern") == r"^(p\d)_"
    assert plan.value("data.folds") == 5
    reason = next(one.reason for one in plan.choices if one.key == "data.folds")
    assert reason.startswith("12 cases in 6 groups")
    assert plan.value("data.spacing") == [1.0, 1.0, 3.0], "the 10% percentile along thick slices"


def test_a_setting_of_the_model_may_be_given_without_the_model(root: Path, tmp_path: Path) -> None:
    plan = planned(root, tmp_path, "model.dropout=0.1").plan
    assert (plan.value("model"), plan.value("model.dropout")) == ("dynunet", 0.1)


def test_a_cascade_is_planned_beside_a_patch_that_sees_too_little(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = planned(root, tmp_path, "data.size=[8,8,8]")
    (coarse, *_) = found.stages
    assert coarse.folder.name == "scans_lowres"
    assert found.plan.covered < 0.25 <= coarse.plan.covered
    assert any("goes before a fine one" in note for note in found.plan.notes)
    assert coarse.plan.value("data.spacing")[2] > found.plan.value("data.spacing")[2]
    assert coarse.plan.value("data.root") == found.plan.value("data.root")
    print_planned(found)
    steps = [line.strip() for line in capsys.readouterr().out.splitlines()[-4:]]
    assert [step.split("=", 1)[1].split()[0] for step in steps] == ["scans_lowres"] * 2 + ["scans_cascade"] * 2
    assert steps[1].endswith(f"masks={tmp_path / 'scans_lowres' / 'masks'}")
    whole = planned(root, tmp_path, name="whole")
    assert not whole.stages
    assert any("No cascade" in note for note in whole.plan.notes)


def test_both_stages_are_forecast_where_a_larger_patch_would_need_no_first_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[list[str]] = []
    monkeypatch.setattr(planning, "measured", lambda words: runs.append(words) or TOOK)
    found = planned(root, tmp_path, "data.size=[8,8,8]", measure="once")
    forecasts = [one.forecast for one in (found, *found.stages)]
    assert [one is not None and one.measured == TOOK for one in forecasts] == [True] * 3
    behind = [f"data.previous_stage={tmp_path / 'scans_lowres' / 'masks'}" in words for words in runs]
    assert behind == [False, False, True]
    # (7200 / 3 / 5 − 10 − 5 − 0.1 × 25) s for epochs of 11 s: 42, and the ladder has 40 below it.
    assert [one.plan.value("trainer.epochs") for one in (found, *found.stages)] == [40] * 3
    hours = sum(one.study_hours for one in forecasts if one is not None)
    assert 1.5 < hours < 2, "the three of them share the hours"


def test_the_note_of_a_cascade_has_the_patch_that_its_hours_leave(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_hours(known: Any, budget: Budget, given: dict[str, Any], *more: Any) -> Plan:
        return make_plan(known, budget, {**given, "data.size": [12 if budget.studies == 1 else 8] * 3}, *more)

    for module in (planning, cascade_plans):
        monkeypatch.setattr(module, "make_plan", by_hours)
    found = planned(root, tmp_path)
    assert found.stages
    (note,) = (note for note in found.plan.notes if "goes before a fine one" in note)
    assert f"Here a patch covers {100 * found.plan.covered:.3g}% of" in note


def test_a_dry_run_of_before_the_end_of_a_run_was_measured_is_still_read(tmp_path: Path) -> None:
    found = json.loads(measured_file("a", TOOK))
    del found["measured"]["end_seconds"]
    (tmp_path / MEASURED).write_text(json.dumps(found))
    assert measured_in(tmp_path) == replace(TOOK, end_seconds=0.0)


def test_hydra_composes_every_job_and_the_report_finds_the_question(root: Path, tmp_path: Path) -> None:
    folder = planned(root, tmp_path, r"data.group_pattern=^(p\d)_").folder
    study = load_study("scans", tmp_path)
    assert study.command == "seglab train -m experiment=scans"
    assert "segment label_1 in" in study.question
    words = ["experiment=scans", f"hydra.searchpath=[studies://{tmp_path}]"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        whole = hydra.compose("train", overrides=words, return_hydra_config=True)
        assert whole.hydra.sweeper.params == {"data.fold": "0,1,2,3,4"}
        parsed = OverridesParser.create().parse_override("data.fold=0,1,2,3,4")
        assert list(parsed.sweep_string_iterator()) == ["0", "1", "2", "3", "4"]
        config = load_config(hydra.compose("train", overrides=[*words, "data.fold=4"]))
    assert config.data.arguments["group_pattern"] == r"^(p\d)_"
    assert config.data_config.spacing == [1.0, 1.0, 3.0]
    comments = (folder / "study.yaml").read_text().splitlines()
    settings = [number for number, line in enumerate(comments) if line.startswith("  ") and ": " in line.lstrip("# ")]
    keys = [n for n in settings if not comments[n].lstrip().startswith("#")]
    assert all(comments[n - 1].lstrip().startswith("#") for n in keys), "each value below its reason"
    assert len((folder / "plan.md").read_text().split("\n| ")) > 25


def test_training_cases_alone_are_looked_at(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = planning.fingerprint_of

    def spy(source: object, split: object, facts: dict[str, object]) -> object:
        found = real(source, split, facts)  # type: ignore[arg-type]
        seen.append((found, split, facts))
        return found

    monkeypatch.setattr(planning, "fingerprint_of", spy)
    planned(root, tmp_path)
    (found, split, facts) = seen[0]
    assert set(facts) == set(split.train)
    assert len(split.train) == len(found.shapes) < found.cases == 12
    assert (found.classes[0].objects, found.classes[0].extent) == (2.0, (5.0, 5.0, 5.0))
    assert found.classes[0].share == pytest.approx(256 / (24 * 24 * 21), rel=0.1)


def test_a_measured_plan_has_the_epochs_that_the_hours_leave_and_is_measured_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    monkeypatch.setattr(planning, "measured", lambda words: runs.append(words) or TOOK)
    first = planned(root, tmp_path, measure="once")
    assert first.forecast is not None
    # (7200 / 5 − 10 − 5 − 3 − 0.1 × 25) s for epochs of 11 s: 129, and the ladder has 120 below it.
    assert first.plan.value("trainer.epochs") == first.forecast.epochs == 120
    assert first.forecast.study_hours == pytest.approx(5 * (120 * 11 + 20.5) / 3600)
    before = texts(first.folder)
    assert set(before) == {"study.yaml", "plan.md", "forecast.md", "forecast.json"}
    assert not planned(root, tmp_path, measure="once").written
    assert (len(runs), texts(first.folder)) == (1, before)
    planned(root, tmp_path, measure="again")
    assert len(runs) == 2
    with pytest.raises(ConfigError, match="another one"):
        planned(root, tmp_path, "data.batch_size=3", measure="once")
    assert len(runs) == 2, "told before it is measured"
    assert "data.fold=0" in runs[0]


def test_what_the_dry_run_shows_to_be_too_much_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as hours:
        epochs_for(TOOK, Budget(0.05, 8), 5)
    enough = float(hours.value.remedy.split("budget.hours=")[1].split(";")[0])
    assert epochs_for(TOOK, Budget(enough, 8), 5) == 5
    with pytest.raises(ConfigError, match=r"1\.5 GB in the dry run") as memory:
        check_memory(TOOK, Budget(2, 1.2), "data.size=[16,16,16]")
    assert "data.size=[16,16,16], or budget.memory_gb=2" in memory.value.remedy
    assert Forecast(TOOK, 100, 5).slurm == "launcher=slurm launcher.time_minutes=25 launcher.memory_gb=2"


def test_the_cases_that_are_looked_at_are_those_that_the_first_job_trains_on() -> None:
    source = SimpleNamespace(cases=[Case(f"c{n}", (), None, f"c{n}") for n in range(40)], split=None)
    card = load_config(composed_config(["data=nifti", "data.root=somewhere", "model=unet3d"])).data_config
    looked_at = planning_split(source, card, 42, {})  # type: ignore[arg-type]
    first = card.model_copy(update={"fold": 0, "folds": 5, "split_seed": 0})
    trained = split_for(source, first, 42)  # type: ignore[arg-type]
    assert looked_at == trained
    assert (len(trained.val), len(trained.test)) == (4, 8)


def test_a_former_name_of_a_setting_is_given_under_todays() -> None:
    words = ["data=nifti", "data.root=somewhere", "model=unet3d", "data.fit=patch"]
    assert given_in(words, composed_config(words), words)["data.resize_mode"] == "patch"


@pytest.mark.parametrize("name", ["../elsewhere", "a b", ".hidden"])
def test_a_name_is_that_of_a_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="a name that no study can have"):
        check_name(name)
    assert check_name("scans_2-d") == "scans_2-d"


def test_empty_masks_and_missing_data_are_reported(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "images" / f"{number}.nii.gz", np.full((8, 8, 8), number, np.int16))
        save(tmp_path / "labels" / f"{number}.nii.gz", np.zeros((8, 8, 8), np.uint8))
    with pytest.raises(DataError, match="nothing to learn"):
        planned(tmp_path, tmp_path / "studies")
    with pytest.raises(ConfigError, match="a plan without a data set"):
        read_words(["data.root=scans"])
    words = read_words(["data=nifti", "data.root=a", "budget.hours=3", "model.width=24"])
    assert completions(["plan", "budget.h"]) == ["budget.hours="]
    assert (words.budget_hours, words.budget_memory_gb, words.model) == (3.0, 8.0, ("model.width=24",))


def test_a_slice_is_turned_and_bent_in_its_plane_alone() -> None:
    task = Task(3, 1, ("background", "organ"))
    change = Augment(task, flip=0, rotate90=0, affine=1, rotate_degrees=30, shift=0.3, elastic=1, intensity=0)
    mask = np.ones((32, 32, 1), np.uint8)
    for seed in range(20):
        _, turned = change(np.ones((32, 32, 1, 1), np.float32), mask, np.random.default_rng(seed), (1, 1, 5))
        assert turned[16 - 4 : 16 + 4, 16 - 4 : 16 + 4].mean() == 1, "the middle stays in the plane"


@pytest.mark.slow
def test_a_dry_run_measures_what_a_run_takes(root: Path, tmp_path: Path) -> None:
    done = planned(root, tmp_path, "data.workers=0", measure="once")
    took = done.forecast.measured  # type: ignore[union-attr]
    assert took.memory_mb > 300
    assert min(took.step_seconds, took.begin_seconds, took.end_seconds, took.case_seconds, took.parameters) > 0
    assert (took.steps, took.test_cases) == (2, 3)  # eight cases in batches of four
