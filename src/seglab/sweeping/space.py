"""From what is said on the command line to a search space, and from a draw back to overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from seglab.errors import ConfigError


@dataclass(frozen=True)
class SearchSpace:
    """What is searched.

    Attributes:
        fixed: overrides that every job has.
        free: what each job draws, by key: `a,b` and `choice(a,b)` one of these, `range(1,9,2)` a step of it,
            `interval(0.1,0.5)` anything between, `int(interval(2,4))` a whole number,
            `tag(log,interval(1e-4,1e-2))` on a logarithmic scale.
    """

    fixed: tuple[str, ...]
    free: dict[str, BaseDistribution]

    @classmethod
    def of(cls, overrides: Sequence[Override]) -> SearchSpace:
        """Reads overrides; a later one of the same key replaces an earlier one."""
        latest = {override.get_key_element(): override for override in overrides}
        fixed = [
            f"{key}={one.get_value_element_as_str()}" for key, one in latest.items() if not one.is_sweep_override()
        ]
        free = {key: _distribution(key, one) for key, one in latest.items() if one.is_sweep_override()}
        if not free:
            raise ConfigError(
                "a search with nothing to search",
                code="search-empty",
                where="search",
                found="no setting with several values",
                expected="values such as loss=dice,combined or optimizer.learning_rate='interval(1e-4,1e-2)'",
                remedy="give some, or remove search=… for a single run",
            )
        return cls(tuple(fixed), free)

    def draw(self, trial: Trial) -> tuple[str, ...]:
        """The overrides of one job."""
        return self.words({key: self._suggest(trial, key) for key in self.free})

    def words(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """The overrides of a job that has drawn these values."""
        return (*self.fixed, *(f"{key}={values[key]}" for key in self.free))

    def _suggest(self, trial: Trial, key: str) -> Any:
        kind = self.free[key]
        if isinstance(kind, CategoricalDistribution):
            return trial.suggest_categorical(key, kind.choices)
        if isinstance(kind, IntDistribution):
            return trial.suggest_int(key, kind.low, kind.high, step=kind.step, log=kind.log)
        assert isinstance(kind, FloatDistribution)
        return trial.suggest_float(key, kind.low, kind.high, step=kind.step, log=kind.log)


def _distribution(key: str, override: Override) -> BaseDistribution:
    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            low, high, log = value.start, value.end, "log" in value.tags
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=log)
            return FloatDistribution(float(low), float(high), log=log)  # type: ignore[arg-type]
        if isinstance(value, RangeSweep):
            steps = list(value.range())
            if all(isinstance(step, int) for step in steps):
                return IntDistribution(int(steps[0]), int(steps[-1]), step=int(value.step))
            # Sums of steps such as 0.1 end a little beside the number that was meant.
            return FloatDistribution(float(steps[0]), round(float(steps[-1]), 12), step=float(value.step))
    except (ValueError, IndexError) as error:
        raise ConfigError(
            "a range that cannot be searched",
            code="search-range",
            where=key,
            found=override.input_line,
            expected=str(error),
            remedy=f"such as {key}='interval(1e-4,1e-2)', {key}='range(2,8)' or {key}=1,2,4",
        ) from error
    return CategoricalDistribution(list(override.sweep_string_iterator()))
