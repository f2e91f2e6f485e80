"""From settings to the page of a data set: read every file, check them, draw."""

from __future__ import annotations

from pathlib import Path

from seglab.config.run_config import DataSettings
from seglab.data.check.findings import DataReport
from seglab.data.check.full_check import check_shown
from seglab.errors import DataError
from seglab.reports.data.data_page import build_page, page_name


def write_explored(config: DataSettings, directory: Path) -> tuple[Path, DataReport]:
    """Write `explore/<data set>-<folder>-<digest>.html` below the folder of runs; says how far it is.

    Returns:
        The page, and the findings of the data check, which stand in it too.

    Raises:
        DataError: no case can be read, or they cannot be split.
    """
    checked = check_shown(config)
    if checked.source is None or checked.split is None:
        checked.report.raise_unless_allowed()
        raise DataError("no case to show", code="no-case", where=config.data.name, remedy="seglab check-data says why")
    page = directory / "explore" / page_name(config.data.name, config.data.arguments.get("root"))
    build_page(
        checked.source,
        checked.split,
        checked.facts,
        page,
        report=checked.report,
        title=config.data.name,
        seed=config.seed,
    )
    return page, checked.report
