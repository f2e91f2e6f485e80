"""Text of others on a page: always text, never Markdown or HTML."""

from __future__ import annotations

import re

from seglab.errors import SeglabError
from seglab.safety.shown_text import shown
from seglab.serving.problems import Problem

# What Markdown, Streamlit's colours and icons, and formulas are made of.
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$:&])")


def plain(text: object) -> str:
    """The text as an element that reads Markdown shows it letter by letter."""
    return _MARKS.sub(r"\\\1", shown(str(text)).replace("\n", " ").replace("\r", " "))


def sentence(error: Problem | SeglabError) -> str:
    """What went wrong and what to do, for an element that reads Markdown."""
    if isinstance(error, Problem):
        parts = [error.title, error.detail]
    else:
        parts = [error.what, f"found: {error.found}" if error.found else ""]
    text = "; ".join(plain(part) for part in parts if part)
    return text[:1].upper() + text[1:] + (f". {plain(error.remedy)}" if error.remedy else "") + " "
