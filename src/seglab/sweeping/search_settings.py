"""How a search is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Attributes:
        study_name: of Optuna's study; None takes the chosen experiment's name, or `search`.
        storage: address of Optuna's storage: `sqlite:///mlruns/search.db`, `postgresql://…`.
        trials: how many there are to be in all, those of former launches included.
        at_once: so many run at a time, or as many as the launcher runs at once when that is fewer.
        seed: of the sampler.
        startup_trials: drawn at random and never pruned.
        warmup_epochs: no trial is pruned before so many epochs.
    """

    study_name: str | None
    storage: str
    trials: int
    at_once: int
    seed: int
    startup_trials: int
    warmup_epochs: int
