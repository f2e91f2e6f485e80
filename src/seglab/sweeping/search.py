"""A search with Optuna: each trial is a job with an identity, so a search that was cut off goes on where it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import optuna
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext
from omegaconf import DictConfig
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from seglab.command import SweepFailed
from seglab.data.digest import digest_values
from seglab.errors import ConfigError, TrackingError
from seglab.experiment import RUNS
from seglab.reproducibility import redacted
from seglab.sweeping.executor import Executor, check_positive
from seglab.sweeping.jobs import Job, Outcome
from seglab.sweeping.launchers import Presence, held, living
from seglab.sweeping.preparing import Preparation
from seglab.sweeping.space import Space
from seglab.sweeping.table import console, table
from seglab.tracking.drivers import driver_remedy
from seglab.training.stopping import lower_is_better

if TYPE_CHECKING:
    from seglab.tracking.store import Store

_CUT_OFF = "cut_off"


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Attributes:
        study_name: of Optuna's study; None takes the chosen experiment's name, or `search`.
        storage: address of Optuna's storage: `sqlite:///mlruns/search.db`, `postgresql://…`.
        trials: how many there are to be in all, those of former launches included.
        seed: of the sampler.
        startup_trials: drawn at random and never pruned.
        warmup_epochs: no trial is pruned before so many epochs.
    """

    study_name: str | None
    storage: str
    trials: int
    seed: int
    startup_trials: int
    warmup_epochs: int


class Search:
    """A search over a space of overrides; better is what `trainer.monitor` says.

    Args:
        config: the composed config of the sweep.
        context: Hydra's.
        executor: starts processes; so many trials are drawn at a time as it runs at once.
        settings: how to search.
        overrides: what was said.
    """

    def __init__(
        self,
        config: DictConfig,
        context: HydraContext,
        executor: Executor,
        settings: SearchSettings,
        overrides: Sequence[Override],
    ):
        check_positive(trials=settings.trials)
        self.executor, self.settings, self.monitor = executor, settings, str(config.trainer.monitor)
        self.space = Space.of(overrides)
        self._preparation = Preparation(config, context)
        self.name = settings.study_name or self._preparation.study or "search"
        self.study = self._open_study()
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> float:
        """Search until there are enough trials; returns the best objective.

        Raises:
            SweepFailed: trials have failed; names them.
            ConfigError: the study was begun with another space or another direction.
            TrackingError: the store or Optuna's storage does not work.
        """
        from seglab.sweeping.ledger import Ledger
        from seglab.sweeping.parent import ParentRun
        from seglab.sweeping.running import JobRunner
        from seglab.tracking.interruption import sigterm_raises

        store, tracking = self._store()
        digest = digest_values({"search": self.name, "storage": redacted(self.settings.storage)})
        with (
            sigterm_raises(),
            ParentRun(store, tracking, digest, self.name) as parent,
            Presence(self.study, tracking.heartbeat_seconds) as self._presence,
        ):
            self._take_up()
            done = len(self._counted())
            console.print(
                f"search     {self.name}, {done} of {self.settings.trials} trials done, parent run {parent.run_id}",
                markup=False,
            )
            runner = JobRunner(Ledger(store), parent, self.executor, self.settings.trials)
            try:
                while (left := self.settings.trials - len(self._counted()) - len(self._elsewhere())) > 0:
                    self._batch(runner, min(left, self.executor.jobs))
                    parent.announce([outcome.job for outcome in self._outcomes.values()], self.settings.trials)
            finally:
                outcomes = list(self._outcomes.values())
                parent.record(outcomes)
                console.print(table(outcomes, f"{self.name}: trials of this launch"))
                self._tell_best()
        failed = [outcome for outcome in self._outcomes.values() if not outcome.good]
        if failed:
            told = "\n".join(f"  job {one.job.number + 1} ({one.job.label}): {one.reason}" for one in failed)
            raise SweepFailed(f"{len(failed)} of {len(self._outcomes)} trials failed\n{told}")
        return self.study.best_value if self._complete() else float("nan")

    def _batch(self, runner: Any, count: int) -> None:
        trials = {trial.number: trial for trial in (self._ask() for _ in range(count))}
        jobs = [self._job(trial) for trial in trials.values()]
        reported: set[tuple[int, int]] = set()

        def report(job: Job, values: Sequence[tuple[int, float]]) -> None:
            for epoch, value in values:
                if (job.number, epoch) not in reported and not math.isnan(value):
                    reported.add((job.number, epoch))
                    trials[job.number].report(value, epoch)

        def hopeless(job: Job, values: Sequence[tuple[int, float]]) -> bool:
            report(job, values)
            return bool(values) and trials[job.number].should_prune()

        try:
            runner.run(jobs, watch=(self.monitor, hopeless))
        finally:
            for outcome in runner.outcomes(jobs):
                self._outcomes[outcome.job.number] = outcome
                if outcome.status in ("finished", "skipped"):  # its last epochs, for the median of those to come
                    report(outcome.job, runner.ledger.values(str(outcome.run_id), self.monitor))
                self._tell(outcome)

    def _ask(self) -> Trial:
        trial = self.study.ask()
        self._presence.claim(trial)
        return trial

    def _job(self, trial: Trial) -> Job:
        words = self.space.draw(trial)
        return self._preparation.job(trial.number, words, " ".join(words[len(self.space.fixed) :]))

    def _tell(self, outcome: Outcome) -> None:
        number = outcome.job.number
        if outcome.status == "stopped":
            return  # taken up by the next launch
        if outcome.status == "pruned":
            self.study.tell(number, state=TrialState.PRUNED)
        elif outcome.good and not math.isnan(outcome.objective):
            self.study.tell(number, outcome.objective)
        else:
            self.study.tell(number, state=TrialState.FAIL)

    def _take_up(self) -> None:
        """Trials that a former launch left in the middle are drawn again with the values that they had."""
        elsewhere = {trial.number for trial in self._elsewhere()}
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if trial.number in elsewhere:
                console.print(f"trial {trial.number + 1}    left alone: another launcher works on it", markup=False)
                continue
            self.study.tell(trial.number, state=TrialState.FAIL)
            if set(trial.params) == set(self.space.free):
                self.study.enqueue_trial(trial.params, user_attrs={_CUT_OFF: trial.number})

    def _elsewhere(self) -> list[FrozenTrial]:
        """Trials that other launchers work on; between batches none is this one's."""
        return held(self.study, self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]))

    def _counted(self) -> list[Any]:
        """Trials that have come to an end of their own; those that were cut off are counted when they are done."""
        trials = self.study.get_trials(deepcopy=False)
        again = {trial.user_attrs[_CUT_OFF] for trial in trials if _CUT_OFF in trial.user_attrs}
        return [trial for trial in trials if trial.state.is_finished() and trial.number not in again]

    def _complete(self) -> list[Any]:
        return self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])

    def _tell_best(self) -> None:
        complete = self._complete()
        if complete:
            best = self.study.best_trial
            words = " ".join(f"{key}={value}" for key, value in best.params.items())
            console.print(f"best       trial {best.number + 1} of {self.name}, {best.value:.4f}: {words}", markup=False)

    def _store(self) -> tuple[Store, Any]:
        """The store that the jobs use; a job's own mistakes do not matter yet."""
        from seglab.schema import TrackingSettings
        from seglab.tracking.store import open_store

        tracking = TrackingSettings.model_validate(self._preparation.plain("tracking"))
        return open_store(tracking.uri, RUNS), tracking

    def _open_study(self) -> optuna.Study:
        settings = self.settings
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        direction: Literal["minimize", "maximize"] = "minimize" if lower_is_better(self.monitor) else "maximize"
        RUNS.mkdir(exist_ok=True)
        try:
            study = optuna.create_study(
                storage=settings.storage,
                study_name=self.name,
                direction=direction,
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(settings.startup_trials, settings.warmup_epochs),
            )
            before = study.get_trials(deepcopy=False)
        except Exception as error:
            if not isinstance(error, ImportError | SQLAlchemyError | optuna.exceptions.OptunaError):
                raise
            driver = error.__cause__ if isinstance(error.__cause__, ModuleNotFoundError) else None
            raise TrackingError(
                "the storage of the search does not work",
                where=f"search.storage={redacted(settings.storage)}",
                found=redacted(str(driver or error).splitlines()[0]),
                expected="sqlite:///<file> or postgresql://…",
                remedy=driver_remedy(driver) if driver else "search.storage=sqlite:///mlruns/search.db",
            ) from error
        known = {key: kind for trial in before for key, kind in trial.distributions.items()}
        if study.direction.name.lower() != direction or (known and known != self.space.free):
            raise ConfigError(
                "a search that was begun otherwise",
                where=f"search.study_name={self.name}",
                found=f"{study.direction.name.lower()} over {', '.join(sorted(known))}",
                expected=f"{direction} over {', '.join(sorted(self.space.free))}, with the same values",
                remedy="give the new search a name: search.study_name=…",
            )
        # A sampler that begins anew, or beside another, with the same seed would draw the same again.
        seed = int(digest_values([settings.seed, len(before), len(living(study))])[:8], 16)
        study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=settings.startup_trials, seed=seed, constant_liar=self.executor.jobs > 1
        )
        return study
