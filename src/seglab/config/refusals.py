"""What a setting is refused with: an unknown key, a missing one, a value that is not allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from seglab.config.scalars import TRUTH, may_be_nothing
from seglab.config.synonyms import setting_meant, value_meant
from seglab.errors import ConfigError

_NOTHING = ("none", "nil", "nan", "off", "no", "never", "false")


def unknown(key: str, value: Any, known: Sequence[str], elsewhere: Sequence[str] = ()) -> ConfigError:
    """Of a key that is none of `known`, the full keys of its section, nor of those `elsewhere` in the config."""
    group, _, leaf = key.rpartition(".")
    meant = setting_meant(key, [*known, *elsewhere])
    assigned = "" if meant is None or " " in meant else f"={written(value)}"
    return ConfigError(
        f"unknown setting '{key}': nothing reads it",
        code="unknown-setting",
        where=key,
        found=leaf,
        expected="one of " + ", ".join(sorted(name.rpartition(".")[2] for name in known)),
        remedy=f"did you mean: {meant}{assigned}"
        if meant
        else f"remove it, or use a setting that {group or 'the config'} has",
    )


def missing(key: str) -> ConfigError:
    """Of a key that must have a value."""
    return ConfigError(
        "a missing setting",
        code="missing-setting",
        where=key,
        found="no value",
        expected="a value for it",
        remedy=f"give it: {key}=…",
    )


def written(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(written(part) for part in value)}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def as_list(text: str) -> str:
    """A list in brackets of what was meant to be one: `(64,64)`, `64x64`, `a b`."""
    return f"[{re.sub(r'(?<=[0-9]) *x *(?=[0-9])|[ ,;]+', ',', text.strip('(){}[] '))}]"


def not_allowed(error: ValidationError, where: str, found: Any, wanted: Any) -> ConfigError:
    """Of a value that pydantic refuses, at a dotted key of which an annotation says what is wanted."""
    first = error.errors()[0]
    if first["type"] == "missing":
        return missing(where)
    expected = first["msg"].replace("Input should be ", "").replace("String should have ", "")
    remedy = ""
    if may_be_nothing(wanted) and str(found).lower() in _NOTHING:
        remedy = f"nothing is written as null: {where}=null"
    elif first["type"] == "literal_error":
        allowed = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
        meant = value_meant(found, allowed)
        remedy = f"did you mean: {where}={meant}" if meant else ""
    elif where == "loss.class_weights":
        expected = "one number of 0 or more for each class, background first, or null for equal"
        remedy = "loss=balanced_cross_entropy weighs by inverse frequency; by hand: loss.class_weights=[1.0,2.0]"
    elif first["type"] in ("list_type", "sequence_str", "is_instance_of") and not isinstance(found, Mapping):
        expected = "a list, in brackets"
        remedy = f"such as {where}={as_list(found if isinstance(found, str) else f'{found},{found}')}"
    elif first["type"] in ("model_type", "mapping_type", "dict_type"):
        expected = "keys with values"
        remedy = (
            f"say each by its own key, {where}.<key>=<value>, which --cfg job shows;"
            f" quotes keep the braces from the shell: '{where}={{…}}'"
        )
    elif first["type"] == "bool_type":
        expected = "true or false"
        truth = TRUTH.get({"1": "on", "0": "off"}.get(str(found), str(found).lower()))
        remedy = "" if truth is None else f"did you mean: {where}={written(truth)}"
    elif first["type"] in ("int_type", "int_from_float"):
        expected = "a whole number"
        remedy = f"did you mean: {where}={found:.0f}" if isinstance(found, float) and found.is_integer() else ""
    elif first["type"] == "string_type" and isinstance(first["input"], (bool, int, float)):
        several = isinstance(found, (list, tuple, Mapping))
        expected = "texts" if several else "a text"
        leaf = ", each of them" if several else f": {where.rpartition('.')[2]}: '…'"
        remedy = f"in a yaml file, put it in quotes as it is written there{leaf}"
    return ConfigError(
        "a value that is not allowed",
        code="value-not-allowed",
        where=where,
        found=f"{found!r}, as YAML reads it" if "quotes as" in remedy else repr(found),
        expected=expected,
        remedy=remedy or f"set {where} to such a value",
    )
