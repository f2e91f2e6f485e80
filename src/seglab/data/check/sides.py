"""Which classes are named after the left and the right side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Words that mean a side wherever they stand as a word of their own: left, right.
_WORDS = (
    "left right, links rechts, linke rechte, linker rechter, linkes rechtes, linken rechten, gauche droite, "
    "gauches droites, gauche droit, sinistra destra, sinistro destro, sinister dexter, sinistrum dextrum, "
    "izquierda derecha, izquierdo derecho, esquerda direita, esquerdo direito, lewa prawa, lewy prawy, lewe prawe, "
    "vänster höger, venstre højre, vasen oikea, левая правая, левый правый, левое правое, слева справа, "
    "ліва права, лівий правий"
)
# Abbreviations, and words that mean other things too: they are sides only if two names differ by them alone.
_SHORT = "l r, lt rt, lft rgt, lh rh, lhs rhs, li re, sin dex, sn dx, sx dx, izq der, esq dir, sol sağ"
_WHOLE_NAMES = ("l", "lt", "lft", "lh", "lhs")  # those of them that may be all that a name is
# Written without gaps, so that no word stands on its own.
_SIGNS = ("左", "右")


def _pairs(table: str) -> list[tuple[str, str]]:
    return [(pair.split()[0], pair.split()[1]) for pair in table.split(",")]


_LEFT_WORDS = {left for left, _ in _pairs(_WORDS)}
_RIGHT_WORDS = {right for _, right in _pairs(_WORDS)}
# A word is at an end of a name, or set off by anything that is no letter, or by a capital: left_lung, LeftLung, lungL.
_PARTS = re.compile(r"[^\W_]+")
_BEFORE_CAPITAL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-ZА-Я])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Sides:
    """Classes that are named after a side.

    Attributes:
        names: some of them, for a message.
        both: whether both sides are named; with one alone, the other may be another class or nothing at all.
    """

    names: str
    both: bool


def named_sides(class_names: Sequence[str]) -> Sides | None:
    """The classes that are named after a side, or None where no name says so.

    Words for both sides are enough, in one of a dozen languages; an abbreviation (`L`, `rt`) must be what alone tells
    two names apart.
    """
    words = {name: _words(name) for name in class_names}
    lefts = [name for name, parts in words.items() if _LEFT_WORDS & set(parts)]
    rights = [name for name, parts in words.items() if _RIGHT_WORDS & set(parts)]
    if lefts and rights:
        return Sides(f"{lefts[0]}, {rights[0]}", both=True)
    for left, parts in words.items():
        for right in _counterparts(left, parts, words):
            return Sides(f"{left}, {right}", both=True)
    lone = [name for name, parts in words.items() if {"left", "right"} & set(parts)]
    return Sides(lone[0], both=False) if lone else None


def _counterparts(name: str, parts: tuple[str, ...], words: dict[str, tuple[str, ...]]) -> list[str]:
    """The names that say right, in short, where this one says left and are the same otherwise."""
    found = [other for other in words if _SIGNS[0] in name and other == name.replace(*_SIGNS)]
    for left, right in _pairs(_SHORT):
        for place in [place for place, part in enumerate(parts) if part == left]:
            alike = {
                its[place]: other
                for other, its in words.items()
                if len(its) == len(parts) and its[:place] + its[place + 1 :] == parts[:place] + parts[place + 1 :]
            }
            letters = [part for part in alike if len(part) == 1]
            counted = len(left) == 1 and len(letters) > 2  # a, b, … l, … r: an enumeration
            if right in alike and not counted and (len(parts) > 1 or left in _WHOLE_NAMES):
                found.append(alike[right])
    return found


def _words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case; a number at the end of one is no part of it if the rest is a side."""
    parts = [part.lower() for run in _PARTS.findall(name) for part in _BEFORE_CAPITAL.split(run)]
    plain = [part.rstrip("0123456789") for part in parts]
    return tuple(bare if bare in _LEFT_WORDS | _RIGHT_WORDS else part for bare, part in zip(plain, parts, strict=True))
