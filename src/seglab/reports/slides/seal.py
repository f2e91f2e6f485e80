"""A file of slides with the same bytes for the same slides, and a seal that tells whether somebody has changed them."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path

SEAL = "seglab-"
"""Begins the identifier of a deck in its properties; a digest of all else follows."""
_PROPERTIES = "docProps/core.xml"
_IDENTIFIER = re.compile(rb"<dc:identifier>" + SEAL.encode() + rb"([0-9a-f]{64})</dc:identifier>")
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # that a zip can hold
_LARGEST = 256 * 2**20  # bytes of a deck, unpacked
_UNSEALED = f"{SEAL}{'0' * 64}"


def unsealed() -> str:
    """The identifier of a deck that `sealed` is given."""
    return _UNSEALED


def sealed(content: bytes) -> bytes:
    """The same deck with no time of writing in it, and with its seal."""
    with zipfile.ZipFile(io.BytesIO(content)) as given:
        parts = {name: given.read(name) for name in given.namelist()}
    mark = f"{SEAL}{_digest(parts)}"
    parts[_PROPERTIES] = parts[_PROPERTIES].replace(_UNSEALED.encode(), mark.encode())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for name, part in parts.items():
            entry = zipfile.ZipInfo(name, _FIRST_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            made.writestr(entry, part)
    return buffer.getvalue()


def changed_since(file: Path) -> bool:
    """Whether a deck holds anything but what was sealed: another program has saved it, or it is no deck of seglab's."""
    try:
        with zipfile.ZipFile(file) as given:
            if sum(entry.file_size for entry in given.infolist()) > _LARGEST:
                return True
            parts = {name: given.read(name) for name in given.namelist()}
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, EOFError):
        return True
    found = _IDENTIFIER.search(parts.get(_PROPERTIES, b""))
    return found is None or found[1].decode() != _digest(parts)


def _digest(parts: dict[str, bytes]) -> str:
    """Of all parts but the properties, which hold the seal itself."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        if name != _PROPERTIES:
            digest.update(f"{len(name)} {name} {len(parts[name])} ".encode())
            digest.update(parts[name])
    return digest.hexdigest()
