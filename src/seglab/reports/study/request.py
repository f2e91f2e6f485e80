"""What may be said to a report, checked before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import ValidationError

from seglab.config.scalars import meant, unquoted
from seglab.config.sections import Section
from seglab.config.types import NonNegativeInt
from seglab.errors import ConfigError, nearest
from seglab.metric_names import TEST_DICE
from seglab.reports.study.study import load_study
from seglab.run_record import RUNS


class ReportRequest(Section):
    """The settings of `scripts/report.py`, whose `--help` says what each means."""

    study: str
    metric: str = TEST_DICE
    cases: NonNegativeInt = 4
    conclusion: Literal["kept", "confirmed"] = "kept"
    overwrite: bool = False
    out: str | None = None
    runs: str = str(RUNS)
    tracking_uri: str | None = None


def read_request(words: Sequence[str]) -> ReportRequest:
    """The request that the words of a command line make.

    Raises:
        ConfigError: a word that means nothing, a value that is not allowed, or an unknown study.
    """
    known = ReportRequest.model_fields
    given = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key not in known:
            raise ConfigError(
                f"unknown setting '{key}'" if equals else "parse error: not a setting",
                code="unknown-setting" if equals else "override-syntax",
                where=word,
                expected="one of " + ", ".join(f"{name}=…" for name in known),
                remedy=nearest(key.lstrip("-"), known) or "see: python scripts/report.py --help",
            )
        given[key] = meant(unquoted(text), known[key].annotation)
    if "study" not in given:
        raise ConfigError(
            "a missing setting",
            code="missing-setting",
            where="study",
            remedy="give it: study=<a folder below experiments/>",
        )
    try:
        request = ReportRequest.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            "a value that is not allowed",
            code="value-not-allowed",
            where=str(first["loc"][0]),
            found=repr(first["input"]),
            expected=first["msg"],
            remedy="python scripts/report.py --help says what it means",
        ) from error
    load_study(request.study)
    return request
