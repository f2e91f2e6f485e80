"""The words of a command as Hydra must get them: where a text is wanted, `2024`, `1_1_1` and `a&b` are one.

Hydra reads a value before anybody can say what it is for, and takes `data.root=2024` and `run_name=1_1_1` for numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from seglab.config.run_config import COMPONENTS, PASSED_BY_EXPERIMENT, ROOT_VALUES, SECTIONS
from seglab.config.scalars import NOTHING, element_of, may_be_nothing, takes_text
from seglab.config.sections import Section
from seglab.config.targets import parameters_of
from seglab.errors import ConfigError

_OF_HYDRA = ("'", '"', "${", "(", "\\")  # quoted, referred to, a function, escaped: perhaps in Hydra's own grammar


def texts_kept(
    words: Sequence[str], compose: Callable[[], Mapping[str, Any]], settings: type[Section] | None = None
) -> list[str]:
    """The words, with quotes around what Hydra would not take for the text that it is.

    Args:
        words: `key=value` and flags, as they were said.
        compose: gives the config that the chosen groups make, empty if they make none; called where a key of a group's
            own constructor is to be looked up.
        settings: what may stand in the config, where that is not a run's.
    """
    composed = cache(compose)

    def wanted(key: str) -> Any:
        if settings is not None:
            field = settings.model_fields.get(key.replace(".", "_"))
            return field.annotation if field else None
        return _wanted(key, composed)

    return [_kept(word, wanted) for word in words]


def _kept(word: str, wanted_by: Callable[[str], Any]) -> str:
    key, equals, text = word.partition("=")
    if not equals or key.startswith("-") or not text:
        return word
    if any(sign in text for sign in _OF_HYDRA) and _is_of_hydra(text):
        return word
    if text.startswith("[") and text.endswith("]"):
        parts, around = [part.strip() for part in text[1:-1].split(",")], "[{}]"
    else:
        parts, around = text.split(","), "{}"  # several are those of a sweep
    if all(_is_text(part) for part in parts):
        return word
    wanted = wanted_by(key.lstrip("+~"))
    if around == "[{}]":
        wanted = element_of(wanted)
    if wanted is None or not takes_text(wanted):
        return word
    return f"{key}=" + around.format(",".join(_quoted(part, wanted) for part in parts))


def _is_of_hydra(text: str) -> bool:
    """Whether a value is said in Hydra's grammar, or was meant to be: `choice(a,b)`, `'a,b'`, and not `scans (1)`."""
    if text.lstrip("[ ").startswith(("'", '"')) or "${" in text:
        return True
    try:
        OverridesParser.create().parse_override(f"x={text}").value()
    except HydraException:
        return False
    return True


def _is_text(part: str) -> bool:
    """Whether Hydra takes an unquoted value for the very text."""
    try:
        return OverridesParser.create().parse_override(f"x={part}").value() == part
    except HydraException:
        return False


def _quoted(part: str, wanted: Any) -> str:
    keep = _is_text(part) or (may_be_nothing(wanted) and part.lower() in NOTHING)
    if keep:
        return part
    # Hydra takes a quote that is escaped, and of the backslashes those before a quote.
    return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), part) + "'"


def _wanted(key: str, compose: Callable[[], Mapping[str, Any]]) -> Any:
    """The annotation of a setting; None where it is not known."""
    if key in ROOT_VALUES:
        return ROOT_VALUES[key]
    group, _, name = key.partition(".")
    if "." in name:  # shares of a split: numbers
        return None
    schema = COMPONENTS.get(group) or SECTIONS.get(group)
    if schema is not None and name in schema.model_fields:
        return schema.model_fields[name].annotation
    if group not in COMPONENTS or name in PASSED_BY_EXPERIMENT.get(group, {}):
        return None
    try:
        target = compose().get(group, {}).get("_target_")
        parameter = parameters_of(str(target), f"{group}._target_").get(name)
    except ConfigError:  # told when the config is checked
        return None
    return parameter.annotation if parameter else None
