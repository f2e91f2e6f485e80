"""The gate: what a run must show before its model is promoted. Rules are data, see `conf/gate/`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import FiniteFloat, ValidationError, model_validator

from seglab.comparison.case_tables import CaseTable, column_of, locate, ranking_metric
from seglab.comparison.definedness import settle
from seglab.config.scalars import meant, read_yaml
from seglab.config.sections import Section
from seglab.config.vocabulary import folders
from seglab.errors import ConfigError, nearest
from seglab.metric_names import metric_name
from seglab.number_format import digits_of
from seglab.run_record import Tag
from seglab.safety.shown_text import shown
from seglab.statistics import Difference, compare_pair

_SAME = {Tag.DATA_DIGEST: "other data", Tag.SPLIT_DIGEST: "another split"}


class GateRule(Section):
    """One metric, the worst value that passes, and whether the champion must not be significantly better in it."""

    metric: str
    direction: Literal["higher", "lower"]
    threshold: FiniteFloat
    not_worse_than_champion: bool = False

    @model_validator(mode="after")
    def _kept_for_each_case(self) -> GateRule:
        if self.not_worse_than_champion:
            try:
                locate(self.metric)
            except ConfigError as error:
                raise ValueError(f"not_worse_than_champion with {error.what}: {self.metric}") from error
        return self

    @property
    def metric_used(self) -> str:
        """The metric that counts: of a volume error, which has a sign, its size."""
        with suppress(ConfigError):
            return ranking_metric(self.metric)
        return self.metric


class Gate(Section):
    """All rules; `conf/gate/default.yaml` says what each means."""

    rules: list[GateRule]
    allowed_findings: bool

    @property
    def tables(self) -> list[str]:
        """The tables of cases that the champion's and the contender's scores are taken from."""
        return sorted({locate(rule.metric_used).file for rule in self.rules if rule.not_worse_than_champion})


@dataclass(frozen=True)
class RuleResult:
    """One rule and what became of it.

    Attributes:
        rule: in words.
        found: what the run has.
        passed: whether that is enough.
    """

    rule: str
    found: str
    passed: bool

    def __str__(self) -> str:
        return shown(f"{'passed' if self.passed else 'FAILED'}: {self.rule} (found {self.found})")


@dataclass(frozen=True)
class Contender:
    """What the gate looks at: a run's final metrics, tags, and by their file those of `Gate.tables` that it has."""

    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    cases: Mapping[str, CaseTable]


def load_gate(name: str, folder: Path | None = None) -> Gate:
    """The gate in `conf/gate/<name>.yaml`, of the current folder or of the package.

    Args:
        name: of the gate.
        folder: another folder to look in instead.

    Raises:
        ConfigError: there is none of this name, or it says what no gate can.
    """
    places = [folder] if folder is not None else [place / "gate" for place in folders()]
    files = {path.stem: path for place in reversed(places) for path in place.glob("*.yaml")}
    known = sorted(files)
    if name not in known:
        raise ConfigError(
            "no gate of this name",
            code="gate-missing",
            where="gate",
            found=name,
            expected="one of " + ", ".join(known),
            remedy=nearest(name, known) or f"write {places[0].name}/{name}.yaml; default.yaml shows how",
        )
    file = files[name]
    try:
        return Gate.model_validate(meant(read_yaml(file.read_text(encoding="utf-8")), Gate))
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        raise ConfigError(
            "invalid gate file",
            code="gate-invalid",
            where=".".join([str(file), *map(str, first["loc"])]),
            found=str(first["msg"]),
            expected="rules (metric, direction, threshold, not_worse_than_champion) and allowed_findings",
            remedy="see conf/gate/default.yaml",
        ) from error


def check(gate: Gate, contender: Contender, champion: Contender | None) -> list[RuleResult]:
    """Hold a run against every rule.

    "Not worse than the champion" means: over their common cases the 95% interval of the mean difference (contender −
    champion) does not lie wholly on the bad side of 0: below it where higher is better, above it where lower is. It is
    about these two trained networks and the cases, not about other seeds of theirs. A case that one of them left blank
    is decided by `seglab.comparison.definedness.settle`. Runs on other data or other splits cannot be paired, and a
    score that is defined on other cases in one of them is no criterion: both fail.

    Args:
        gate: the rules.
        contender: the run to promote.
        champion: the present one; None when there is none, and then that part of a rule holds.
    """
    checks = []
    for rule in gate.rules:
        checks.append(_threshold(rule, contender.metrics.get(metric_name(rule.metric_used))))
        if rule.not_worse_than_champion and champion is not None:
            checks.append(_against(rule, contender, champion))
    findings = contender.tags.get(Tag.DATA_ALLOWED, "")
    if not gate.allowed_findings:
        checks.append(RuleResult("data without allowed findings", findings or "none", not findings))
    return checks


def _threshold(rule: GateRule, value: float | None) -> RuleResult:
    higher = rule.direction == "higher"
    words = f"{rule.metric_used} {'at least' if higher else 'at most'} {rule.threshold:g}"
    if value is None or np.isnan(value):
        return RuleResult(words, "no such metric" if value is None else "not a number", False)
    passed = value >= rule.threshold if higher else value <= rule.threshold
    rounded = f"{value:.4f}"
    misread = (float(rounded) >= rule.threshold if higher else float(rounded) <= rule.threshold) != passed
    return RuleResult(words, repr(float(value)) if misread else rounded, passed)


def _against(rule: GateRule, contender: Contender, champion: Contender) -> RuleResult:
    words = f"{rule.metric_used} not significantly worse than the champion's"
    for digest, what in _SAME.items():
        if contender.tags.get(digest) != champion.tags.get(digest):
            return RuleResult(words, f"{what} than the champion's: they cannot be paired", False)
    _, column, file = locate(rule.metric_used)
    lacking = [who for who, run in (("the run", contender), ("the champion", champion)) if file not in run.cases]
    if lacking:
        return RuleResult(words, f"{' and '.join(lacking)} without a table {file}", False)
    column = column_of(contender.cases[file], column)
    try:
        gap = _difference(column, contender.cases[file], champion.cases[file])
    except ConfigError as error:
        return RuleResult(words, f"{error.what}: {error.found}", False)
    if gap is None:
        return RuleResult(words, f"no case with a {column} of both", False)
    digits = max(4, digits_of(gap))
    ends = f"[{gap.low:+.{digits}f}, {gap.high:+.{digits}f}]"
    text = f"{gap.difference:+.{digits}f} {ends} over {gap.cases} cases"
    return RuleResult(words, text, not (gap.high < 0 if rule.direction == "higher" else gap.low > 0))


def _difference(column: str, one: CaseTable, other: CaseTable) -> Difference | None:
    """Contender less champion over the cases of both; None without any."""
    if column not in one.scores or column not in other.scores:
        return None
    place = {case_id: row for row, case_id in enumerate(other.ids)}
    common = [(row, place[case_id]) for row, case_id in enumerate(one.ids) if case_id in place]
    if not common:
        return None
    mine, theirs = np.array(common).T
    values = np.array([one.scores[column][mine], other.scores[column][theirs]])[:, None]
    missed = np.array([one.one_sided(column)[0][mine], other.one_sided(column)[0][theirs]])[:, None] > 0
    decided, _ = settle(column, values, np.ones(values.shape, bool), missed, ["the run", "the champion"])
    found = compare_pair(*decided)
    return found if found.cases else None
