"""The gate: what a run must show before its model is promoted. Rules are data, see `conf/gate/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import ValidationError

from seglab.command import CONF
from seglab.comparison.statistics import Paired, Resampling, compare_paired
from seglab.comparison.tables import CaseTable
from seglab.errors import ConfigError, nearest
from seglab.schema import Section

FINDINGS_TAG = "data_allowed"


class Rule(Section):
    """One metric and the worst value that passes."""

    metric: str
    direction: Literal["higher", "lower"]
    threshold: float


class Gate(Section):
    """All rules; `conf/gate/default.yaml` says what each means."""

    rules: list[Rule]
    not_worse_than_champion: str | None
    allowed_findings: bool


@dataclass(frozen=True)
class Check:
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
        return f"{'passed' if self.passed else 'FAILED'}: {self.rule} (found {self.found})"


@dataclass(frozen=True)
class Contender:
    """What the gate looks at: a run's final metrics, tags, and scores of its test cases (None when it has none)."""

    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    cases: CaseTable | None


def load_gate(name: str, folder: Path = CONF / "gate") -> Gate:
    """The gate in `conf/gate/<name>.yaml`.

    Raises:
        ConfigError: there is none of this name, or it says what no gate can.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise ConfigError(
            "no gate of this name",
            where="gate",
            found=name,
            expected="one of " + ", ".join(known),
            remedy=nearest(name, known) or f"write {folder.name}/{name}.yaml; default.yaml shows how",
        )
    file = folder / f"{name}.yaml"
    try:
        return Gate.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        raise ConfigError(
            "a gate that cannot be read",
            where=".".join([str(file), *map(str, first["loc"])]),
            found=str(first["msg"]),
            expected="rules (metric, direction, threshold), not_worse_than_champion, allowed_findings",
            remedy="see conf/gate/default.yaml",
        ) from error


def check(gate: Gate, contender: Contender, champion: Contender | None) -> list[Check]:
    """Hold a run against every rule.

    "Not worse than the champion" means: over the test cases that both scored, the 95% bootstrap interval of the mean
    difference (contender − champion) does not lie wholly below 0. Runs on other splits cannot be paired, which fails.

    Args:
        gate: the rules.
        contender: the run to promote.
        champion: the present one; None when there is none, and then that rule holds.
    """
    checks = [_threshold(rule, contender.metrics.get(rule.metric)) for rule in gate.rules]
    if gate.not_worse_than_champion is not None and champion is not None:
        checks.append(_against(gate.not_worse_than_champion, contender, champion))
    findings = contender.tags.get(FINDINGS_TAG, "")
    if not gate.allowed_findings:
        checks.append(Check("data without allowed findings", findings or "none", not findings))
    return checks


def _threshold(rule: Rule, value: float | None) -> Check:
    higher = rule.direction == "higher"
    words = f"{rule.metric} {'at least' if higher else 'at most'} {rule.threshold:g}"
    if value is None or np.isnan(value):
        return Check(words, "no such metric" if value is None else "not a number", False)
    return Check(words, f"{value:.4f}", value >= rule.threshold if higher else value <= rule.threshold)


def _against(column: str, contender: Contender, champion: Contender) -> Check:
    words = f"{column} not significantly worse than the champion's"
    if contender.tags.get("split_digest") != champion.tags.get("split_digest"):
        return Check(words, "another split than the champion's: they cannot be paired", False)
    if contender.cases is None or champion.cases is None:
        return Check(words, "a run without a table of its test cases", False)
    paired = _paired(column, contender.cases, champion.cases)
    if paired is None:
        return Check(words, f"no case with a {column} of both", False)
    gap = paired.difference
    told = f"{gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] over {paired.units} cases"
    return Check(words, told, not gap.high < 0)


def _paired(column: str, one: CaseTable, other: CaseTable) -> Paired | None:
    if column not in one.scores or column not in other.scores:
        return None
    place = {case_id: row for row, case_id in enumerate(other.ids)}
    common = [(row, place[case_id]) for row, case_id in enumerate(one.ids) if case_id in place]
    if not common:
        return None
    mine, theirs = np.array(common).T
    pair = one.scores[column][None, mine], other.scores[column][None, theirs]
    return compare_paired([pair], Resampling())[0]
