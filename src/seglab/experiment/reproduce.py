"""Having a run again: its code, config, data and split, trained once more and compared metric by metric."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from mlflow.entities import Run
from omegaconf import OmegaConf

from seglab.errors import TrackingError
from seglab.experiment.code_checkout import code_diff, code_of
from seglab.metric_names import EVAL
from seglab.run_record import Artifact, Metric, Tag
from seglab.runtime.reproducibility import machine, package_versions, variables_of
from seglab.safety.csv_text import csv_text
from seglab.safety.untrusted_files import UnreadableFile, read_json, read_yaml
from seglab.tracking import operations
from seglab.tracking.append import add_to_run
from seglab.tracking.bundles import run_file
from seglab.tracking.consent import check_consent, check_settings
from seglab.tracking.selection import search
from seglab.tracking.store import Store

Verdict = Literal["identical", "within tolerance", "different"]
VERDICTS: tuple[Verdict, ...] = ("identical", "within tolerance", "different")
TOLERANCE = 0.005
# How long something took is never the same again.
_NOT_COMPARED = (Metric.SYSTEM, Metric.IMAGES_PER_SECOND, Metric.EPOCH_SECONDS, Metric.DATA_WAIT_SHARE, f"{EVAL}_")
_DIGESTS = {Tag.DATA_DIGEST: "data", Tag.SPLIT_DIGEST: "split"}

# Runs in a process of its own on the code of the run, which may be older than this file: it keeps to what every
# version has. Data and split are proved before anything is trained.
_TRAIN = """
import json, sys
from omegaconf import OmegaConf
from seglab.errors import SeglabError
try:
    from seglab.config.run_config import load_config
    from seglab.data.loading.training_data import gather
    from seglab.experiment.run import run
except ImportError:  # before these modules had rooms
    from seglab.config import load_config
    from seglab.data.material import gather
    from seglab.experiment import run
config, expected, tags = OmegaConf.load(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
try:
    material = gather(load_config(config))
    found = {"data_digest": material.digest, "split_digest": material.split.digest()}
    changed = [key for key in expected if found[key] != expected[key]]
    if changed:
        print(json.dumps({"changed": {key: found[key] for key in changed}}), file=sys.stderr)
        sys.exit(3)
    run(config, tags=tags)
except SeglabError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
"""


@dataclass(frozen=True)
class Reproduction:
    """A run and the run that repeated it.

    Attributes:
        verdict: of all metrics together, the worst of them.
        table: one row a metric: `metric`, `verdict`, `largest_difference`, `first_epoch` (where it differs, else NA),
            `former`, `again` (last values).
        run_id: of the repetition.
        notes: what was not the same around it, such as versions of packages.
    """

    verdict: Verdict
    table: pd.DataFrame
    run_id: str
    notes: list[str]


def reproduce(store: Store, run: Run, *, tolerance: float = TOLERANCE, trust_diff: bool = False) -> Reproduction:
    """Train a run again and compare.

    The code is that of the run's commit with its logged changes, in a folder of its own, whatever state the working
    tree is in. Relative paths in the config count from the present folder.

    Args:
        store: where the run is, and where its repetition goes, whichever store the run's config names.
        run: a finished run of this repository.
        tolerance: a metric whose values differ by no more than this is "within tolerance".
        trust_diff: somebody has read what an imported run brings along, and lets it run.

    Raises:
        ConfigError: the run's config reads what is not in it.
        TrackingError: the code, the config, the data or the split of the run cannot be had again, an imported run
            that nobody trusts, or training fails.
    """
    if study := run.data.tags.get(Tag.ENSEMBLE_OF):
        raise TrackingError(
            "an ensemble, which was not trained",
            code="reproduce-ensemble",
            where=f"run {run.info.run_id} ({run.info.run_name})",
            found=f"the mean of the folds of {study}",
            expected="a run of seglab train",
            remedy=f"reproduce its members, which are in {Artifact.ENSEMBLE}/members.csv of the run",
        )
    if run.info.status != "FINISHED":
        raise TrackingError(
            "a run that did not finish has no result to compare with",
            code="reproduce-unfinished",
            where=f"run {run.info.run_id} ({run.info.run_name})",
            found=run.info.status,
            expected="FINISHED",
            remedy=f"let it finish first: seglab train resume={run.info.run_id}",
        )
    store.check_writable()
    token = uuid.uuid4().hex
    tags = {Tag.REPRODUCES: run.info.run_id, Tag.REPRODUCTION_TOKEN: token}
    former, config = _environment(store, run), _config(store, run)
    check_consent(run, code_diff(store, run), config, former["settings"], given=trust_diff)
    with code_of(store, run) as code, tempfile.TemporaryDirectory(prefix="config") as scratch:
        place = Path(scratch) / "config.yaml"
        OmegaConf.save(OmegaConf.create(config), place)
        _train(run, place, code, tags, variables_of(former))
    again = search(store, f"tags.reproduction_token = '{token}'")[0]
    table = compare_histories(_histories(store, run), _histories(store, again), tolerance)
    verdict = VERDICTS[max((VERDICTS.index(each) for each in table["verdict"]), default=0)]
    notes = _differences(former)
    operations.set_tags(store.client, again.info.run_id, {Tag.REPRODUCTION: verdict})
    with tempfile.TemporaryDirectory(prefix="reproduction") as folder:
        (Path(folder) / Artifact.REPRODUCTION).write_text(csv_text(table), encoding="utf-8")
        add_to_run(store, again, {}, Path(folder), "")
    return Reproduction(verdict, table, again.info.run_id, notes)


def compare_histories(
    former: Mapping[str, Mapping[int, float]], again: Mapping[str, Mapping[int, float]], tolerance: float
) -> pd.DataFrame:
    """One row a metric, as `Reproduction.table` says; a step that only one of them has differs by infinity."""
    rows = []
    for name in sorted({*former, *again}):
        before, now = former.get(name, {}), again.get(name, {})
        steps = sorted({*before, *now})
        apart = np.array([_apart(before.get(step), now.get(step)) for step in steps])
        verdict = "identical" if not apart.any() else "within tolerance" if apart.max() <= tolerance else "different"
        first = next((step for step, gap in zip(steps, apart, strict=True) if gap), None)
        last = steps[-1]
        rows.append((name, verdict, float(apart.max()), first, before.get(last), now.get(last)))
    columns = ["metric", "verdict", "largest_difference", "first_epoch", "former", "again"]
    return pd.DataFrame(rows, columns=columns).astype({"first_epoch": "Int64"})


def _config(store: Store, run: Run) -> dict[str, Any]:
    """The run's config, recording into this store: the store that it names may be another machine's."""
    file = run_file(store, run, Artifact.CONFIG)
    try:
        config = read_yaml(file)
        if not isinstance(config, dict) or not isinstance(config.get("tracking"), dict):
            raise UnreadableFile("no config with a section tracking")
    except UnreadableFile as error:
        raise _damaged(file, run, error) from error
    check_settings(str(file), config)
    found: Any = OmegaConf.to_container(OmegaConf.load(file))  # reads 1e-05 as the number that it wrote
    return {**found, "tracking": {**found["tracking"], "uri": store.uri}}


def _environment(store: Store, run: Run) -> dict[str, Any]:
    file = run_file(store, run, Artifact.ENVIRONMENT)
    try:
        found = read_json(file)
        machine, settings = found.get("machine"), found.get("settings")
        if not isinstance(machine, dict) or type(machine.get("usable_cores")) is not int:
            raise UnreadableFile("no machine with usable_cores")
        if not isinstance(settings, dict) or not all(isinstance(value, str) for value in settings.values()):
            raise UnreadableFile("no settings, which are names with texts")
        if not isinstance(machine.get("cpu_flags"), list) or not isinstance(machine.get("processor"), str):
            raise UnreadableFile("no machine with processor and cpu_flags")
        if not isinstance(found.get("packages", {}), dict):
            raise UnreadableFile("packages that are no names with versions")
    except UnreadableFile as error:
        raise _damaged(file, run, error) from error
    return found


def _damaged(file: Path, run: Run, error: UnreadableFile) -> TrackingError:
    return TrackingError(
        "a file of the run that cannot be read",
        code="run-file-damaged",
        where=f"run {run.info.run_id} ({run.info.run_name}), {file}",
        found=str(error),
        expected="the file as the run wrote it",
        remedy="restore it from a copy of the folder of runs, or choose another run",
    )


def _train(run: Run, config: Path, code: Path, tags: Mapping[str, str], variables: Mapping[str, str]) -> None:
    expected = {key: run.data.tags[key] for key in _DIGESTS if key in run.data.tags}
    path = os.pathsep.join([str(code / "src"), str(code), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", _TRAIN, str(config), json.dumps(expected), json.dumps(dict(tags))],
        env={**variables, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode == 3:
        changed = json.loads(done.stderr.strip().splitlines()[-1])["changed"]
        raise TrackingError(
            f"the {' and the '.join(_DIGESTS[key] for key in changed)} changed since the run",
            code="reproduce-data-changed",
            where=f"run {run.info.run_id} ({run.info.run_name})",
            found=", ".join(f"{key} {value[:16]}…" for key, value in changed.items()),
            expected=", ".join(f"{expected[key][:16]}…" for key in changed),
            remedy="restore the former data where the run's config says",
        )
    if done.returncode:
        raise TrackingError(
            "the run cannot be trained again",
            code="reproduce-failed",
            where=f"run {run.info.run_id} ({run.info.run_name})",
            found=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1],
            remedy="the lines above say why" if done.stderr.strip() else "",
        ) from RuntimeError(done.stderr)


def _histories(store: Store, run: Run) -> dict[str, dict[int, float]]:
    return {
        name: {point.step: point.value for point in store.client.get_metric_history(run.info.run_id, name)}
        for name in run.data.metrics
        if not name.startswith(_NOT_COMPARED)
    }


def _apart(before: float | None, now: float | None) -> float:
    if before is None or now is None:
        return float("inf")
    if before == now or (np.isnan(before) and np.isnan(now)):
        return 0.0
    gap = abs(before - now)
    return float("inf") if np.isnan(gap) else gap


def _differences(former: Mapping[str, Any]) -> list[str]:
    """What is not as it was in the `environment` of the run, and can change bits."""
    now, here = package_versions(), machine()
    then = former["machine"]["processor"], tuple(former["machine"]["cpu_flags"])
    changed = [] if then == (here.processor, here.cpu_flags) else [f"the processor was {then[0]}, is {here.processor}"]
    return changed + [
        f"{name} was {version}, is {now.get(name, 'absent')}"
        for name, version in sorted(former.get("packages", {}).items())
        if now.get(name, "absent") != version
    ]
