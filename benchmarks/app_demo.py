"""The pages on the demo's model and images: `make app`, or python -m benchmarks.app_demo [words of seglab app].

The model is trained and exported first unless it is there; its int8 form stands beside it.
"""

from __future__ import annotations

import os
import sys

from benchmarks.demo_model import DATA, exported


def main(words: list[str]) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = exported([])
    arguments = [str(folder), DATA, f"compare=[{folder / 'openvino-int8'}]", *words]
    os.execv(sys.executable, [sys.executable, "-m", "seglab", "app", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
