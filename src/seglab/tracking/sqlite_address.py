"""The address of a database that is a file, and back: a `?` would end the file's name, and SQLAlchemy decodes `%3F`."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

_PLAIN = "sqlite:///"
# With the driver named MLflow does not make the folder of the file, which it would call as the address spells it.
_ENCODED = "sqlite+pysqlite:///"
_OPTIONS = re.compile(r"\?\w+=[^/]*$")


def sqlite_uri(path: Path) -> str:
    """The address of a database file, for MLflow and SQLAlchemy; `path` is absolute."""
    text = str(path)
    if "?" not in text and unquote(text) == text:
        return _PLAIN + text
    return _ENCODED + text.replace("%", "%25").replace("?", "%3F")


def sqlite_file(uri: str) -> Path | None:
    """The file, absolute, that such an address names; None for any other address."""
    prefix = next((known for known in (_PLAIN, _ENCODED) if uri.startswith(known)), None)
    return None if prefix is None else Path(unquote(_OPTIONS.sub("", uri.removeprefix(prefix)))).absolute()
