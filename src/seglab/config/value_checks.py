"""What a composed config and each value in it must be, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from seglab.config.refusals import not_allowed
from seglab.errors import ConfigError


def plain_values(cfg: Any, key: str | None = None) -> Any:
    """A config, or what stands in it under a key, as plain values with its references followed, by names that are
    texts; raises `ConfigError` for a reference that leads nowhere, for a name that YAML reads as something else, and
    for a number and a text that become one name."""
    try:
        part = cfg if key is None else cfg[key]
        part = OmegaConf.to_container(part, resolve=True, throw_on_missing=True) if OmegaConf.is_config(part) else part
        return _by_text(part, key or "")
    except OmegaConfBaseException as error:
        raise ConfigError(
            "a setting that has no value",
            code="setting-without-value",
            where=str(error.full_key or ""),
            found=str(error.msg).splitlines()[0],
            expected="a value, or a reference to a key that has one",
            remedy=f"give it on the command line: {error.full_key}=…",
        ) from error


def _by_text(part: Any, where: str) -> Any:
    """The same with the name `2024`, which YAML and Hydra read as a number, as the text that it is."""
    if isinstance(part, list):
        return [_by_text(one, where) for one in part]
    if not isinstance(part, Mapping):
        return part
    strange = next((name for name in part if not isinstance(name, str) and type(name) is not int), "")
    if strange != "":
        raise ConfigError(
            "a name that is no text",
            code="value-not-allowed",
            where=where,
            found=f"{strange} ({type(strange).__name__})",
            expected="a text, or a whole number, which is taken for one",
            remedy=f"put it in quotes in its yaml file, as it is to be called: '{str(strange).lower()}': …",
        )
    by_name = {str(name): _by_text(value, f"{where}.{name}".strip(".")) for name, value in part.items()}
    if len(by_name) < len(part):
        twice = next(name for name in part if not isinstance(name, str) and str(name) in part)
        raise ConfigError(
            "a name that stands twice",
            code="value-not-allowed",
            where=where,
            found=f"{twice}, and '{twice}' in quotes: both are the name '{twice}'",
            expected="each name once",
            remedy="rename one of them in its yaml file, or remove it",
        )
    return by_name


def check_chosen(group: str, section: Any) -> None:
    """Refuse a group that names no option; raises `ConfigError`."""
    if not isinstance(section, Mapping):
        raise ConfigError(
            "a group that is not chosen",
            code="group-not-chosen",
            where=group,
            found=section,
            expected=f"an option of the group, a yaml in conf/{group}",
            remedy=f"choose one: {group}=…",
        )


def as_mapping(value: Any) -> dict[str, Any]:
    """The composed root as a dictionary with string keys; anything else is a mistake in the yaml."""
    if not isinstance(value, Mapping):
        raise ConfigError(
            "the root config is no mapping",
            code="root-not-mapping",
            where="conf/train.yaml",
            found=type(value).__name__,
            expected="keys with values, one for each section",
            remedy="write it as conf/train.yaml is written in the project",
        )
    return {str(key): item for key, item in value.items()}


def check_value(value: Any, annotation: Any, where: str) -> None:
    """Refuse a value that an annotation does not allow; `where` is its dotted key. Raises `ConfigError`."""
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        raise not_allowed(error, where, value, annotation) from error
