"""What of a summary somebody should know of, and how it is told to another machine."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit

from seglab.errors import ConfigError, DataError
from seglab.monitoring.naming import named
from seglab.monitoring.summary import Summary
from seglab.safety.secrets import redacted

_TIMEOUT_SECONDS = 10.0
_ANSWER_BYTES = 4096  # of the answer, which is read and forgotten
_LISTED = 5
_IMPLAUSIBLE = 0.2  # of the answers


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
    told: str


def alerts(summary: Summary, limits: AlertLimits) -> tuple[Alert, ...]:
    """What is the case, the most urgent first."""
    found = []
    requests, p95 = summary.requests, summary.seconds[1]
    if requests and summary.failures > limits.failures * requests:
        share = f"{summary.failures / requests:.1%} of {requests:,} requests, more than {limits.failures:.1%}"
        found.append(Alert("failures", f"The service fails {share}."))
    if p95 > limits.p95_seconds:
        found.append(
            Alert("latency", f"One answer in twenty takes {p95:.2f} s or more, above {limits.p95_seconds:g} s.")
        )
    if summary.canary and summary.canary[-1].fallen:
        found.append(
            Alert("canary", "The canary's Dice has fallen below that of the former model, beyond its interval.")
        )
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
    return tuple(found)


def check_webhook(url: str) -> None:
    """See that an address can be told; raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        known = False
    if not known or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(
            "a webhook that is no address of HTTP",
            code="webhook-address",
            where="webhook",
            found=redacted(url),
            expected="https://host/path",
            remedy="give the address that takes a POST of JSON",
        )


def tell(url: str, place: str, found: Sequence[Alert]) -> None:
    """Send alerts to an address, as JSON.

    Raises:
        DataError: it does not answer in ten seconds, or not with 2xx.
    """
    text = "; ".join(alert.told for alert in found)
    told = {"source": "seglab monitor", "rows": redacted(place), "text": text, "alerts": [vars(one) for one in found]}
    request = urllib.request.Request(
        url, json.dumps(told).encode(), {"Content-Type": "application/json", "User-Agent": "seglab"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            answer.read(_ANSWER_BYTES)
    except (HTTPException, OSError, ValueError) as error:
        raise DataError(
            "a webhook that did not take the alerts",
            code="webhook-failed",
            where=redacted(f"{urlsplit(url).scheme}://{urlsplit(url).hostname}"),
            found=redacted(str(error)).replace(url, "the address")[:200],
            expected="an answer of 2xx within ten seconds",
            remedy="the alerts stand above; try the address with curl",
        ) from error
