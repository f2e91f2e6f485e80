"""Cases whose names differ in a side alone, such as the two eyes of a patient, and which splits hold the two apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from seglab.data.cases import SPLIT_NAMES, Case
from seglab.data.check.findings import Finding
from seglab.data.splits import Split

# How a side ends a name, as the pattern of a group that leaves it away; and a shorter pattern, said where it does the
# same. Letters count behind a digit or a sign.
_FORMS = (
    (r"^(.+?)(?:[-_ .]?(?i:left|right))?$", r"^(.+?)[-_ .]?(?i:left|right)?$"),
    (r"^(.+?)(?:[-_ .](?:OD|OS|od|os|LE|RE|le|re|LT|RT|lt|rt|LH|RH|lh|rh))?$", r"^(.+?)(_OD|_OS)?$"),
    (r"^(.+?)(?:(?<=[0-9])[-_ .]?[LR]|[-_ .][LR])?$", r"^(.+?)[-_ .]?[LR]?$"),
    (r"^(.+?)(?:(?<=[0-9])[-_ .]?[lr]|[-_ .][lr])?$", r"^(.+?)[-_ .]?[lr]?$"),
)
_LEAST_SHARE = 0.5  # of the cases that have another side for this to be how the set is named
_FEWEST_PAIRS = 2
_SHOWN = 3


def find_torn_sides(split: Split, cases: Sequence[Case], own_split: bool) -> Iterator[Finding]:
    """A row when the two sides of one patient lie in different splits, by the cases' names.

    Args:
        split: which case is for what.
        cases: of the source; where any two share a group, somebody has said what belongs together.
        own_split: whether the data set brings its split, which no group changes.
    """
    if own_split or len({case.group for case in cases}) < len(cases):
        return
    pattern, pairs = _best([case.id for case in cases])
    if not pattern:
        return
    split_of = {case_id: name for name in SPLIT_NAMES for case_id in getattr(split, name)}
    torn = [pair for pair in pairs if len({split_of[i] for i in pair if i in split_of}) > 1]
    if not torn:
        return
    shown = [" and ".join(f"{i} in {split_of[i]}" for i in pair if i in split_of) for pair in torn[:_SHOWN]]
    more = "; …" if len(torn) > _SHOWN else ""
    yield Finding(
        "sides-in-two-splits",
        "cases whose names differ in a side alone",
        f"{len(torn)} of {len(pairs)} pairs lie in different splits: {'; '.join(shown)}{more}",
        "both sides of a patient in one split, or the score is in part of patients that training has seen",
        "paste what keeps them together; if they are not of one patient, data.allow=[sides-in-two-splits]",
        "warning",
        ((f"{len(pairs)} pairs are kept together by", f"'data.group_pattern={pattern}'"),),
    )


def _best(ids: Sequence[str]) -> tuple[str, list[list[str]]]:
    """The pattern that pairs the most cases, and the pairs; none where the names are not of any form."""
    best: tuple[str, list[list[str]]] = ("", [])
    for pattern, shorter in _FORMS:
        groups = _groups(ids, pattern)
        pairs = [group for group in groups if len(group) == 2]
        usual = max(map(len, groups), default=0) == 2 and 2 * len(pairs) >= _LEAST_SHARE * len(ids)
        if usual and len(pairs) >= _FEWEST_PAIRS and len(pairs) > len(best[1]):
            best = (shorter if _groups(ids, shorter) == groups else pattern), pairs
    return best


def _groups(ids: Sequence[str], pattern: str) -> list[list[str]]:
    form = re.compile(pattern, re.DOTALL)
    members: dict[str, list[str]] = defaultdict(list)
    for case_id in ids:
        found = form.search(case_id)
        members[found[1] if found else case_id].append(case_id)
    return list(members.values())
