"""Files that someone else may have made, such as those of an imported run or a bundle: read within bounds, or refused.

JSON and YAML are checked: their size, their depth and that YAML has no references (`&`, `*`), before anything is built
from them: a file of a few bytes can stand for more than memory holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

MEBI = 2**20
JSON_BYTES = 64 * MEBI
YAML_BYTES = 4 * MEBI
DEPTH = 40
# Interpolations that stay in their file: of a key, or of a resolver of ours, which computes from its argument alone.
_INTERPOLATION = re.compile(r"\$\{\s*([^${}:]*)(:?)")
_PURE = ("pow2", "display", "normalization")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class UnreadableFile(ValueError):
    """What is wrong with the file, in one line."""


def read_json(file: Path, limit: int = JSON_BYTES) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        OSError: it is not there.
        Unreadable: no JSON, no object, too large or too deep.
    """
    found = read_any_json(file, limit)
    if not isinstance(found, dict):
        raise UnreadableFile(f"{type(found).__name__} in the place of an object")
    return found


def read_any_json(file: Path, limit: int = JSON_BYTES) -> Any:
    """What a file of JSON says, be it an object or not.

    Raises:
        OSError: it is not there.
        Unreadable: no JSON, too large or too deep.
    """
    text = _text(file, limit)
    try:
        found = json.loads(text)
    except RecursionError:
        raise UnreadableFile(f"nested more than {DEPTH} deep") from None
    except ValueError as error:
        raise UnreadableFile(f"no JSON: {error}") from error
    check_depth(found)
    return found


def read_yaml(file: Path, limit: int = YAML_BYTES) -> Any:
    """What a file of YAML says.

    Raises:
        OSError: it is not there.
        Unreadable: no YAML, too large or too deep, with references or with tags.
    """
    text = _text(file, limit)
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise UnreadableFile(f"a reference (& or *) in line {event.start_mark.line + 1}")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH:
                raise UnreadableFile(f"nested more than {DEPTH} deep")
        return yaml.load(text, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile(f"no plain YAML: {' '.join(str(error).split())[:200]}") from error


def check_depth(value: Any) -> None:
    """Raises `UnreadableFile` where lists and mappings are nested deeper than anything of ours is."""
    level = [value]
    for _ in range(DEPTH):
        nested = [one for one in level if isinstance(one, (list, Mapping))]
        level = [child for one in nested for child in (one.values() if isinstance(one, Mapping) else one)]
        if not level:
            return
    raise UnreadableFile(f"nested more than {DEPTH} deep")


def leaving(config: Any, where: str = "") -> Iterator[str]:
    """Settings whose interpolation would read something else than the config itself: `run_name: ${oc.env:HOME}`."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from leaving(key, f"{where}a key")
            yield from leaving(value, f"{where}{key}.")
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from leaving(value, f"{where}{index}.")
    elif isinstance(config, str) and "${" in config:
        # What stands in braces of braces has a name only when it is computed.
        found = _INTERPOLATION.findall(config)
        known = all(name.strip() in _PURE if colon else name.strip() for name, colon in found)
        if not known or len(found) != config.count("${"):
            yield f"{where.rstrip('.')}: {config[:120]}"


def _text(file: Path, limit: int) -> str:
    size = file.stat().st_size
    if size > limit:
        raise UnreadableFile(f"{size / MEBI:.0f} MiB, more than {limit / MEBI:.0f}")
    try:
        with file.open("rb") as stream:
            return stream.read(limit + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"no text in UTF-8: {error.reason} at byte {error.start}") from error
