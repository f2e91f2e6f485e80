"""Move runs between stores as one folder: python scripts/runs.py export <folder> --study loss_study"""

from __future__ import annotations

import argparse
from pathlib import Path

from seglab.errors import run_script
from seglab.runtime.waiting import step
from seglab.safety.secrets import redacted
from seglab.safety.shown_text import shown

RUNS = Path("mlruns")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Move runs with artifacts and models between stores as one folder. Registered names and aliases "
        "such as champion are not moved: promote the imported run."
    )
    parser.add_argument("--tracking-uri", help="the store; the embedded one in mlruns/ when left away")
    verbs = parser.add_subparsers(dest="verb", required=True)
    export = verbs.add_parser("export", help="write runs into a new folder")
    export.add_argument("folder", type=Path, help="to make, such as loss_study.runs")
    chosen = export.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--study", help="the runs of a study, or of the MLflow experiment of that name")
    chosen.add_argument("--run", nargs="+", help="run ids")
    download_artifact = verbs.add_parser("import", help="bring the runs of such a folder into the store, each once")
    download_artifact.add_argument("folder", type=Path)
    args = parser.parse_args()

    with step("loading MLflow"):
        from seglab.tracking.archive import export_runs, import_runs
        from seglab.tracking.selection import runs_of_study
        from seglab.tracking.store import open_store

    store = open_store(args.tracking_uri, RUNS)

    def told(name: str) -> None:
        print(f"  {shown(name)}", flush=True)

    if args.verb == "import":
        arrived = import_runs(store, args.folder, told)
        print(f"{len(arrived)} runs are in {redacted(store.uri)}, marked as imported; look at them with make ui")
        return
    runs = runs_of_study(store, args.study) if args.study else [store.run(run_id) for run_id in args.run]
    folder = export_runs(store, runs, args.folder, told)
    print(f"{len(runs)} runs are in {folder}; copy it, and there: python scripts/runs.py import {folder.name}")


if __name__ == "__main__":
    run_script(main)
