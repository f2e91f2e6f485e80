"""Which image is looked at: found by its name, what it holds or its scores, and kept in the address of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from seglab.app.client import Client, Model
from seglab.app.looking import Scores, known, looked
from seglab.app.words import plain

Row = dict[str, Any]
_ADDRESS = "image"  # in the query of the page's address, and the session
_WIDGET = "image-list"
_AS_IT_IS = "as in the data"
_ORDERS: dict[str, Callable[[Scores], float]] = {
    "lowest Dice first": lambda scores: scores.mean_dice,
    "lowest confidence first": lambda scores: scores.confidence,
}


@st.cache_data(ttl=60, max_entries=4, show_spinner=False)
def image_rows(_client: Client) -> list[Row]:
    """A row for each image of the data; see `Client.images`."""
    return _client.images()


def chosen(client: Client, model: Model | None, rows: Sequence[Row], place: DeltaGenerator) -> Row | None:
    """The row of the image that is asked for, with what chooses another at a `place`; by its scores, too, where there
    is a model. None, and a sentence why, where there is none."""
    if not rows:
        st.info(
            "There are no images of a data set here. Open one of your own at the left, or start the application with "
            "some: `seglab app … data.root=<folder>`.",
            icon=":material/folder_open:",
        )
        return None
    asked = st.query_params.get(_ADDRESS) or st.session_state.get(_ADDRESS)
    if asked is not None and all(row["id"] != asked for row in rows):
        st.warning(f"There is no image {plain(asked)} in these data; the first is shown.", icon=":material/search_off:")
        st.query_params.pop(_ADDRESS, None)
        asked = None
    with place:
        found = _listed(model, rows)
        if model is not None:
            _scoring(client, model, found)
    if not found:
        st.info("No image matches. Change the search at the left.", icon=":material/search_off:")
        return None
    ids = [row["id"] for row in found]
    with place:
        id = _picked(ids, asked)
    st.query_params[_ADDRESS] = st.session_state[_ADDRESS] = id
    return next(row for row in found if row["id"] == id)


def _listed(model: Model | None, rows: Sequence[Row]) -> list[Row]:
    """What search, filters and order leave."""
    words = st.text_input("Search", key="image-search", placeholder="part of a name").strip().lower()
    found = [row for row in rows if words in row["id"].lower()]
    splits = sorted({row["split"] for row in rows if row.get("split")})
    if splits:
        split = st.selectbox("Split", ["all", *splits], key="image-split")
        found = [row for row in found if split in ("all", row.get("split"))]
    seen = {row["id"]: scores for row in rows if model is not None and (scores := known(model, row["id"]))}
    if model is None or not seen:
        return found
    names = list(model.task.class_names)
    wanted = st.multiselect("Holds", range(len(names)), format_func=names.__getitem__, key="image-classes")
    if wanted:
        found = [row for row in found if row["id"] in seen and _holds(seen[row["id"]], wanted)]
    order = st.selectbox("Order", [_AS_IT_IS, *_ORDERS], key="image-order")
    return found if order == _AS_IT_IS else sorted(found, key=lambda row: _rank(seen.get(row["id"]), _ORDERS[order]))


def _rank(scores: Scores | None, of: Callable[[Scores], float]) -> float:
    """What has no such score comes last."""
    found = float("inf") if scores is None else of(scores)
    return float("inf") if math.isnan(found) else found


def _holds(scores: Scores, wanted: Sequence[int]) -> bool:
    """Whether prediction or truth has all these classes."""
    held = scores.shares > 0
    if scores.true_shares is not None:
        held |= scores.true_shares > 0
    return bool(held[list(wanted)].all())


def _scoring(client: Client, model: Model, rows: Sequence[Row]) -> None:
    """Let the model see all that are listed, so that they can be ordered."""
    left = [row for row in rows if known(model, row["id"]) is None]
    if not left:
        return
    if not st.button(
        f"Score {len(left):,} images", icon=":material/leaderboard:", key="image-score",
        help="The model predicts each image once; then they can be sorted and filtered. Any other click stops it.",
    ):  # fmt: skip
        return
    bar = st.progress(0.0, "asking the model")
    for done, row in enumerate(left):
        looked(client, model, row["id"], row["truth"])
        bar.progress((done + 1) / len(left), f"{done + 1:,} of {len(left):,}")
    st.rerun()


def _picked(ids: Sequence[str], asked: str | None) -> str:
    """The list, with a way to the one before and the one behind."""
    if asked in ids:
        st.session_state[_WIDGET] = asked
    elif st.session_state.get(_WIDGET) not in ids:
        st.session_state[_WIDGET] = ids[0]

    def step(by: int) -> None:
        at = (ids.index(st.session_state[_WIDGET]) + by) % len(ids)
        st.session_state[_ADDRESS] = st.query_params[_ADDRESS] = st.session_state[_WIDGET] = ids[at]

    def picked() -> None:
        st.session_state[_ADDRESS] = st.query_params[_ADDRESS] = st.session_state[_WIDGET]

    id: str = st.selectbox(f"Image ({len(ids):,})", ids, key=_WIDGET, on_change=picked)
    before, behind = st.columns(2)
    before.button("Previous", shortcut="P", on_click=step, args=(-1,), width="stretch", key="image-before")
    behind.button("Next", shortcut="N", on_click=step, args=(1,), width="stretch", key="image-behind")
    return id
