"""`seglab monitor`: what the rows of a service say."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from seglab.cli.words import read, setting
from seglab.config.types import PositiveFloat, PositiveInt
from seglab.safety.secrets import redacted
from seglab.safety.shown_text import in_line

_EXAMPLES = """examples:
  seglab monitor                                                 of the service in this folder
  seglab monitor rows=/srv/road/rows.db hours=24 alert=true      exit code 1 where there is an alert
  seglab monitor webhook=https://chat.example/hook               alerts are sent there, as JSON"""
_Share = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class MonitorWords:
    """Report on a service from its rows: requests, times, failures, drift, predicted quality, prompts, canary."""

    rows: str = setting(
        "the rows that seglab serve writes: a file, or postgresql+psycopg://…",
        default="monitoring/rows.db",
        positional=True,
    )
    hours: PositiveFloat | None = setting("the last hours to report on; null: all rows", default=None)
    window: PositiveInt = setting("newest units (images, or X-Unit) whose drift is tested; at least 100", default=200)
    alpha: _Share = setting("error rate of the test for drift", default=0.01)
    p95_seconds: PositiveFloat = setting("95th percentile of the latency above which there is an alert", default=5.0)
    failures: _Share = setting("share of 5xx answers above which there is an alert", default=0.01)
    page: str = setting("HTML file to write; empty: none", default="monitoring/monitor.html")
    alert: bool = setting("leave with exit code 1 where there is an alert", default=False)
    webhook: str = setting("address that alerts are sent to; empty: none", default="")
    kept: str = setting("folder of the images that the service kept: its keep_images", default="monitoring/images")
    truth: str | None = setting("folder with masks/<request id>.png: real Dice beside the predicted one", default=None)
    label_next: PositiveInt | None = setting("how many kept images to hand over for labelling", default=None)
    strategy: Literal["random", "entropy", "quality", "diverse"] = setting("how they are chosen", default="random")
    without: tuple[str, ...] = setting("folders of former label_next, whose images are not chosen again", default=())
    out: str = setting("folder that they are copied to", default="monitoring/to_label")


def run(words: Sequence[str]) -> int:
    """Print, write and tell."""
    settings = read(MonitorWords, words, "monitor", _EXAMPLES)
    from seglab.monitoring.alerts import AlertLimits, alerts
    from seglab.monitoring.row_summary import summarise
    from seglab.monitoring.summary_page import as_text, document_of, truth_section
    from seglab.monitoring.webhook import check_webhook, tell
    from seglab.reports.html_page import to_html
    from seglab.runtime.atomic_files import telling_unwritable, write_text

    if settings.webhook:
        check_webhook(settings.webhook)
    limits = AlertLimits(settings.p95_seconds, settings.failures)
    summary = summarise(settings.rows, hours=settings.hours, alpha=settings.alpha, window=settings.window)
    found = alerts(summary, limits)
    more = []
    if settings.truth:
        from seglab.monitoring.truth import true_quality

        more.append(truth_section(true_quality(settings.rows, Path(settings.truth), Path(settings.kept))))
    document = document_of(summary, found, limits, redacted(settings.rows), more)
    print(as_text(document))
    if settings.page:
        page = Path(settings.page)
        with telling_unwritable(page):
            page.parent.mkdir(parents=True, exist_ok=True)
            write_text(page, to_html(document))
        print("\n" + in_line(f"page       {page.resolve()}"), flush=True)
    if settings.label_next:
        from seglab.monitoring.label_queue import candidates, choose, hand_over, handed_over, no_candidates

        if summary.model is None:
            raise no_candidates(settings.kept, "no row of a model")
        before = handed_over([Path(folder) for folder in settings.without])
        among = candidates(settings.rows, Path(settings.kept), summary.model, before)
        chosen = choose(among, settings.label_next, settings.strategy)
        hand_over(chosen, Path(settings.out), summary.model)
        print(in_line(f"to label   {len(chosen)} images in {Path(settings.out).resolve()}"), flush=True)
    if found and settings.webhook:
        tell(settings.webhook, settings.rows, found)
        print(f"sent       {len(found)} alerts to the webhook", file=sys.stderr)
    return int(bool(found) and settings.alert)
