"""Which cases are worth a picture."""

from __future__ import annotations

import pandas as pd


def pick_cases(cases: pd.DataFrame) -> dict[str, str]:
    """Ids of the `best`, `median` and `worst` case by Dice, ties by id; with two cases or one, no case twice.

    Cases without a Dice are left out; empty when none is left.
    """
    ranked = cases.dropna(subset="dice").sort_values(["dice", "id"], ascending=[False, True])["id"].tolist()
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    picked: dict[str, str] = {}
    for place, index in places.items():
        if ranked and ranked[index] not in picked.values():
            picked[place] = ranked[index]
    return picked
