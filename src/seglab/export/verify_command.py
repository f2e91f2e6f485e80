"""The words of `seglab verify`; needs no more than the runtime of what is verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seglab.errors import ConfigError
from seglab.export.verification import verify_apart
from seglab.safety.shown_text import shown

VERIFY = """seglab verify <folder> [public_key=<file>]

Exit code 1 when the folder is not what it says.
"""


def verify_words(words: Sequence[str]) -> int:
    """Verify what the words say in a process without TensorFlow; returns 0, or 1 when the folder is not what it says.

    Raises:
        ConfigError: words that mean nothing.
    """
    if not words or {"-h", "--help"} & set(words):
        print(VERIFY)
        return 0
    folders = [word for word in words if "=" not in word]
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    unknown = set(settings) - {"public_key"}
    if len(folders) != 1 or unknown:
        raise ConfigError(
            "one folder is verified",
            code="missing-setting",
            where=" ".join(words),
            expected="seglab verify <folder> [public_key=<file>]",
            remedy="give the folder that seglab export made, and a key if it was signed",
        )
    key = Path(settings["public_key"]) if "public_key" in settings else None
    code, said = verify_apart(folders[0], key)
    print(shown(said))
    return min(code, 1)
