"""The pages, each at an address of its own."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from dataclasses import dataclass
from functools import partial

import streamlit as st

from seglab.app.plain_text import sentence
from seglab.app.setup import Setup, current
from seglab.errors import SeglabError
from seglab.serving.problems import Problem

# Captions are darker than Streamlit's own, whose contrast of 3.9 is too little for text of their size.
_STYLE = """.stMainBlockContainer { padding-top: 3.8rem; padding-bottom: 2rem; }
.stApp [data-testid=stCaptionContainer] { opacity: 0.8; }"""


@dataclass(frozen=True)
class PageEntry:
    """A page.

    Attributes:
        path: its address, and the module of `seglab.app.pages` that shows it.
        title: in the list of pages.
    """

    path: str
    title: str


PAGES = (
    PageEntry("images", "Images"),
    PageEntry("compare", "Compare"),
    PageEntry("prompt", "Prompt"),
    PageEntry("runs", "Runs"),
    PageEntry("study", "Study"),
    PageEntry("monitor", "Monitor"),
)


def listed(setup: Setup) -> list[PageEntry]:
    """The pages that there is something for."""
    there = {
        "images": setup.serves,
        "compare": setup.serves,
        "prompt": setup.interactive,
        "runs": setup.runs is not None,
        "study": setup.runs is not None,
        "monitor": bool(setup.rows),
    }
    return [row for row in PAGES if there.get(row.path, True) and importlib.util.find_spec(_module(row.path))]


def show() -> None:
    """Show the page that was asked for."""
    setup = current()
    st.set_page_config(page_title="seglab", layout="wide")
    st.html(f"<style>{_STYLE}</style>")
    start = st.Page(_start, title="Start", default=True, visibility="hidden")  # `/`, which leads to the first page
    # No icons: the browser would fetch one from elsewhere, to show it beside the title of the window.
    rows = [st.Page(partial(_page, row, setup), title=row.title, url_path=row.path) for row in listed(setup)]
    st.navigation([start, *rows], position="top").run()


def _page(row: PageEntry, setup: Setup) -> None:
    try:
        importlib.import_module(_module(row.path)).show(setup.client)
    except (Problem, SeglabError) as error:
        st.error(sentence(error), icon=":material/error:")
    except Exception as error:
        if type(error).__module__.startswith("streamlit."):  # how a page is ended and begun anew
            raise
        logging.getLogger(__name__).exception("page %s", row.path)
        st.error("This page has failed. The log of the application says why.", icon=":material/error:")


def _start() -> None:
    st.write("Choose a page above.")


def _module(path: str) -> str:
    return f"seglab.app.pages.{path}"
