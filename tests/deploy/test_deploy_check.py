"""`make deploy-check` itself: part by part, and what it says where it cannot work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.check import roots
from deploy.check.__main__ import check_machine, main
from deploy.check.roots import is_ignored
from deploy.check.telling import Failed

ROOT = Path(__file__).parents[2]
able = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("debootstrap"), reason="roots need Debian, root and debootstrap"
)


def test_words_that_it_does_not_know_are_answered_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["srve"]) == 2
    assert main(["wrk=a"]) == 2
    assert "[files] [serve] [app] [composition]" in capsys.readouterr().out


def test_a_machine_that_cannot_gets_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Failed, match="root alone"):
        check_machine(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "debootstrap" else name)
    with pytest.raises(Failed, match="debootstrap is missing"):
        check_machine(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 0, 10**9))
    with pytest.raises(Failed, match=r"1\.0 GB are free"):
        check_machine(tmp_path)


@pytest.mark.parametrize(
    ("name", "rules", "expected"),
    [
        ("a/b", ["*"], True),
        ("a/b", ["*", "!a"], False),
        ("a/b", ["*", "!a", "a/b"], True),
        ("a/x/__pycache__/c.pyc", ["*", "!a", "**/__pycache__"], True),
        ("a/c", ["*", "!a/b"], True),
    ],
)
def test_the_last_rule_about_a_file_counts(name: str, rules: list[str], expected: bool) -> None:
    assert is_ignored(name, rules) is expected


def test_a_step_that_fails_is_named_with_its_output() -> None:
    with pytest.raises(Failed, match=r"serve, line 3: RUN x left with 4") as caught:
        roots.run(["sh", "-c", "echo why; exit 4"], "serve, line 3: RUN x")
    assert "why" in caught.value.log


def checked(*parts: str) -> str:
    before = {path.name for path in Path("/tmp").glob("seglab-deploy-*")}
    done = subprocess.run(
        [sys.executable, "-m", "deploy.check", *parts], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert {path.name for path in Path("/tmp").glob("seglab-deploy-*")} == before
    assert str(ROOT) not in Path("/proc/mounts").read_text()
    return done.stdout


@able
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_files_are_valid_where_they_are_published() -> None:
    assert "valid against vendor.github-workflows" in checked("files")


@able
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_mask_comes_out_of_an_empty_debian_root() -> None:
    output = checked("serve")
    assert re.search(r"first served mask: \d+ s \(at most 360\)", output)
    assert re.search(r"files of the serving root: \d+ MB \(at most 700\)", output)


@able
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_model_goes_its_way_through_the_composition() -> None:
    output = checked("composition")
    assert "postgres, mlflow, service, app, prometheus: started" in output
    assert output.count("pixel for pixel") == 4
