"""Images, and what the model makes of them."""

from __future__ import annotations

import math
from urllib.parse import urlencode

import streamlit as st

from seglab.app import viewer
from seglab.app.api_client import Client, Model
from seglab.app.image_choice import chosen, image_rows
from seglab.app.image_results import ImageResult, result_of_case, result_of_upload
from seglab.app.pictures import picture_address, png_of
from seglab.app.plain_text import plain
from seglab.app.setup import current
from seglab.reports.html_document import address
from seglab.safety.file_names import file_name


def show(client: Client) -> None:
    """The page."""
    model = client.model()
    choosing = st.sidebar.container()
    if model.task.rank == 3:
        if st.sidebar.toggle("A volume of your own", key="images-own"):
            _volume(client, model, None, "", "")
            return
        given = None
    else:
        given = st.sidebar.file_uploader("An image of your own", type=list(model.formats), key="images-file")
    if given is not None:
        _own(client, model, given.name, given.getvalue())
        return
    asked = [(one, one.model()) for one in (client, *current().others.values())]
    row = chosen(asked, image_rows(client), choosing)
    if row is None:
        return
    with st.spinner("asking the model", show_time=True):
        found = result_of_case(client, model, row["id"], row["truth"])
    _show_facts(row["id"], model, found, row.get("split", ""))
    if model.task.rank == 3:
        query = urlencode({"id": row["id"], "truth": str(row["truth"]).lower()})
        _volume(client, model, found, query, row["id"])
        return
    _shown(model, found, row["id"], picture_address(current(), client, row["id"]), row["id"])
    _downloads(client, model, row["id"])


def _volume(client: Client, model: Model, found: ImageResult | None, asked: str, name: str) -> None:
    """The page of a volume, and its scores."""
    st.iframe(
        current().public(f"{client.prefix}/volume?{asked}"), height=620, alt="The volume with its mask in three planes"
    )
    if found is not None:
        viewer.show(f"{model.label} {name}", "", found.size, model, [], [], _table(model, found), file_name(name))


def _own(client: Client, model: Model, name: str, content: bytes) -> None:
    with st.spinner("asking the model", show_time=True):
        found = result_of_upload(client, model, content)
        picture = address(png_of(content), "png")
    _show_facts(name, model, found)
    _shown(model, found, f"own {hash(content)}", picture, name)


def _show_facts(name: str, model: Model, found: ImageResult, split: str = "") -> None:
    st.subheader(plain(name), anchor=False)
    scores = found.scores
    facts = [model.label, model.runtime, f"predicted in {found.milliseconds:.0f} ms"]
    if split:
        facts.insert(0, f"split {split}")
    facts.append(f"mean confidence {scores.confidence:.3f}")
    if not math.isnan(scores.quality):
        facts.append(f"predicted Dice {scores.quality:.3f}")
    if scores.dice is not None:
        element = "pixels" if model.task.rank == 2 else "voxels"
        facts += [f"mean Dice {scores.mean_dice:.3f}", f"{scores.wrong:.2%} of the labelled {element} wrong"]
    st.caption(plain(" · ".join(facts)))


def _shown(model: Model, found: ImageResult, key: str, picture: str, name: str) -> None:
    """Picture, masks, errors and scores."""
    layers = [viewer.Layer("predicted", found.predicted)]
    panes: list[dict[str, object]] = [{"kind": "picture", "title": "Picture"}]
    panes.append({"kind": "mask", "layer": 0, "title": "Predicted mask"})
    if found.truth is not None:
        layers.append(viewer.Layer("true", found.truth))
        panes.append({"kind": "mask", "layer": 1, "title": "True mask"})
        panes.append({"kind": "errors", "truth": 1, "predicted": 0, "title": "Errors"})
    file = f"{file_name(name)}_{file_name(model.name)}"
    viewer.show(f"{model.label} {key}", picture, found.size, model, layers, panes, _table(model, found), file)


def _table(model: Model, found: ImageResult) -> viewer.Table:
    scores = found.scores
    columns = [("Class", "text"), ("Share predicted", "share")]
    if scores.dice is not None:
        columns = [columns[0], ("Share in the truth", "share"), columns[1], ("Dice", "score"), ("IoU", "score")]
    rows = []
    for number, (name, color) in enumerate(zip(model.task.class_names, viewer.colors(model), strict=True)):
        cells: list[object] = [name, float(scores.shares[number])]
        if scores.dice is not None and scores.iou is not None and scores.true_shares is not None:
            dice, iou = (viewer.number(value[number]) for value in (scores.dice, scores.iou))
            cells = [name, float(scores.true_shares[number]), cells[1], dice, iou]
        rows.append((cells, color))
    return viewer.Table(columns, rows)


def _downloads(client: Client, model: Model, id: str) -> None:
    """The mask as the API gives it."""
    st.download_button(
        "Mask as PNG",
        lambda: client.predicted_png(client.image(id).body),
        file_name=f"{file_name(id)}_mask.png",
        mime="image/png",
        icon=":material/download:",
        help="One value a pixel, with the colours of the classes as palette, as `/predict` answers.",
        on_click="ignore",
    )
