"""One rule for cases without a score: what counts as right, as a failure, and what cannot be a criterion at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.comparison.remarks import Decided
from seglab.errors import ConfigError
from seglab.metric_names import TEST_DICE, Column

_SHARES = ("dice", "iou", "precision", "lesion_precision")  # 1 is right, 0 is wrong
_SURFACE_DICE = "nsd_"
_OF_PREDICTED = ("precision", "lesion_precision")  # undefined where nothing is predicted, whatever the truth


def blanks_count(column: str) -> bool:
    """Whether a case without this score is decided by the rule of `settle`."""
    kind = Column.parse(column).score
    return kind in _SHARES or kind.startswith(_SURFACE_DICE)


def settle(
    column: str, values: np.ndarray, present: np.ndarray, missed: np.ndarray, labels: Sequence[str]
) -> tuple[np.ndarray, Decided]:
    """Scores of all variants with every blank decided, so that all are ranked on the same cases.

    A share (Dice, IoU, surface Dice, precision) has no value where truth and prediction are both empty. Where every run
    left such a case blank it says nothing and is left out for all. Where another run predicted something there, that is
    a false alarm and has 0, so the empty prediction was right and has 1. Precision has no value either where all of a
    structure is missed: that is a failure and has 0. So is a blank where another run has more than 0, for then truth is
    not empty.

    Every other score must have a value on the same cases in all runs: a distance says nothing of a structure that was
    missed altogether, so that a model which misses the hardest would win by it.

    Args:
        column: the score, such as `dice/tumour`.
        values: `(variants, replicates, cases)`, NaN without a score.
        present: where a run has the case at all.
        missed: where truth holds the class and the prediction nothing of it.
        labels: of the variants.

    Returns:
        The scores, and on how many cases they were decided.

    Raises:
        ConfigError: another score has a value in some runs and not in others.
    """
    kind = Column.parse(column).score
    blank = present & np.isnan(values)
    there = (np.nan_to_num(values) > 0).any(axis=(0, 1))
    failed = blank & (missed | there) if kind in _OF_PREDICTED else blank & there
    if not blanks_count(column):
        failed = np.zeros_like(blank)
    blank &= ~failed
    scored = failed | (present & np.isfinite(values))
    disputed = blank.any(axis=(0, 1)) & scored.any(axis=(0, 1))
    decided = Decided(column, 0, 0)
    if blanks_count(column):
        values = np.where(failed, 0.0, np.where(blank & disputed, 1.0, values))
        decided = Decided(column, _cases(failed), _cases(blank & disputed))
    elif disputed.any():
        fewest = min(range(len(labels)), key=lambda i: scored[i].sum() / max(present[i].sum(), 1))
        raise ConfigError(
            "a score that is defined on different cases in different runs",
            code="score-undefined",
            where="metric",
            found=f"{column} has no value on {int(disputed.sum())} of {values.shape[2]} cases in some of the runs; "
            f"{labels[fewest]} has the fewest values",
            expected="a score that counts an empty prediction as a failure",
            remedy=f"compare by the Dice or the surface Dice (nsd_…) of the same table, such as metric={TEST_DICE}",
        )
    return values, decided


def _cases(where: np.ndarray) -> int:
    return int(where.any(axis=(0, 1)).sum())
