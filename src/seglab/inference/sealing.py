"""A description that knows its own digest, so that a byte of it that was flipped is noticed like one of any file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.errors import DataError

_BLANK = "0" * 64
_SEAL = re.compile(rb'"seal": "([0-9a-f]{64})"')


def sealed(values: Mapping[str, Any]) -> str:
    """The values as JSON, with the SHA-256 of that text under `seal`: taken while there are 64 zeros in its place."""
    rest = {key: value for key, value in values.items() if key not in ("format", "seal")}
    text = json.dumps({"format": values["format"], "seal": _BLANK, **rest}, indent=2, ensure_ascii=False) + "\n"
    return text.replace(_BLANK, hashlib.sha256(text.encode()).hexdigest(), 1)


def check_seal(file: Path) -> None:
    """See that a file of `sealed` is as it was written; raises `DataError` with its name."""
    content = file.read_bytes()
    found = _SEAL.search(content)
    if found is not None:
        blank = content[: found.start(1)] + _BLANK.encode() + content[found.end(1) :]
        if hashlib.sha256(blank).hexdigest().encode() == found[1]:
            return
    raise DataError(
        "the bundle's description is not the one that was saved",
        code="bundle-damaged",
        where=str(file),
        found="no seal" if found is None else "another seal than that of its text",
        expected="the file as it was written, to the byte",
        remedy="copy the bundle again from where it was saved",
    )
