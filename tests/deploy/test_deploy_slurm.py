"""The script that serves on a node: with a `seglab` that only says what it was told, and as SLURM ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/slurm/serve.sh"
PRETENDED = """#!/bin/bash
echo "told: $*; a key of ${#SEGLAB_API_KEYS} characters"
trap 'echo ended well; exit 0' TERM
while :; do sleep 0.05; done
"""


def job(folder: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    program = folder / "seglab"
    program.write_text(PRETENDED)
    program.chmod(0o755)
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "4711", "SLURM_CPUS_PER_TASK": "2"}
    return subprocess.Popen(
        ["bash", str(SCRIPT), *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**variables, "USER": "ada", "SLURM_SUBMIT_HOST": "login1", **more},
    )  # fmt: skip


def ended(process: subprocess.Popen[str], folder: Path) -> str:
    """What it says until it is told to end, as `--signal=B:TERM@90` does, and after that."""
    output = ""
    for line in process.stdout:
        output += line
        if "told:" in line:
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
    process.wait(20)
    return output


def test_it_says_how_to_come_there_and_ends_what_it_began(tmp_path: Path) -> None:
    process = job(tmp_path, "dist/roadseg", "queue=8")
    output = ended(process, tmp_path)
    assert re.search(r"ssh -N -L 8000:\S+:8711 ada@login1", output)
    assert "told: serve dist/roadseg queue=8 host=0.0.0.0 port=8711 threads=2; a key of 48 characters" in output
    assert (process.returncode, "ended well" in output) == (0, True)
    assert not list(tmp_path.glob("*.key"))


def test_its_key_is_for_its_owner_alone_while_it_lives(tmp_path: Path) -> None:
    process = job(tmp_path, "dist/roadseg")
    file = tmp_path / "seglab-serve-4711.key"
    for _ in range(200):
        if file.exists() and file.read_text():
            break
        time.sleep(0.05)
    assert file.stat().st_mode & 0o777 == 0o600
    key = file.read_text().strip()
    assert key not in ended(process, tmp_path)


def test_keys_that_are_given_are_not_written_down(tmp_path: Path) -> None:
    process = job(tmp_path, "m", SEGLAB_API_KEYS="0123456789abcdef", SEGLAB_PORT="8812")
    output = ended(process, tmp_path)
    assert "a key of 16 characters" in output
    assert "port=8812" in output
    assert not list(tmp_path.glob("*.key"))


def test_without_a_model_it_says_how_it_is_called(tmp_path: Path) -> None:
    process = job(tmp_path)
    assert "which model? sbatch" in process.communicate(timeout=20)[0]
    assert process.returncode == 2


@pytest.mark.parametrize("script", [SCRIPT, *sorted(SCRIPT.parents[1].glob("*.sh"))], ids=lambda path: path.name)
def test_shells_understand_it(script: Path) -> None:
    shell = "bash" if "bash" in script.read_text().splitlines()[0] else "sh"
    assert subprocess.run([shell, "-n", str(script)], check=False).returncode == 0
