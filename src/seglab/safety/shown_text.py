"""Text of others, such as the name of a file, a class or a run, made harmless for where it is written."""

from __future__ import annotations

import re
import unicodedata

# What a terminal obeys, and marks that turn the direction of what follows.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_NO_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")
# A spreadsheet takes what begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_LINK = re.compile(r"\](?=[(\[])")


def shown(text: str) -> str:
    r"""The text as a terminal may have it: control characters as their codes (`\x1b`), line ends and tabs kept."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def in_line(text: str) -> str:
    r"""The text as one line of a terminal, such as a path: line ends and tabs are shown as codes (`\n`) too."""
    return shown(text).replace("\n", "\\n").replace("\t", "\\t")


def shortened(text: str, most: int = 48) -> str:
    """The text with an ellipsis in its middle where it is longer: long names of runs differ at both ends."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"


def in_markdown(text: str) -> str:
    """The text as Markdown may have it: a tag of HTML is read and not obeyed, and no link or picture is made."""
    return _LINK.sub(r"]\\", _TAG.sub("&lt;", shown(text)))


def in_table(text: str) -> str:
    """The text as a field of a Markdown table."""
    return in_markdown(text).replace("|", "\\|").replace("\n", " ").replace("\r", " ")


def in_xml(text: str) -> str:
    """The text as an XML file may have it: what no such file can hold is shown as a code."""
    return _NO_XML.sub(lambda found: found[0].encode("unicode_escape").decode(), shown(text))


def in_cell(text: str) -> str:
    """The text as a cell of a spreadsheet: one that would be a formula gets an apostrophe before it, a number none.

    Control characters are shown as codes: a lone return would begin a row.
    """
    text = shown(text)
    start = unicodedata.normalize("NFKC", text.lstrip(" "))[:1]
    if text.startswith("'") or ((start in _FORMULA or text[:1] in _FORMULA) and start and not _is_number(text)):
        return f"'{text}"
    return text


def from_cell(text: str) -> str:
    """The inverse of `in_cell`, but for control characters."""
    return text[1:] if text.startswith("'") and in_cell(text[1:]) == text else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
