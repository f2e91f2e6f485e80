"""Runs and sweeps: how far they are, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import altair as alt
import pandas as pd
import streamlit as st

from seglab.app.api_client import Client
from seglab.app.setup import current
from seglab.app.stored_runs import SECONDS, read, runs_overview
from seglab.metric_names import TEST_DICE, TRAIN, VAL, VAL_DICE, Column, MetricName
from seglab.safety.shown_text import shortened, shown

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SCORE = st.column_config.NumberColumn(format="%.4f")
_LOSSES = [str(MetricName(stage, Column("loss"))) for stage in (TRAIN, VAL)]
_OF = dict(zip(_LOSSES, ("training", "validation"), strict=True))
_STATES = {"finished": "✓ finished", "running": "▶ running", "failed": "✗ failed", "killed": "✗ killed"}


def show(client: Client) -> None:
    """The page."""
    overview = runs_overview()
    if overview is None:
        return
    if overview["sweeps"]:
        st.subheader("Sweeps", anchor=False)
        st.dataframe(_sweeps(overview["sweeps"]), hide_index=True)
    st.subheader("Runs", anchor=False)
    _runs(overview)
    st.button("Read again", icon=":material/refresh:", on_click=read.clear, help=f"They are read every {SECONDS} s.")


def _sweeps(sweeps: Sequence[dict[str, Any]]) -> pd.DataFrame:
    rows = [
        {
            "Study": shown(one["study"]),
            "Sweep": shown(one["sweep"]),
            "Done": f"{one['finished']} of {one['total']}",
            "Pruned": one["pruned"],
            "Failed": one["failed"],
            "Running": one["running"],
            "Left": one["left"],
            "Launcher": "runs" if one["launcher"] else "ended",
            "Time left": duration(one["seconds_left"]) if one["left"] + one["running"] else "",
        }
        for one in sweeps
    ]
    return pd.DataFrame(rows)


def _runs(overview: dict[str, Any]) -> None:
    runs, ui = overview["runs"], current().ui
    words = st.text_input("Search", key="runs-search", placeholder="part of a name, a study or a state").strip().lower()
    found = [
        run for run in runs if words in " ".join(str(run[key]) for key in ("name", "study", "state", "id")).lower()
    ]
    if not found:
        st.info("No run is like that.", icon=":material/search_off:")
        return
    asked = st.query_params.get_all("run")
    if "runs-chosen" not in st.session_state:
        st.session_state["runs-chosen"] = [run["id"] for run in runs if run["id"] in asked]
    columns = {
        "Run": st.column_config.TextColumn(width=260),
        "Study": st.column_config.TextColumn(width=120),
        "MLflow": st.column_config.LinkColumn(display_text="open", width="small"),
        "Started (UTC)": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        "Validation Dice": _SCORE,
        "Test Dice": _SCORE,
    }
    st.dataframe(_table(found, ui), hide_index=True, column_config=columns, placeholder="–")
    if overview["left_out"]:
        st.caption(f"{overview['left_out']:,} older runs are left out; MLflow's own pages have them: `seglab ui`.")
    named = {run["id"]: shown(str(run["name"])) for run in runs}
    names = {run["id"]: f"{shortened(named[run['id']])}, seed {shown(run['seed'])}, {run['id'][:8]}" for run in runs}
    chosen = st.multiselect(
        "Curves of", list(names), format_func=names.__getitem__, max_selections=len(_COLORS), key="runs-chosen",
        placeholder="choose runs",
    )  # fmt: skip
    st.query_params["run"] = chosen
    if not chosen:
        st.caption("Choose runs to see how their losses and scores went.")
        return
    with st.spinner("reading their curves"):
        curves = read("curves", runs=chosen, metrics=[*_LOSSES, VAL_DICE])["curves"]
    _curves(curves, names, named)


def _table(runs: Sequence[dict[str, Any]], ui: str) -> pd.DataFrame:
    rows = [
        {
            "Run": shown(str(run["name"])),
            "State": _STATES.get(run["state"], run["state"]),
            "Time left": duration(run["seconds_left"]) if run["state"] == "running" else "",
            "Test Dice": run[TEST_DICE],
            "Validation Dice": run[VAL_DICE],
            "Study": shown(run["study"]),
            "Data": shown(run["data"]),
            "Seed": shown(run["seed"]),
            "Started (UTC)": pd.Timestamp(run["started"], unit="ms"),
            "Took": "" if run["seconds"] is None else duration(run["seconds"]),
            **({"MLflow": f"{ui}/#/runs/{quote(run['id'], safe='')}"} if ui else {}),
            "Why it ended": shown(run["reason"].partition("\n")[0][:200]),
        }
        for run in runs
    ]
    table = pd.DataFrame(rows)
    empty = [name for name in ("Study", "Time left", "Why it ended") if not table[name].astype(bool).any()]
    return table.drop(columns=empty)


def _curves(curves: dict[str, dict[str, Any]], names: dict[str, str], whole: dict[str, str]) -> None:
    """One chart for losses, one for the score; a run keeps its colour in both. A long name is whole in what a point
    says."""
    rows = [
        {
            "run": names[run],
            "name": whole[run],
            "metric": metric,
            "of": _OF.get(metric, ""),
            "epoch": epoch,
            "value": value,
        }
        for run, metrics in curves.items()
        for metric, points in metrics.items()
        for epoch, value in points
    ]
    if not rows:
        st.info("These runs have recorded no epoch yet.", icon=":material/show_chart:")
        return
    table = pd.DataFrame(rows)
    scale = alt.Scale(domain=[names[run] for run in curves], range=list(_COLORS[: len(curves)]))
    for title, parts in (("Loss", _LOSSES), ("Dice of the validation cases", [VAL_DICE])):
        part = table[table["metric"].isin(parts)]
        if part.empty:
            continue
        dash = alt.StrokeDash(
            "of:N", title=None, sort=list(_OF.values()), legend=alt.Legend(orient="top") if part["of"].any() else None
        )
        legend = alt.Legend(orient="bottom", columns=1, labelLimit=700)
        chart = alt.Chart(part).mark_line(point=len(part) < 40).encode(
            x=alt.X("epoch:Q", title="Epoch", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color("run:N", title=None, scale=scale, legend=legend),
            strokeDash=dash,
            tooltip=["name", "run", "metric", "epoch", alt.Tooltip("value", format=".4f")],
        )  # fmt: skip
        st.altair_chart(chart.properties(height=280))


def duration(seconds: float | None) -> str:
    """`1 h 05 min`, `3 min 20 s` or `12 s`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
