"""What of a summary somebody should know of."""

from __future__ import annotations

from dataclasses import dataclass

from seglab.monitoring.naming import named
from seglab.monitoring.prompt_use import PromptUse
from seglab.monitoring.row_summary import Summary

_LISTED = 5
_IMPLAUSIBLE = 0.2  # of the answers, or of the prompts
_PROMPTS = 20  # that a share is told of, at least
_FAULTS = 2  # of them that failed, at least: one alone, of a large image, is no sign


@dataclass(frozen=True)
class AlertLimits:
    """From where on something is an alert.

    Attributes:
        p95_seconds: of the answers.
        failures: share of the requests that are answered 5xx, in 0..1.
    """

    p95_seconds: float = 5.0
    failures: float = 0.01


@dataclass(frozen=True)
class Alert:
    """One of them: a word that stays, and a sentence."""

    rule: str
    message: str


def alerts(summary: Summary, limits: AlertLimits) -> tuple[Alert, ...]:
    """What is the case, the most urgent first."""
    found = []
    requests, p95 = summary.requests, summary.seconds[1]
    if requests and summary.failures > limits.failures * requests:
        share = f"{summary.failures / requests:.1%} of {requests:,} requests, more than {limits.failures:.1%}"
        found.append(Alert("failures", f"The service fails {share}."))
    found += _of_failed_prompts(summary.prompts, limits)
    if p95 > limits.p95_seconds:
        found.append(
            Alert("latency", f"One answer in twenty takes {p95:.2f} s or more, above {limits.p95_seconds:g} s.")
        )
    predicted = [one for one in summary.canary if not one.failed]
    if predicted and predicted[-1].fallen:
        found.append(
            Alert("canary", "The canary's Dice has fallen below that of the former model, beyond its interval.")
        )
    if summary.canary and summary.canary[-1].failed:
        times = next((n for n, one in enumerate(reversed(summary.canary)) if not one.failed), len(summary.canary))
        often = "the last time" if times == 1 else f"the last {times} times"
        why = summary.canary[-1].failed
        found.append(Alert("canary-failed", f"The canary could not be predicted {often}: {why}"))
    drift = summary.drift
    if drift.worse and drift.quality:
        then, now = drift.quality.reference_median, drift.quality.median
        fall = f"median soft Dice confidence {now:.3f}, on validation {then:.3f}"
        found.append(Alert("quality", f"Masks are likely to be worse: {fall}, p {drift.quality.p:.2g}."))
    if drift.changed:
        names = [named(one.name, summary.model) for one in drift.changed]
        listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
        found.append(Alert("drift", f"Images or masks are unlike those of the training: {listed}."))
    for rule, count in summary.implausible.items():
        if rule != "answers" and count > _IMPLAUSIBLE * summary.implausible["answers"]:
            found.append(
                Alert("implausible", f"{count} of {summary.implausible['answers']} masks break a rule: {rule}.")
            )
    return (*found, *_of_prompts(summary.prompts))


def _of_prompts(use: PromptUse) -> list[Alert]:
    found = []
    for count, among, prompts, what in (
        (use.empty, use.prompts, "prompts", "an empty mask"),
        (use.full, use.boxes, "prompts with a box", "a mask that fills the box"),
    ):
        if among >= _PROMPTS and count > _IMPLAUSIBLE * among:
            found.append(Alert("prompts-implausible", f"{count:,} of {among:,} {prompts} gave {what}."))
    return found


def _of_failed_prompts(use: PromptUse, limits: AlertLimits) -> list[Alert]:
    asked = use.prompts + use.faults
    if asked < _PROMPTS or use.faults < _FAULTS or use.faults <= limits.failures * asked:
        return []
    share = f"{use.faults / asked:.1%} of {asked:,} prompts failed: memory, time or the process"
    return [Alert("prompt-failures", f"{share}; more than {limits.failures:.1%}.")]
