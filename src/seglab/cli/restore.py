"""`seglab restore`: a backup put in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.cli.words import read, setting, tracking_uri
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.safety.shown_text import in_line

_EXAMPLES = """examples:
  seglab restore from=/backup/2026-11-30 runs=mlruns
  seglab restore from=/backup/2026-11-30 tracking.uri=postgresql+psycopg://seglab@host/empty artifacts=/artifacts"""


@dataclass(frozen=True, kw_only=True)
class RestoreWords:
    """Put a backup in place, every digest checked; nothing is written over. The database of PostgreSQL must be there
    and empty."""

    source: str = setting("folder that seglab backup made", key="from", former=("source",), positional=True)
    runs: str = setting("folder of runs, which must not hold any", default=str(RUNS))
    artifacts: str | None = setting("folder for artifacts; null: the one in the folder of runs", default=None)
    tracking_uri: str | None = tracking_uri()


def read_words(words: Sequence[str]) -> RestoreWords:
    """What the words of the command line say."""
    return read(RestoreWords, words, "restore", _EXAMPLES)


def run(words: Sequence[str]) -> None:
    """Restore, and say what is there now."""
    settings = read_words(words)
    from seglab.tracking.restore import restore

    with step("checking and copying") as progress:
        card = restore(
            Path(settings.source),
            Path(settings.runs),
            settings.tracking_uri,
            Path(settings.artifacts) if settings.artifacts else None,
            progress,
        )
    where = settings.runs if settings.tracking_uri is None else "that database"
    print(in_line(f"{card.runs} runs of {card.made}, {card.files} files, every digest as it was: now in {where}"))
