"""Read every file of a data set and list what is wrong: python scripts/check_data.py data=image_folder data.root=…

Takes the same words as train.py. Leaves with 0 when a training may start, with 2 when something has to be mended.
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from seglab.command import command
from seglab.errors import EXIT_MISTAKE
from seglab.terminal import Terminal


@command(config_name="train", about=__doc__)
def main(cfg: DictConfig) -> None:
    """Check the composed config's data set and print a table of findings."""
    from seglab.config import load_config
    from seglab.data.check.full import check_shown

    config = load_config(cfg)
    console = Terminal(highlight=False)
    checked = check_shown(config, console)
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
    console.print(f"{checked.report.summary()}", markup=False)
    if checked.report.errors:
        sys.exit(EXIT_MISTAKE)


if __name__ == "__main__":
    main()
