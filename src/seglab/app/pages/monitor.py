"""What the service has answered, how sure it was, and whether its images still look as they did."""

from __future__ import annotations

from datetime import UTC, datetime

import altair as alt
import pandas as pd
import streamlit as st

from seglab.app.api_client import Client
from seglab.app.document_sections import show_section, show_tables
from seglab.app.plain_text import plain
from seglab.app.setup import current
from seglab.monitoring.alerts import AlertLimits, alerts
from seglab.monitoring.prompt_use import ScoreSpan
from seglab.monitoring.row_summary import Span, Summary, summarise
from seglab.monitoring.summary_page import document_of
from seglab.reports.document import PageSection
from seglab.safety.secrets import redacted

_SECONDS = 10  # for which what was read is shown again
_HOURS = {"1": "the last hour", "24": "the last day", "168": "the last week", "all": "all of it"}
_ALERTS = "Alerts"


def show(client: Client) -> None:
    """The page."""
    asked = st.query_params.get("hours", "24")
    if "monitor-hours" not in st.session_state:
        st.session_state["monitor-hours"] = asked if asked in _HOURS else "24"
    hours = st.sidebar.selectbox("Time", list(_HOURS), format_func=_HOURS.__getitem__, key="monitor-hours")
    st.sidebar.button("Read again", icon=":material/refresh:", on_click=_summary.clear)
    st.query_params["hours"] = hours
    place = current().rows
    with st.spinner("reading what was answered", show_time=True):
        summary = _summary(place, None if hours == "all" else float(hours))
    if not (summary.requests or summary.prompts.kinds):
        st.info(
            "There were no requests in this time. What these pages ask the API themselves is not counted.",
            icon=":material/schedule:",
        )
        return
    limits = AlertLimits()
    document = document_of(summary, alerts(summary, limits), limits, redacted(place))
    st.caption(plain(document.lead))
    _numbers(summary)
    _spans(summary.spans)
    _scores(summary.prompts.spans)
    for section in document.sections:
        _section(section)


@st.cache_resource(ttl=_SECONDS, max_entries=8, show_spinner=False)
def _summary(place: str, hours: float | None) -> Summary:
    return summarise(place, hours=hours)


def _numbers(summary: Summary) -> None:
    _, p95, _ = summary.seconds
    numbers = (
        ("Requests", f"{summary.requests:,}"),
        ("Failed", f"{summary.failures:,}"),
        ("95% within", "–" if p95 != p95 else f"{p95:.2f} s"),
        ("Prompts", f"{summary.prompts.prompts:,}"),
    )
    for place, (name, value) in zip(st.columns(len(numbers)), numbers, strict=True):
        place.metric(name, value)


def _spans(spans: tuple[Span, ...]) -> None:
    """Masks over the time, and their predicted quality where that is known; apart, as they have other units."""
    rows = [{"at": datetime.fromtimestamp(one.at, UTC), "masks": one.answered, "quality": one.quality} for one in spans]
    if len(rows) < 2:
        return
    table = pd.DataFrame(rows)
    axis = alt.Axis(format=_time_format(spans[-1].at - spans[0].at), labelOverlap=True)
    time = alt.X("at:T", title="Time (UTC)", scale=alt.Scale(type="utc"), axis=axis)
    whole = alt.Axis(tickMinStep=1, format="d")
    masks = alt.Chart(table).mark_bar(color="#0072b2").encode(x=time, y=alt.Y("masks:Q", title="Masks", axis=whole))
    st.altair_chart(masks.properties(height=160))
    if table["quality"].notna().any():
        known = alt.Chart(table.dropna()).mark_line(point={"color": "#d55e00"}, color="#d55e00")
        y = alt.Y("quality:Q", title="Predicted Dice", scale=alt.Scale(zero=False))
        st.altair_chart(known.encode(x=time, y=y).properties(height=160))


def _scores(spans: tuple[ScoreSpan, ...]) -> None:
    """The scores of prompts over the time: their median, and where eight in ten of them lie."""
    if len(spans) < 2:
        return
    rows = [(datetime.fromtimestamp(one.at, UTC), *one.scores) for one in spans]
    table = pd.DataFrame(rows, columns=["at", "p10", "p50", "p90"])
    axis = alt.Axis(format=_time_format(spans[-1].at - spans[0].at), labelOverlap=True)
    time = alt.X("at:T", title="Time (UTC)", scale=alt.Scale(type="utc"), axis=axis)
    scale = alt.Scale(domain=(0, 1))
    band = alt.Chart(table).mark_area(opacity=0.25, color="#009e73").encode(
        x=time, y=alt.Y("p10:Q", title="Prompt score", scale=scale), y2="p90:Q"
    )  # fmt: skip
    middle = (
        alt.Chart(table)
        .mark_line(point={"color": "#009e73"}, color="#009e73")
        .encode(x=time, y=alt.Y("p50:Q", scale=scale))
    )
    st.altair_chart((band + middle).properties(height=160))
    st.caption("Median of the models' own scores of prompts; eight in ten lie in the band.")


def _section(section: PageSection) -> None:
    """As the page of `seglab monitor` has it, with alerts in their colours."""
    if section.title != _ALERTS:
        show_section(section)
        return
    st.subheader(plain(section.title), anchor=False)
    for text in section.text:
        st.write(plain(text))
    for note in section.notes:
        if note == "No alert.":
            st.success(note, icon=":material/check:")
        else:
            st.error(plain(note), icon=":material/warning:")
    show_tables(section)


def _time_format(seconds: float) -> str:
    """So that two labels of an axis that is so long differ."""
    if seconds < 3600:
        return "%H:%M:%S"
    return "%H:%M" if seconds < 86_400 else "%d %b %H:%M"
