"""`seglab runs export` and `seglab runs import`: runs between stores, as one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglab.cli.words import read, setting, tracking_uri
from seglab.errors import ConfigError
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.safety.shown_text import in_line
from seglab.tracking.store_place import check_there

_EXAMPLES = """examples:
  seglab runs export loss_study.runs study=loss_study    the runs of a study, or of the MLflow experiment of that name
  seglab runs export two.runs run=[4f0c…,77ab…]          these runs
  seglab runs import loss_study.runs                     into the store of this folder, each once"""


@dataclass(frozen=True, kw_only=True)
class RunsWords:
    """Move runs with artifacts and models between stores as one folder. Registered names and aliases such as champion
    are not moved: promote the imported run."""

    action: Literal["export", "import"] = setting("export or import", positional=True)
    folder: str = setting("the folder to write, such as loss_study.runs, or to import", positional=True)
    study: str | None = setting("export: the runs of a study", default=None)
    run: tuple[str, ...] = setting("export: run ids", default=())
    tracking_uri: str | None = tracking_uri()


def run(words: Sequence[str]) -> None:
    """Export or import, a line a run."""
    settings = read(RunsWords, words, "runs", _EXAMPLES)
    if settings.action == "export" and bool(settings.study) == bool(settings.run):
        raise ConfigError(
            "which runs to export",
            code="missing-setting",
            where="study, run",
            found="both" if settings.study else "neither",
            expected="one of study=<name> and run=[<id>,<id>]",
            remedy="seglab runs export <folder> study=<name>; seglab ui shows what there is",
        )
    if settings.action == "export":
        check_there(settings.tracking_uri, RUNS)
    with step("loading MLflow"):
        from seglab.tracking.archive import export_runs, import_runs
        from seglab.tracking.selection import runs_of_study
        from seglab.tracking.store import open_store

    store = open_store(settings.tracking_uri, RUNS)

    def print_name(name: str) -> None:
        print(f"  {in_line(name)}", flush=True)

    folder = Path(settings.folder)
    if settings.action == "import":
        arrived = import_runs(store, folder, print_name)
        print(f"{len(arrived)} runs are in {store.place}, marked as imported; seglab ui shows them")
        return
    chosen = runs_of_study(store, settings.study) if settings.study else [store.run(run_id) for run_id in settings.run]
    made = export_runs(store, chosen, folder, print_name)
    print(f"{len(chosen)} runs are in {made}; copy it, and there: seglab runs import {made.name}")
