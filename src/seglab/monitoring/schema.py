"""The tables that rows of a service are kept in. A change of theirs is a new version, which an older seglab refuses.

`predictions`  a row for each request for a mask, answered or refused
`prompts`      a row for each prompt of a session, and for what became of its mask
`canary`       a row for each time that a small labelled set was predicted
`models`       a row for each model that has answered: its classes, reference and predicted quality
"""

from __future__ import annotations

VERSION = 4
VERSION_TABLE = "monitoring_schema"
_REAL, _WHOLE, _TEXT = "DOUBLE PRECISION", "INTEGER", "TEXT"

TABLES: dict[str, dict[str, str]] = {
    "predictions": {
        "at": f"{_REAL} NOT NULL",  # seconds since 1970, when the answer was given
        "request": f"{_TEXT} NOT NULL",  # X-Request-ID
        "kind": f"{_TEXT} NOT NULL",  # predict or infer
        "unit": _TEXT,  # scene, volume or patient, as the client names it in X-Unit
        "model": f"{_TEXT} NOT NULL",  # X-Bundle
        "version": f"{_TEXT} NOT NULL",  # in the register; empty where it came from none
        "digest": f"{_TEXT} NOT NULL",
        "status": f"{_WHOLE} NOT NULL",
        "code": f"{_TEXT} NOT NULL",  # of the problem; empty where there was none
        "seconds": f"{_REAL} NOT NULL",  # of the whole request
        "input": _TEXT,  # SHA-256 of the body
        "confidence": _REAL,
        "entropy": _REAL,
        "soft_dice": _REAL,
        "quality": _REAL,  # predicted Dice
        "parts": _WHOLE,  # connected ones of the scored classes
        "implausible": f"{_TEXT} NOT NULL",  # rules that are broken, with commas
        "image": _TEXT,  # JSON: `image_statistics`
        "shares": _TEXT,  # JSON: of each class
        "stages": _TEXT,  # JSON: milliseconds
        "agreement": _REAL,  # mean Dice of the masks of the flipped image, two at a time
    },
    "prompts": {
        "at": f"{_REAL} NOT NULL",
        "request": f"{_TEXT} NOT NULL",
        "event": f"{_TEXT} NOT NULL",  # prompt, accepted, corrected, rejected or failed
        "model": f"{_TEXT} NOT NULL",
        "score": _REAL,
        "seconds": f"{_REAL} NOT NULL",
        "points": _WHOLE,
        "boxes": _WHOLE,
        "box_share": _REAL,  # area of the mask over that of the box
        "empty": _WHOLE,
        "verdict": f"{_TEXT} NOT NULL",  # of the guard
        "code": f"{_TEXT} NOT NULL",
        "steps": _WHOLE,  # prompts that a mask took, of what became of it
    },
    "canary": {
        "at": f"{_REAL} NOT NULL",
        "model": f"{_TEXT} NOT NULL",
        "digest": f"{_TEXT} NOT NULL",
        "cases": f"{_WHOLE} NOT NULL",
        "dice": f"{_TEXT} NOT NULL",  # JSON: mean of each class
        "iou": f"{_TEXT} NOT NULL",  # JSON: of each class, over the counts of all cases
        "case_dice": f"{_TEXT} NOT NULL",  # JSON: of each case
        "fallen": f"{_WHOLE} NOT NULL",  # 1 where it is below the former model's, beyond the interval
        "subject": _TEXT,  # digest of the model's name and the labelled set: scores of one are comparable
        "failed": _TEXT,  # why it could not be predicted; empty where it was
    },
    "models": {
        "at": f"{_REAL} NOT NULL",
        "digest": f"{_TEXT} NOT NULL",
        "model": f"{_TEXT} NOT NULL",
        "description": f"{_TEXT} NOT NULL",  # JSON: class names, reference, quality
    },
}
# Tables, and columns that a version has added to them; former tables get them when they are next written to.
ADDED: dict[int, tuple[tuple[str, str], ...]] = {
    2: (("predictions", "agreement"), ("canary", "subject"), ("canary", "failed")),
    4: (("prompts", "steps"),),
}
# Tables, and columns that a version has renamed in them, by former and present name.
RENAMED: dict[int, tuple[tuple[str, str, str], ...]] = {3: (("models", "told", "description"),)}
# What a summary of a million rows reads in place of the rows.
INDEXES = {
    "predictions_at": "predictions (at, status, code, seconds, quality)",
    "prompts_at": "prompts (at)",
}
# Of former versions, which nothing reads now and every row would be written to.
_FORMER_INDEXES = ("predictions_seconds", "predictions_quality", "predictions_code", "prompts_event")


def statements(identity: str) -> list[str]:
    """What makes the tables where there are none, and their indexes those of this version.

    Args:
        identity: the database's own word for a column that counts rows.
    """
    made = [f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version INTEGER NOT NULL)"]
    for name, columns in TABLES.items():
        listed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        made.append(f"CREATE TABLE IF NOT EXISTS {name} (id {identity}, {listed})")
    made += [f"DROP INDEX IF EXISTS {name}" for name in _FORMER_INDEXES]
    return made + [f"CREATE INDEX IF NOT EXISTS {name} ON {where}" for name, where in INDEXES.items()]


def migrations(found: int) -> list[str]:
    """What turns tables of a former version into those of this one."""
    added = [
        f"ALTER TABLE {table} ADD COLUMN {column} {TABLES[table][column]}"
        for version, columns in ADDED.items()
        if version > found
        for table, column in columns
    ]
    return added + [
        f"ALTER TABLE {table} RENAME COLUMN {former} TO {name}"
        for version, columns in RENAMED.items()
        if version > found
        for table, former, name in columns
    ]


def column_of(table: str, name: str, version: int) -> str:
    """How a column is called in a table of a version, which may be a former one."""
    return next(
        (
            former
            for since, columns in RENAMED.items()
            if version < since
            for where, former, now in columns
            if (where, now) == (table, name)
        ),
        name,
    )


def insertion(table: str) -> str:
    """What adds a row, with a named place for each column."""
    columns = TABLES[table]
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"
