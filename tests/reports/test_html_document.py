"""One HTML file that needs nothing else, whatever stands in its words."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seglab.reports import html_document
from seglab.reports.html_document import address, document, image

SOURCE = Path(html_document.__file__).parents[1]


def test_the_document_is_whole_and_fetches_nothing() -> None:
    page = document("A & <b>", "<p>body</p>", style="p { color: red }", script="run()")
    assert page.startswith("<!doctype html>\n")
    assert page.endswith("</html>\n")
    assert "<title>A &amp; &lt;b&gt;</title>" in page
    assert page.index("<p>body</p>") < page.index("<script>run()</script>")
    assert not re.search(r"https?:|//", page)
    assert "<script" not in document("t", "b")


def test_a_picture_is_in_the_page() -> None:
    found: dict[str, str | None] = {}

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.update(attrs)

    Reader().feed(image(address(b"\x89PNG\x00", "png"), 'a "case" <1>'))
    assert found["alt"] == 'a "case" <1>'
    head, _, encoded = str(found["src"]).partition(",")
    assert (head, base64.b64decode(encoded)) == ("data:image/png;base64", b"\x89PNG\x00")


def test_no_other_kind_of_content_gets_in() -> None:
    with pytest.raises(ValueError, match="svg"):
        address(b"<svg/>", "svg+xml")


def test_nobody_else_makes_a_document() -> None:
    others = [path for path in SOURCE.rglob("*.py") if path.name != "html_document.py"]
    # foreign_contents.py knows a page that was downloaded in the place of a volume by how it begins.
    others = [path for path in others if path.name != "foreign_contents.py"]
    assert [path.name for path in others if re.search(r"<!doctype|data:image/", path.read_text(), re.I)] == []
