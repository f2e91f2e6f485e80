"""The address of a database that is a file, and back: in an address a `?` would end the file's name."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

SQLITE = "sqlite:///"
# SQLite's own form, in which any character can be said, for SQLAlchemy reads the plain one to the first `?`.
_QUOTED, _SAYS_SO = "file:", "?uri=true"
_OPTIONS = re.compile(r"\?\w+=[^/]*$")


def sqlite_uri(path: Path) -> str:
    """The address of a database file, for MLflow and SQLAlchemy; `path` is absolute."""
    return f"{SQLITE}{path}" if "?" not in str(path) else f"{SQLITE}{_QUOTED}{path.as_uri()[7:]}{_SAYS_SO}"


def sqlite_file(uri: str) -> Path | None:
    """The file, absolute, that such an address names; None for any other address."""
    if not uri.startswith(SQLITE):
        return None
    named = _OPTIONS.sub("", uri.removeprefix(SQLITE))
    return Path(unquote(named.removeprefix(_QUOTED)) if named.startswith(_QUOTED) else named).absolute()
