"""`manifest.json`: everything that whoever runs a target must know, and nothing of the machine that made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seglab.export.calibration_inputs import CalibrationInputs
from seglab.export.conversion import SAVED_MODEL
from seglab.export.export_targets import Target
from seglab.export.folder import FORMAT
from seglab.export.inventory import MADE_WITH, RUNS_WITH, versions_of
from seglab.inference.backends import BACKENDS
from seglab.inference.bundle import FIRST_STAGE, Bundle
from seglab.inference.model_usage import axes, values_wanted
from seglab.inference.public_config import public_config
from seglab.run_record import Tag

_LAYOUT = {2: "NHWC", 3: "NXYZC, axes in RAS order"}
_COLOURS = {1: "one channel", 3: "red, green, blue"}


def make_manifest(
    target: Target,
    graph: dict[str, Any],
    bundle: Bundle,
    *,
    trained_in: str,
    run: dict[str, str],
    digest: str,
    calibration: CalibrationInputs | None,
    image_size: Sequence[int],
    c_program: bool,
) -> dict[str, Any]:
    """The manifest of a target whose model file lies in a folder.

    Args:
        target: what it is.
        graph: what it is made of, see `graph_of`.
        bundle: what goes with the network.
        trained_in: precision that the model was trained in.
        run: id and name of the run; empty for a bundle without one.
        digest: of the bundle's model file.
        calibration: of int8.
        image_size: of the image that an end-to-end graph takes.
        c_program: whether there is a `run.c`.
    """
    task = bundle.task
    whole = target.graph == "end_to_end"
    packages = tuple(dict.fromkeys(("seglab", *RUNS_WITH[target.format], *MADE_WITH[target.format])))
    return {
        "format": FORMAT,
        "target": {
            "name": target.name,
            "format": target.format,
            "precision": target.precision,
            "executed": target.precision,
            "graph": target.graph,
            "c_program": c_program,
        },
        "file": BACKENDS[target.format].file if target.runtime else SAVED_MODEL,
        "version": graph["version"],
        "input": graph["input"]
        | {
            "layout": _LAYOUT[task.rank],
            "channels": _COLOURS.get(task.channels, f"{task.channels}, in the order of the training files"),
            "meaning": _given(bundle, whole, image_size),
        },
        "output": graph["output"] | {"layout": _LAYOUT[task.rank], "meaning": _answered(bundle, whole)},
        "static": True,
        "operations": graph["operations"],
        "bundle": replace(bundle, config=public_config(bundle.config)).to_dict(),
        "trained_in": trained_in,
        "run": run,
        "data": {Tag.SPLIT_DIGEST: bundle.split_digest},
        "model_digest": digest,
        "calibration": None
        if calibration is None
        else {"cases": list(calibration.cases), "windows": len(calibration.inputs), "sha256": calibration.digest},
        "versions": versions_of(packages + (("nncf",) if target.calibrated and target.format == "openvino" else ())),
    }


def _given(bundle: Bundle, whole: bool, image_size: Sequence[int]) -> str:
    if whole:
        size = " × ".join(map(str, image_size))
        return (
            f"A raw image of {size} pixels, numbers of 0 to 255 as the file holds them; it is resized and normalised "
            "within the graph."
        )
    given = bundle.preprocessing
    by_unit = f"each number divided by {given.unit:g}"
    spread = f"mean {list(given.mean)}, std {list(given.std)}"
    rule = {
        "scale": by_unit,
        "standard": f"{by_unit}, then of each channel the mean taken off and the rest divided by its std: {spread}",
        "zscore": "each channel clipped to its own 0.5 and 99.5 percentiles, then brought to mean 0 and std 1",
        "window": f"{by_unit}, clipped to {list(given.low)} … {list(given.high)}, the mean taken off and the rest "
        f"divided by the std: {spread}",
    }[given.mode]
    behind = ""
    if given.previous:
        made_by = f", which {FIRST_STAGE}/ makes, a target of its own," if bundle.both_stages else ""
        behind = (
            f" Behind it a channel for each foreground class, 1 where the first stage's mask{made_by} has it, else 0."
        )
    return (
        f"One image ({axes(bundle.task)}, {bundle.task.channels}) after normalisation: {values_wanted(given)}; {rule}."
        f"{behind}"
    )


def _answered(bundle: Bundle, whole: bool) -> str:
    task = bundle.task
    if whole:
        return "The class id of every pixel, at the size of the image that went in."
    return _of_logits(bundle) + "".join(f" Then: {step.sentence(task)}." for step in bundle.postprocessing)


def _of_logits(bundle: Bundle) -> str:
    task = bundle.task
    if task.binary:
        return (
            f"One logit a pixel, no probability: p = 1 / (1 + exp(-logit)) is that of {task.class_names[1]}, and the "
            f"mask is where p > {bundle.threshold:g}."
        )
    if task.regions:
        steps = (
            f"{region.paints} where that of {region.name} (channel {number}) is"
            for number, region in enumerate(task.regions)
        )
        return (
            "One logit a region, no probabilities: p = 1 / (1 + exp(-logit)) is that of a pixel to be in it. The mask "
            f"is 0, then, one after the other, where p is above {bundle.threshold:g}: {', '.join(steps)}."
        )
    return "One logit a class, no probabilities: softmax gives those, and the class of a pixel is where it is largest."
