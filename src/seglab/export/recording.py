"""An export among the artifacts of the run that made its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seglab.export.folder import (
    ACCURACY,
)
from seglab.export.request import ExportRequest
from seglab.run_record import RUNS
from seglab.safety.untrusted_files import read_any_json

if TYPE_CHECKING:
    pass


def log_to_run(request: ExportRequest, out: Path, directory: Path = RUNS) -> str | None:
    """Add an export to the run that made the model; returns where it lies now, None for a bundle without a run."""
    from seglab.tracking.append import add_to_run
    from seglab.tracking.bundles import resolve_bundle

    found = resolve_bundle(request.reference, request.tracking_uri, directory)
    if found.run is None or found.store is None:
        return None
    metrics: dict[str, float] = {}
    for place in sorted(out.iterdir()):
        scores = read_any_json(place / ACCURACY)
        if scores["cases"] and scores["dice"]["mean"]["difference"] is not None:
            name = place.name.replace("-", "_")
            metrics[f"export_{name}_dice"] = scores["dice"]["mean"]["target"]
            metrics[f"export_{name}_dice_difference"] = scores["dice"]["mean"]["difference"]
    return add_to_run(found.store, found.run, metrics, out, "export")
