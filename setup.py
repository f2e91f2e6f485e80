"""The version, from the tags of git; all else of the package stands in pyproject.toml."""

import re
import subprocess
from pathlib import Path

from setuptools import setup

UNTAGGED = "0.1.0"  # of a clone without tags, and of files without git


def version(root: Path) -> str:
    """Of tag v1.2.3 `1.2.3`, three commits later `1.2.4.dev3+g<commit>`; of an sdist the one that it was made with."""
    metadata = root / "PKG-INFO"
    if metadata.is_file():
        return re.search(r"^Version: (\S+)$", metadata.read_text(encoding="utf-8"), re.MULTILINE)[1]
    top = _git(root, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != root.resolve():
        return UNTAGGED
    described = _git(root, "describe", "--tags", "--long", "--match", "v[0-9]*")
    found = re.fullmatch(r"v(\d+(?:\.\d+)*)-(\d+)-g([0-9a-f]+)", described)
    if not found:
        commits, commit = _git(root, "rev-list", "--count", "HEAD"), _git(root, "rev-parse", "--short", "HEAD")
        return f"{UNTAGGED}.dev{commits}+g{commit}" if commit else UNTAGGED
    tagged, further, commit = found.groups()
    if further == "0":
        return tagged
    *front, last = tagged.split(".")
    return f"{'.'.join([*front, str(int(last) + 1)])}.dev{further}+g{commit}"


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    setup(version=version(Path(__file__).parent))
