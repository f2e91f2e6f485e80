"""Read every file of a data set and list what is wrong: seglab check-data data=image_folder data.root=…

Takes the same settings as seglab train; a model is not needed. Leaves with 0 when a training may start, with 2 when
something must be corrected.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seglab.cli.conf_options import page_of
from seglab.cli.verbs import wants_help
from seglab.errors import EXIT_MISTAKE
from seglab.runtime.waiting import step

if TYPE_CHECKING:
    from omegaconf import DictConfig


def _check(cfg: DictConfig) -> None:
    """Check the composed config's data set and print a table of findings."""
    from seglab.command import data_settings_of
    from seglab.config.vocabulary import models_of
    from seglab.runtime.terminal import Terminal

    config = data_settings_of(cfg)
    with step("loading what reads the files"):
        from seglab.data.check.full_check import check_shown

    console = Terminal(highlight=False)
    checked = check_shown(config)
    if checked.report.findings:
        console.print(checked.report.table())
        if checked.report.paste():
            console.print(checked.report.paste(), markup=False, soft_wrap=True)
    if checked.source is not None:
        split = checked.split
        sizes = ""
        if split is not None:
            sizes = f": {len(split.train)} training, {len(split.val)} validation, {len(split.test)} test"
        console.print(f"{config.data.name}, {len(checked.source.cases)} cases{sizes}", markup=False)
        rank = checked.source.task.rank
        console.print(f"models that fit, as it is {rank}D: {', '.join(models_of(rank))}", markup=False)
    console.print(f"{checked.report.summary()}", markup=False)
    if checked.report.errors:
        sys.exit(EXIT_MISTAKE)


def run(words: Sequence[str]) -> None:
    """The verb; its words are read by Hydra."""
    if wants_help(words):
        print(page_of(__doc__ or ""))
        return
    from seglab.command import command

    command(config_name="train")(_check)()
