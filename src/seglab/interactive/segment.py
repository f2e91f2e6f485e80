"""Masks of images from one prompt, or of a folder from the same one: files, overlays and a table."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.errors import DataError, naming
from seglab.inference.extra_outputs import write_picture
from seglab.inference.mask_writer import write_mask
from seglab.inference.overlay_picture import overlay
from seglab.inference.predict_files import PredictionJob, plan_files
from seglab.interactive.display_image import read_picture
from seglab.interactive.measures import measure, warnings
from seglab.interactive.prompt import Floats
from seglab.interactive.prompt_models import PromptModel
from seglab.interactive.session import Session
from seglab.runtime.atomic_files import write_text
from seglab.safety.csv_text import csv_of_rows
from seglab.task import Task

TASK = Task(rank=2, channels=3, class_names=("background", "object"))
TABLE = "segments.csv"
PROMPTS = "prompts.jsonl"
CENTER = "center"


@dataclass(frozen=True)
class Segmented:
    """One image with its mask, or the reason why there is none."""

    image: Path
    row: dict[str, Any] | None
    error: DataError | None = None


def segment_files(
    model: PromptModel,
    words: Sequence[str],
    out: Path,
    *,
    points: Sequence[Sequence[float]] = (),
    box: Sequence[float] | str | None = None,
    candidate: int | None = None,
    pixel_mm: float | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Segmented]:
    """A mask for each image: `<name>.png` (0 and 255), `<name>_overlay.png`, a line of `prompts.jsonl`, a row of
    `segments.csv`, which is written at the end.

    Args:
        model: of rank 2.
        words: files, folders and patterns.
        out: folder to write to.
        points: `x, y, label` each.
        box: `x0, y0, x1, y1`; `center` for the middle half of each image; None for none.
        candidate: which of the three; None for the best.
        pixel_mm: side of a pixel in mm, above 0, for area and perimeter in mm; None where it is not known.
        overwrite: masks that were written here before.
        progress: how many images of how many are done.

    Raises:
        DataError: no image, or a file that would be lost. What is wrong with one image of several is in its result.
    """
    plan = plan_files(TASK, words, out, overlays=True, existing="replace" if overwrite else "refuse", can_skip=False)
    check_lists(out, overwrite)
    rows, lines = [], []
    for number, job in enumerate(plan.jobs):
        progress(number, len(plan.jobs))
        try:
            with naming(str(job.image.file)):
                row, line = _segment(model, job, points, box, candidate, pixel_mm, overwrite)
        except DataError as error:
            if len(plan.jobs) == 1:
                raise
            yield Segmented(job.image.file, None, error)
            continue
        rows.append(row)
        lines.append(line)
        yield Segmented(job.image.file, row)
    if rows:
        write_lists(out, rows, lines)


def write_lists(out: Path, rows: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]]) -> None:
    """Write the table and the prompts; at least one of each."""
    write_text(out / TABLE, csv_of_rows(rows))
    write_text(out / PROMPTS, "".join(f"{json.dumps(line)}\n" for line in lines))


def check_lists(out: Path, overwrite: bool) -> None:
    """That the table and the prompts take nobody's place but their own."""
    for path, begins in ((out / TABLE, "image,box,"), (out / PROMPTS, '{"image": ')):
        if not path.exists():
            continue
        with path.open("rb") as file:
            ours = file.read(len(begins)) == begins.encode()
        if not (ours and overwrite):
            raise DataError(
                "a file in the place of the table or of the prompts",
                code="mask-place-taken",
                where=str(path),
                found="one that was written here before" if ours else "a file of another origin",
                expected="no such file",
                remedy="overwrite=true replaces it" if ours else "choose another folder, or move it away",
            )


def _segment(
    model: PromptModel,
    job: PredictionJob,
    points: Sequence[Sequence[float]],
    box: Sequence[float] | str | None,
    candidate: int | None,
    pixel_mm: float | None,
    overwrite: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of one image and its prompt; its files are written."""
    picture = read_picture(job.image.file)
    height, width = picture.shape[:2]
    drawn: Any = (
        [width / 4 - 0.5, height / 4 - 0.5, 3 * width / 4 - 0.5, 3 * height / 4 - 0.5] if box == CENTER else box
    )
    began = time.perf_counter()
    session = Session(model, model.embed(picture))
    reply = session.predict(
        [point[:2] for point in points], [int(point[2]) for point in points], drawn, None, candidate
    )
    took = (time.perf_counter() - began) * 1000
    assert session.state is not None
    prompt = session.state.prompt
    assert job.overlay is not None
    write_picture(job.overlay, overlay(picture, reply.mask.astype(np.uint8), TASK), replace=overwrite)
    write_mask(job.mask, reply.mask.astype(np.uint8), values=(0, 255), replace=overwrite)
    found = measure(reply.mask, (pixel_mm, pixel_mm) if pixel_mm else None)
    in_mm = {"area_mm2": round(found.area_mm, 6), "perimeter_mm": round(found.perimeter_mm, 4)} if pixel_mm else {}
    row = {
        "image": str(job.image.file),
        "box": box_text(found.box),
        "score": round(float(reply.scores[reply.chosen]), 4),
        "area": found.area,
        "perimeter": round(found.perimeter, 2),
        "fill": "" if found.box is None else round(found.fill, 4),
        "components": found.components,
        **in_mm,
        "ms": round(took, 1),
        "guard": reply.verdict.action,
        "warnings": "; ".join((*reply.notes, *warnings(reply.mask, prompt.box))),
    }
    line = {
        "image": str(job.image.file),
        "size": [width, height],
        "model": model.name,
        "weights": model.digest,
        "points": prompt.points.tolist(),
        "labels": prompt.labels.tolist(),
        "box": None if prompt.box is None else prompt.box.tolist(),
        "candidate": reply.chosen,
        "scores": [round(float(score), 4) for score in reply.scores],
        "verdict": dataclasses.asdict(reply.verdict),
    }
    return row, line


def box_text(box: Floats | None) -> str:
    """A box as a cell of the table."""
    return "" if box is None else " ".join(f"{value:g}" for value in box)
