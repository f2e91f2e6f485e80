"""Prompts: clicks and boxes on an image, answered by the API without a rerun of the page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from seglab.app.api_client import Client
from seglab.app.canvas.canvas_routes import FOLDER
from seglab.app.image_choice import chosen, image_rows
from seglab.app.setup import current

_JUDGED = "prompt-judged"  # in the session
_element = st.components.v2.component(
    "seglab.canvas",
    html='<div class="canvas"></div>',
    css=(FOLDER / "canvas.css").read_text(encoding="utf-8"),
    js=(FOLDER / "mounted.js").read_text(encoding="utf-8"),
)


def show(client: Client) -> None:
    """The page."""
    model = client.model() if current().serves else None
    images = image_rows(client)
    asked = [] if model is None else [(client, model)]
    row = chosen(asked, images, st.sidebar.container()) if images.rows else None
    if row is None:
        st.caption("Open a file of your own below: any image or volume, whatever the model was trained on.")
    fields = {"api": current().public(f"{client.prefix}/"), "image": row["id"] if row else ""}
    outcome = _element(data=fields, key="prompt-canvas", on_judged_change=lambda: None).judged
    judged: list[dict[str, Any]] = st.session_state.setdefault(_JUDGED, [])
    if outcome:
        judged.append(outcome)
    if judged:
        st.subheader("Accepted and rejected in this session")
        st.dataframe([_line(one) for one in reversed(judged)], hide_index=True)


def _line(outcome: dict[str, Any]) -> dict[str, Any]:
    return {
        "image": str(outcome["name"]),
        "outcome": "accepted" if outcome["accept"] else "rejected",
        "kept as": outcome["id"],
        "pixels": outcome["area"],
        "clicks": len(outcome["points"]),
        "by": outcome["by"],
        "note": outcome["note"],
    }
