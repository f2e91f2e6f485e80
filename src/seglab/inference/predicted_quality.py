"""How good a mask is likely to be, where nobody knows the truth.

A map from the soft Dice confidence to Dice is fitted to the validation cases and travels with the model. Between its
knots it is linear, beyond them constant. Its own error stands beside it, on cases that it was not fitted to; where that
is too large the map is not to be used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

LEAST_R, MOST_MAE = 0.6, 0.05
NOT_USABLE = "not usable here"
_TENTH, _DRAWS = 10, 1000


@dataclass(frozen=True)
class Agreement:
    """How well predicted and real Dice agree.

    Attributes:
        n: cases.
        r: Pearson's correlation; None where one of them does not vary.
        mae: mean absolute difference, in Dice.
    """

    n: int
    r: float | None
    mae: float

    @classmethod
    def of(cls, predicted: np.ndarray, real: np.ndarray) -> Agreement:
        """Of `(n,)` predicted and `(n,)` real Dice, one or more."""
        varies = len(real) > 1 and min(np.std(predicted), np.std(real)) > 1e-9
        r = float(np.corrcoef(predicted, real)[0, 1]) if varies else None
        return cls(len(real), r, float(np.mean(np.abs(predicted - real))))


@dataclass(frozen=True)
class Rejection:
    """What it is worth to leave out the tenth of the masks that is trusted least.

    Attributes:
        n: cases.
        left_out: of them.
        gain: by how much the mean Dice of the rest is above that of all, which is also what a tenth that is drawn at
            random leaves on average.
        low, high: its interval at 95%, by drawing units anew.
    """

    n: int
    left_out: int
    gain: float
    low: float
    high: float

    @classmethod
    def of(cls, confidence: np.ndarray, dice: np.ndarray, units: Sequence[str]) -> Rejection | None:
        """Of `(n,)` confidence or predicted Dice, `(n,)` real Dice, and the unit of each; None of fewer than ten cases
        or two units."""
        _, unit = np.unique(np.asarray(units, dtype=str), return_inverse=True)
        if len(dice) < _TENTH or unit.max() == 0:
            return None
        members = [np.flatnonzero(unit == number) for number in range(unit.max() + 1)]
        rng = np.random.default_rng(0)
        draws = (rng.integers(0, len(members), len(members)) for _ in range(_DRAWS))
        gains = [_gain(confidence, dice, np.concatenate([members[number] for number in drawn])) for drawn in draws]
        low, high = np.quantile(gains, (0.025, 0.975)).tolist()
        gain = _gain(confidence, dice, np.arange(len(dice)))
        return cls(len(dice), max(1, round(len(dice) / _TENTH)), gain, low, high)

    def sentence(self) -> str:
        """In a sentence."""
        shown = "" if self.low > 0 else ", which does not show that it is better than a tenth at random"
        interval = f"{self.gain:+.3f} (95%: {self.low:+.3f} to {self.high:+.3f})"
        return f"without the tenth that is trusted least the mean Dice of {self.n} is {interval}{shown}"


def _gain(confidence: np.ndarray, dice: np.ndarray, places: np.ndarray) -> float:
    """By how much the mean Dice grows where the least trusted tenth of the cases at these places is left out."""
    order = places[np.argsort(confidence[places], kind="stable")]
    return float(dice[order[max(1, round(len(order) / _TENTH)) :]].mean() - dice[order].mean())


@dataclass(frozen=True)
class PredictedQuality:
    """The map.

    Attributes:
        confidence, dice: its knots, both growing.
        validation: on the validation cases, each predicted by a map that was fitted without it.
        test: on the test cases; None where there were none.
        rejection: what it is worth there to leave out the masks that are trusted least; None of too few, or where a
            seglab of before has fitted the map.
    """

    confidence: tuple[float, ...]
    dice: tuple[float, ...]
    validation: Agreement
    test: Agreement | None
    rejection: Rejection | None = None

    def of(self, soft_dice: float | None) -> float | None:
        """Dice that a mask of this soft Dice confidence is likely to have; None for None."""
        return None if soft_dice is None else round(float(np.interp(soft_dice, self.confidence, self.dice)), 4)

    @property
    def usable(self) -> bool:
        """Whether the test cases show a correlation of at least 0.6 and an error of at most 0.05."""
        return self.test is not None and (self.test.r or 0.0) >= LEAST_R and self.test.mae <= MOST_MAE

    def sentence(self) -> str:
        """In a sentence."""
        if self.test is None:
            return f"{NOT_USABLE}: there were no test cases to try it on"
        r = "none" if self.test.r is None else f"{self.test.r:.2f}"
        text = f"on {self.test.n} test cases r {r}, mean error {self.test.mae:.3f}"
        text += f"; {self.rejection.sentence()}" if self.rejection else ""
        return text if self.usable else f"{NOT_USABLE}: {text}; wanted are r {LEAST_R} and {MOST_MAE}"

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types."""
        return {**asdict(self), "confidence": list(self.confidence), "dice": list(self.dice)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PredictedQuality | None:
        """The inverse of `to_dict`; None for an empty one, as bundles of before have it.

        Raises:
            KeyError, TypeError, ValueError: a part is missing or of another kind.
        """
        if not values:
            return None
        confidence, dice = (tuple(float(x) for x in values[name]) for name in ("confidence", "dice"))
        if len(confidence) != len(dice) or not dice or any(list(x) != sorted(x) for x in (confidence, dice)):
            raise ValueError("knots of the predicted quality that do not grow")
        if not all(math.isfinite(x) for x in (*confidence, *dice)):
            raise ValueError("knots of the predicted quality that are no numbers")
        test, rejection = values["test"], values.get("rejection")
        return cls(
            confidence,
            dice,
            _agreement(values["validation"]),
            None if test is None else _agreement(test),
            None if rejection is None else _rejection(rejection),
        )


def _rejection(values: dict[str, Any]) -> Rejection:
    gain, low, high = (float(values[name]) for name in ("gain", "low", "high"))
    return Rejection(int(values["n"]), int(values["left_out"]), gain, low, high)


def _agreement(values: dict[str, Any]) -> Agreement:
    r = values["r"]
    return Agreement(int(values["n"]), None if r is None else float(r), float(values["mae"]))
