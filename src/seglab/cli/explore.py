"""Look at a data set on one HTML page: seglab explore data=image_folder data.root=…

Takes the same words as seglab train, reads every file, and writes mlruns/explore/<data set>-<folder>-<digest>.html:
pictures, classes, sizes, intensities and the findings of the data check.
"""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from seglab.command import command, data_settings_of
from seglab.run_record import RUNS
from seglab.runtime.terminal import Terminal
from seglab.runtime.waiting import step


@command(config_name="train", about=__doc__)
def main(cfg: DictConfig) -> None:
    """Write the page of the composed config's data set."""
    config = data_settings_of(cfg)
    with step("loading what reads the files and draws"):
        from seglab.data.check.full_check import check_shown
        from seglab.reports.data.data_page import build_page, page_name

    console = Terminal(highlight=False, soft_wrap=True)
    checked = check_shown(config)
    if checked.source is None or checked.split is None:
        checked.report.raise_unless_allowed()
        return
    page = RUNS / "explore" / page_name(config.data.name, config.data.arguments.get("root"))
    build_page(
        checked.source,
        checked.split,
        checked.facts,
        page,
        report=checked.report,
        title=config.data.name,
        seed=config.seed,
    )
    console.print(f"data check {checked.report.summary()}", markup=False)
    console.print(f"page       {page.resolve().as_uri()}", markup=False)


def run(words: Sequence[str]) -> None:
    """The verb; its words are read by Hydra."""
    main()
