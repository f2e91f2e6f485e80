"""Keys of a service: a file of them, and those of the environment."""

from __future__ import annotations

import os
from pathlib import Path

from seglab.errors import ConfigError

KEYS = "SEGLAB_API_KEYS"
"""The variable that holds some, with blanks between."""


def read_keys(file: str | None) -> tuple[str, ...]:
    """The keys of a file and of the environment; raises `ConfigError` for a file that holds none, or short ones."""
    found = os.environ.get(KEYS, "").split()
    if file is not None:
        try:
            more = Path(file).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                "a file of keys that cannot be read",
                code="serve-keys",
                where=file,
                found=str(error),
                expected="a text with a key on each line",
                remedy="give another file",
            ) from error
        found += more or [""]
    if any(len(key) < 16 or not key.isascii() for key in found):
        raise ConfigError(
            "a key that is easily guessed",
            code="serve-keys",
            where=file or KEYS,
            found="one of fewer than 16 plain characters, or none",
            expected="16 or more for each",
            remedy="python -c 'import secrets; print(secrets.token_urlsafe(24))' makes one",
        )
    return tuple(found)
