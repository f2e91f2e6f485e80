"""The process that exports a bundle to be served, and ends: TensorFlow's memory ends with it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from seglab.serving.errands import Doing, Errand


def main(line: int, words: Sequence[str]) -> None:
    """Export what the words name."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    doing = Doing(line)
    doing.run(lambda: _begin(json.loads(words[0])))


def _begin(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Errand]]:
    from seglab.export.exporting import export
    from seglab.export.request import ExportRequest

    request = ExportRequest(
        out=settings["out"],
        bundle=settings["bundle"],
        format=(settings["runtime"],),
        precision=("float32",),
        accuracy=False,
    )
    export(request)
    return {}, {}
