"""A model from training to an answer over HTTP: `make serve-demo`, or python -m benchmarks.serve_demo [words].

Trains the demo's U-Net on generated images unless a run of it is there, exports it to `dist/serve-demo` unless that is
there, serves it on a free port, sends three images of the test split, and prints what comes back.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.demo_model import OUT, WORDS, exported
from benchmarks.speed.live_service import LiveService
from seglab.command import composed_config
from seglab.config.run_config import load_config
from seglab.data.splits import split_for

MASKS, COUNT = Path("dist/serve-demo-masks"), 3


def main(words: list[str]) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    exported(words)
    config = load_config(composed_config(WORDS))
    source = config.data.build()
    test = split_for(source, config.data_config, config.seed).test[:COUNT]
    cases = [case for case in source.cases if case.id in test]
    MASKS.mkdir(parents=True, exist_ok=True)
    with LiveService(OUT) as service:
        print(f"\nseglab serve {OUT}: ready after {service.ready_seconds:.1f} s, {service.rss():.0f} MB\n")
        for case in cases:
            sample = source.read(case)
            room = io.BytesIO()
            Image.fromarray(sample.image[..., 0]).save(room, "PNG")
            (MASKS / f"{case.id}_image.png").write_bytes(room.getvalue())
            _ask(service, case.id, room.getvalue(), sample.mask)
    print(f"\nimages and masks lie in {MASKS}; the model in {OUT}. To go on: seglab serve {OUT}")
    return 0


def _ask(service: LiveService, name: str, image: bytes, truth: np.ndarray) -> None:
    """Once for the mask, once for what it holds; prints both."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    answers = {}
    for accept in ("image/png", "application/json"):
        connection.request("POST", "/predict", image, {"Content-Type": "image/png", "Accept": accept})
        answer = connection.getresponse()
        answers[accept] = answer.read()
        if answer.status != 200:
            sys.exit(f"{answer.status}: {answers[accept].decode()}")
    file = MASKS / f"{name}_mask.png"
    file.write_bytes(answers["image/png"])
    mask = np.asarray(Image.open(file))
    dice = 2 * ((mask == 1) & (truth == 1)).sum() / max(1, (mask == 1).sum() + (truth == 1).sum())
    body = json.loads(answers["application/json"])
    shares = ", ".join(f"{one['name']} {one['share']:.1%}" for one in body["classes"])
    print(
        f"{file}  {' × '.join(map(str, body['shape']))}  {shares}; Dice {dice:.3f}; {answer.getheader('Server-Timing')}"
    )
    connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
