"""python -m deploy.check [files] [serve] [app] [composition] [work=<folder>]: all parts where none is named.

Without a container engine the steps of the Dockerfile run in a fresh Debian root, and the services of compose.yaml as
processes in such roots, on the loopback of a network of their own. Needs Debian, root and debootstrap. `work=` keeps
the roots for the next time; otherwise nothing is left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.check import roots
from deploy.check.checking import Check
from deploy.check.telling import Failed, tell

PARTS = ("files", "serve", "app", "composition")
_INSIDE = "SEGLAB_DEPLOY_CHECK"
_ROOM = 12e9  # bytes


def main(words: list[str]) -> int:
    """Try the parts that the words name; 1 where one fails or misses a figure."""
    named = [word for word in words if "=" not in word]
    work = next((word.partition("=")[2] for word in words if word.startswith("work=")), "")
    if set(named) - set(PARTS) or any(not word.startswith("work=") for word in words if "=" in word):
        print(__doc__)
        return 2
    try:
        check_machine(Path(work or tempfile.gettempdir()))
        if _INSIDE not in os.environ:
            return within_namespaces(words)
        return tried(named or list(PARTS), work)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def check_machine(place: Path) -> None:
    """What this machine must have; raises `Failed`."""
    if os.geteuid() != 0:
        raise Failed("roots are made and entered by root alone", "sudo make deploy-check; make check tests the files")
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("ip", "iproute2")):
        if not shutil.which(program):
            raise Failed(f"{program} is missing", f"apt-get install {package}")
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free
    if free < _ROOM:
        what = f"{free / 1e9:.1f} GB are free in {place}, and {_ROOM / 1e9:.0f} are needed"
        raise Failed(what, "free some space, or name another folder: work=…")


def within_namespaces(words: list[str]) -> int:
    """Begin anew where every mount and process is gone when this ends, however it ends."""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += [sys.executable, "-m", "deploy.check", *words]
    return subprocess.run(command, env={**os.environ, _INSIDE: "1"}, check=False).returncode


def tried(parts: list[str], kept: str) -> int:
    """Try the parts: first what needs the network, then what must not have it."""
    work = Path(kept).absolute() if kept else Path(tempfile.mkdtemp(prefix="seglab-deploy-"))
    check = Check(work)
    work.mkdir(parents=True, exist_ok=True)
    lock = os.open(work / "lock", os.O_RDWR | os.O_CREAT)  # not the folder, which seglab export locks
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Failed(f"another check is at work in {work}", "wait for it, or name another folder") from error
    try:
        if "files" in parts:
            check.files()
        alone = [name for name in ("serve", "app") if name in parts]
        if alone:
            check.export()
        if alone or "composition" in parts:
            check.build([*alone, *(["lab"] if "composition" in parts else [])])
            check.leave_the_network()
        for name in alone:
            check.answers(name)
        if "composition" in parts:
            check.composition()
    finally:
        tell("clearing away")
        roots.unmount(work)
        for folder in (*(work / name for name in ("volumes", "containers", "masks")), *([] if kept else [work])):
            shutil.rmtree(folder, ignore_errors=True)
    print("\n" + "\n".join(check.summary()))
    return 1 if check.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
