"""Settings that are read outside of Hydra: text stays text until the type that is wanted says what it means.

YAML by itself takes `on` for true, `010` for eight, `1_1_1` for 111 and `1e-3` for a word. Here a class may be called
`on`, an id may be `010`, a folder `2024`, and a threshold `1e-3`.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml
from pydantic import BaseModel

NOTHING = ("", "~", "null")
TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.?inf|\.?nan", re.IGNORECASE)


class _EachOnce(yaml.BaseLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in names:
                what = f"the name {key.value!r} stands twice in one mapping"
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            names.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


def read_yaml(text: str) -> Any:
    """YAML in which every value is the text that stands there: dictionaries, lists and strings.

    Raises:
        yaml.YAMLError: it is no YAML, or a name stands twice in one mapping, of which YAML would keep the last.
    """
    return yaml.load(text, Loader=_EachOnce)


def meant(written: Any, wanted: Any) -> Any:
    """What a text, or a tree of texts as of `read_yaml`, means where a type is wanted.

    Args:
        written: a string, or lists and dictionaries of them.
        wanted: an annotation: `str`, `bool`, `int`, `float`, `Literal`, unions, `Sequence`, `Mapping`, a pydantic
            model; `Any` for whatever the text looks like.

    Returns:
        The value; what no part of the type can be stays as it is written, for the check to name it.
    """
    kinds = _alternatives(wanted)
    if isinstance(written, str):
        return _meant_text(written, kinds)
    for kind in kinds:
        inner = typing.get_args(kind)
        if isinstance(written, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            types_of = {name: field.annotation for name, field in kind.model_fields.items()}
            return {key: meant(value, types_of.get(key, str)) for key, value in written.items()}
        if isinstance(written, Mapping) and _origin(kind) in (dict, Mapping):
            return {key: meant(value, inner[1] if inner else Any) for key, value in written.items()}
        if isinstance(written, list) and _origin(kind) in (list, tuple, Sequence):
            return [meant(value, inner[0] if inner else Any) for value in written]
    if Any in kinds and isinstance(written, (list, Mapping)):
        each = written.items() if isinstance(written, Mapping) else enumerate(written)
        found = {key: meant(value, Any) for key, value in each}
        return found if isinstance(written, Mapping) else list(found.values())
    return written


def unquoted(text: str) -> str:
    """A value of a command line without the quotes that Hydra would want around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def takes_text(wanted: Any) -> bool:
    """Whether a text is wanted, and no number or truth value would do."""
    kinds = _alternatives(wanted)
    return str in kinds and not {bool, int, float, Any} & set(kinds)


def element_of(wanted: Any) -> Any:
    """What each part of a wanted sequence is to be; None where no sequence is wanted."""
    found = [typing.get_args(kind) for kind in _alternatives(wanted) if _origin(kind) in (list, tuple, Sequence)]
    return found[0][0] if found and found[0] else None


def may_be_nothing(wanted: Any) -> bool:
    """Whether null is among what is wanted."""
    return type(None) in _alternatives(wanted)


def _meant_text(text: str, kinds: Sequence[Any]) -> Any:
    word = text.strip()
    if type(None) in kinds and word.lower() in NOTHING:
        return None
    anything = Any in kinds
    # Where a text would do as well, `on` and `no` are texts.
    if word.lower() in (TRUTH if bool in kinds and str not in kinds else ("true", "false") if anything else ()):
        return TRUTH[word.lower()]
    if (int in kinds or anything) and _INTEGER.fullmatch(word):
        return int(word)
    if (float in kinds or anything) and _NUMBER.fullmatch(word):
        return float(word.replace(".inf", "inf").replace(".nan", "nan"))
    if str not in kinds and word[:1] in ("[", "{"):
        try:
            tree = read_yaml(word)
        except yaml.YAMLError:
            return text
        return text if isinstance(tree, str) else meant(tree, typing.Union[tuple(kinds)])  # noqa: UP007
    numbers = [value for kind in kinds if typing.get_origin(kind) is Literal for value in typing.get_args(kind)]
    return next((value for value in numbers if str(value) == word), text)


def _alternatives(wanted: Any) -> list[Any]:
    """The types that a union, an optional or an annotated type is made of."""
    origin = typing.get_origin(wanted)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(wanted)[0])
    if origin in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(wanted) for kind in _alternatives(part)]
    return [wanted]


def _origin(kind: Any) -> Any:
    return typing.get_origin(kind) or kind
