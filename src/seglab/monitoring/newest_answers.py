"""The window of the newest answers: whether they drift, and how many break a rule."""

from __future__ import annotations

import json

from seglab.inference.reference_data import by_unit
from seglab.monitoring.database import Database, reading
from seglab.monitoring.drift import Drift, find_drift
from seglab.monitoring.watched import Watched, newest_model

OK = 200
_LOOKED_AT = 5_000  # newest answers, at most, that a window is taken from


def newest_answers(
    database: Database, model: Watched | None, since: float, alpha: float, window: int
) -> tuple[Drift, dict[str, int]]:
    """Drift of the newest answers of a model, and how many break each rule, with all that were looked at under
    `answers`.

    Args:
        database: of the rows.
        model: that answered; of None nothing is known.
        since: seconds since 1970.
        alpha: error rate of drift.
        window: newest units that are tested.
    """
    if model is None:
        return Drift((), None, 0, alpha, "no model has answered yet"), {"answers": 0}
    rows = database.ask(
        "SELECT input, unit, confidence, entropy, soft_dice, parts, implausible, image, shares FROM predictions"
        " WHERE at >= :since AND status = :ok AND digest = :digest AND image IS NOT NULL ORDER BY id DESC LIMIT :most",
        since=since,
        ok=OK,
        digest=model.digest,
        most=_LOOKED_AT,
    )
    images: list[dict[str, float | None]] = []
    masks: list[dict[str, float | None]] = []
    units: list[str] = []
    seen: set[str] = set()
    implausible: dict[str, int] = {"answers": len(rows)}
    for digest, unit, confidence, entropy, soft_dice, parts, rules, image, shares in rows:
        for rule in filter(None, rules.split(",")):
            implausible[rule] = implausible.get(rule, 0) + 1
        named = f"unit {unit}" if unit else f"input {digest}"
        if named not in seen and len(seen) >= window:
            continue
        seen.add(named)
        units.append(named)
        images.append(json.loads(image))
        share = {f"share_{class_id}": value for class_id, value in enumerate(json.loads(shares))}
        mask = {"confidence": confidence, "entropy": entropy, "soft_dice": soft_dice or 0.0, "parts": parts}
        masks.append({**mask, **share})
    now = {"image": by_unit(images, units), "mask": by_unit(masks, units)}
    return find_drift(now, model.reference.get("samples", {}), len(seen), alpha), implausible


def newest_agreements(database: Database, model: Watched | None, since: float, window: int) -> tuple[float, ...]:
    """Agreement over flips of the newest masks of a model, of those where it was asked for and there is one."""
    if model is None or database.version < 2:
        return ()
    rows = database.ask(
        "SELECT agreement FROM predictions WHERE at >= :since AND status = :ok AND digest = :digest"
        " ORDER BY id DESC LIMIT :most",
        since=since,
        ok=OK,
        digest=model.digest,
        most=window,
    )
    return tuple(row[0] for row in rows if row[0] is not None)


def newest_drift(place: str, digest: str, after: int, news: int, alpha: float, window: int) -> tuple[int, Drift | None]:
    """Look at the newest answers of a model, where there is news of it.

    Args:
        place: of the rows.
        digest: of the model.
        after: number of the newest row when it was looked at before; 0 the first time.
        news: rows that have to have come since then.
        alpha, window: as of `newest_answers`.

    Returns:
        Number of the newest row that was looked at, and drift; `after` and None where there is no news.

    Raises:
        ConfigError, DataError: as of `reading`.
    """
    with reading(place) as database:
        ((newest,),) = database.ask("SELECT max(id) FROM predictions")
        if newest is None or newest < after + news:
            return after, None
        return int(newest), newest_answers(database, newest_model(database, digest), 0.0, alpha, window)[0]
