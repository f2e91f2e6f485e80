"""Data sets from Python: `seglab.datasets.check("data=image_folder", "data.root=scans")`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from seglab.extras import check_extras

if TYPE_CHECKING:
    from seglab.data.check.full_check import FullCheck


def check(*words: str, progress: Callable[[int, int], None] | None = None) -> FullCheck:
    """Read every file of a data set and say what is wrong, as `seglab check-data` does.

    Args:
        words: settings as on the command line, such as `"data=nifti"`, `"data.root=/scans"`; with a model among them
            what does not fit it is found too.
        progress: called with the cases that were read and how many there are.

    Returns:
        `report` (`report.findings`, `report.errors`; `print(report.summary())`), and of a set that can be read its
        `source` (`source.cases`, `source.task`), `split`, and the `facts` of each case.

    Raises:
        ConfigError: settings that cannot work.
    """
    check_extras(("train",), "seglab.datasets.check")
    from seglab.command import composed_config, config_of_data

    config = config_of_data(composed_config(words), words)
    from seglab.data.check.full_check import check_full

    return check_full(config, progress)
