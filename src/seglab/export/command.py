"""The words of `seglab export`, and what it says."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

from seglab.config.scalars import meant, unquoted
from seglab.errors import ConfigError, SeglabError, nearest
from seglab.export.exporting import Request, export, log_to_run
from seglab.export.folder import ACCURACY, LATENCY
from seglab.export.targets import ExportRefused
from seglab.export.verify_command import VERIFY, verify_words
from seglab.run_record import RUNS
from seglab.runtime.waiting import Waiting
from seglab.safety.shown_text import shown
from seglab.safety.untrusted_files import read_any_json

EXPORT = """seglab export run=<id>|model=models:/<name>@champion|bundle=<folder> out=<folder> [key=value …]

  format=openvino,onnx         openvino, onnx, litert (2D), savedmodel
  precision=float32            float32, int8 (openvino; litert in 2D), or both: float32,int8
  graph=logits                 end_to_end: raw 8-bit pixels of a fixed size in, class ids out (2D)
  image_size=512,1024          of the image that an end-to-end graph takes; the network's when not said
  split=test                   cases that every target is held against the trained model on
  data.root=…                  where the data lie now
  accuracy=false               without labelled images: the example alone is compared
  calibration=64               training cases that int8 is fitted to
  allow_drop=0.02              let an int8 model through that loses up to this much Dice; it says so everywhere
  key=<private key>            sign with an Ed25519 key in PEM
  tracking_uri=http://…        where the run is recorded, unless in mlruns/
"""
_LISTS = ("format", "precision", "image_size")


def read_request(words: Sequence[str]) -> Request:
    """The request that words make; raises `ConfigError` on one that means nothing."""
    given: dict[str, Any] = {}
    known = get_type_hints(Request)
    for word in words:
        key, equals, text = word.partition("=")
        if key.startswith("data.") or key == "data":
            given["data"] = (*given.get("data", ()), word)
        elif not equals or key not in known:
            raise ConfigError(
                f"unknown setting '{key}'" if equals else "a word that is no setting",
                code="unknown-setting",
                where=word,
                expected="one of " + ", ".join(f"{name}=…" for name in known),
                remedy=nearest(key, known) or "see: seglab export --help",
            )
        elif key in _LISTS:
            parts = [part for part in re.split(r"[\s,\[\]]+", unquoted(text)) if part]
            given[key] = tuple(meant(part, int if key == "image_size" else str) for part in parts)
        else:
            given[key] = meant(unquoted(text), known[key])
    if "out" not in given:
        raise ConfigError(
            "a folder to export to",
            code="missing-setting",
            where="out",
            expected="out=<folder>",
            remedy="out=<a new folder>",
        )
    request = Request(**given)
    for key in ("calibration", "allow_drop", "accuracy", "image_size"):
        _check(key, getattr(request, key))
    return request


def _check(key: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fine = {
        "calibration": lambda: type(value) is int and value > 0,
        "allow_drop": lambda: value is None or (number and 0 <= value <= 1),
        "accuracy": lambda: type(value) is bool,
        "image_size": lambda: (
            value is None or (len(value) == 2 and all(type(side) is int and side > 0 for side in value))
        ),
    }[key]()
    wanted = {
        "calibration": "a number of cases, 1 or more",
        "allow_drop": "a Dice from 0 to 1",
        "accuracy": "true or false",
        "image_size": "height and width, such as image_size=512,1024",
    }[key]
    if not fine:
        raise ConfigError(
            "a value that is not allowed",
            code="value-not-allowed",
            where=key,
            found=value,
            expected=wanted,
            remedy="seglab export --help says what each setting is",
        )


def export_words(words: Sequence[str], directory: Path = RUNS) -> int:
    """Export what the words say, and say what came out.

    Returns:
        The exit code: 0, or 1 where a target is not what was trained and nothing is left.

    Raises:
        SeglabError: nothing was begun.
    """
    if not words or {"-h", "--help"} & set(words):
        print(EXPORT)
        return 0
    request = read_request(words)
    with Waiting() as waiting:
        try:
            out = export(request, directory=directory, tell=waiting.tell)
            waiting.tell("adding the export to its run")
            logged = log_to_run(request, out, directory)
        except ExportRefused as error:
            waiting.clear()
            print(f"error: {error}", file=sys.stderr)
            return 1
    for place in sorted(out.iterdir()):
        print(shown(f"{place.name:<26} {_told(place)}"))
    print(shown(f"exported   {out}"))
    if logged:
        print(shown(f"run        {logged}"))
    return 0


def _told(place: Path) -> str:
    scores = read_any_json(place / ACCURACY)
    words = []
    if scores["cases"] and scores["dice"]["mean"]["difference"] is not None:
        row = scores["dice"]["mean"]
        words.append(f"Dice {row['target']:.4f} ({row['difference']:+.5f}) on {scores['cases']} cases")
    elif not scores["cases"]:
        words.append(f"not measured: {scores['why_not']}")
    if (place / LATENCY).is_file():
        latency = read_any_json(place / LATENCY)
        words.append(f"{latency['milliseconds']['network']['p50']:.1f} ms, {latency['peak_rss_mb']:.0f} MB")
    return "; ".join(words)


def main(words: Sequence[str]) -> int:
    """`export …` or `verify …`; for a process of its own."""
    verb, *rest = words or ["--help"]
    if verb == "verify":
        return verify_words(rest)
    if verb == "export":
        return export_words(rest)
    print(EXPORT + "\n" + VERIFY)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SeglabError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
