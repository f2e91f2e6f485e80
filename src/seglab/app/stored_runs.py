"""The runs of a store, as the pages show them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from seglab.app.plain_text import plain
from seglab.app.setup import current
from seglab.errors import SeglabError

SECONDS = 10  # for which what was read is shown again


@st.cache_data(ttl=SECONDS, max_entries=32, show_spinner=False)
def read(do: str, **asked: Any) -> dict[str, Any]:
    """What the process of the runs tells; raises as `ReadingRuns.ask`."""
    reading = current().runs
    assert reading is not None  # else there is no such page
    return reading({"do": do, **asked})


def runs_overview() -> dict[str, Any] | None:
    """All runs and sweeps; None, and a sentence on how a first run is made, where there is none."""
    try:
        with st.spinner("reading the runs", show_time=True):
            overview = read("runs")
    except SeglabError as error:
        if error.code != "store-missing":
            raise
        place = f" {plain(error.where)} holds none." if error.where else ""
        st.info(
            f"There is no store of runs yet.{place} The first training makes it: `seglab train`. Runs of another "
            "folder are shown by `seglab app … runs=<folder>`.",
            icon=":material/experiment:",
        )
        return None
    if not overview["runs"] and not overview["sweeps"]:
        st.info("No run yet. The first is made by: `seglab train`.", icon=":material/experiment:")
        return None
    return overview
