"""How a search is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seglab.data.digest import digest_values

if TYPE_CHECKING:
    import optuna


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

    def sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Of the values of one trial, from the seed and its number: launchers that share a search draw other values
        each, and one that begins anew goes on with new ones.

        The constant liar takes trials under way for bad ones, so that those drawn meanwhile lie elsewhere.
        """
        import optuna

        seed = int(digest_values([self.seed, number])[:8], 16)
        return optuna.samplers.TPESampler(n_startup_trials=self.startup_trials, seed=seed, constant_liar=True)
