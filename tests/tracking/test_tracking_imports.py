"""An export that somebody else has made: nothing of it runs, nothing outside is read, no damage is a traceback."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toys
import yaml

from seglab.errors import SeglabError, TrackingError
from seglab.experiment.reproduce import reproduce
from seglab.run_record import Tag
from seglab.tracking.archive import export_runs, import_runs
from seglab.tracking.imports import former_id
from seglab.tracking.selection import search
from seglab.tracking.store import Store, open_store
from seglab.tracking.tracker import Tracker

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MODEL = {"flavors": {"python_function": {"loader_module": "seglab.inference.pyfunc", "data": "data/bundle"}}}
MACHINE = {"machine": {"processor": "p", "cpu_flags": [], "usable_cores": 1}, "settings": {"TF_X": "1"}}


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    here, there = (open_store(None, toys.fresh_store(tmp_path / name / "mlruns")) for name in ("cluster", "laptop"))
    return here, there


@pytest.fixture
def export(stores: tuple[Store, Store], tmp_path: Path) -> tuple[Path, str]:
    """A folder with one run, as `runs.py export` writes it, and its id."""
    here, _ = stores
    with Tracker(
        toys.tracking(), here.directory, run_name="UNet", params={}, tags={"git_commit": "c" * 40, "git_dirty": "True"}
    ) as tracked:
        tracked.emit({"val_dice": 0.5}, 1)
        tracked.log_text("run_name: UNet\nseed: 1\ntracking: {uri: null}\n", "config/config.yaml")
        tracked.log_text("diff --git a/sitecustomize.py b/sitecustomize.py\n+import evil\x1b[2J\n", "config/code.diff")
        tracked.log_json(MACHINE, "config/environment.json")
    return export_runs(here, [here.run(tracked.run_id)], tmp_path / "runs"), tracked.run_id


def changed(run: Path, **values: Any) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **values}))


def write(run: Path, name: str, text: str) -> None:
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_text(text)


def model(run: Path, **flavor: Any) -> None:
    described = {"flavors": {"python_function": {**MODEL["flavors"]["python_function"], **flavor}}}
    write(run, "model/MLmodel", yaml.safe_dump(described))


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


ATTACKS: dict[str, Callable[[Path], Any]] = {
    "link": lambda run: (run / "artifacts" / "key").symlink_to("/etc/passwd"),
    "link to a folder": lambda run: (run / "artifacts" / "etc").symlink_to("/etc"),
    "broken link": lambda run: (run / "artifacts" / "key").symlink_to("/nowhere"),
    "pipe": lambda run: os.mkfifo(run / "artifacts" / "pipe"),
    "loader": lambda run: model(run, loader_module="os"),
    "loader below artifacts": lambda run: write(
        run, "artifacts/m/MLmodel", "flavors: {python_function: {loader_module: x}}"
    ),
    "model below artifacts": lambda run: write(run, "artifacts/m/MLmodel", yaml.safe_dump(MODEL)),
    "code that MLflow would lay under the model": lambda run: write(
        run, "artifacts/model/code/seglab/__init__.py", "raise SystemExit"
    ),
    "another flavor": lambda run: write(
        run, "model/MLmodel", yaml.safe_dump({"flavors": {**MODEL["flavors"], "sklearn": {"pickled_model": "m.pkl"}}})
    ),
    "code of its own": lambda run: model(run, code="code"),
    "code elsewhere": lambda run: model(run, loader_module="seglab_model", code="../../code"),
    "code that is nowhere": lambda run: model(run, loader_module="seglab_model"),
    "data elsewhere": lambda run: model(run, data="../../../../etc"),
    "absolute data": lambda run: model(run, data="/etc"),
    "environment elsewhere": lambda run: model(run, env={"conda": "../../conda.yaml"}),
    "MLmodel that is none": lambda run: write(run, "model/MLmodel", "[1, 2"),
    "MLmodel with a bomb": lambda run: write(run, "model/MLmodel", BOMB),
    "MLmodel with an object": lambda run: write(run, "model/MLmodel", "!!python/object/apply:os.system [id]"),
    "variable": lambda run: write(run, "artifacts/config/config.yaml", "run_name: ${oc.env:HOME}\n"),
    "variable in a key": lambda run: write(run, "artifacts/config/config.yaml", "a: {'${oc.env:HOME}': 1}\n"),
    "variable in a list": lambda run: write(run, "artifacts/config/config.yaml", "a: [b, ['${oc.env:HOME}']]\n"),
    "hidden variable": lambda run: write(run, "artifacts/config/config.yaml", "a: oc.env:HOME\nb: ${${a}}\n"),
    "variable in a resolver": lambda run: write(run, "artifacts/config/config.yaml", "a: ${display:${oc.env:HOME}}\n"),
    "bomb": lambda run: write(run, "artifacts/config/config.yaml", BOMB),
    "deep YAML": lambda run: write(run, "artifacts/config/config.yaml", "a: " + nested(50_000)),
    "endless YAML": lambda run: write(run, "artifacts/config/other.yaml", "a: 1\n" * 2_000_000),
    "deep JSON": lambda run: write(run, "artifacts/config/split.json", nested(200_000)),
    "rather deep JSON": lambda run: write(run, "artifacts/config/split.json", nested(500)),
    "deep card": lambda run: write(run, "../archive.json", nested(200_000)),
    "deep run": lambda run: write(run, "run.json", nested(200_000)),
    "no UTF-8": lambda run: (run / "run.json").write_bytes(b"\xff\xfe\x00"),
    "list for a run": lambda run: write(run, "run.json", "[]"),
    "card without runs": lambda run: write(run, "../archive.json", '{"format": 1}'),
    "runs that are no list": lambda run: write(run, "../archive.json", '{"format": 1, "runs": 5}'),
    "id that is a path": lambda run: write(run, "../archive.json", '{"format": 1, "runs": ["../../other"]}'),
    "id with a quotation mark": lambda run: write(
        run, "../archive.json", json.dumps({"format": 1, "runs": ["'" * 32]})
    ),
    "id that is a number": lambda run: write(run, "../archive.json", '{"format": 1, "runs": [7]}'),
    "run that is not there": lambda run: write(run, "../archive.json", json.dumps({"format": 1, "runs": ["a" * 32]})),
    "another id": lambda run: changed(run, run_id="b" * 32),
    "parent that is a path": lambda run: changed(run, tags={"mlflow.parentRunId": "../x"}),
    "no name": lambda run: changed(run, name=None),
    "tags that are a list": lambda run: changed(run, tags=["a"]),
    "params of numbers": lambda run: changed(run, params={"a": {"b": 1}}),
    "time without end": lambda run: changed(run, start_time=10**40),
    "step without end": lambda run: changed(run, metrics={"a": [[10**40, 1, 0.5]]}),
    "metric of words": lambda run: changed(run, metrics={"a": [[1, 1, "much"]]}),
    "metric that is no point": lambda run: changed(run, metrics={"a": [[1]]}),
    "half a character": lambda run: changed(run, name="\ud800"),
    "data set without a name": lambda run: changed(run, datasets=[{"digest": "x"}]),
    "endless file": lambda run: os.truncate(os.open(run / "artifacts" / "large", os.O_CREAT | os.O_RDWR), 2**42),
    "endless run": lambda run: os.truncate(run / "run.json", 2**31),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_export_is_refused_with_a_sentence_and_nothing_is_imported(
    attack: str, export: tuple[Path, str], stores: tuple[Store, Store]
) -> None:
    (folder, run_id), (_, there) = export, stores
    ATTACKS[attack](folder / run_id)
    began = time.process_time()
    with pytest.raises(TrackingError) as caught:
        import_runs(there, folder)
    assert time.process_time() - began < 5
    assert caught.value.remedy
    assert len(str(caught.value)) < 2000
    assert search(there, "") == []


def test_an_imported_run_is_known_as_such_for_ever(export: tuple[Path, str], stores: tuple[Store, Store]) -> None:
    (folder, run_id), (here, there) = export, stores
    changed(folder / run_id, tags={Tag.IMPORTED_RUN_ID: "", "git_dirty": "True"})
    run = there.run(import_runs(there, folder)[run_id])
    assert former_id(run) == run_id
    assert former_id(here.run(run_id)) is None


def test_an_imported_run_is_trained_again_only_after_its_changes_were_read(
    export: tuple[Path, str], stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder, run_id), (here, there) = export, stores
    write(
        folder / run_id,
        "artifacts/config/config.yaml",
        "run_name: UNet\ntracking: {uri: null}\nloss: {_target_: subprocess.call}\n"
        "model: {_target_: seglab.models.unet.unet}\n",
    )
    run = there.run(import_runs(there, folder)[run_id])
    ran: list[Any] = []
    monkeypatch.setattr(
        "seglab.experiment.reproduce.code_of", lambda *words: ran.append(words) or pytest.fail("code ran")
    )
    with pytest.raises(TrackingError, match="contains code that nobody here has allowed to run") as caught:
        reproduce(there, run)
    message = str(caught.value)
    assert "+import evil\\x1b[2J" in message  # read, and not obeyed by the terminal
    assert "loss._target_: subprocess.call" in message
    assert "seglab.models.unet.unet" not in message
    assert "TF_X=1" in message
    assert f"seglab reproduce {run.info.run_id} trust_diff=true" in message
    assert ran == []
    # A run of this store's own needs no yes, and an imported one with a yes goes on.
    monkeypatch.setattr(
        "seglab.experiment.reproduce.code_of", lambda *words: (_ for _ in ()).throw(KeyError("went on"))
    )
    for store, one, yes in ((here, here.run(run_id), False), (there, run, True)):
        with pytest.raises(KeyError, match="went on"):
            reproduce(store, one, trust_diff=yes)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("config.yaml", "run_name: ${oc.env:HOME}\ntracking: {uri: null}\n", "reads what is not in it"),
        ("config.yaml", BOMB, "cannot be read"),
        ("config.yaml", "a: 1\n", "cannot be read"),
        ("environment.json", "[" * 200_000, "cannot be read"),
        ("environment.json", "{}", "cannot be read"),
        ("environment.json", '{"machine": {"usable_cores": 1}, "settings": []}', "cannot be read"),
    ],
)
def test_a_run_that_was_imported_before_this_was_checked_is_refused_when_it_is_trained_again(
    name: str, text: str, word: str, export: tuple[Path, str], stores: tuple[Store, Store]
) -> None:
    (folder, run_id), (_, there) = export, stores
    run = there.run(import_runs(there, folder)[run_id])
    Path(run.info.artifact_uri.removeprefix("file://"), "config", name).write_text(text)
    with pytest.raises(SeglabError, match=word) as caught:
        reproduce(there, run, trust_diff=True)
    assert os.environ["HOME"] not in str(caught.value)
