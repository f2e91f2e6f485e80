"""In which order images stand, and which are left out, by what models said of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from seglab.app.api_client import Model
from seglab.app.image_results import ImageScores, differing, known

Row = dict[str, Any]
_AS_IT_IS = "as in the data"


@dataclass(frozen=True)
class Measure:
    """A number of an image, 0..1.

    Attributes:
        name: of it.
        order: which images come first.
        of: the models that are asked, the image, and the scores of the first of them, to the number; NaN for none.
        highest_first: else the lowest.
    """

    name: str
    order: str
    of: Callable[[Sequence[Model], str, ImageScores], float]
    highest_first: bool = False


MEASURES = (
    Measure("Dice", "lowest Dice first", lambda models, id, scores: scores.mean_dice),
    Measure("Predicted Dice", "lowest predicted Dice first", lambda models, id, scores: scores.quality),
    Measure("Confidence", "lowest confidence first", lambda models, id, scores: scores.confidence),
    Measure("Wrong share", "prediction and truth differ most", lambda models, id, scores: scores.wrong, True),
    Measure("Disagreement", "models differ most", lambda models, id, scores: differing(models, id), True),
)


def listed(models: Sequence[Model], rows: Sequence[Row], split_of: str) -> tuple[list[Row], Callable[[str], str]]:
    """What search, filters and order leave, and how an image is named in the list.

    Args:
        models: that are asked; scores are the first one's. Without any there are none.
        rows: of all images.
        split_of: whose split they are in: "training", "data" or empty.
    """
    words = st.text_input("Search", key="image-search", placeholder="part of a name").strip().lower()
    found = [row for row in rows if words in row["id"].lower()]
    splits = [name for name in ("train", "val", "test") if any(row.get("split") == name for row in rows)]
    if splits:
        counts = {name: sum(row.get("split") == name for row in rows) for name in splits}
        split = st.selectbox(
            "Split of the training" if split_of == "training" else "Split of the data set",
            ["all", *splits],
            format_func=lambda name: f"{name} ({counts.get(name, len(rows)):,})",
            key="image-split",
        )
        found = [row for row in found if split in ("all", row.get("split"))]
    seen = {row["id"]: scores for row in rows if models and (scores := known(models[0], row["id"]))}
    if not seen:
        return found, str
    names = list(models[0].task.class_names)
    wanted = st.multiselect("Holds", range(len(names)), format_func=names.__getitem__, key="image-classes")
    if wanted:
        found = [row for row in found if row["id"] in seen and _holds(seen[row["id"]], wanted)]
    measure = _measure(models, seen)
    if measure is None:
        return found, str
    values = {id: measure.of(models, id, scores) for id, scores in seen.items()}
    values = {id: value for id, value in values.items() if not math.isnan(value)}
    low, high = st.slider(f"{measure.name} from and to", 0.0, 1.0, (0.0, 1.0), 0.01, key="image-range")
    if (low, high) != (0.0, 1.0):
        found = [row for row in found if row["id"] in values and low <= values[row["id"]] <= high]
    sign = -1 if measure.highest_first else 1
    found.sort(key=lambda row: sign * values[row["id"]] if row["id"] in values else math.inf)  # unknown ones come last
    return found, lambda id: f"{id} · {values[id]:.3f}" if id in values else id


def _measure(models: Sequence[Model], seen: Mapping[str, ImageScores]) -> Measure | None:
    """That images are to be ordered by; only such as some image has."""
    there = {
        measure.order: measure
        for measure in MEASURES
        if any(not math.isnan(measure.of(models, id, scores)) for id, scores in seen.items())
    }
    if st.session_state.get("image-order") not in there:
        st.session_state["image-order"] = _AS_IT_IS
    return there.get(st.selectbox("Order", [_AS_IT_IS, *there], key="image-order"))


def _holds(scores: ImageScores, wanted: Sequence[int]) -> bool:
    """Whether prediction or truth has all these classes."""
    held = scores.shares > 0
    if scores.true_shares is not None:
        held |= scores.true_shares > 0
    return bool(held[list(wanted)].all())
