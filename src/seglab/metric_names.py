"""From the name of a metric, in which a class may have any name, to the one that the store of runs keeps it under.

Whoever writes a metric and whoever looks it up asks here, so that `val_dice/<class>` means the same everywhere.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from seglab.errors import ConfigError

_LONGEST = 250  # characters, MLflow's limit
_DIGITS = 8


def metric_name(name: str) -> str:
    """The name as MLflow takes it; one that it takes already stays as it is.

    MLflow knows letters and digits of all scripts, and `_ - . : /` and blanks; `_` stands for anything else. Between
    two slashes there must be something other than dots. A name that is too long ends in the beginning of its SHA-256.
    """
    text = re.sub(r"[^\w\-. :/]", "_", unicodedata.normalize("NFC", name))
    text = "/".join("_" if part in ("", ".", "..") else part for part in text.split("/"))
    if len(text) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
        text = f"{text[: _LONGEST - _DIGITS - 1]}-{digest}"
    return text


def check_class_names(class_names: Sequence[str], where: str = "data") -> None:
    """See that each class has metrics of its own; raises `ConfigError` naming two whose metrics would be one."""
    first: dict[str, str] = {}
    for name in class_names:
        same = first.setdefault(metric_name(f"dice/{name}"), name)
        if same != name:
            raise ConfigError(
                "two classes whose metrics would have one name",
                where=where,
                found=f"'{same}' and '{name}', both kept as '{metric_name(f'dice/{name}')}'",
                expected="names that differ in a letter, a digit or one of _ - . : / and blank: the store of runs keeps"
                " no others",
                remedy=f"call one of them otherwise, such as '{_other(name)}': in the table of labels, dataset.json or"
                " data.class_names",
            )


def _other(name: str) -> str:
    words = {"<": "under ", ">": "over ", "+": "plus ", "=": "is ", "%": " percent", "≤": "up to ", "≥": "from "}
    said = re.sub(r"\s+", " ", "".join(words.get(c, c) for c in name)).strip()
    return said if said != name and metric_name(said) == said else f"{metric_name(name)} 2"
