"""How much room a text takes on a slide: measured in a wide font, so that it fits in what a viewer has in its place."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from PIL import ImageFont

LINE = 1.2  # height of a line, in sizes of the font
MORE = " …"
_MEASURED_AT = 200
_UNKNOWN = 0.75  # of the size: as wide as a capital letter of DejaVu, where that font is not there
_FONTS = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}


def width_of(text: str, size: float, bold: bool = False) -> float:
    """Points that a line takes at a size in points.

    In DejaVu Sans, which matplotlib brings and which is wider than Arial, Helvetica, Liberation Sans and Calibri.
    """
    return size * sum(_advance(letter, bold) for letter in text)


def wrapped(text: str, width: float, size: float, bold: bool = False) -> list[str]:
    """The lines of a text in so many points: broken at blanks, and a word that is longer than a line within itself."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if width_of(longer, size, bold) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _broken(word, width, size, bold)
        lines += whole
    return [*lines, line]


def height_of(texts: Sequence[str], width: float, size: float, gap: float = 0.0, bold: bool = False) -> float:
    """Points that paragraphs take below one another, with a gap of so many points between two."""
    lines = sum(len(wrapped(text, width, size, bold)) for text in texts)
    return lines * size * LINE + gap * max(0, len(texts) - 1)


def shortened(text: str, lines: int, width: float, size: float, bold: bool = False) -> str:
    """The text as far as it fits in so many lines, with a sign where it goes on."""
    if len(wrapped(text, width, size, bold)) <= lines:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if len(wrapped(text[:middle].rstrip() + MORE, width, size, bold)) <= lines:
            fits = middle
        else:
            too_long = middle
    return text[:fits].rstrip() + MORE


def longest_word(text: str, size: float, bold: bool = False) -> float:
    """Points of the widest word, which is not broken in a column as wide as that."""
    return max((width_of(word, size, bold) for word in text.split()), default=0.0)


def _broken(word: str, width: float, size: float, bold: bool) -> list[str]:
    parts = [""]
    for letter in word:
        if parts[-1] and width_of(parts[-1] + letter, size, bold) > width:
            parts.append("")
        parts[-1] += letter
    return parts


@cache
def _advance(letter: str, bold: bool) -> float:
    """Width of a letter, of its size; one of a script that the font has not is taken for a square."""
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF" or ord(letter) > 0xFFFF:
        return 1.0
    font = _font(bold)
    return _UNKNOWN if font is None else font.getlength(letter) / _MEASURED_AT


@cache
def _font(bold: bool) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / _FONTS[bold], _MEASURED_AT)
    except OSError:  # left away by who packed matplotlib
        return None
