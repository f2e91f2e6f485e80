"""A study in a folder of its own beside a store with its runs, and its report, in a second or two."""

from __future__ import annotations

from pathlib import Path

import toys
from recorded_runs import Recorder, level

from seglab.reports.study.write_report import write_report

STUDY = """# @package _global_
# seglab train -m experiment=grid
# Does the focal loss win,
# and is that luck?
hydra:
  sweeper:
    params:
      loss: dice,focal
"""


class Bench:
    """A folder of studies beside a store with the runs of one of them."""

    def __init__(self, folder: Path):
        self.recorder = Recorder(toys.fresh_store(folder / "mlruns"))
        self.studies = folder / "experiments"
        self.folder = self.studies / "grid"
        self.folder.mkdir(parents=True)
        (self.folder / "study.yaml").write_text(STUDY)

    def run(self, loss: str, mean: float, seed: int, **changes: object) -> str:
        tags = {"study": "grid", "git_commit": "abcdef0123456789", "processor_seconds": "90"}
        return self.recorder.run(level(mean), loss=loss, seed=seed, tags=tags, **changes)  # type: ignore[arg-type]

    def report(self, **options: object) -> list[Path]:
        options = {"cases": 0, **options}
        return write_report("grid", directory=self.recorder.store.directory, studies=self.studies, **options)  # type: ignore[arg-type]

    @property
    def readme(self) -> str:
        return (self.folder / "README.md").read_text()
