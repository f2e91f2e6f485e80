"""CSV tables of files as people and spreadsheets save them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.errors import ConfigError, DataError


@dataclass(frozen=True)
class CsvTable:
    """A table by its columns: cells, "" where there is none, and the line of the file that each row ends in."""

    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    def rows(self) -> list[tuple[int, dict[str, str]]]:
        """Each row with its line, by column."""
        cells = zip(*self.columns.values(), strict=True)
        return [(line, dict(zip(self.columns, row, strict=True))) for line, row in zip(self.lines, cells, strict=True)]


def doubled_name(names: Sequence[str]) -> str | None:
    """The first name of a column that another one has too; columns without a name are not read."""
    return next((name for n, name in enumerate(names) if name.strip() and name in names[:n]), None)


def read_csv(path: Path, remedy: str = "save it as CSV, UTF-8") -> CsvTable:
    """A table of a file, of a million rows in a second or two; empty lines are none.

    Raises:
        DataError: a file that is missing or no CSV, `remedy` is what to do about that; or two columns of one name.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter_of(text), skipinitialspace=True)
        names = [name.strip() for name in next(reader, [])]
        width = len(names)
        if twice := doubled_name(names):  # of two the last would be read
            remedy = f"rename or remove one of the columns named {twice}"
            raise csv.Error(f"two columns named {twice}")
        for row in reader:
            if not row:
                continue
            if len(row) != width:
                row = [*row[:width], *[""] * (width - len(row))]
            rows.append(row)
            lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            "a table that cannot be read",
            code="table-unreadable",
            where=str(path),
            found=f"{type(error).__name__}: {error}",
            expected="comma-separated values in UTF-8, each column named once",
            remedy=remedy,
        ) from error
    cells: list[tuple[str, ...]] = list(zip(*rows, strict=True)) or [()] * width
    columns = {name: [cell.strip() for cell in of_one] for name, of_one in zip(names, cells, strict=True) if name}
    return CsvTable(columns, lines)


def delimiter_of(text: str) -> str:
    """What stands between the cells of a table, by its first line: a spreadsheet writes a semicolon where the comma
    stands in numbers."""
    return max(",;\t", key=text.partition("\n")[0].count)


def check_grouping(column: str | None, pattern: str | None) -> None:
    """Refuse a column of groups together with a pattern; raises `ConfigError`."""
    if column is not None and pattern is not None:
        raise ConfigError(
            "two ways to group the cases",
            code="groups-declared-twice",
            where="data.group_column, data.group_pattern",
            found=f"{column} and {pattern}",
            expected="one of them",
            remedy="set the other to null",
        )
