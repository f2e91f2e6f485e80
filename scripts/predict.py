"""Masks of images: python scripts/predict.py <run id, models:/name@alias or bundle> image.png folder/ … --out masks"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from seglab.errors import run_script
from seglab.runtime.waiting import step


def main() -> int:
    with step("loading what reads the images"):
        from seglab.inference.command import predict, read_words

    return predict(read_words())


if __name__ == "__main__":
    run_script(main)
