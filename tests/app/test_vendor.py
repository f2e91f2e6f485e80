"""What is not ours is as its authors made it, and told of."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from seglab.app.volume import NIIVUE

ROOT = Path(__file__).parents[2]


def test_every_vendored_file_has_its_digest_and_licence() -> None:
    digests = dict(re.findall(r"\| `([^`]+\.js)` \|.*`([0-9a-f]{64})` \|", (ROOT / "THIRD_PARTY.md").read_text()))
    files = {file.name: file for file in NIIVUE.parent.glob("*.js")}
    assert digests == {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    assert "BSD 2-Clause" in (NIIVUE.parent / "niivue-LICENSE").read_text()
