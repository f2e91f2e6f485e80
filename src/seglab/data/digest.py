"""One SHA-256 for the contents of many files and the settings that they are read with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from seglab.errors import DataError


def digest_files(files: Mapping[str, str | Path], settings: Mapping[str, Any]) -> str:
    """Hex SHA-256 of `settings` (JSON values) and of each file's name and bytes.

    `files` maps a name to a path; names, not paths, are hashed, so a data set keeps its digest when it is moved.
    Files are hashed several at a time (hashlib lets other threads run).
    """
    names = sorted(files)
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) * 2)) as pool:
        sums = list(pool.map(_sum, (Path(files[name]) for name in names)))
    return digest_values({"settings": dict(settings), "files": list(zip(names, sums, strict=True))})


def digest_values(values: Any, extra: Iterable[bytes] = ()) -> str:
    """Hex SHA-256 of JSON values (key order plays no part), then of raw bytes."""
    total = hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode())
    for part in extra:
        total.update(part)
    return total.hexdigest()


def _sum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            "a file that cannot be read", where=str(path), found=f"{type(error).__name__}: {error.strerror}"
        ) from error
