"""A page as Streamlit runs it, without a browser."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest


def _script(name: str) -> None:
    import importlib

    from seglab.app.setup import current

    importlib.import_module(f"seglab.app.pages.{name}").show(current().client)


def page(name: str, **query: str) -> AppTest:
    """The page of a module of `seglab.app.pages`, at an address with this query, after its first run."""
    made = AppTest.from_function(_script, default_timeout=120, args=(name,))
    for key, value in query.items():
        made.query_params[key] = value
    made.run()
    assert not made.exception
    return made


def viewed(at: AppTest) -> dict[str, Any]:
    """What the viewer was given."""
    fields: dict[str, Any] = json.loads(next(one.proto.json for one in at.main if one.type == "bidi_component"))
    return fields
