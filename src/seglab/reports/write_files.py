"""Several files as one: all of them, or none and the former ones whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write_files(files: Mapping[Path, bytes]) -> list[Path]:
    """Write files, in folders that are made; returns their paths.

    Each is written beside its place first and renamed when all are there, so a disk that fills up or a process that is
    killed leaves what was there before.

    Raises:
        OSError: no room, or no permission; nothing half-written is left.
    """
    parts: list[Path] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            parts.append(path.with_name(f".{path.name}.part"))
            parts[-1].write_bytes(content)
        for part, path in zip(parts, files, strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return list(files)
