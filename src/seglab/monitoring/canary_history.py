"""What the rows tell of a canary: its former scores, which a service that begins anew is held against."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from seglab.monitoring.canary import CanaryCase
from seglab.monitoring.database import reading

_LOOKED_AT = 1000  # newest times that it was predicted


def subject_of(model: str, cases: Sequence[CanaryCase]) -> str:
    """What scores are of: SHA-256 of the name of a model and of the labelled set, by names and contents.

    Raises:
        OSError: a file that cannot be read.
    """
    digest = hashlib.sha256(json.dumps([model, [case.name for case in cases]]).encode())
    for case in cases:
        for file in (case.image, case.mask):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def former_scores(place: str, subject: str, digest: str) -> tuple[float, ...] | None:
    """Dice of each case that a model has to do as well as: that of the last other model which was predicted, or else
    of the first time that this one was.

    Args:
        place: of the rows.
        subject: as of `subject_of`.
        digest: of the model that answers now.

    Returns:
        None where nothing is known. NaN of cases without a scored class.

    Raises:
        ConfigError, DataError: as of `reading`.
    """
    with reading(place) as database:
        if database.version < 2:
            return None
        rows = database.ask(
            "SELECT digest, case_dice FROM canary WHERE subject = :subject AND failed = ''"
            " ORDER BY id DESC LIMIT :most",
            subject=subject,
            most=_LOOKED_AT,
        )
        found = next((scores for other, scores in rows if other != digest), rows[-1][1] if rows else None)
        return None if found is None else tuple(float("nan") if one is None else one for one in json.loads(found))
