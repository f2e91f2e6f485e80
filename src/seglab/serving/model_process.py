"""The process that holds the model: decodes, predicts and encodes, one errand at a time and small ones beside a large.

It is thrown away with its model, so that no runtime's memory outlives a model, and a decoder that dies takes no
connection along.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seglab.serving.errands import Doing, Errand, Later


def main(line: int, words: Sequence[str]) -> None:
    """Load the model that the words name, and do errands with it; see `MODULE` in `serving.running_models`."""
    doing = Doing(line)
    doing.run(lambda: _begin(json.loads(words[0])))


def _begin(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Errand]]:
    from seglab.inference.reference_data import watched_facts
    from seglab.serving.beside import Beside
    from seglab.serving.exported_model import load_model
    from seglab.serving.keeping_images import KeptImages
    from seglab.serving.limits import Limits
    from seglab.serving.prediction import Wanted, predict_file, warm_up
    from seglab.serving.tensors import infer
    from seglab.serving.truth_scoring import score_file

    limits = Limits(**settings.pop("limits"))
    keep_images, keep_bytes = settings.pop("keep_images"), settings.pop("keep_bytes")
    model, beside = load_model(Path(settings.pop("folder")), **settings), Beside()

    def predict(asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes, Later]:
        long = asked.pop("long")

        def call(pause: Callable[[], None]) -> tuple[dict[str, Any], bytes, Later]:
            return predict_file(body, model, limits, Wanted(**asked), pause)

        return beside.run(call, between) if long else call(between)

    def tensor(asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes, Later]:
        def call(pause: Callable[[], None]) -> tuple[dict[str, Any], bytes, Later]:
            return infer(body, asked["header_length"], model, limits, pause)

        return beside.run(call, between) if asked["long"] else call(between)

    def score(asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        return score_file(body, Path(asked["mask"]), model, limits, between)

    warm_up(model)
    if keep_images:  # from now on, which leaves the example out
        model = replace(model, kept=KeptImages(Path(keep_images), keep_bytes))
    watched = watched_facts(model.bundle)
    return {"model": model.served.to_dict(), "watched": watched}, {"predict": predict, "infer": tensor, "score": score}
