"""Masks of images: python scripts/predict.py <run id, models:/name@alias or bundle> image.png folder/ … --out masks"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from seglab.errors import run_script


def main() -> int:
    from seglab.inference.command import predict, read_words

    return predict(read_words())


if __name__ == "__main__":
    run_script(main)
