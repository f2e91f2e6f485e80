"""Which image is looked at: found by its name, what it holds or its scores, and kept in the address of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from seglab.app.api_client import Client, Listing, Model
from seglab.app.image_results import compared, differing, known
from seglab.app.ordering import Row, listed
from seglab.app.plain_text import plain
from seglab.app.setup import current
from seglab.errors import SeglabError
from seglab.serving.problems import Problem

_ADDRESS = "image"  # in the query of the page's address, and the session
_WIDGET = "image-list"
_UNSEEN = "image-unseen"  # names of images that no model could be asked about, in the session
_NAMED = 3  # of these, in a sentence
Asked = Sequence[tuple[Client, Model]]
"""The models that a page asks; the first one's data are shown."""


@st.cache_data(ttl=60, max_entries=4, show_spinner="reading the list of images")
def image_rows(_client: Client) -> Listing:
    """The images of the data, with their splits."""
    found, runs = _client.images(), current().runs
    if found.split_of != "stored" or runs is None or not (run := _client.model().run):
        return found
    try:
        parts = runs({"do": "split", "run": run})["split"]
    except (Problem, SeglabError):  # a store that is not there, or has other runs
        return Listing(found.rows, "")
    of = {id: name for name, ids in parts.items() for id in ids}
    return Listing([row | ({"split": of[row["id"]]} if row["id"] in of else {}) for row in found.rows], "training")


def chosen(asked: Asked, images: Listing, place: DeltaGenerator) -> Row | None:
    """The row of the image that is asked for, with what chooses another at a `place`; None, and a sentence why, where
    there is none."""
    rows = images.rows
    if not rows:
        st.info(
            "There are no images of a data set here. Open one of your own at the left, or start the application with "
            "some: `seglab app … data.root=<folder>`.",
            icon=":material/folder_open:",
        )
        return None
    wanted = st.query_params.get(_ADDRESS) or st.session_state.get(_ADDRESS)
    if wanted is not None and all(row["id"] != wanted for row in rows):
        st.warning(
            f"There is no image {plain(wanted)} in these data; the first is shown.", icon=":material/search_off:"
        )
        st.query_params.pop(_ADDRESS, None)
        wanted = None
    with place:
        found, named = listed([model for _, model in asked], rows, images.split_of)
        if asked:
            _scoring(asked, found)
    if not found:
        st.info("No image matches. Change the search at the left.", icon=":material/search_off:")
        return None
    ids = [row["id"] for row in found]
    with place:
        id = _picked(ids, wanted, named)
    st.query_params[_ADDRESS] = st.session_state[_ADDRESS] = id
    return next(row for row in found if row["id"] == id)


def _scoring(asked: Asked, rows: Sequence[Row]) -> None:
    """Let the models see all that are listed, so that they can be ordered."""
    models = [model for _, model in asked]
    left = [row for row in rows if known(models[0], row["id"]) is None or _uncompared(models, row["id"])]
    if not left:
        return
    if unseen := [row["id"] for row in left if row["id"] in st.session_state.get(_UNSEEN, ())]:
        names = ", ".join(plain(id) for id in unseen[:_NAMED]) + (" and more" if len(unseen) > _NAMED else "")
        st.warning(f"{len(unseen):,} could not be scored: {names}. Choose one to see why.", icon=":material/warning:")
    those = "The model sees" if len(asked) == 1 else f"The {len(asked)} models see"
    if not st.button(
        f"Score {len(left):,} images", icon=":material/leaderboard:", key="image-score",
        help=f"{those} each image once; then they can be sorted and filtered. Any other click stops it.",
    ):  # fmt: skip
        return
    bar = st.progress(0.0, "asking the model")
    failed: set[str] = set()
    for done, row in enumerate(left):
        try:
            compared(asked, current().client, row["id"], row["truth"])
        except Problem as problem:
            if problem.status >= 500:  # the service is to blame, so that others would fail too
                raise
            failed.add(row["id"])
        bar.progress((done + 1) / len(left), f"{done + 1:,} of {len(left):,}")
    st.session_state[_UNSEEN] = failed
    st.rerun()


def _uncompared(models: Sequence[Model], id: str) -> bool:
    return len({model.label for model in models}) > 1 and math.isnan(differing(models, id))


def _picked(ids: Sequence[str], asked: str | None, named: Callable[[str], str]) -> str:
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

    label = f"Image ({len(ids):,})"
    id: str = st.selectbox(label, ids, key=_WIDGET, on_change=picked, format_func=named)
    before, behind = st.columns(2)
    before.button("Previous", shortcut="P", on_click=step, args=(-1,), width="stretch", key="image-before")
    behind.button("Next", shortcut="N", on_click=step, args=(1,), width="stretch", key="image-behind")
    return id
