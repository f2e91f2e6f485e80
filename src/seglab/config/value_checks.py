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
    """A config, or what stands in it under a key, as plain values with its references followed."""
    try:
        part = cfg if key is None else cfg[key]
        return OmegaConf.to_container(part, resolve=True, throw_on_missing=True) if OmegaConf.is_config(part) else part
    except OmegaConfBaseException as error:
        raise ConfigError(
            "a setting that has no value",
            code="setting-without-value",
            where=str(error.full_key or ""),
            found=str(error.msg).splitlines()[0],
            expected="a value, or a reference to a key that has one",
            remedy=f"give it on the command line: {error.full_key}=…",
        ) from error


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
