"""CSV tables of files as people and spreadsheets save them."""

from __future__ import annotations

import csv
from pathlib import Path

from seglab.errors import ConfigError, DataError


def read_csv(path: Path, remedy: str = "save it as CSV, UTF-8") -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The names of the columns, and each row with its line in the file; cells by column, "" where there is none.

    Raises:
        DataError: a file that is missing or no CSV; `remedy` is what to do about it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(text.splitlines(), delimiter=delimiter_of(text), skipinitialspace=True)
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            "a table that cannot be read",
            where=str(path),
            found=f"{type(error).__name__}: {error}",
            expected="comma-separated values in UTF-8",
            remedy=remedy,
        ) from error
    columns = [name for name in reader.fieldnames or () if name]
    return columns, [(line, {name: (row[name] or "").strip() for name in columns}) for line, row in rows]


def delimiter_of(text: str) -> str:
    """What stands between the cells of a table, by its first line: a spreadsheet writes a semicolon where the comma
    stands in numbers."""
    return max(",;\t", key=text.partition("\n")[0].count)


def check_grouping(column: str | None, pattern: str | None) -> None:
    """Refuse a column of groups together with a pattern; raises `ConfigError`."""
    if column is not None and pattern is not None:
        raise ConfigError(
            "two ways to group the cases",
            where="data.group_column, data.group_pattern",
            found=f"{column} and {pattern}",
            expected="one of them",
            remedy="set the other to null",
        )
