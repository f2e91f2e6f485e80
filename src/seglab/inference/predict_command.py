"""Predicting files for a person: finds the model and the images, and says what is done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.errors import DataError
from seglab.inference.bundle import read_bundle
from seglab.inference.predict_files import Existing, plan_files, predict_plan
from seglab.inference.predictor import Predictor
from seglab.runtime.reproducibility import load_tensorflow
from seglab.runtime.waiting import Waiting
from seglab.safety.shown_text import in_line

EXIT_FAILED_IMAGES = 1


def predict(
    model: str,
    images: Sequence[str],
    out: str,
    *,
    overlay: bool = False,
    probabilities: bool = False,
    existing: Existing = "refuse",
    values: Sequence[int] | None = None,
    overlap: float | None = None,
    flips: Sequence[int] | None = None,
    postprocessing: bool = True,
    tracking_uri: str | None = None,
    predictor: Predictor | None = None,
) -> int:
    """Write a mask for each image; prints the path of each file that was written.

    Args:
        model: the id of a run, `models:/<name>@<alias>`, or the folder of a bundle.
        images: files, folders and patterns.
        out: the folder to write to.
        overlay: also draw each mask on its image.
        probabilities: also write those of each class.
        existing: what to do where a mask is there: `refuse`, `skip` or `replace` it.
        values: what is stored for each class; None for the training masks' own.
        overlap: share that neighbouring windows have in common, in [0, 1); as the model has it when None.
        flips: axes that the image is also flipped along; as the model has it when None.
        postprocessing: whether masks are finished as the model says; false for masks as the network has them.
        tracking_uri: where the run is recorded; None for the store in `mlruns/`.
        predictor: of `model`, where that is loaded already; it has its own windows and flips.

    Returns:
        The exit code: 0, or 1 where an image could not be used.

    Raises:
        SeglabError: nothing was begun, or a mask cannot be written.
    """
    written: list[Path] = []
    with Waiting() as waiting:

        def tell_written(path: Path) -> None:
            waiting.clear()
            written.append(path)
            print(in_line(str(path)), flush=True)

        def tell_failed(file: Path, error: DataError) -> None:
            waiting.clear()
            print(error.for_terminal(), file=sys.stderr, flush=True)

        bundle = Path(model)
        if predictor is None and not bundle.exists():
            waiting.tell(f"looking for {model}")
            from seglab.tracking.bundles import find_bundle  # loads MLflow, which a folder does not need

            bundle = find_bundle(model, tracking_uri)
        task = read_bundle(bundle).task if predictor is None else predictor.task
        waiting.tell("looking for images")
        plan = plan_files(
            task,
            images,
            out,
            values=values,
            overlays=overlay,
            probabilities=probabilities,
            existing=existing,
        )
        if plan.skipped:
            waiting.clear()
            print(f"{len(plan.skipped)} masks were there already and are left as they are", file=sys.stderr)
        if not plan.jobs:
            return 0
        try:
            if predictor is None:
                waiting.tell("loading TensorFlow")
                load_tensorflow()
                waiting.tell(f"reading the model in {bundle}")
                predictor = Predictor.load(bundle, overlap=overlap, flips=flips, postprocessing=postprocessing)
            result = predict_plan(predictor, plan, written=tell_written, doing=waiting.tell, failed=tell_failed)
        except KeyboardInterrupt:
            waiting.clear()
            message = f"stopped: {len(written)} files are written and whole; skip_existing=true goes on with the rest"
            print(message, file=sys.stderr)
            raise
    for note in result.notes:
        print(in_line(note), file=sys.stderr)
    if result.failed:
        count = len(result.failed) + len(result.masks)
        named = "".join(f"\n  {in_line(str(file))}" for file in result.failed)
        print(f"{len(result.failed)} of {count} images have no mask:{named}", file=sys.stderr)
        return EXIT_FAILED_IMAGES
    return 0
