"""Several launchers may work on one search, on several machines: which of them has a trial, and does it still live?"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from types import TracebackType

import optuna
from optuna.trial import FrozenTrial, Trial
from sqlalchemy.exc import SQLAlchemyError

from seglab.run_record import Tag
from seglab.tracking.heartbeat import Heartbeat, alive, beat, identity

_LAUNCHER = "launcher"


class LauncherPresence:
    """This process's sign of life in Optuna's study; a context manager that gives it until the end.

    Args:
        study: where it is left, in a user attribute of its own.
        interval: seconds from one sign to the next. A launcher on another machine that has missed ten of them is taken
            for dead; one on this machine is looked up.
    """

    def __init__(self, study: optuna.Study, interval: float):
        self._study, self._interval = study, interval
        signs = identity()
        self._signs = signs
        self._name = f"{_LAUNCHER} {signs[Tag.HOST]} {signs[Tag.PID]} {signs[Tag.PROCESS_STARTED]}"
        self._heartbeat = Heartbeat(self._beat_if_heard, interval)

    def __enter__(self) -> LauncherPresence:
        self._beat()
        self._heartbeat.start()
        return self

    def claim(self, trial: Trial) -> None:
        """Say that this launcher works on a trial."""
        trial.set_user_attr(_LAUNCHER, self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heartbeat.finish()

    def _beat(self) -> None:
        self._study.set_user_attr(self._name, {**self._signs, **beat(self._interval)})

    def _beat_if_heard(self) -> None:
        with suppress(SQLAlchemyError, optuna.exceptions.StorageInternalError):  # the next one counts
            self._beat()


def living(study: optuna.Study) -> list[str]:
    """The names of the launchers of a study that are alive, this one included."""
    known = study.user_attrs.items()
    return [name for name, signs in known if name.startswith(f"{_LAUNCHER} ") and alive(signs)]


def held(study: optuna.Study, running: list[FrozenTrial], claim_seconds: float) -> list[FrozenTrial]:
    """Those of the running trials that a living launcher works on, or has not had `claim_seconds` to claim."""
    names, now = living(study), datetime.now()
    return [
        trial
        for trial in running
        if trial.user_attrs.get(_LAUNCHER) in names
        or (_LAUNCHER not in trial.user_attrs and _seconds(trial, now) < claim_seconds)
    ]


def _seconds(trial: FrozenTrial, now: datetime) -> float:
    begun = trial.datetime_start
    return float("inf") if begun is None else abs((now - begun).total_seconds())
