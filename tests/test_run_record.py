"""Every name that a run keeps is written once, and read as what it means."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from seglab import run_record
from seglab.metric_names import TEST_DICE, VAL_DICE, VAL_IOU
from seglab.run_record import Artifact, EvaluationFile, Metric, RunRecord, StoreFile, Tag, WorkFile

SOURCE = Path(run_record.__file__).parent
OWNERS = {"run_record.py", "metric_names.py"}
# Words that are names of a run's and also words of their own: stray only where they are the key of a tag.
PLAIN_WORDS = {"seed", "device", "precision", "parameters", "flops", "host", "pid", "machine", "heartbeat", "study"} | {
    "launcher", "pruned", "promotion", "reproduction", "objective", "best_epoch", "init_from", "pictures", "comparison"
} | {"backend", "learning_rate", "outbox", "bundle", "config.json", "artifacts", "ensemble"}  # fmt: skip
# (file, name): why the word is another contract's.
ELSEWHERE = {
    ("inference/bundle.py", "split_digest"): "a field of bundle.json",
    ("sweeping/space.py", "log"): "a mark of Hydra's on an interval",
    ("inference/model_file.py", "config.json"): "a file within a Keras archive",
}


def names(*owners: type) -> set[str]:
    return {value for owner in owners for key, value in vars(owner).items() if key.isupper()}


def literals(path: Path) -> Iterator[tuple[ast.Constant, bool]]:
    """Every text of a module that is no docstring and no part of a longer one, and whether it is the key of a tag."""
    tree = ast.parse(path.read_text())
    apart: set[int] = set()
    keys: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and isinstance(node.body[0], ast.Expr):
            apart.add(id(node.body[0].value))
        if isinstance(node, ast.JoinedStr):
            apart |= {id(part) for part in node.values}
        if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("tags"):
            keys.add(id(node.slice))
        if isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]).endswith("tags"):
            keys.add(id(node.left))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "get" and ast.unparse(node.func.value).endswith("tags") and node.args:
                keys.add(id(node.args[0]))
            if node.func.attr == "set_tag":
                keys |= {id(argument) for argument in node.args[1:2]}
            if node.func.attr == "set_tags":
                keys |= {id(key) for one in node.args if isinstance(one, ast.Dict) for key in one.keys}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            yield node, id(node) in keys


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_name_of_a_run_is_written_elsewhere(path: Path) -> None:
    if path.parent == SOURCE and path.name in OWNERS:
        return
    file = path.relative_to(SOURCE).as_posix()
    owned = names(Tag, Artifact, EvaluationFile, Metric, StoreFile, WorkFile) - PLAIN_WORDS
    owned |= {VAL_DICE, VAL_IOU, TEST_DICE, "bundle.json", "model.keras", "mlruns"}
    for text, is_tag in literals(path):
        stray = (is_tag or text.value in owned) and (file, text.value) not in ELSEWHERE
        assert not stray, f"{file}, line {text.lineno}: {text.value!r} is a name of seglab.run_record"


def test_names_are_distinguished() -> None:
    for owner in (Tag, Artifact, EvaluationFile, Metric, StoreFile, WorkFile):
        given = [value for key, value in vars(owner).items() if key.isupper()]
        assert len(given) == len(set(given))


def test_names_stay_what_stores_of_years_hold() -> None:
    assert (Tag.SPLIT_DIGEST, Tag.PARENT_RUN_ID, Artifact.SPLIT) == (
        "split_digest",
        "mlflow.parentRunId",
        "config/split.json",
    )
    assert Artifact.cases("test") == Artifact.TEST_CASES == "test_cases.csv"
    assert Artifact.picture("test_worst") == "pictures/test_worst.png"
    assert Artifact.picture("curves") == Artifact.CURVES
    assert Artifact.evaluated_cases("other-val") == "evaluation/other-val/cases.csv"
    assert Tag.dataset_digest("training") == "dataset_digest_training"


def test_a_run_is_read_in_the_store_s_form_and_in_a_comparison_s() -> None:
    tags = {"split_digest": "ab", "git_dirty": "True", "objective": "0.75", "resume_count": "2", "pruned": "true"}
    held = SimpleNamespace(tags=tags, params={"seed": "3"}, metrics={"flops": 5.0})
    for run in (held, SimpleNamespace(data=held)):
        record = RunRecord.of(run)
        assert (record.split_digest, record.git_dirty, record.objective) == ("ab", True, 0.75)
        assert (record.seed, record.resume_count, record.resumed, record.pruned) == ("3", 2, True, True)
        assert record.number(Tag.FLOPS) == 5.0
        assert not record.trained_here


def test_what_a_run_did_not_say_is_empty() -> None:
    record = RunRecord.of_tags({"git_dirty": "False", "peak_memory_mb": "much"})
    assert (record.git_commit, record.data_digest, record.seed) == ("", "", "?")
    assert (record.git_dirty, record.stopped_early, record.resumed, record.resume_count) == (False, False, False, 0)
    assert math.isnan(record.objective)
    assert math.isnan(record.number(Tag.PEAK_MEMORY_MB))
    assert record.imported_run_id is None


def test_the_record_loads_nothing_heavy() -> None:
    code = "import sys, seglab.run_record; print(len({'mlflow', 'numpy', 'tensorflow', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
