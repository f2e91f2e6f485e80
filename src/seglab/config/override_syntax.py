"""Words on a command line that are no `key=value`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from seglab.errors import ConfigError


def parse_error(word: str, remedy: str) -> ConfigError:
    """What a word that is no key=value is refused with."""
    expected = "key=value, with lists as [1,2] and special characters in quotes"
    return ConfigError(
        "parse error in override",
        code="override-syntax",
        where=word,
        found=word,
        expected=expected,
        remedy=remedy,
    )


def rejoined(words: Sequence[str]) -> str:
    """The first word joined with those behind it that close its bracket, quoted for the shell; empty where it is not
    one that the shell took apart at spaces: `data.size=[64,` `64]`."""
    for last in range(2, len(words) + 1):
        whole = "".join(words[:last])
        if re.fullmatch(r"[\w.+~]+=(\[[^\]]*\]|\{[^}]*\})", whole):
            return shlex.quote(whole) if "{" in whole else whole
    return ""
