"""A search with Optuna: each trial is a job with an identity, so a search that was cut off goes on where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
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
from seglab.run_record import RUNS
from seglab.safety.secrets import redacted
from seglab.sweeping.executor import Executor, check_positive
from seglab.sweeping.jobs import Job, JobOutcome, Status
from seglab.sweeping.launchers import LauncherPresence, held
from seglab.sweeping.prepare import SweepPreparation
from seglab.sweeping.progress_table import console, table
from seglab.sweeping.search_settings import SearchSettings
from seglab.sweeping.space import SearchSpace
from seglab.tracking.databases import database_remedy
from seglab.tracking.drivers import driver_remedy
from seglab.tracking.sqlite_address import sqlite_file
from seglab.training.stopping import lower_is_better

if TYPE_CHECKING:
    from seglab.tracking.store import Store

# Attributes of a trial: which one it tries again, and the identity of its job.
_AGAIN, _IDENTITY = "cut_off", "identity"
# Of a trial that was asked for when another launcher had just taken the last one: it is none.
_SURPLUS = "surplus"
_CLAIM_SECONDS, _AGAIN_SECONDS = 10.0, 1.0  # until a launcher has said that a trial is its own; until the next look
_STATUS: dict[TrialState, Status] = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Search:
    """A search over a space of overrides; better is what `trainer.monitor` says.

    Args:
        config: the composed config of the sweep.
        context: Hydra's.
        executor: starts processes.
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
        check_positive("search", trials=settings.trials, at_once=settings.at_once)
        executor.jobs = min(executor.jobs, settings.at_once)
        self.executor, self.settings, self.monitor = executor, settings, str(config.trainer.monitor)
        self.space = SearchSpace.of(overrides)
        self._preparation = SweepPreparation(config, context)
        self.name = settings.study_name or self._preparation.study or "search"
        self.study = self._open_study()
        self._jobs: list[Job] = []  # of this launch
        self._under_way: dict[int, Trial] = {}
        self._reported: set[tuple[int, int]] = set()

    def run(self) -> float:
        """Search until there are enough trials; returns the best objective.

        Raises:
            SweepFailed: trials have failed; names them.
            ConfigError: the study was begun with another space or another direction.
            TrackingError: the store or Optuna's storage does not work.
        """
        from seglab.sweeping.job_runner import JobRunner
        from seglab.sweeping.ledger import Ledger
        from seglab.sweeping.parent import ParentRun
        from seglab.tracking.interruption import sigterm_raises

        store, tracking = self._store()
        digest = digest_values({"search": self.name, "storage": redacted(self.settings.storage)})
        with (
            sigterm_raises(),
            ParentRun(store, tracking, digest, self.name) as self._parent,
            LauncherPresence(self.study, tracking.heartbeat_seconds) as self._presence,
        ):
            self._take_up()
            trials, done = self.settings.trials, len(self._counted())
            console.print(
                f"search     {self.name}, {done} of {trials} trials done, {self.executor.jobs} at once, "
                f"parent run {self._parent.run_id}",
                markup=False,
            )
            self._runner = JobRunner(Ledger(store), self._parent, self.executor, trials, watcher=self)
            self._announce()
            try:
                while self._left() > 0:
                    self._runner.run(self._draws())
            finally:
                self._parent.record(self._known())
                outcomes = self._runner.outcomes(self._jobs)
                console.print(table(outcomes, f"{self.name}: trials of this launch"))
                self._tell_best()
        failed = [outcome for outcome in outcomes if not outcome.good]
        if failed:
            listed = "\n".join(f"  job {one.job.number + 1} ({one.job.label}): {one.reason}" for one in failed)
            raise SweepFailed(
                f"{len(failed)} of {len(outcomes)} trials failed; launch the search again to try them\n{listed}"
            )
        return self.study.best_value if self._complete() else float("nan")

    def hopeless(self, job: Job, values: Sequence[tuple[int, float]]) -> bool:
        """Tell Optuna how a trial does; True when it is worse than the median of the others."""
        trial = self._under_way[job.number]
        for epoch, value in values:
            if (job.number, epoch) not in self._reported and not math.isnan(value):
                self._reported.add((job.number, epoch))
                trial.report(value, epoch)
        return bool(values) and trial.should_prune()

    def ended(self, outcome: JobOutcome) -> None:
        """Tell Optuna what became of a trial."""
        if outcome.status in ("finished", "skipped"):  # its last epochs, for the median of those to come
            self.hopeless(outcome.job, self._runner.ledger.values(str(outcome.run_id), self.monitor))
        del self._under_way[outcome.job.number]
        if not outcome.good:
            self.study.tell(outcome.job.number, state=TrialState.FAIL)
        elif outcome.status == "pruned" or math.isnan(outcome.objective):
            if outcome.status != "pruned":
                message = f"{self.monitor} was never defined, so it counts as a pruned one"
                console.print(f"trial {outcome.job.number + 1}    {message}", markup=False)
            self.study.tell(outcome.job.number, state=TrialState.PRUNED)
        else:
            self.study.tell(outcome.job.number, outcome.objective)
        self._announce()

    def _draws(self) -> Iterator[Job]:
        """Draws a trial when it is asked for one, until there are enough.

        Trials that run elsewhere though they are this search's own fill its places too.
        """
        while self._left() > 0 and len(self._under_way) < self.executor.jobs:
            trial = self.study.ask()
            self._presence.claim(trial)
            if self._too_many(trial):
                trial.set_user_attr(_SURPLUS, value=True)
                self.study.tell(trial, state=TrialState.FAIL)
                time.sleep(_AGAIN_SECONDS)
                return
            self.study.sampler = self.settings.sampler(trial.number)
            words = self.space.draw(trial)
            job = self._preparation.job(trial.number, words, self._label(words))
            trial.set_user_attr(_IDENTITY, job.identity)
            self._under_way[trial.number] = trial
            self._jobs.append(job)
            self._announce()
            yield job

    def _take_up(self) -> None:
        """Trials that a former launch left in the middle, or that have failed, are drawn again with their values.

        The values make the job's identity, so its run goes on.
        """
        attempts = self._last_attempts()  # before it is asked who runs: one that begins meanwhile is not taken for dead
        running = [trial.number for trial in self._running(_CLAIM_SECONDS)]
        for trial in attempts:
            if trial.number in running:
                console.print(f"trial {trial.number + 1}    left alone: another launcher works on it", markup=False)
                continue
            if trial.state == TrialState.RUNNING:
                trial = self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            if trial.state != TrialState.FAIL:
                continue
            if self._drawn(trial):
                self.study.enqueue_trial(trial.params, user_attrs={_AGAIN: trial.number})

    def _left(self) -> int:
        return self.settings.trials - len(self._counted()) - len(self._running())

    def _too_many(self, trial: Trial) -> bool:
        """Whether others have taken the last trials at the same moment: of all, those of the lowest numbers count."""
        taken = {one.number for one in [*self._running(_CLAIM_SECONDS), *self._counted()]}  # one may end in between
        return trial.number not in sorted(taken)[: self.settings.trials]

    def _running(self, unclaimed_seconds: float = 0.0) -> list[FrozenTrial]:
        """Trials that this launcher or another one works on, or has asked for so many seconds ago."""
        return held(self.study, self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]), unclaimed_seconds)

    def _counted(self) -> list[FrozenTrial]:
        """Trials that have come to an end; one that is tried again is counted when that attempt has."""
        return [trial for trial in self._last_attempts() if trial.state.is_finished() and self._drawn(trial)]

    def _last_attempts(self) -> list[FrozenTrial]:
        trials = [one for one in self.study.get_trials(deepcopy=False) if _SURPLUS not in one.user_attrs]
        again = {trial.user_attrs.get(_AGAIN) for trial in trials}
        return [trial for trial in trials if trial.number not in again]

    def _drawn(self, trial: FrozenTrial) -> bool:
        """False for a trial whose launcher was killed before it had a value for each setting."""
        return set(trial.params) == set(self.space.free)

    def _announce(self) -> None:
        known = self._known()
        self._parent.announce(known, max(self.settings.trials, len(known)))

    def _known(self) -> list[Job | JobOutcome]:
        """Every trial so far: of this launch, of former ones and of others."""
        mine = {outcome.job.number: outcome for outcome in self._runner.outcomes(self._jobs)}
        known: list[Job | JobOutcome] = []
        for trial in [*self._counted(), *self._running()]:
            outcome = mine.get(trial.number)
            if outcome is not None:
                known.append(outcome.job if trial.number in self._under_way else outcome)
                continue
            words = self.space.words(trial.params) if self._drawn(trial) else ()
            job = Job(trial.number, words, trial.user_attrs.get(_IDENTITY), label=self._label(words))
            status = _STATUS.get(trial.state)
            value = float("nan") if trial.value is None else trial.value
            known.append(JobOutcome(job, status, objective=value) if status else job)
        return known

    def _label(self, words: Sequence[str]) -> str:
        return " ".join(words[len(self.space.fixed) :])

    def _complete(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])

    def _tell_best(self) -> None:
        complete = self._complete()
        if complete:
            best = self.study.best_trial
            words = " ".join(f"{key}={value}" for key, value in best.params.items())
            console.print(f"best       trial {best.number + 1} of {self.name}, {best.value:.4f}: {words}", markup=False)

    def _store(self) -> tuple[Store, Any]:
        """The store that the jobs use; a job's own mistakes do not matter yet."""
        from seglab.config.sections import TrackingSettings
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
        except (ImportError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            driver = error.__cause__ if isinstance(error.__cause__, ModuleNotFoundError) else None
            remedy = "search.storage=sqlite:///mlruns/search.db"
            if driver or isinstance(error, SQLAlchemyError):
                file = sqlite_file(settings.storage) is not None
                remedy = driver_remedy(driver) if driver else database_remedy(str(error), file=file)
            raise TrackingError(
                "the storage of the search does not work",
                code="search-storage",
                where=f"search.storage={redacted(settings.storage)}",
                found=redacted(str(driver or error).splitlines()[0]),
                expected="sqlite:///<file> or postgresql://…",
                remedy=remedy,
            ) from error
        known = {key: kind for trial in before for key, kind in trial.distributions.items()}
        same = all(self.space.free.get(key) == kind for key, kind in known.items())
        complete = all(self._drawn(trial) for trial in before if trial.state == TrialState.COMPLETE)
        if study.direction.name.lower() != direction or not (same and complete):
            raise ConfigError(
                "a search that was begun with other settings",
                code="search-changed",
                where=f"search.study_name={self.name}",
                found=f"{study.direction.name.lower()} over {', '.join(sorted(known))}",
                expected=f"{direction} over {', '.join(sorted(self.space.free))}, with the same values",
                remedy="give the new search a name: search.study_name=…",
            )
        return study
