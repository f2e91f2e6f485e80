"""The promotion log: who made which version the champion, when, why, with which scores and in whose place.

Each entry is a tag of the registered model, so that every machine which shares the store reads and adds to one log, and
a line of `promotions.jsonl` in this machine's folder of runs, which outlives the register.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from seglab.errors import TrackingError
from seglab.run_record import StoreFile
from seglab.safety.shown_text import shown
from seglab.tracking.mlflow_client import MlflowException, first_line
from seglab.tracking.store import Store

LOG_FILE = StoreFile.PROMOTIONS
_TAG = "promotion."  # and nanoseconds since 1970: entries of two machines do not replace each other
_TAG_LENGTH = 5000  # of a registered model, as databases of MLflow take it
_ON_THE_RUN = ("checks", "scores")  # left out of a tag that would be too long

Entry = dict[str, Any]


def note(store: Store, name: str, *, action: str, registered: bool, **facts: Any) -> None:
    """Add an entry.

    Args:
        store: with the register; its folder has this machine's file.
        name: of the registered model.
        action: `promote`, `reject` or `rollback`.
        registered: whether there is a model of this name, to hold the entry; a run that is rejected before anything was
            registered is in the file, and has its verdict as tags.
        facts: what to say further, ready for JSON.

    Raises:
        TrackingError: one of both cannot be written; holds the entry.
    """
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    entry: Entry = {"when": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "who": who, "action": action, "name": name, **facts}
    text = json.dumps(entry, ensure_ascii=False)
    try:
        if registered:
            short = json.dumps({key: value for key, value in entry.items() if key not in _ON_THE_RUN})
            tag = text if len(text) <= _TAG_LENGTH else short
            store.client.set_registered_model_tag(name, f"{_TAG}{time.time_ns()}", tag)
        _append(store.directory / StoreFile.PROMOTIONS, text)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            "the promotion log could not be written",
            code="promotion-log",
            where=f"{name} in {store.place}, {store.directory / StoreFile.PROMOTIONS}",
            found=f"{getattr(error, 'strerror', None) or first_line(error)}; the line is {text}",
            remedy="free some space, and add the line by hand; the register itself is as the line says",
        ) from error


def entries(store: Store, name: str) -> list[Entry]:
    """The log of a registered model from all machines, oldest first.

    Raises:
        TrackingError: nothing is registered under this name, or the store does not answer.
    """
    try:
        tags = store.client.get_registered_model(name).tags
    except MlflowException as error:
        raise TrackingError(
            "no promotion log",
            code="promotion-log",
            where=f"registered model {name} in {store.place}",
            found=first_line(error),
            remedy=f"promote a run first: seglab promote run=<id> name={name}",
        ) from error
    return [json.loads(tags[key]) for key in sorted(tags) if key.startswith(_TAG)]


def in_words(entry: Entry) -> str:
    """An entry in one line."""
    what = f"{entry['action']:<8}  version {entry['version'] or '–'} of run {entry['run']}"
    return shown(f"{entry['when']}  {entry['who']}  {what} (before: {entry['former'] or 'none'})  {entry['reason']}")


def _append(file: Path, text: str) -> None:
    """A whole line or none, whoever else writes."""
    line = (text + "\n").encode()
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        written = os.write(handle, line)
        if written < len(line):
            os.ftruncate(handle, os.fstat(handle).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    finally:
        os.close(handle)
