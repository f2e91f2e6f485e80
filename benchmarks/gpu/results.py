"""The one file of results, and the table that the README has of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
RESULTS, README = _ROOT / "docs" / "gpu_check.json", _ROOT / "README.md"
MARKS = "<!-- written by scripts/gpu_check.sh -->\n", "\n<!-- end -->"
NOT_MEASURED = "Not measured yet."


def read_results(path: Path = RESULTS) -> dict[str, Any] | None:
    """What was measured; None where nothing was."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def ratios(steps: Sequence[Mapping[str, Any]], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """For each case and format: the best of seglab's steps against the best of each peer's.

    Returns:
        Rows of `case`, `format`, `seconds`, `how`, and where both were measured `stock` and `torch`: how many times as
        fast seglab is; `share`: its part of the rate of the matrix product of this format.
    """
    best: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for step in steps:
        key = step["case"], step["format"], step["who"]
        if "seconds" in step and (key not in best or step["seconds"] < best[key]["seconds"]):
            best[key] = step
    rows = []
    for (case, policy, who), step in best.items():
        if who != "seglab":
            continue
        row = {"case": case, "format": policy, "seconds": step["seconds"], "how": step["how"]}
        for peer in ("stock", "torch"):
            if (case, policy, peer) in best:
                row[peer] = best[case, policy, peer]["seconds"] / step["seconds"]
        if policy in rates:
            row["share"] = step["flops"] / step["seconds"] / rates[policy]
        rows.append(row)
    return rows


def readme_with(table: str, text: str) -> str:
    """The README's text with this table between its marks."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + table + MARKS[1] + rest.partition(MARKS[1])[2]


def gpu_table(found: Mapping[str, Any] | None) -> str:
    """The section of the README, in Markdown."""
    if found is None:
        return NOT_MEASURED
    lines = [
        f"On {found['device']}, {found['backend']}, {found['date']} (`scripts/gpu_check.sh`):",
        "",
        "| training step | format | stock Keras | best PyTorch | of the matrix product |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for row in ratios(found["steps"], found["matmul"]):
        peers = [f"{row[peer]:.2f} ×" if peer in row else "–" for peer in ("stock", "torch")]
        share = f"{row['share']:.0%}" if "share" in row else "–"
        lines.append(f"| {row['case']} | {row['format']} | {' | '.join(peers)} | {share} |")
    notes = []
    if found.get("curves"):
        losses = ", ".join(f"{policy} {curve[-1]:.4f}" for policy, curve in found["curves"].items())
        notes.append(f"Loss after {len(next(iter(found['curves'].values())))} epochs: {losses}.")
    if found.get("hippocampus"):
        run = found["hippocampus"]
        reached = f"{run['seconds']:.0f} s" if run["seconds"] is not None else f"not reached, best {run['best']:.3f}"
        notes.append(f"Hippocampus to a Dice of {run['goal']:.2f}: {reached}.")
    if found.get("served"):
        latency = found["served"]
        notes.append(
            f"A served image of {latency['size']}: {latency['p50_ms']:.1f} ms, 95% within {latency['p95_ms']:.1f} ms."
        )
    if found.get("left_out"):
        notes.append(f"Not measured for want of time or data: {', '.join(found['left_out'])}.")
    return "\n".join([*lines, "", " ".join(notes)]).rstrip()
