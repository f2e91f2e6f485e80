"""Masks of image files: python scripts/predict.py <bundle, run id or models:/name@alias> image.png … --out masks/"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from seglab.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the mask of each image, in the image's own size and geometry.")
    parser.add_argument("model", help="a bundle's folder, the id of a run, or models:/<name>@<alias>")
    parser.add_argument("files", nargs="+", help="PNG, JPEG, TIFF, BMP or GIF for a 2D model, NIfTI for a 3D one")
    parser.add_argument("--out", required=True, help="folder for the masks (PNG, or .nii.gz)")
    parser.add_argument(
        "--values", type=int, nargs="+", help="value to store for each class, such as 0 255 (as in the training masks)"
    )
    parser.add_argument("--overlap", type=float, default=0.5, help="of windows, where an image is larger (0.5)")
    parser.add_argument("--flips", type=int, nargs="*", default=[], help="axes to flip at test time, such as 0 1")
    parser.add_argument("--tracking-uri", help="where the run is recorded, unless in mlruns/")
    args = parser.parse_args()

    from seglab.inference.files import predict_files
    from seglab.inference.predictor import Predictor

    bundle = Path(args.model)
    if not bundle.exists():
        from seglab.tracking.bundles import find_bundle  # loads MLflow, which a folder does not need

        bundle = find_bundle(args.model, args.tracking_uri)
    predictor = Predictor.load(bundle, overlap=args.overlap, flips=tuple(args.flips))
    predict_files(predictor, args.files, args.out, values=args.values, progress=print)


if __name__ == "__main__":
    run_script(main)
