"""The register of error codes: what each kind of mistake is, in one sentence; `error_codes.yaml` holds it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

FILE = Path(__file__).with_name("error_codes.yaml")


@cache
def sections() -> Mapping[str, Mapping[str, str]]:
    """The codes with their sentences, by the part of seglab that they are about."""
    found = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return MappingProxyType({title: MappingProxyType(codes) for title, codes in found.items()})


@cache
def sentences() -> Mapping[str, str]:
    """What each code means."""
    return MappingProxyType({code: text for codes in sections().values() for code, text in codes.items()})
