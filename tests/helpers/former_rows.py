"""The tables of former versions as their seglab made them: texts that no change of the present schema reaches.

From commits a946233 (version 1) and ff9c809 (version 3), with a row in each table.
"""

from __future__ import annotations

import json

from seglab.monitoring.database import opened
from seglab.monitoring.row_summary import summarise
from seglab.monitoring.schema import insertion

_TABLES = {
    1: """
CREATE TABLE IF NOT EXISTS monitoring_schema (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS predictions (id {identity}, at DOUBLE PRECISION NOT NULL, request TEXT NOT NULL,
kind TEXT NOT NULL, unit TEXT, model TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, status
INTEGER NOT NULL, code TEXT NOT NULL, seconds DOUBLE PRECISION NOT NULL, input TEXT, confidence DOUBLE
PRECISION, entropy DOUBLE PRECISION, soft_dice DOUBLE PRECISION, quality DOUBLE PRECISION, parts INTEGER,
implausible TEXT NOT NULL, image TEXT, shares TEXT, stages TEXT);
CREATE TABLE IF NOT EXISTS prompts (id {identity}, at DOUBLE PRECISION NOT NULL, request TEXT NOT NULL, event
TEXT NOT NULL, model TEXT NOT NULL, score DOUBLE PRECISION, seconds DOUBLE PRECISION NOT NULL, points INTEGER,
boxes INTEGER, box_share DOUBLE PRECISION, empty INTEGER, verdict TEXT NOT NULL, code TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS canary (id {identity}, at DOUBLE PRECISION NOT NULL, model TEXT NOT NULL, digest
TEXT NOT NULL, cases INTEGER NOT NULL, dice TEXT NOT NULL, iou TEXT NOT NULL, case_dice TEXT NOT NULL, fallen
INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS models (id {identity}, at DOUBLE PRECISION NOT NULL, digest TEXT NOT NULL, model
TEXT NOT NULL, told TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS predictions_seconds ON predictions (status, seconds);
CREATE INDEX IF NOT EXISTS predictions_quality ON predictions (at, quality);
CREATE INDEX IF NOT EXISTS predictions_code ON predictions (code);
CREATE INDEX IF NOT EXISTS prompts_event ON prompts (event, model);
""",
    3: """
CREATE TABLE IF NOT EXISTS monitoring_schema (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS predictions (id {identity}, at DOUBLE PRECISION NOT NULL, request TEXT NOT NULL,
kind TEXT NOT NULL, unit TEXT, model TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, status
INTEGER NOT NULL, code TEXT NOT NULL, seconds DOUBLE PRECISION NOT NULL, input TEXT, confidence DOUBLE
PRECISION, entropy DOUBLE PRECISION, soft_dice DOUBLE PRECISION, quality DOUBLE PRECISION, parts INTEGER,
implausible TEXT NOT NULL, image TEXT, shares TEXT, stages TEXT, agreement DOUBLE PRECISION);
CREATE TABLE IF NOT EXISTS prompts (id {identity}, at DOUBLE PRECISION NOT NULL, request TEXT NOT NULL, event
TEXT NOT NULL, model TEXT NOT NULL, score DOUBLE PRECISION, seconds DOUBLE PRECISION NOT NULL, points INTEGER,
boxes INTEGER, box_share DOUBLE PRECISION, empty INTEGER, verdict TEXT NOT NULL, code TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS canary (id {identity}, at DOUBLE PRECISION NOT NULL, model TEXT NOT NULL, digest
TEXT NOT NULL, cases INTEGER NOT NULL, dice TEXT NOT NULL, iou TEXT NOT NULL, case_dice TEXT NOT NULL, fallen
INTEGER NOT NULL, subject TEXT, failed TEXT);
CREATE TABLE IF NOT EXISTS models (id {identity}, at DOUBLE PRECISION NOT NULL, digest TEXT NOT NULL, model
TEXT NOT NULL, description TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS predictions_at ON predictions (at, status, code, seconds, quality);
CREATE INDEX IF NOT EXISTS prompts_event ON prompts (event, model);
""",
}
_MODEL = json.dumps({"class_names": ["a"], "values": [0], "scored": [0], "reference": {}, "quality": None})
_ROWS = """
INSERT INTO monitoring_schema (version) VALUES ({version});
INSERT INTO models (at, digest, model, {description}) VALUES (1.0, 'dddd', 'road+dddd', '{model}');
INSERT INTO canary (at, model, digest, cases, dice, iou, case_dice, fallen)
VALUES (1.0, 'road+dddd', 'dddd', 4, '{{}}', '{{}}', '[]', 0);
INSERT INTO predictions (at, request, kind, model, version, digest, status, code, seconds, implausible)
VALUES (1.0, 'a', 'predict', 'road+dddd', '', 'dddd', 503, 'service-busy', 0.1, '');
INSERT INTO prompts (at, request, event, model, score, seconds, points, empty, verdict, code)
VALUES (1.0, 'b', 'prompt', 'grabcut', 0.5, 0.1, 2, 0, 'accepted', '');
INSERT INTO prompts (at, request, event, model, seconds, verdict, code)
VALUES (2.0, 'b', 'accepted', 'grabcut', 0.1, '', '');
"""


def former_statements(version: int, identity: str) -> list[str]:
    """What makes the tables of version 1 or 3, and their rows; `identity` is the database's word for a row's number."""
    description = "told" if version < 3 else "description"
    made = _TABLES[version].format(identity=identity) + _ROWS.format(
        version=version, description=description, model=_MODEL
    )
    return [statement for statement in made.split(";\n") if statement.strip()]


def take_over(place: str) -> None:
    """See that tables of `former_statements` are read as they are, and take rows of this version once written to."""
    before = summarise(place)
    assert (before.requests, before.prompts.prompts, before.prompts.masks) == (1, 1, 0)
    opened(place, write=True).close()  # as a service that begins
    database = opened(place, write=True)
    prompt = {"at": 3.0, "request": "c", "event": "accepted", "model": "grabcut", "score": None, "seconds": 0.1}
    prompt |= {"points": None, "boxes": None, "box_share": None, "empty": None, "verdict": "", "code": "", "steps": 3}
    canary = {"at": 3.0, "model": "road+dddd", "digest": "dddd", "cases": 4, "dice": "{}", "iou": "{}"}
    canary |= {"case_dice": "[]", "fallen": 0, "subject": "s", "failed": "killed"}
    database.write([(insertion("prompts"), [prompt]), (insertion("canary"), [canary])])
    assert database.ask("SELECT steps FROM prompts ORDER BY id") == [(None,), (None,), (3,)]
    assert database.ask("SELECT failed, subject FROM canary ORDER BY id") == [(None, None), ("killed", "s")]
    assert database.ask("SELECT agreement FROM predictions") == [(None,)]
    assert database.ask("SELECT description FROM models") == [(_MODEL,)]
    assert database.ask("SELECT version FROM monitoring_schema") == [(4,)]
    database.close()
