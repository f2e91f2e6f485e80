"""An exported target in a line: what it costs in Dice, and how fast it is."""

from __future__ import annotations

from pathlib import Path

from seglab.export.folder import ACCURACY, LATENCY
from seglab.safety.untrusted_files import read_any_json


def summary(place: Path) -> str:
    """What the records in the folder of a target say, for a terminal."""
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
