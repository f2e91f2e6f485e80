"""`seglab backup`: the store of runs with its artifacts as one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.cli.words import read, setting, tracking_uri
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.safety.shown_text import in_line

_EXAMPLES = """examples:
  seglab backup out=/backup/2026-11-30
  seglab backup out=/backup/2026-11-30 tracking.uri=postgresql+psycopg://seglab@host/seglab artifacts=/artifacts
then: cd /backup/2026-11-30 && sha256sum --check --quiet SHA256SUMS"""


@dataclass(frozen=True, kw_only=True)
class BackupWords:
    """Copy the store of runs with its artifacts into a new folder, as they are at one moment; runs may go on. Of a
    database of PostgreSQL the password is read from PGPASSWORD, and pg_dump is needed."""

    out: str = setting("folder to make", positional=True)
    runs: str = setting("folder of runs", default=str(RUNS))
    artifacts: str | None = setting("folder of the artifacts; null: the one in the folder of runs", default=None)
    tracking_uri: str | None = tracking_uri()


def read_words(words: Sequence[str]) -> BackupWords:
    """What the words of the command line say."""
    return read(BackupWords, words, "backup", _EXAMPLES)


def run(words: Sequence[str]) -> None:
    """Back up, and say what the backup holds."""
    settings = read_words(words)
    from seglab.tracking.backup import make_backup

    with step("copying") as progress:
        made = make_backup(
            Path(settings.out),
            Path(settings.runs),
            settings.tracking_uri,
            Path(settings.artifacts) if settings.artifacts else None,
            progress,
        )
    print(in_line(f"{made.runs} runs, {made.files} files, {made.bytes / 1e6:.1f} MB: {settings.out}"))
