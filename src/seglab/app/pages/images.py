"""Images, and what the model makes of them."""

from __future__ import annotations

import streamlit as st

from seglab.app.client import Client


def show(client: Client) -> None:
    """The page."""
    st.write(client.model().label)
