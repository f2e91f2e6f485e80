"""What may be said to a comparison, checked before the store is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from seglab.config.sections import Section
from seglab.config.types import NonNegativeInt
from seglab.errors import ConfigError, nearest
from seglab.metric_names import TEST_DICE
from seglab.safety.file_names import file_name


class CompareSettings(Section):
    """Which runs, by which score, and where the page goes. `conf/compare.yaml` says what each means."""

    study: str | None = None
    runs: list[str] | None = None
    filter: str | None = None
    metric: str = TEST_DICE
    target: float | None = None
    unit: Literal["case", "group"] = "case"
    pictures: NonNegativeInt | None = None
    out: str | None = None
    tracking_uri: str | None = None

    @property
    def name(self) -> str:
        """What is compared, as a title and a folder's name."""
        if self.study:
            return self.study
        if self.runs:
            return "-".join(run[:8] for run in self.runs[:4]) + ("-and-more" if len(self.runs) > 4 else "")
        return "filtered" if self.filter else "all"

    def folder(self, directory: Path) -> Path:
        """Where the page and its tables are written: `out`, else `<directory>/comparisons/<name>`."""
        if self.out:
            return Path(self.out)
        return directory / "comparisons" / file_name(self.name)


def load_settings(cfg: DictConfig | Mapping[str, Any]) -> CompareSettings:
    """The checked settings of a composed `conf/compare.yaml`.

    Raises:
        ConfigError: an unknown key, a value out of its range, or two ways of choosing runs at once.
    """
    values: Any = OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else dict(cfg)
    tracking = values.pop("tracking", None)
    if isinstance(tracking, Mapping) and set(tracking) == {"uri"}:
        values["tracking_uri"] = tracking["uri"]
    elif tracking is not None:
        values["tracking"] = tracking
    try:
        settings = CompareSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"unknown setting '{where}': nothing reads it",
                code="unknown-setting",
                where=where,
                expected="one of " + ", ".join(CompareSettings.model_fields).replace("tracking_uri", "tracking.uri"),
                remedy=nearest(where, CompareSettings.model_fields),
            ) from error
        raise ConfigError(
            "a value that is not allowed",
            code="value-not-allowed",
            where=where,
            found=repr(first["input"]),
            expected=first["msg"],
            remedy=f"conf/compare.yaml says what {where} means",
        ) from error
    chosen = [key for key in ("study", "runs", "filter") if getattr(settings, key)]
    if len(chosen) > 1:
        raise ConfigError(
            "several ways of choosing runs at once",
            code="runs-chosen-twice",
            where=", ".join(chosen),
            expected="one of study, runs, filter, or none of them for every run of the store",
            remedy=f"a filter can name a study: filter=\"tags.study = '{settings.study or '…'}'\"",
        )
    if settings.runs is not None and len(set(settings.runs)) < 2:
        raise ConfigError(
            "one run is nothing to compare",
            code="too-few-runs",
            where="runs",
            found=settings.runs,
            expected="two runs or more",
            remedy="runs=[<id>,<id>]; seglab ui shows the ids",
        )
    return settings


def in_words_of_today(words: Sequence[str]) -> list[str]:
    """The command line with `tracking.uri=`, where it says `tracking_uri=` as it was called before."""
    return [re.sub(r"^tracking_uri=", "tracking.uri=", word) for word in words]


def quote_filter(words: list[str]) -> list[str]:
    """The command line with the value of `filter=` in quotes, as Hydra wants a value with spaces and quotes in it."""
    quoted = []
    for word in words:
        key, sign, value = word.partition("=")
        if key == "filter" and sign and not (value.startswith('"') and value.endswith('"') and len(value) > 1):
            value = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        quoted.append(f"{key}{sign}{value}")
    return quoted
