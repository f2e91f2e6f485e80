"""Every score of a trained model on whole cases: python scripts/evaluate.py run=<id> split=test"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from seglab.errors import run_script
from seglab.runtime.waiting import step

SETTINGS = """settings:
  run=<id>                     a run in mlruns/; its own data and split, and the results are added to it
  run=models:/<name>@champion  a registered model, by alias or version (models:/<name>/2)
  bundle=<folder>              a bundle that lies in a folder
  split=test                   train, val, test, or all
  data=<name> data.root=…      another data set, said as for train.py; data.root=… alone: the same data elsewhere
  tolerance_mm=1.0             of the surface Dice: in mm for volumes, in pixels for images
  save_masks=false             true: also write every mask, PNG or NIfTI in the case's own geometry
  out=<folder>                 where to write; mlruns/evaluations/… when not said
  workers=1                    processes that measure while this one predicts; one less than cores when not said
  tracking_uri=http://…        where the run is recorded, unless in mlruns/
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Dice, IoU, precision, recall, HD95, ASSD, surface Dice, volume error, lesions and calibration of "
        "a model on whole cases at their original size; tables and pictures.",
        epilog=SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="what to score, see below")
    words = parser.parse_args().words

    with step("loading what scores and draws"):
        from seglab.evaluation.evaluate import evaluate, read_request

    evaluate(read_request(words))


if __name__ == "__main__":
    run_script(main)
