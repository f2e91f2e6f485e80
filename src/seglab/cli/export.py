"""`seglab export`: a trained model for other runtimes, each proved equal to it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field

from seglab.cli.words import read, setting, tracking_uri
from seglab.config.types import PositiveInt
from seglab.export.request import ExportRequest
from seglab.run_record import RUNS
from seglab.runtime.waiting import Waiting, step
from seglab.safety.shown_text import in_line

_EXAMPLES = """examples:
  seglab export run=4f0c… out=dist/roadseg                             OpenVINO and ONNX, float32
  seglab export model=models:/roadseg@champion out=dist/roadseg format=openvino precision=float32,int8
  seglab export run=4f0c… out=dist/car format=litert graph=end_to_end image_size=512,1024
then: seglab verify dist/roadseg"""


@dataclass(frozen=True, kw_only=True)
class ExportWords:
    """Write a trained model for other runtimes, a folder for each, and prove each equal to the model: its numbers on an
    example, its scores on whole cases. Leaves with 1, and with no folder, when one is not equal."""

    run: str | None = setting("the run's id", default=None)
    model: str | None = setting("instead: a registered model, such as models:/roadseg@champion", default=None)
    bundle: str | None = setting("instead: the folder of a bundle", default=None)
    out: str = setting("folder to make")
    format: tuple[Literal["openvino", "onnx", "litert", "savedmodel"], ...] = setting(
        "runtimes: openvino, onnx, litert (2D), savedmodel", default=("openvino", "onnx")
    )
    precision: tuple[Literal["float32", "int8", "int8_dynamic"], ...] = setting(
        "float32; int8 (openvino; litert in 2D); int8_dynamic (litert in 2D): 8-bit weights, no calibration",
        default=("float32",),
    )
    graph: Literal["logits", "end_to_end"] = setting(
        "logits, or end_to_end: raw 8-bit pixels of a fixed size in, class ids out (2D)", default="logits"
    )
    image_size: tuple[PositiveInt, PositiveInt] | None = setting(
        "height and width of the input of an end-to-end graph; null: the network's", default=None
    )
    split: Literal["train", "val", "test", "all"] = setting(
        "cases that every target is compared with the model on", default="test"
    )
    data: tuple[str, ...] = setting("data.root=…: where the data are now", default=(), prefix=True)
    accuracy: bool = setting("false: without labelled images, the example alone is compared", default=True)
    calibration: PositiveInt = setting("training cases that int8 is fitted to", default=64)
    allow_drop: Annotated[float, Field(ge=0, le=1)] | None = setting(
        "accept an int8 model that loses up to this much Dice; it is marked everywhere", default=None
    )
    key: str | None = setting("file of a private Ed25519 key (PEM) to sign with", default=None)
    tracking_uri: str | None = tracking_uri()


def read_words(words: Sequence[str]) -> ExportWords:
    """What the words of the command line say."""
    return read(ExportWords, words, "export", _EXAMPLES)


def run(words: Sequence[str]) -> int:
    """Export, and say what came out; 1 where a target is not what was trained, and nothing is left."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    request = ExportRequest(**asdict(read_words(words)))
    _ = request.reference, request.place  # what cannot be is refused before anything is loaded
    with step("loading what converts models"):
        from seglab.export.export_targets import ExportRefused
        from seglab.export.exporting import export
        from seglab.export.recording import log_to_run
        from seglab.export.target_summary import summary
        from seglab.tracking.interruption import sigterm_raises

    with sigterm_raises(), Waiting() as waiting:
        try:
            out = export(request, directory=RUNS, tell=waiting.tell)
            waiting.tell("adding the export to its run")
            logged = log_to_run(request, out, RUNS)
        except ExportRefused as error:
            waiting.clear()
            print(error.for_terminal(), file=sys.stderr)
            return 1
    for place in sorted(out.iterdir()):
        print(in_line(f"{place.name:<26} {summary(place)}"))
    print(in_line(f"exported   {out}"))
    if logged:
        print(in_line(f"run        {logged}"))
    print(in_line(f"verify it  seglab verify {shlex.quote(str(out))}"))
    return 0
