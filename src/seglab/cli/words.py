"""The settings of a verb, read from `key=value`: a dataclass says which there are, its annotations what they may be.

Help is made from the same dataclass. Flags (`--out masks`, `--overlay`) and other spellings that a setting had before
are understood too. Verbs that compose a config of `conf/` are read by Hydra instead.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from seglab.cli.verbs import wants_help
from seglab.config.scalars import element_of, meant, read_yaml, unquoted
from seglab.errors import ConfigError, nearest

Words = TypeVar("Words")


def setting(
    about: str,
    *,
    default: Any = MISSING,
    key: str = "",
    former: Sequence[str] = (),
    positional: bool = False,
    prefix: bool = False,
) -> Any:
    """A field of a verb's dataclass.

    Args:
        about: what `--help` says of it.
        default: its value where none is written; without one it must be written.
        key: how it is written, where that is not the field's name: `tracking.uri`.
        former: other spellings that are understood.
        positional: takes words that have no `key=`, in the order of the fields; a tuple takes all that are left.
        prefix: takes whole words that begin with its key and a point, too: `data=nifti data.root=…`.
    """
    metadata = {"about": about, "key": key, "former": tuple(former), "positional": positional, "prefix": prefix}
    return dataclasses.field(default=default, metadata=metadata)


def tracking_uri() -> Any:
    """The setting `tracking.uri` of every verb that opens the store of runs."""
    about = "where runs are recorded, such as http://host:5000 or sqlite:///…; null: mlruns/mlflow.db"
    return setting(about, default=None, key="tracking.uri", former=("tracking_uri", "uri"))


@dataclass(frozen=True)
class Setting:
    """One setting of a verb."""

    field: str
    key: str
    annotation: Any
    default: Any
    about: str
    former: tuple[str, ...]
    positional: bool
    prefix: bool

    @property
    def several(self) -> bool:
        """Whether it holds several values."""
        return element_of(self.annotation) is not None or getattr(self.annotation, "__origin__", None) is tuple

    def shown(self) -> str:
        """As it is written, with its default."""
        if self.default is MISSING:
            return f"{self.key}=…"
        if isinstance(self.default, tuple):
            return f"{self.key}=[{','.join(map(str, self.default))}]"
        spelt = {None: "null", True: "true", False: "false"}
        is_word = self.default is None or isinstance(self.default, bool)
        return f"{self.key}={spelt[self.default] if is_word else self.default}"


def settings_of(kind: type) -> list[Setting]:
    """The settings that a verb's dataclass declares."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for one in dataclasses.fields(kind):
        metadata = {**one.metadata, "key": one.metadata["key"] or one.name}
        found.append(Setting(field=one.name, annotation=hints[one.name], default=one.default, **metadata))
    return found


def read(kind: type[Words], words: Sequence[str], verb: str, more: str = "") -> Words:
    """The settings that the words of a command line make.

    Args:
        kind: the verb's dataclass; its docstring is what `--help` begins with.
        words: what stands behind the verb.
        verb: its name.
        more: what `--help` ends with, such as examples.

    Raises:
        ConfigError: a word that means nothing, a value that is not allowed, or a setting that is missing.
        SystemExit: help was asked for, and is printed.
    """
    settings = settings_of(kind)
    if wants_help(words):
        print(help_page(kind, verb, more))
        raise SystemExit(0)
    written = _Reader(settings, verb).read(list(words))
    given = {one.field: _value(one, written[one.field], verb) for one in settings if one.field in written}
    first_line = help_page(kind, verb).partition("\n")[0]
    for one in settings:
        if one.default is MISSING and one.field not in given:
            raise ConfigError(
                "a missing setting",
                code="missing-setting",
                where=one.key,
                expected=one.about,
                remedy=f"give it: {one.key}=…" + (f", as in: {first_line}" if one.positional else ""),
            )
    return kind(**given)


def help_page(kind: type, verb: str, more: str = "") -> str:
    """What `seglab <verb> --help` says."""
    settings = settings_of(kind)
    words = [f"<{one.key}>{' …' if one.several else ''}" for one in settings if one.positional]
    needed = [f"{one.key}=…" for one in settings if one.default is MISSING and not one.positional]
    lines = [" ".join(["seglab", verb, *words, *needed, "[key=value …]"]), "", *_about(kind), "", "settings:"]
    width = min(26, max(len(one.shown()) for one in settings))
    for one in settings:
        about = textwrap.wrap(one.about, 116 - width)
        first = f"  {one.shown():<{width}}  "
        if len(one.shown()) > width:
            lines.append(first.rstrip())
            first = " " * (width + 4)
        lines += [first + about[0], *(" " * (width + 4) + line for line in about[1:])]
    return "\n".join([*lines, *(["", more.rstrip()] if more else [])])


def _about(kind: type) -> list[str]:
    text = textwrap.dedent("    " + (kind.__doc__ or "")).strip()
    return [line for part in text.split("\n\n") for line in [*textwrap.wrap(part, 118), ""]][:-1]


class _Reader:
    """Sorts words by the setting that they belong to; their texts are not looked at."""

    def __init__(self, settings: Sequence[Setting], verb: str):
        self._settings, self._verb = settings, verb
        self._by_key = {name: one for one in settings for name in (one.key, one.field, *one.former)}
        self._written: dict[str, list[str] | str] = {}
        self._alone: list[str] = []

    def read(self, words: list[str]) -> dict[str, list[str] | str]:
        while words:
            word = words.pop(0)
            if word == "--":
                self._alone += words
                break
            if word.startswith("-") and len(word) > 1:
                self._flag(word, words)
            elif not self._key(word):
                self._alone.append(word)
        self._place_alone()
        return self._written

    def _key(self, word: str) -> bool:
        """Take `key=value`; False for a word that is none."""
        key, equals, text = word.partition("=")
        known = self._by_key.get(key) if equals else None
        if known is None and equals:
            known = next((one for one in self._settings if one.prefix and key.startswith(f"{one.key}.")), None)
        if known is not None:
            if known.prefix:
                self._several(known).append(word)
            elif known.field in self._written and self._written[known.field] != text:
                raise ConfigError(
                    "a setting with two values",
                    code="setting-twice",
                    where=known.key,
                    found=f"{self._written[known.field]}, and {text}",
                    expected="one value",
                    remedy=f"say it once: {known.key}={text}",
                )
            else:
                self._written[known.field] = text
            return True
        if equals and re.fullmatch(r"[\w.]+", key) and not (self._takes_any() and Path(word).exists()):
            raise self._unknown(f"unknown setting '{key}'", word, key)
        return False

    def _flag(self, word: str, words: list[str]) -> None:
        name, equals, text = word.lstrip("-").partition("=")
        key = name.replace("-", "_")
        known = self._by_key.get(key)
        if known is None:
            raise self._unknown("unknown flag", word, key)
        if equals:
            values = [text]
        elif known.annotation is bool:
            values = ["true"]
        elif known.several:
            values = []
            while words and not words[0].startswith("--") and words[0].partition("=")[0] not in self._by_key:
                values.append(words.pop(0))
            self._several(known).extend(values)
            return
        elif not words:
            raise ConfigError(
                "a setting without a value",
                code="setting-without-value",
                where=word,
                expected=known.about,
                remedy=f"give it: {known.key}=…",
            )
        else:
            values = [words.pop(0)]
        self._key(f"{known.key}={values[0]}")

    def _place_alone(self) -> None:
        """Give the words without a key to the settings that take such and have no value yet, in their order."""
        free = [one for one in self._settings if one.positional and one.field not in self._written]
        for one in free:
            if one.several and self._alone:
                self._several(one).extend(self._alone)
                self._alone = []
            elif self._alone:
                self._written[one.field] = self._alone.pop(0)
        if self._alone:
            word = self._alone[0]
            raise self._unknown("parse error: not a setting", word, word)

    def _several(self, one: Setting) -> list[str]:
        before = self._written.setdefault(one.field, [])
        if isinstance(before, str):
            self._written[one.field] = before = [before]
        return before

    def _takes_any(self) -> bool:
        return any(one.positional and one.several for one in self._settings)

    def _unknown(self, what: str, word: str, key: str) -> ConfigError:
        keys = [one.key for one in self._settings]
        return ConfigError(
            what,
            code="unknown-setting",
            where=word,
            expected="one of " + ", ".join(f"{name}=…" for name in keys),
            remedy=nearest(key, keys) or f"seglab {self._verb} --help says what there is",
        )


def _value(one: Setting, written: list[str] | str, verb: str) -> Any:
    """The value that the written texts mean, checked."""
    if one.several and not one.prefix:
        texts = [part for text in ([written] if isinstance(written, str) else written) for part in _parts(one, text)]
        parts = [meant(text, element_of(one.annotation)) for text in texts]
        value: Any = tuple(tuple(part) if isinstance(part, list) else part for part in parts)
    elif isinstance(written, list):
        value = tuple(written)
    else:
        value = meant(unquoted(written), one.annotation)
    try:
        return TypeAdapter(one.annotation).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        text = written if isinstance(written, str) else " ".join(written)
        allowed = list(_choices(one.annotation))
        wrong = str(first["input"]) if one.several and isinstance(first["input"], str) else text
        expected = {"bool_type": "true or false", "int_type": "a whole number", "float_type": "a number"}
        raise ConfigError(
            "a value that is not allowed",
            code="value-not-allowed",
            where=one.key,
            found=text,
            expected=expected.get(first["type"], str(first["msg"]).removeprefix("Input should be ")),
            remedy=nearest(wrong, allowed) or f"seglab {verb} --help says what {one.key} is: {one.about}",
        ) from error


def _choices(annotation: Any) -> Iterator[str]:
    """The words of every `Literal` in an annotation, however deep."""
    for part in getattr(annotation, "__args__", ()):
        if isinstance(part, str):
            yield part
        else:
            yield from _choices(part)


def _parts(one: Setting, text: str) -> list[str]:
    if text.startswith("[") and text.endswith("]"):
        inner = read_yaml(text)
        return [str(part) for part in inner]
    return [unquoted(text)] if element_of(one.annotation) is str else text.split(",")
