"""Where a person looks at a run: the page of the server that keeps it, or the command that serves it."""

from __future__ import annotations

import shlex
from pathlib import Path

from seglab.run_record import RUNS, Artifact
from seglab.runtime.terminal import seglab_here
from seglab.safety.secrets import redacted
from seglab.tracking.bundles import local_path
from seglab.tracking.store import Store


def run_address(store: Store, run_id: str) -> str:
    """The address of a run's page, or the command that serves it and prints its own address, as typed from here."""
    experiment = store.client.get_run(run_id).info.experiment_id
    page = f"/#/experiments/{experiment}/runs/{run_id}"
    if store.served:
        return f"{redacted(store.uri).rstrip('/')}{page}"
    words = [] if store.directory == Path(RUNS).resolve() else [f"runs={store.directory}"]
    if not store.embedded:
        words.append(f"tracking.uri={redacted(store.uri)}")
    return f"{shlex.join([*seglab_here(), 'ui', *words])}, then at the address that it prints: {page}"


def pictures_address(store: Store, artifact_uri: str) -> str:
    """The folder of a run's pictures; in words where a server keeps them."""
    folder = local_path(store, artifact_uri)
    return "kept by the server, on the page of the run" if folder is None else str(folder / Artifact.PICTURES)
