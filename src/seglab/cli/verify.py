"""`seglab verify`: is an exported model what it says?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.cli.words import read, setting
from seglab.errors import ConfigError
from seglab.safety.shown_text import shown

_EXAMPLES = """examples:
  seglab verify dist/roadseg
  seglab verify dist/roadseg public_key=owner.pem      and that its owner signed it"""


@dataclass(frozen=True, kw_only=True)
class VerifyWords:
    """Check every digest of an exported folder and run its example, in a process without TensorFlow. Leaves with 1 when
    the folder is not what it says."""

    folder: str = setting("the folder that seglab export made", positional=True)
    public_key: str | None = setting("file of an Ed25519 key (PEM) that must have signed it", default=None)


def read_words(words: Sequence[str]) -> VerifyWords:
    """What the words of the command line say."""
    return read(VerifyWords, words, "verify", _EXAMPLES)


def run(words: Sequence[str]) -> int:
    """Verify, and say what was found; 1 when something is not what it says."""
    settings = read_words(words)
    if not settings.folder or not Path(settings.folder).is_dir():
        raise ConfigError(
            "no exported model here",
            code="exported-model-missing",
            where=settings.folder,
            found="a file" if Path(settings.folder).is_file() else "no such folder",
            expected="a folder that seglab export made",
            remedy="check the path; it is taken from the folder that the command was started in",
        )
    from seglab.export.verification import verify_apart

    code, message = verify_apart(settings.folder, None if settings.public_key is None else Path(settings.public_key))
    print(shown(message))
    return 1 if code else 0
