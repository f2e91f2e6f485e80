"""Sections of a document as elements of a page; all of their text is shown letter by letter."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from seglab.app.plain_text import plain
from seglab.reports.document import PageSection
from seglab.safety.shown_text import shown

_LONG = 32  # letters; of a longer cell a part is seen, all of it when it is chosen
_WIDE = 240  # pixels


def show_section(section: PageSection) -> None:
    """What the same section holds in a file."""
    if section.folded:
        with st.expander(plain(section.title)):
            _contents(section)
        return
    st.subheader(plain(section.title), anchor=False)
    _contents(section)


def show_tables(section: PageSection) -> None:
    """Its tables alone, with their captions."""
    for grid in section.grids:
        rows = [[shown(cell.text) for cell in row] for row in grid.rows]
        if rows:
            table = pd.DataFrame(rows, columns=[shown(name) for name in grid.columns])
            long = [name for place, name in enumerate(table) if max(len(row[place]) for row in rows) > _LONG]
            wide = {name: st.column_config.TextColumn(width=_WIDE) for name in long}
            st.dataframe(table, hide_index=True, column_config=wide)
        if grid.caption:
            st.caption(plain(grid.caption))


def _contents(section: PageSection) -> None:
    for text in (*section.text, *section.written):
        st.write(plain(text))
    if section.code:
        st.code(shown(section.code), language=None)
    for note in section.notes:
        st.markdown(f"- {plain(note)}")
    show_tables(section)
    for picture in section.pictures:
        st.image(picture.png, caption=plain(picture.caption), alt=shown(picture.caption))
