"""A study is read wherever it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from seglab.reports.study.study import load_study
from seglab.reports.study.study_plan import plan_of

STUDY = """# @package _global_
# seglab train -m experiment=grid
# Which loss is better?
defaults:
  - override /model: unet_mini
hydra:
  sweeper:
    params:
      loss: dice,combined
"""


@pytest.mark.parametrize("home", ["a,b [x]", "lab #1", "it's {y}", "50% $off"])
def test_a_folder_whose_name_means_something_to_hydra(tmp_path: Path, home: str) -> None:
    folder = tmp_path / home / "grid"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(STUDY)
    plan = plan_of(load_study("grid", folder.parent), [])
    assert (plan.problem, [job.words for job in plan.jobs]) == ("", [("loss=dice",), ("loss=combined",)])
