"""The words of the predict command, and what it says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.errors import DataError
from seglab.inference.bundle import read_bundle
from seglab.inference.predict_files import plan_files, predict_plan
from seglab.inference.predictor import Predictor
from seglab.runtime.reproducibility import load_tensorflow
from seglab.runtime.waiting import Waiting
from seglab.safety.shown_text import shown

EXIT_FAILED_IMAGES = 1
_ABOUT = """Write a mask for each image: a picture or volume of the image's own size that holds the class of every pixel
or voxel. The model is one that train.py made; images are the files that it should look at."""
_EXAMPLES = """examples:
  python scripts/predict.py 4f0c… photo.png --out masks               the model of a run, by its id (make ui shows it)
  python scripts/predict.py models:/roadseg@champion street/ --out masks --overlay
                                                                      every image in a folder, with pictures to look at
  python scripts/predict.py bundle/ 'scans/**/*.nii.gz' --out masks --probabilities
                                                                      a copied bundle, and files in folders below

what is written to the folder of --out, for an image called x:
  x.png or x.nii.gz              the mask; each class as the value that it has in the training masks, or its number
  x_overlay.png                  with --overlay: the image with the classes in colour, and a legend
  x_probabilities.npz, .nii.gz   with --probabilities: of every class at every pixel, rounded to float16
Where images of several folders share a name, masks lie in folders of the same names. An image that cannot be used does
not stop the others; it is named at the end, and the exit code is 1 then.
"""


def read_words(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the words of the command line say; leaves with a message where they say nothing."""
    parser = argparse.ArgumentParser(
        prog="predict.py", description=_ABOUT, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="the id of a run, models:/<name>@<alias>, or the folder of a bundle")
    parser.add_argument(
        "images",
        nargs="+",
        help="files, folders, and patterns in quotes: PNG, JPEG, TIFF, … for a 2D model, NIfTI for a 3D one",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where to write; not where the images lie")
    parser.add_argument("--overlay", action="store_true", help="also write a picture of each mask on its image")
    parser.add_argument("--probabilities", action="store_true", help="also write the probability of each class")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace masks that were predicted before")
    existing.add_argument("--skip-existing", action="store_true", help="leave images out whose mask is there")
    parser.add_argument(
        "--values",
        type=int,
        nargs="+",
        metavar="VALUE",
        help="the value to store for each class, such as 0 255 (when not said: as in the training masks)",
    )
    finer = parser.add_argument_group("how to look at an image")
    finer.add_argument(
        "--overlap",
        type=float,
        help="share that neighbouring windows have in common where an image is larger than the network's input (as the "
        "model has it, 0.5)",
    )
    finer.add_argument(
        "--flips",
        type=int,
        nargs="*",
        metavar="AXIS",
        help="also predict the image flipped along these axes, such as 0 1, and take the mean: slower, often better",
    )
    parser.add_argument("--tracking-uri", metavar="URI", help="where the run is recorded, unless in mlruns/")
    return parser.parse_args(words)


def predict(args: argparse.Namespace) -> int:
    """Predict what the words say; prints the path of each file that was written.

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
            print(shown(str(path)), flush=True)

        def tell_failed(file: Path, error: DataError) -> None:
            waiting.clear()
            print(f"error: {error}", file=sys.stderr, flush=True)

        bundle = Path(args.model)
        if not bundle.exists():
            waiting.tell(f"looking for {args.model}")
            from seglab.tracking.bundles import find_bundle  # loads MLflow, which a folder does not need

            bundle = find_bundle(args.model, args.tracking_uri)
        task = read_bundle(bundle).task
        waiting.tell("looking for images")
        plan = plan_files(
            task,
            args.images,
            args.out,
            values=args.values,
            overlays=args.overlay,
            probabilities=args.probabilities,
            existing="replace" if args.overwrite else "skip" if args.skip_existing else "refuse",
        )
        if plan.skipped:
            waiting.clear()
            print(f"{len(plan.skipped)} masks were there already and are left as they are", file=sys.stderr)
        if not plan.jobs:
            return 0
        try:
            waiting.tell("loading TensorFlow")
            load_tensorflow()
            waiting.tell(f"reading the model in {bundle}")
            predictor = Predictor.load(
                bundle, overlap=args.overlap, flips=None if args.flips is None else tuple(args.flips)
            )
            result = predict_plan(predictor, plan, written=tell_written, doing=waiting.tell, failed=tell_failed)
        except KeyboardInterrupt:
            waiting.clear()
            told = f"stopped: {len(written)} files are written and whole; --skip-existing goes on with the rest"
            print(told, file=sys.stderr)
            raise
    if result.failed:
        count = len(result.failed) + len(result.masks)
        named = "".join(f"\n  {file}" for file in result.failed)
        print(shown(f"{len(result.failed)} of {count} images have no mask:{named}"), file=sys.stderr)
        return EXIT_FAILED_IMAGES
    return 0
