"""Files that an engine, GitHub or systemd will read, held against what they publish."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from deploy.check.telling import Failed, tell

CHECKER = "check-jsonschema==0.39.0"  # holds the schemas of GitHub's workflows and of compose files
WORKFLOWS, COMPOSE = Path(".github/workflows"), Path("deploy/compose.yaml")
UNIT = Path("deploy/systemd/seglab.service")
# As systemd-analyze security counts: 0 is closed, 10 is open.
EXPOSURE = 2.0


def schemas(work: Path) -> None:
    """Workflows and compose.yaml against the published schemas; raises `Failed`."""
    place = work / "checker"
    if not (place / "bin" / "check-jsonschema").exists():
        venv.create(place, with_pip=False)
        words = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet", CHECKER]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(
                f"{CHECKER} cannot be installed", "see that a package index can be reached", done.stderr[-500:]
            )
    for schema, files in (
        ("vendor.github-workflows", sorted(WORKFLOWS.glob("*.yml"))),
        ("vendor.compose-spec", [COMPOSE]),
    ):
        words = [str(place / "bin" / "check-jsonschema"), "--builtin-schema", schema, *map(str, files)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"{schema} refuses a file", "", (done.stdout + done.stderr)[-2000:])
        tell(f"{', '.join(map(str, files))}: valid against {schema}")


def unit(work: Path) -> str:
    """The unit of systemd, as systemd-analyze reads it; a sentence for the summary. Raises `Failed`."""
    if not shutil.which("systemd-analyze"):
        return "the unit of systemd: no systemd-analyze here"
    copy = work / UNIT.name
    # It looks whether the program is there; what it says of this machine's own units is not about ours.
    copy.write_text(UNIT.read_text().replace("/opt/seglab/bin/seglab", shutil.which("true") or "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    amiss = [line for line in done.stderr.splitlines() if UNIT.name in line]
    if amiss:
        raise Failed(f"systemd-analyze verify: {amiss[0]}")
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    overall = next((line for line in done.stdout.splitlines() if "Overall exposure" in line), "").strip()
    if done.returncode:
        raise Failed(f"systemd-analyze security: {overall or done.stderr[-300:]}")
    tell(f"{UNIT}: verified; {overall.lstrip('→ ')}")
    return ""
