"""The process that tells of all runs and sweeps of a store, for pages: it alone holds MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.metric_names import TEST_DICE, VAL_DICE
from seglab.run_record import Artifact, Metric, RunRecord, Tag
from seglab.serving.errands import Doing, Errand

if TYPE_CHECKING:
    from mlflow.entities import Run

    from seglab.tracking.store import Store

_MOST = 2000  # runs that are told of, newest first


def main(line: int, words: Sequence[str]) -> None:
    """Tell of the store that the words name: its folder and address."""
    settings = json.loads(words[0])
    Doing(line).run(lambda: _begin(Path(settings["directory"]), settings["uri"]))


def _begin(directory: Path, uri: str | None) -> tuple[dict[str, Any], dict[str, Errand]]:
    from seglab.tracking.store_lookup import open_existing

    overview = _Overview(open_existing(uri, directory), uri)
    return {}, {
        "runs": overview.runs,
        "curves": overview.curves,
        "split": overview.split,
        "compared": overview.compared,
    }


class _Overview:
    def __init__(self, store: Store, uri: str | None):
        self._store, self._uri = store, uri

    def runs(self, asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        """`runs`, newest first, and `sweeps`; `left_out` counts older runs that are not among them."""
        from seglab.sweeping.status import sweep_statuses

        found = [run for run in self._store.all_runs() if RunRecord.of(run).trained_here]
        parents = self._store.all_runs(f"tags.{Tag.SWEEP_DIGEST} LIKE '%'")
        studies = sorted({run.data.tags.get(Tag.STUDY, "") for run in parents} - {""})
        statuses = [one for study in studies for one in sweep_statuses(self._store.directory, study, self._uri)]
        sweeps = [
            {**asdict(one), "sweep": one.sweep_id, "left": one.left, "seconds_left": one.seconds_left}
            for one in statuses
        ]
        fields = {"runs": [self._facts(run) for run in found[:_MOST]], "left_out": max(0, len(found) - _MOST)}
        return {**fields, "sweeps": sweeps}, b""

    def curves(self, asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        """For each of the `runs` the epochs and values of each of the `metrics`."""
        runs, metrics = asked["runs"], asked["metrics"]
        return {"curves": {run: {name: self._history(run, name) for name in metrics} for run in runs}}, b""

    def split(self, asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        """Ids by the names of the splits, as the `run` recorded them."""
        from seglab.data.splits import Split
        from seglab.tracking.bundles import run_file

        file = run_file(self._store, self._store.run(asked["run"]), Artifact.SPLIT)
        return {"split": asdict(Split.from_json(file.read_text(encoding="utf-8")))}, b""

    def compared(self, asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        """The `document` of `seglab compare` for the runs of a `study`, or all, by a `metric`; no case is drawn."""
        from seglab.comparison.settings import load_settings
        from seglab.reports.comparison.compare import compare
        from seglab.reports.document import to_dict

        settings = load_settings({"study": asked["study"] or None, "metric": asked["metric"], "pictures": 0})
        return {"document": to_dict(compare(settings, self._store).document)}, b""

    def _facts(self, run: Run) -> dict[str, Any]:
        tags, ended = run.data.tags, run.info.end_time
        state = self._state(run)
        return {
            "id": run.info.run_id,
            "name": run.info.run_name,
            "state": state,
            "study": tags.get(Tag.STUDY, ""),
            "sweep": tags.get(Tag.SWEEP_ID, ""),
            "data": run.data.params.get("data.name", ""),
            "seed": RunRecord.of(run).seed,
            "started": run.info.start_time,
            "seconds": None if ended is None else (ended - run.info.start_time) / 1000,
            "seconds_left": self._seconds_left(run) if state == "running" else None,
            VAL_DICE: run.data.metrics.get(VAL_DICE),
            TEST_DICE: run.data.metrics.get(TEST_DICE),
            "reason": RunRecord.of(run).end_reason,
        }

    def _state(self, run: Run) -> str:
        """In a word; a run whose process has ended without a word is `cut off`."""
        from seglab.tracking.heartbeat import alive

        if RunRecord.of(run).pruned:
            return "pruned"
        if run.info.status == "RUNNING":
            return "cut off" if alive(run.data.tags) is False else "running"
        return str(run.info.status).lower()

    def _seconds_left(self, run: Run) -> float | None:
        """If each epoch that is left takes as long as those that are done; None before the first one ends."""
        took = [value for _, value in self._history(run.info.run_id, Metric.EPOCH_SECONDS)]
        epochs = run.data.params.get("trainer.epochs", "")
        if not took or not epochs.isdecimal():
            return None
        return max(0, int(epochs) - len(took)) * sum(took) / len(took)

    def _history(self, run: str, name: str) -> list[tuple[int, float]]:
        """Epochs and values; of an epoch that was recorded twice the later one."""
        points = self._store.client.get_metric_history(run, name)
        found = {point.step: point.value for point in sorted(points, key=lambda point: point.timestamp)}
        return sorted(found.items())
