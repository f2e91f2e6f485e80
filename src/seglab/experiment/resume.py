"""Going on with a run that was cut off: its own config, and the proof that data and split are still the same."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.config.former_names import current_config
from seglab.config.identity import BY_DEFAULT
from seglab.config.run_config import Config, load_config
from seglab.errors import ConfigError, DataError, TrackingError
from seglab.run_record import RunRecord, Tag, WorkFile
from seglab.runtime.atomic_files import write_json, write_text
from seglab.runtime.terminal import python_here, seglab_here
from seglab.safety.secrets import redacted
from seglab.safety.untrusted_files import UnreadableFile, read_json
from seglab.tracking.resumption import NOT_SET, finished, other_config
from seglab.tracking.store_lookup import open_existing

if TYPE_CHECKING:
    from mlflow.entities import Run

    from seglab.tracking.tracker import Tracker

NOT_COMPARED = ("resume", "tracking", "hydra")
DEVICES = "trainer.devices"
PRESETS = ("experiment", "debug")
# What may be another for a new run that goes on from the end of a finished one.
_MORE = ("trainer.epochs", "trainer.patience_epochs")


def stored_config(given: Config, overrides: Sequence[str], directory: Path) -> Config:
    """The config that the run to resume began with; what was said beside `resume` must agree with it, key by key."""
    store = open_existing(given.tracking.uri, directory)
    run_id = str(given.resume)
    run = store.run(run_id)
    file = store.work_dir(run_id) / WorkFile.CONFIG
    if not file.is_file():
        if file.parent.is_dir():
            raise TrackingError(
                "a run that ended before it had begun",
                code="run-not-begun",
                where=f"resume={run_id}",
                found=f"no {WorkFile.CONFIG} in {file.parent}",
                expected="a run that has read its data",
                remedy="nothing of it is lost: start a new run, without resume",
            )
        raise TrackingError(
            "a run whose training state is not here",
            code="state-missing",
            where=f"resume={run_id}",
            found=f"no {file}",
            expected="the folder that the run left on the machine where it trained",
            remedy="resume it there, or copy that folder here",
        )
    stored = current_config(_read(file, run_id))
    changed = _changed(stored, given, overrides)
    if run.info.status == "FINISHED":
        further = {key: now for key, (_, now) in changed.items() if key in _MORE}
        changed = {key: both for key, both in changed.items() if key not in _MORE}
    if changed:
        raise other_config(run, changed)
    if run.info.status == "FINISHED":
        return _going_on(stored, given, run, further, store.work_dir(run_id) / WorkFile.STATE)
    trainer = dict(stored["trainer"])
    if any(word.startswith(f"{DEVICES}=") for word in overrides):  # the same bits up to the order of sums
        trainer["devices"] = given.trainer.devices
    return load_config({**stored, "trainer": trainer, "resume": run_id, "tracking": given.resolved["tracking"]})


def _going_on(stored: dict[str, Any], given: Config, run: Run, further: Mapping[str, Any], state: Path) -> Config:
    """The config of a new run that goes on from the end of a finished one, which stays as it is."""
    former = load_config({**stored, "tracking": given.resolved["tracking"]})
    run_id, epochs = run.info.run_id, former.trainer.epochs
    if further.get("trainer.epochs", 0) <= epochs:
        raise finished(run)
    if not state.is_file():
        raise how_to_keep(run, state)
    if RunRecord.of(run).stopped_early and "trainer.patience_epochs" not in further:
        raise ConfigError(
            "more epochs for a run that its patience ended",
            code="resume-patience",
            where=f"resume={run_id}",
            found=f"stopped early, with trainer.patience_epochs={former.trainer.patience_epochs}",
            expected="another patience: with this one it would stop again at once",
            remedy="trainer.patience_epochs=null, or a larger number",
        )
    trainer = {**stored["trainer"], **{key.partition(".")[2]: now for key, now in further.items()}}
    begun = {**stored, "trainer": trainer, "tracking": given.resolved["tracking"]}
    return load_config({**begun, "resume": None, "init_from": None, "continues": run_id})


def how_to_keep(run: Run, state: Path) -> TrackingError:
    """What to do where the state of a finished run is gone."""
    return TrackingError(
        "a finished run whose state of training was not kept",
        code="state-missing",
        where=f"resume={run.info.run_id} ({run.info.run_name})",
        found=f"no {state}",
        expected="a run that was trained with tracking.keep_state=true, on this machine",
        remedy=f"start a new run from its weights, with a new optimizer and schedule: init_from={run.info.run_id}",
    )


def _changed(stored: Any, given: Config, overrides: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    """By key what was stored and what is said now, of those settings that were said and differ."""
    changed: dict[str, tuple[Any, Any]] = {}
    keys = [word.lstrip("+~").partition("=")[0] for word in overrides]
    if any(key in PRESETS for key in keys):  # what they set stands anywhere
        keys = [*given.resolved]
    for key in keys:
        if key.partition(".")[0] in NOT_COMPARED:
            continue
        before, now = _leaves(_at(stored, key), key), _leaves(_at(given.resolved, key), key)
        for leaf in sorted({*before, *now}):
            default = BY_DEFAULT.get(leaf)  # a run of before the setting was there is resumed as it began
            if leaf != DEVICES and before.get(leaf, default) != now.get(leaf, default):
                changed[leaf] = before.get(leaf, NOT_SET), now.get(leaf, NOT_SET)
    return changed


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _leaves(node: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        return {prefix: node}
    return {key: value for name, child in node.items() for key, value in _leaves(child, f"{prefix}.{name}").items()}


def remember(work_dir: Path, config: Config, identity: Mapping[str, str]) -> None:
    """Keep what a resumed run must find again, and refuse to go on with data or a split that changed meanwhile."""
    file = work_dir / WorkFile.IDENTITY
    if config.resume is not None and file.is_file():
        check_same(file, identity, f"resume={config.resume}")
        return
    write_text(work_dir / WorkFile.CONFIG, redacted(json.dumps(config.resolved)), sole=True)
    write_json(file, dict(identity), sole=True)


def check_same(file: Path, identity: Mapping[str, str], where: str) -> None:
    """Refuse data or a split that is not what a run's `WorkFile.IDENTITY` says; raises `DataError`."""
    before = _read(file, where.partition("=")[2])
    for key, what in ((Tag.DATA_DIGEST, "data"), (Tag.SPLIT_DIGEST, "split")):
        known = str(before.get(key))
        if known != identity[key]:
            raise DataError(
                f"the {what} changed since the run began",
                code="resume-data-changed",
                where=where,
                found=f"{key} {identity[key][:16]}…",
                expected=f"{known[:16]}…",
                remedy=f"restore the former {what} back, or start a new run without resume",
            )


def how_to_go_on(tracker: Tracker, config: Config, overrides: Sequence[str]) -> str:
    """What a run that was told to stop has done, and the very command that goes on with it."""
    from seglab.training.checkpoint import finished_epochs  # loads TensorFlow

    epoch, trained = finished_epochs(tracker.work_dir / WorkFile.STATE)
    epochs = config.trainer.epochs
    if trained:
        done = f"after its training of {epoch} epochs, before all was scored"
    else:
        done = f"after epoch {epoch} of {epochs}" if epoch else "before its first epoch was over"
    words = [f"resume={tracker.run_id}", *(word for word in overrides if word.startswith("tracking."))]
    command = shlex.join([*_train(), *words])
    return f"stopped    {done}; go on with: {redacted(command)}"


def _train() -> list[str]:
    """The verb as it was called, such that it works from here."""
    if Path(sys.argv[0]).name == "train.py":
        return [python_here(), sys.argv[0]]
    return [*seglab_here(), "train"]


def _read(file: Path, run_id: str) -> dict[str, Any]:
    try:
        return read_json(file)
    except (OSError, UnreadableFile) as error:
        raise TrackingError(
            "the saved state of a run cannot be read",
            code="state-damaged",
            where=str(file),
            found=str(error),
            expected="the file that the run wrote when it began",
            remedy=f"restore it from a copy, or start a new run in the place of {run_id}",
        ) from error
