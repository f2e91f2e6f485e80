"""Words on a command line that are no `key=value`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

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


def unread_keys(word: str) -> str:
    """What to write in the place of `key={name: value}` that Hydra cannot read: it reads no quotes around a name."""
    bare = re.sub(r"""([{,]\s*)(["'])([^"']*)\2(?=\s*:)""", r"\1\3", word)
    try:
        OverridesParser.create().parse_override(bare)
    except HydraException:
        return "names in braces are of unaccented letters, digits, spaces and - + . / %, without quotes"
    return f"names in braces without quotes around them: {shlex.quote(bare)}"


def refuse_names_in_braces(word: str) -> None:
    """Refuse `{a: 1, a: 2}`, of which Hydra would keep the last, and names that it would take for something else, such
    as `null`, `true`, `1e3` and `1_1`; raises `ConfigError`. Whole numbers as `2024` stay what they are."""
    text = re.sub(r"""([:[]\s*)('[^']*'|"[^"]*")""", r"\1''", word.partition("=")[2])  # names are not in quotes
    keys = re.findall(r"[{,]\s*([^:,{}\[\]]+?)\s*:", text) if text.startswith("{") and text.count("{") == 1 else []
    strange = [key for key in keys if _read_by_hydra(key) != key]
    if strange:
        raise parse_error(
            word,
            f"another name for {', '.join(strange)}, such as name_{strange[0]}: in braces null, true, false and numbers"
            " but whole ones are no names",
        )
    twice = [key for n, key in enumerate(keys) if key in keys[:n]]
    if twice:
        raise parse_error(word, f"each name once: {twice[0]} stands twice in the braces")


def _read_by_hydra(key: str) -> str:
    """The name that Hydra reads, with backslashes as they are written; `key` itself where it cannot read it, which is
    told in its place."""
    try:
        names: Any = OverridesParser.create().parse_override(f"x={{{key}: 0}}").value()
    except HydraException:
        return key
    (found,) = names
    return key if isinstance(found, str) else str(found) if type(found) is int else ""


def rejoined(words: Sequence[str]) -> str:
    """The first word joined with those behind it that close its bracket; empty where it is not one that the shell took
    apart at spaces: `data.size=[64,` `64]`."""
    for last in range(2, len(words) + 1):
        whole = "".join(words[:last])
        if re.fullmatch(r"[\w.+~]+=(\[[^\]]*\]|\{[^}]*\})", whole):
            return whole
    return ""
