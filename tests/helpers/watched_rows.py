"""Rows as a service leaves them, of a model that does not exist."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from seglab.monitoring.database import opened
from seglab.monitoring.schema import ADDED, RENAMED, TABLES, VERSION_TABLE, insertion

DIGEST = "d" * 64
QUALITY = {
    "confidence": [0.0, 1.0],
    "dice": [0.0, 1.0],
    "validation": {"n": 40, "r": 0.9, "mae": 0.02},
    "test": {"n": 40, "r": 0.5, "mae": 0.02},
}
RNG = np.random.default_rng(0)
REFERENCE = {
    "samples": {
        "image": {
            "mean": sorted(RNG.normal(100, 10, 300).tolist()),
            "sharpness": sorted(RNG.normal(50, 5, 300).tolist()),
        },
        "mask": {"soft_dice": sorted(RNG.beta(40, 2, 60).tolist()), "share_1": sorted(RNG.beta(2, 8, 60).tolist())},
    }
}


def answered(number: int, **change: Any) -> dict[str, Any]:
    """A row of an answer like those of the reference."""
    row = dict.fromkeys(TABLES["predictions"])
    share = float(RNG.beta(2, 8))
    row |= {"at": 1.8e9 + number, "request": f"r{number}", "kind": "predict", "model": "road+dddd", "version": ""}
    row |= {"digest": DIGEST, "status": 200, "code": "", "seconds": 0.1, "input": f"{number:064x}", "implausible": ""}
    row |= {"confidence": 0.9, "entropy": 0.2, "soft_dice": float(RNG.beta(40, 2)), "quality": 0.8, "parts": 2}
    image = {"mean": float(RNG.normal(100, 10)), "sharpness": float(RNG.normal(50, 5))}
    row |= {"image": json.dumps(image), "shares": json.dumps([1 - share, share]), "stages": "{}"}
    return {**row, **change}


def written(place: Path | str, rows: list[dict[str, Any]], digest: str = DIGEST, **tables: list[dict[str, Any]]) -> str:
    """The place of a database with these rows, and with a model of that digest."""
    database = opened(str(place), write=True)
    classes = {"class_names": ["ground", "<b>road</b>"], "values": [0, 1], "scored": [1], "rank": 2}
    model = {"at": 1.0, "digest": digest, "model": "road+dddd"}
    model["description"] = json.dumps({**classes, "reference": REFERENCE, "quality": QUALITY})
    database.write([(insertion("models"), [model]), (insertion("predictions"), rows)])
    database.write([(insertion(table), more) for table, more in tables.items()])
    database.close()
    return str(place)


def as_written_by(version: int, place: str) -> bytes:
    """Turn tables into those of a former version, where they are; the bytes of the file."""
    with closing(sqlite3.connect(place, isolation_level=None)) as former:
        for table, column in (pair for since, pairs in ADDED.items() if since > version for pair in pairs):
            former.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for table, name, now in (names for since, more in RENAMED.items() if since > version for names in more):
            former.execute(f"ALTER TABLE {table} RENAME COLUMN {now} TO {name}")
        former.execute(f"UPDATE {VERSION_TABLE} SET version = {version}")
    return Path(place).read_bytes()


def canary_row(**change: Any) -> dict[str, Any]:
    row = {"at": 1.8e9, "model": "road+dddd", "digest": DIGEST, "cases": 4, "dice": "{}", "iou": "{}"}
    return {**row, "case_dice": "[]", "fallen": 0, "subject": "s", "failed": "", **change}
