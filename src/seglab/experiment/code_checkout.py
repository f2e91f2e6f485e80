"""The code that a run was made by, as a checkout of its own where it is not the code of now."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Run

from seglab.errors import TrackingError
from seglab.run_record import Artifact, RunRecord, Tag
from seglab.runtime.code_version import SECRET, TOO_LARGE, TOO_MANY, code_version
from seglab.tracking.bundles import run_file
from seglab.tracking.store import Store

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def code_of(store: Store, run: Run, root: Path = ROOT) -> Iterator[Path]:
    """The repository as it was when the run was made: `root` itself if nothing differs, else a checkout of its own.

    Raises:
        TrackingError: the run has no commit, the commit is not here, or its changes were not kept whole.
    """
    commit = RunRecord.of(run).git_commit
    if not commit:
        raise _no_code(run, f"no tag {Tag.GIT_COMMIT}", "train from a git repository")
    diff = code_diff(store, run)
    now = code_version(root)
    if now.commit == commit and now.diff == diff:
        yield root
        return
    if TOO_LARGE in diff or TOO_MANY in diff:
        raise _no_code(run, "untracked files that were too large for the logged diff", "commit them, and train anew")
    withheld = [line.removeprefix(SECRET).strip() for line in diff.splitlines() if line.startswith(SECRET)]
    if withheld:
        remedy = "take the secret out of the file, such as into a variable of the environment, commit, and train anew"
        raise _no_code(run, f"changes with what looks like a secret, which were not kept: {withheld[0]}", remedy)
    with tempfile.TemporaryDirectory(prefix="code") as scratch:
        checkout = Path(scratch) / "tree"
        done = _git(root, "worktree", "add", "--detach", str(checkout), commit)
        if done.returncode:
            raise _no_code(run, done.stderr.strip(), f"fetch commit {commit[:12]} into this repository")
        try:
            if "diff --git " in diff:
                applied = _git(checkout, "apply", "--whitespace=nowarn", "-", text=diff)
                if applied.returncode:
                    raise _no_code(run, applied.stderr.strip(), "the logged changes do not apply to their commit")
            yield checkout
        finally:
            _git(root, "worktree", "remove", "--force", str(checkout))


def code_diff(store: Store, run: Run) -> str:
    """The changes to its commit that the run logged; empty for none."""
    if not RunRecord.of(run).git_dirty:
        return ""
    return run_file(store, run, Artifact.CODE_DIFF).read_text(encoding="utf-8", errors="replace")


def _no_code(run: Run, found: str, remedy: str) -> TrackingError:
    return TrackingError(
        "the code of the run cannot be restored",
        code="code-missing",
        where=f"run {run.info.run_id} ({run.info.run_name})",
        found=found,
        expected="its commit in this repository, and its logged changes whole",
        remedy=remedy,
    )


def _git(folder: Path, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = ["git", "-C", str(folder), *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)
