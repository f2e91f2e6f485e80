"""`seglab segment`: a mask for what a box or clicks name."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from seglab.cli.words import read, setting
from seglab.errors import ConfigError
from seglab.runtime.waiting import Waiting, step
from seglab.safety.shown_text import shown

_EXAMPLES = """examples:
  seglab segment image=photo.jpg box=[256,192,768,576] points=[[512,384,1],[307,230,0]] out=outputs/
                                                          a box, a click on the object and one beside it
  seglab segment images=data/images box=center out=outputs/
                                                          the object in the middle of each image of a folder
  seglab segment image=photo.jpg points=[[512,384,1]] model=sam_vit_b checkpoint=sam_vit_b_01ec64.pth out=outputs/

what is written to the folder of out=, for an image called x:
  x.png            the mask, 255 on the object
  x_overlay.png    the image with the mask in colour
  segments.csv     a row for each image: image, tight box, score, area, perimeter, components, milliseconds, what the
                   guard did, and warnings
  prompts.jsonl    a line for each image: the prompt in pixels of the image, with the image's size and the model"""


@dataclass(frozen=True, kw_only=True)
class SegmentWords:
    """Write a mask of what a box, clicks or both name. Coordinates are pixels of the image itself, x to the right and y
    down, as it is after its EXIF turn; a whole number is the centre of a pixel."""

    image: str | None = setting("file of one image", default=None)
    images: str | None = setting("a folder or a pattern in quotes, instead of image", default=None)
    box: tuple[float | Literal["center"], ...] | None = setting(
        "[x0,y0,x1,y1] around the object, or center for the middle half of each image", default=None
    )
    points: tuple[tuple[float, ...], ...] = setting("[[x,y,label],…]: label 1 on the object, 0 beside it", default=())
    model: str = setting(
        "grabcut (needs no weights), click_unet, sam_vit_b, sam_vit_l, sam_vit_h or mobile_sam", default="grabcut"
    )
    checkpoint: str | None = setting("file of the model's weights; null: its own, if it has any", default=None)
    precision: str = setting(
        "number format of the encoder of SAM: float32, mixed_bfloat16, mixed_float16 or auto", default="float32"
    )
    candidate: Annotated[int, Field(ge=0, le=2)] | None = setting(
        "which of the model's three masks; null: the one of the best score", default=None
    )
    out: str = setting("folder to write to; not where the images lie")
    overwrite: bool = setting("replace masks that were written before", default=False)


def read_words(words: Sequence[str]) -> SegmentWords:
    """What the words of the command line say; raises `ConfigError` for words that do not fit together."""
    said = read(SegmentWords, words, "segment", _EXAMPLES)
    if (said.image is None) == (said.images is None):
        raise ConfigError(
            "one image or a folder of them",
            code="settings-exclude",
            where="image, images",
            found="neither" if said.image is None else "both",
            expected="one of them",
            remedy="image=photo.jpg, or images=folder",
        )
    if any(len(point) != 3 for point in said.points):
        raise ConfigError(
            "a point that is not x, y and label",
            code="prompt-form",
            where="points",
            found=next(list(point) for point in said.points if len(point) != 3),
            expected="three numbers: x, y, and 1 on the object or 0 beside it",
            remedy="points=[[512,384,1],[307,230,0]]",
        )
    if said.box is None and not said.points:
        raise ConfigError(
            "a prompt that names no object",
            code="prompt-without-object",
            where="box, points",
            expected="a box, points or both",
            remedy="box=[x0,y0,x1,y1], box=center, or points=[[x,y,1]]",
        )
    return said


def _box(said: SegmentWords) -> Sequence[float] | str | None:
    if said.box is None:
        return None
    return "center" if "center" in said.box else [float(value) for value in said.box]


def run(words: Sequence[str]) -> int:
    """Segment; 1 where an image could not be used."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    said = read_words(words)
    with step("loading what reads the images"):
        from seglab.interactive.model import load_model
        from seglab.interactive.segment import segment_files

    failed = done = 0
    with Waiting() as waiting:
        waiting.tell(f"loading {said.model}")
        model = load_model(said.model, Path(said.checkpoint) if said.checkpoint else None, said.precision)
        found = segment_files(
            model,
            [said.image or said.images or ""],
            Path(said.out),
            points=said.points,
            box=_box(said),
            candidate=said.candidate,
            overwrite=said.overwrite,
            told=lambda number, total: waiting.tell(f"image {number + 1} of {total}"),
        )
        for one in found:
            waiting.clear()
            if one.row is None:
                failed += 1
                print(one.error.for_terminal() if one.error else "", file=sys.stderr)
                continue
            done += 1
            row = one.row
            doubts = f"  {row['warnings']}" if row["warnings"] else ""
            told = f"{row['image']}: area {row['area']}, score {row['score']:.3f}, {row['ms']:.0f} ms{doubts}"
            print(shown(told), flush=True)
    print(shown(f"{done} masks and segments.csv in {said.out}" if done else "no mask was written"))
    return 1 if failed else 0
