"""From ids and names, which are free text, to file names: whatever a name holds, its file lies in the folder meant."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

_LONGEST = 120  # bytes of UTF-8: room for an ending and for a hidden name beside it, where 255 are the most
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*]')  # separators, and what Windows refuses
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")  # Windows opens these in any folder
_DIGITS = (8, 16, 64)  # of a digest that tells two names apart; more where that many do not


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A file name, without its ending, for each of several names.

    A name that every file system takes as it is stays as it is. Of another one what can be read is kept, and the
    beginning of its SHA-256 is put behind it; so it is too where names differ in letter case alone, which some file
    systems take for one. No two names get the same, and none a separator, `..`, a control character or a leading dot.
    """
    found = {}
    for name in names:
        file = _readable(name)
        found[name] = file if file == name else _with_digest(name, _DIGITS[0])
    for digits in _DIGITS:
        alike: dict[str, list[str]] = {}
        for name, file in found.items():
            alike.setdefault(unicodedata.normalize("NFKC", file).casefold(), []).append(name)
        found |= {name: _with_digest(name, digits) for group in alike.values() if len(group) > 1 for name in group}
    return found


def file_name(name: str) -> str:
    """The file name of a single name; see `file_names`."""
    return file_names([name])[name]


def _with_digest(name: str, digits: int) -> str:
    return f"{_readable(name)}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:digits]}"


def _readable(name: str) -> str:
    """What can be read of a name, in characters that every file system takes."""
    text = _NOT_IN_NAMES.sub("_", unicodedata.normalize("NFC", name))
    text = "".join("_" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else c for c in text)
    if len(text.encode()) > _LONGEST:  # the end tells more than the beginning, as of paths
        text = text.encode()[-_LONGEST:].decode(errors="ignore")
    text = re.sub(r"^\.+|^ +|[. ]+$", "_", text)
    return f"_{text}" if not text or _DEVICES.match(text) else text
