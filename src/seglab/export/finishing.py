"""What a target is handed over with: latency, papers, digests, signature."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglab.export.conversion import SAVED_MODEL
from seglab.export.export_targets import ExportRefused, Target
from seglab.export.folder import ACCURACY, LATENCY, MANIFEST, README, SBOM, write_json, write_sums
from seglab.export.inventory import bill_of_materials, copy_licences
from seglab.export.latency import RUNS as LATENCY_RUNS
from seglab.export.manual import manual
from seglab.export.request import ExportRequest
from seglab.export.signing import sign
from seglab.export.verification import verify_apart
from seglab.inference.backends import BACKENDS
from seglab.inference.bundle import FIRST_STAGE, Bundle
from seglab.runtime.file_digest import sha256_of
from seglab.safety.untrusted_files import read_any_json

Tell = Callable[[str], None]


def finish(target: Target, folder: Path, bundle: Bundle, request: ExportRequest, tell: Tell) -> None:
    """Latency, papers, digests, signature; then the folder is verified as whoever gets it would."""
    manifest, scores = read_any_json(folder / MANIFEST), read_any_json(folder / ACCURACY)
    write_sums(folder)
    latency = None
    if target.runtime:
        tell(f"measuring {target.name}")
        latency = _measured(folder)
        write_json(folder / LATENCY, latency)
    places = [".", *([FIRST_STAGE] if bundle.both_stages else [])]
    networks = {place: _digests(folder / place, target.format) for place in places}
    architecture = str((bundle.config.get("model") or {}).get("name", ""))
    made = bill_of_materials(target.name, networks, target.format, target.precision == "int8", architecture)
    write_json(folder / SBOM, made)
    copy_licences(target.format, folder)
    (folder / README).write_text(manual(manifest, bundle, scores, latency), encoding="utf-8")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.chmod(0o755)
    write_sums(folder)
    if request.key:
        sign(folder, Path(request.key))
    tell(f"verifying {target.name}")
    code, message = verify_apart(folder)
    if code:
        raise ExportRefused(
            "an exported model that does not pass its own verification",
            where=target.name,
            found=message,
            remedy="use another format, or report this",
        )


def _digests(folder: Path, format: str) -> dict[str, str]:
    """Of every file of a network, by its path in the folder."""
    row = BACKENDS.get(format)
    files = [folder / name for name in (row.file, *row.beside)] if row else (folder / SAVED_MODEL).rglob("*")
    return {str(file.relative_to(folder)): sha256_of(file) for file in files if file.is_file()}


def _measured(folder: Path) -> dict[str, Any]:
    import json

    done = subprocess.run(
        [sys.executable, "-m", "seglab.export.latency", str(folder), str(LATENCY_RUNS)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ExportRefused(
            "an exported model that does not run",
            where=folder.name,
            found=done.stderr.strip()[-300:],
            remedy="use another format",
        )
    return dict(json.loads(done.stdout))
