"""What several models make of the same image, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from urllib.parse import quote, urlencode

import numpy as np
import streamlit as st

from seglab.app import viewer
from seglab.app.api_client import Client, Model
from seglab.app.image_choice import chosen, image_rows
from seglab.app.image_results import ImageResult, agreeing, compared
from seglab.app.pictures import picture_address
from seglab.app.plain_text import plain
from seglab.app.setup import current
from seglab.metrics.confusion import confusion_matrix, dice_iou
from seglab.safety.file_names import file_name


def show(client: Client) -> None:
    """The page."""
    clients = {client.model().name: client, **current().others}
    if len(clients) < 2:
        st.info(
            "One model is here. Start the application with others beside it: `seglab app … compare=[<folder>,…]`.",
            icon=":material/compare:",
        )
        return
    names = _names(list(clients))
    if len(names) < 2:
        st.info("Choose two models at the left, or more.", icon=":material/compare:")
        return
    models = [clients[name].model() for name in names]
    asked = list(zip((clients[name] for name in names), models, strict=True))
    row = chosen(asked, image_rows(client), st.sidebar)
    if row is None:
        return
    with st.spinner("asking the models", show_time=True):
        found = compared(asked, client, row["id"], row["truth"])
    st.subheader(plain(row["id"]), anchor=False)
    _show_facts(models, found)
    if models[0].task.rank == 3:
        query = urlencode(
            [("id", row["id"]), ("truth", str(row["truth"]).lower()), *(("model", name) for name in names)]
        )
        st.iframe(
            current().public(f"{client.prefix}/volume?{query}"),
            height=620,
            alt="The volume in three planes with the masks of two models side by side",
        )
        key, file = " ".join([row["id"], *(model.label for model in models)]), file_name(row["id"])
        viewer.show(key, "", found[0].size, models[0], [], [], _table(models[0], names, found), file)
        return
    layers = [viewer.Layer(name, one.predicted) for name, one in zip(names, found, strict=True)]
    numbers = list(range(len(names)))
    panes: list[dict[str, object]] = [
        {"kind": "swipe", "left": 0, "right": 1, "title": "Swipe"},
        {"kind": "disagreement", "layers": numbers, "title": "Where the models disagree"},
        *({"kind": "mask", "layer": number, "title": f"Mask of {name}"} for number, name in enumerate(names)),
    ]
    truth = found[0].truth
    if truth is not None:
        layers.append(viewer.Layer("true", truth))
        panes.append({"kind": "mask", "layer": len(names), "title": "True mask"})
    viewer.show(
        " ".join([row["id"], *(model.label for model in models)]),
        picture_address(current(), client, row["id"]),
        found[0].size,
        models[0],
        layers,
        panes,
        _table(models[0], names, found),
        f"{file_name(row['id'])}_{'_'.join(file_name(name) for name in names)}",
    )


def _names(known: Sequence[str]) -> list[str]:
    """Which models stand side by side; they are in the address of the page."""
    if len(known) == 2:
        return list(known)
    asked = [name for name in st.query_params.get_all("model") if name in known]
    if "compare-models" not in st.session_state:
        st.session_state["compare-models"] = asked or list(known[:2])
    names = st.sidebar.multiselect("Models; swipe compares the first two", known, key="compare-models")
    st.query_params["model"] = names
    return list(names)


def _show_facts(models: Sequence[Model], found: Sequence[ImageResult]) -> None:
    """A line for each model, with its run where that is known, and how far they agree."""
    ui = current().ui
    for model, one in zip(models, found, strict=True):
        facts = [model.label, model.runtime, f"{one.milliseconds:.0f} ms", f"confidence {one.scores.confidence:.3f}"]
        if one.scores.dice is not None:
            facts.append(f"mean Dice {one.scores.mean_dice:.3f}")
        link = f" · [run in MLflow]({ui}/#/runs/{quote(model.run, safe='')})" if model.run and ui else ""
        st.caption(plain(" · ".join(facts)) + link)
    parts = "voxels" if models[0].task.rank == 3 else "pixels"
    st.caption(f"All agree on {agreeing(found):.2%} of the {parts}.")


def _table(model: Model, names: Sequence[str], found: Sequence[ImageResult]) -> viewer.Table:
    """Shares and scores of each model, and how alike their masks are."""
    masks = [viewer.unpacked(one.predicted, one.size) for one in found]
    pairs = [dice_iou(confusion_matrix(one, other, model.task))[0] for one, other in combinations(masks, 2)]
    agreement = np.array([_mean(values) for values in np.array(pairs).T])
    truths = all(one.scores.dice is not None for one in found)
    columns = [("Class", "text"), *((f"Share, {name}", "share") for name in names)]
    columns += [(f"Dice, {name}", "score") for name in names] if truths else []
    columns.append(("Agreement", "score"))
    rows = []
    for number, (name, color) in enumerate(zip(model.task.class_names, viewer.colors(model), strict=True)):
        cells: list[object] = [name, *(float(one.scores.shares[number]) for one in found)]
        if truths:
            cells += [viewer.number(one.scores.dice[number]) for one in found if one.scores.dice is not None]
        rows.append(([*cells, viewer.number(agreement[number])], color))
    return viewer.Table(columns, rows)


def _mean(values: np.ndarray) -> float:
    held = values[~np.isnan(values)]
    return float(held.mean()) if held.size else float("nan")
