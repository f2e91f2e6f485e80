"""An HTML document that is one file: style, script and pictures are in it, and it fetches nothing."""

from __future__ import annotations

import base64
from html import escape

KINDS = ("png", "jpeg")
"""What pictures may be; browsers need no more."""


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """The whole file.

    Args:
        title: as text.
        body: as HTML; what comes from elsewhere was escaped.
        style: CSS.
        script: JavaScript, which runs when the body is there.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n'
        f"<style>{style}</style>\n</head>\n"
        f"<body>\n{body}\n" + (f"<script>{script}</script>\n" if script else "") + "</body>\n</html>\n"
    )


def address(content: bytes, kind: str) -> str:
    """The address of a picture that holds the picture itself.

    Args:
        content: of the file.
        kind: one of `KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(f"a picture of kind {kind!r}")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def image(source: str, alt: str) -> str:
    """An image by its `address`, with the words for those who do not see it."""
    return f'<img alt="{escape(alt)}" src="{escape(source)}">'
