"""An empty Debian root, as the slim image is one."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.check.roots import run
from deploy.check.telling import Failed, tell

# As the slim images of Debian leave it out.
_LEFT_OUT = ("doc", "man", "info", "locale", "lintian", "groff", "linda")
_SOURCES = """deb {mirror} bookworm main
deb {mirror} bookworm-updates main
deb {mirror}-security bookworm-security main
"""
MIRROR = "http://deb.debian.org/debian"


def debian(root: Path) -> None:
    """An empty Debian root: debootstrap's smallest, without what the slim image leaves out."""
    if (root / "bin" / "sh").exists():
        tell(f"an empty Debian root is there: {root}")
        return
    if not shutil.which("debootstrap"):
        raise Failed("debootstrap is missing", "apt-get install debootstrap")
    run(["debootstrap", "--variant=minbase", "bookworm", str(root), MIRROR])
    rules = "".join(f"path-exclude /usr/share/{name}/*\n" for name in _LEFT_OUT)
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(rules + "path-include /usr/share/doc/*/copyright\n")
    (root / "etc/apt/sources.list").write_text(_SOURCES.format(mirror=MIRROR))
    for name in _LEFT_OUT:
        shutil.rmtree(root / "usr/share" / name, ignore_errors=True)
    for place in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
        shutil.rmtree(root / place, ignore_errors=True)
        (root / place).mkdir()
    policy = root / "usr/sbin/policy-rc.d"  # no package starts a service of its own, as in the image
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    (root / "etc/hosts").touch()  # one is mounted over it, as an engine does
    (root / "etc/resolv.conf").touch()
