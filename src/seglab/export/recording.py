"""An export among the artifacts of the run that made its model."""

from __future__ import annotations

import hashlib
from pathlib import Path

from seglab.export.folder import ACCURACY, SUMS
from seglab.export.request import ExportRequest
from seglab.run_record import RUNS, Artifact, Metric
from seglab.safety.untrusted_files import read_any_json

_DIGITS = 12


def log_to_run(request: ExportRequest, out: Path, directory: Path = RUNS) -> str | None:
    """Add an export to the run that made the model; returns where it lies now, None for a bundle without a run.

    Each export has a folder of its own among the artifacts, so that two are never mixed; of the metrics MLflow shows
    the latest.
    """
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
            metrics[f"{Metric.EXPORT}{name}{Metric.EXPORT_DICE}"] = scores["dice"]["mean"]["target"]
            metrics[f"{Metric.EXPORT}{name}{Metric.EXPORT_DIFFERENCE}"] = scores["dice"]["mean"]["difference"]
    return add_to_run(found.store, found.run, metrics, out, Artifact.export(digest_of(out)))


def digest_of(out: Path) -> str:
    """Of an export, by the digests of its targets' files."""
    digests = b"".join(place.name.encode() + (place / SUMS).read_bytes() for place in sorted(out.iterdir()))
    return hashlib.sha256(digests).hexdigest()[:_DIGITS]
