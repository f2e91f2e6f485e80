"""The rows and cells of a table of labels, CSV or YAML."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seglab.config.scalars import NOTHING, TRUTH, read_yaml
from seglab.data.io.csv_files import delimiter_of, doubled_name
from seglab.errors import ConfigError

COLUMNS = ("id", "name", "train_id", "category", "ignored", "color")
Color = tuple[int, int, int]


def read_rows(path: Path, where: str) -> list[Mapping[str, Any]]:
    """The rows of a CSV or YAML file, as they are written; `where` is the table, for messages."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".csv":
            reader = csv.DictReader(
                text.splitlines(), restkey="further cells", delimiter=delimiter_of(text), skipinitialspace=True
            )
            if twice := doubled_name(list(reader.fieldnames or ())):  # of two the last would be read
                raise csv.Error(f"two columns named {twice}")
            rows: Any = list(reader)
        else:
            rows = read_yaml(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, csv.Error) as error:
        raise ConfigError(
            "a label table that cannot be read",
            code="label-table-unreadable",
            where=where,
            found=f"{type(error).__name__}: {error}",
            expected="a CSV or YAML file with the columns " + ", ".join(COLUMNS),
            remedy="a path as data.label_schema=…; each column named once",
        ) from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise ConfigError(
            "a label table without rows",
            code="label-table-invalid",
            where=where,
            found=type(rows).__name__ if not isinstance(rows, list) else f"{len(rows)} rows",
            expected="a row for each label: " + ", ".join(COLUMNS),
            remedy="for example: {id: 0, name: road, train_id: 0, category: flat, ignored: false, color: '#804080'}",
        )
    return rows


def bad_cell(place: str, column: str, found: Any, expected: str) -> ConfigError:
    """Of a cell that says nothing that can be used."""
    return ConfigError(
        "invalid cell in a label table",
        code="label-table-invalid",
        where=f"{place}, column {column}",
        found=repr(found),
        expected=expected,
        remedy="correct the cell",
    )


def optional_number(cell: Any, place: str, column: str = "train_id") -> int | None:
    """A whole number, or None for an empty cell."""
    if cell is None or str(cell).strip().lower() in NOTHING:
        return None
    if not re.fullmatch(r"-?[0-9]+", str(cell).strip()):
        raise bad_cell(place, column, cell, "a whole number, or nothing")
    return int(cell)


def truth(cell: Any, place: str, *, default: bool) -> bool:
    """True or false, or the default for an empty cell."""
    word = "" if cell is None else str(cell).strip().lower()
    if word in NOTHING:
        return default
    if word not in TRUTH:
        raise bad_cell(place, "ignored", cell, "true or false")
    return TRUTH[word]


def color(cell: Any, place: str, *, default: Color) -> Color:
    """Red, green and blue, or the default for an empty cell."""
    if cell is None or str(cell).strip().lower() in NOTHING:
        return default
    match = re.fullmatch(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", str(cell).strip())
    if not match:
        raise bad_cell(place, "color", cell, "red, green and blue in hexadecimal, such as '#804080'")
    red, green, blue = (int(part, 16) for part in match.groups())
    return red, green, blue
