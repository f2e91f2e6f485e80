"""A model whose answers leave rows, as its own row tells of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from seglab.inference.predicted_quality import PredictedQuality
from seglab.monitoring.database import Database
from seglab.monitoring.schema import column_of


@dataclass(frozen=True)
class Watched:
    """A model, the values of its classes in masks and which of them are scored, and what its answers are held
    against."""

    digest: str
    label: str
    class_names: tuple[str, ...]
    values: tuple[int, ...]
    scored: tuple[int, ...]
    reference: dict[str, Any]
    quality: PredictedQuality | None


def newest_model(database: Database, digest: str = "") -> Watched | None:
    """The model that has begun last, or the one of a digest; None where there is none."""
    which = "WHERE digest = :digest " if digest else ""
    description = column_of("models", "description", database.version)
    rows = database.ask(
        f"SELECT digest, model, {description} FROM models {which}ORDER BY id DESC LIMIT 1",
        **({"digest": digest} if digest else {}),
    )
    return _watched(*rows[0]) if rows else None


def _watched(digest: str, label: str, description: str) -> Watched:
    known = json.loads(description)
    names, values, scored = (tuple(known[key]) for key in ("class_names", "values", "scored"))
    return Watched(
        digest, label, names, values, scored, known["reference"], PredictedQuality.from_dict(known["quality"])
    )
