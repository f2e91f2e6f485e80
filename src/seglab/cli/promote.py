"""`seglab promote`: make a run's model the champion, if it passes the gate; roll back; show the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from seglab.cli.words import read, setting, tracking_uri
from seglab.errors import ConfigError
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.tracking.store_place import check_there

_EXAMPLES = """examples:
  seglab promote run=4f0c… name=roadseg gate=default      the run's model becomes models:/roadseg@champion
  seglab promote rollback name=roadseg reason="worse at night"   champion and previous change places
  seglab promote log name=roadseg                         what was promoted, rejected and rolled back, and why"""


@dataclass(frozen=True, kw_only=True)
class PromoteWords:
    """Pass a run through a gate, register its model, move the alias champion; or roll back. Leaves with 1 when the gate
    rejects the run."""

    action: Literal["promote", "rollback", "log"] = setting(
        "rollback swaps champion and previous, log lists them all", default="promote", positional=True
    )
    run: str = setting("the run's id; not for rollback and log", default="")
    name: str = setting("the registered model")
    gate: str = setting("which checks to pass, a file of conf/gate/", default="default")
    reason: str = setting("why, for the log", default="")
    licence: str = setting("of the data, for the model card", default="")
    tracking_uri: str | None = tracking_uri()


def read_words(words: Sequence[str]) -> PromoteWords:
    """What the words of the command line say."""
    settings = read(PromoteWords, words, "promote", _EXAMPLES)
    for key in ("name",) if settings.action != "promote" else ("run", "name"):
        if not getattr(settings, key):
            raise ConfigError("a missing setting", code="missing-setting", where=key, remedy=f"give it: {key}=…")
    return settings


def run(words: Sequence[str]) -> int:
    """Do it; 1 when the gate rejects the run."""
    settings = read_words(words)
    check_there(settings.tracking_uri, RUNS)
    with step("loading MLflow"):
        from seglab.registry.gate import load_gate
        from seglab.registry.promotion import promote, rollback
        from seglab.registry.promotion_log import LOG_FILE, entries, in_words
        from seglab.tracking.store_lookup import open_existing

    gate = load_gate(settings.gate)
    store = open_existing(settings.tracking_uri, RUNS)
    if settings.action == "log":
        print(*map(in_words, entries(store, settings.name)), sep="\n")
        return 0
    if settings.action == "rollback":
        now, before = rollback(store, settings.name, reason=settings.reason)
        log = store.directory / LOG_FILE
        print(f"{settings.name}: version {now} is champion, version {before} is previous; log: {log}")
        return 0
    done = promote(
        store, store.run(settings.run), settings.name, gate, reason=settings.reason, licence=settings.licence
    )
    print(*(f"  {each}" for each in done.checks), sep="\n")
    if not done.passed:
        print(f"REJECTED: run {settings.run} is not promoted; log: {store.directory / LOG_FILE}")
        return 1
    version = f"version {done.version} is models:/{settings.name}@champion with its card"
    print(f"VALIDATED: {version} (before: {done.former or 'none'})")
    return 0
