"""Records of the cache: JSON on one line, and below it the CRC-32 of that line."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class DamagedRecord(Exception):
    """What of a cached case is not as it was written."""


def record_bytes(record: Mapping[str, Any]) -> bytes:
    """The bytes of a record, for `read_record`."""
    line = json.dumps(record).encode()
    return b"%s\n%08x" % (line, zlib.crc32(line))


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of a file; None where there is none, or one without a checksum, as the code before wrote it.

    Raises:
        Damage: it is not as it was written.
    """
    try:
        held = path.read_bytes()
    except OSError:
        return None
    line, _, checksum = held.rpartition(b"\n")
    if checksum != b"%08x" % zlib.crc32(line):
        if not line and _is_json(held):
            return None
        raise DamagedRecord("record")
    found: dict[str, Any] = json.loads(line)
    return found


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
