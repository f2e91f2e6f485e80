"""See a data set on one HTML page: seglab explore data=image_folder data.root=…

Takes the same settings as seglab train, reads every file, and writes mlruns/explore/<data set>-<folder>-<digest>.html:
pictures, classes, sizes, intensities and the findings of the data check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seglab.cli.conf_options import page_of
from seglab.cli.verbs import wants_help
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.safety.shown_text import in_line

if TYPE_CHECKING:
    from omegaconf import DictConfig


def _explore(cfg: DictConfig) -> None:
    """Write the page of the composed config's data set."""
    from seglab.command import data_settings_of
    from seglab.runtime.terminal import Terminal

    config = data_settings_of(cfg)
    with step("loading what reads the files and draws"):
        from seglab.reports.data.explore import write_explored

    page, report = write_explored(config, RUNS)
    console = Terminal(highlight=False, soft_wrap=True)
    console.print(in_line(f"data check {report.summary()}"), markup=False)
    console.print(f"page       {page.resolve().as_uri()}", markup=False)


def run(words: Sequence[str]) -> None:
    """The verb; its words are read by Hydra."""
    if wants_help(words):
        print(page_of(__doc__ or ""))
        return
    from seglab.command import command

    command(config_name="train")(_explore)()
