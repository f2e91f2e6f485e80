"""Which runs of a study are better: the page of `seglab compare`, made from the store of runs."""

from __future__ import annotations

import shlex
from typing import Any

import streamlit as st

from seglab.app.api_client import Client
from seglab.app.document_sections import show_section
from seglab.app.plain_text import plain, sentence
from seglab.app.stored_runs import read, runs_overview
from seglab.errors import SeglabError
from seglab.metric_names import TEST, TEST_DICE, Column, MetricName
from seglab.reports.document import from_dict
from seglab.safety.shown_text import shown

_ALL = ""  # runs of all studies
_METRICS = {TEST_DICE: "Dice of the test cases", str(MetricName(TEST, Column("iou"))): "IoU of the test cases"}
_TOO_FEW = ("too-few-runs", "score-not-per-case")


def show(client: Client) -> None:
    """The page."""
    overview = runs_overview()
    if overview is None:
        return
    studies = sorted({run["study"] for run in overview["runs"]} - {_ALL})
    asked = st.query_params.get("study", _ALL)
    if "study-name" not in st.session_state:
        st.session_state["study-name"] = asked if asked in studies else (studies or [_ALL])[0]
    study = st.sidebar.selectbox("Study", [*studies, _ALL], format_func=_named, key="study-name")
    metric = st.sidebar.selectbox("Score", list(_METRICS), format_func=_METRICS.__getitem__, key="study-metric")
    st.query_params["study"] = study
    try:
        with st.spinner("comparing the runs", show_time=True):
            document = from_dict(_compared(study, metric))
    except SeglabError as error:
        if error.code not in _TOO_FEW:
            raise
        st.info(sentence(error), icon=":material/leaderboard:")
        return
    st.subheader(plain(document.title), anchor=False)
    st.caption(plain(document.lead))
    for section in document.sections:
        show_section(section)
    st.sidebar.button("Compare again", icon=":material/refresh:", on_click=_compared.clear)
    words = f"{shlex.quote(f'study={shown(study)}')} " if study else ""
    st.caption("The same as a file, with the tables as CSV:")
    st.code(f"seglab compare {words}metric={metric}", language=None)


@st.cache_data(ttl=300, max_entries=8, show_spinner=False)
def _compared(study: str, metric: str) -> dict[str, Any]:
    document: dict[str, Any] = read("compared", study=study, metric=metric)["document"]
    return document


def _named(study: str) -> str:
    return shown(study) or "all runs"
