"""The command `seglab`: its verbs, its help, and how little it loads before it says something."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from seglab.cli.main import main, page
from seglab.cli.verbs import VERBS
from seglab.errors import ConfigError

HEAVY = {"tensorflow", "keras", "mlflow", "pandas", "torch"}


def seglab(*words: str, cwd: Path, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "seglab", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_alone_it_lists_every_verb(tmp_path: Path) -> None:
    done = seglab(cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, page())
    for verb in (
        *("train", "evaluate", "predict", "compare", "sweep-status", "report", "reproduce", "runs", "promote"),
        *("check-data", "explore", "model-summary", "doctor", "sync", "ui", "bench", "synthetic-dataset"),
    ):
        assert re.search(rf"^  {verb} +\w", page(), re.MULTILINE), verb


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_without_a_heavy_import(verb: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = seglab(verb, "--help", cwd=tmp_path, python=("-X", "importtime"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0, done.stderr
    assert not loaded & HEAVY
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) > 2, done.stdout
    assert not list(tmp_path.iterdir()), "help leaves nothing behind"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1, "seconds of computing"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tarin"], ["unknown verb", "did you mean 'train'?"]),
        (["check_data"], ["did you mean 'check-data'?"]),
        (["model=unet"], ["seglab train model=unet"]),
        (["-m", "model=unet"], ["seglab train -m model=unet"]),
        (["predict", "a", "b.png", "ot=masks"], ["unknown setting 'ot'", "did you mean 'out'?"]),
        (["evaluate", "rum=a"], ["did you mean 'run'?"]),
        (["runs", "export", "x"], ["which runs", "study=<name>"]),
        (["promote", "rolback", "name=x"], ["action", "did you mean 'rollback'?"]),
        (["promote", "name=x"], ["a missing setting", "run"]),
        (["compare", "metrc=test_dice"], ["did you mean: metric=test_dice"]),
        (["train", "modle=unet"], ["did you mean: model=unet"]),
        (["ui", "port=70000"], ["port", "65535"]),
        (["--completion", "fish"], ["bash, zsh"]),
    ],
)
def test_what_cannot_be_is_refused_at_once(words: list[str], expected: list[str], tmp_path: Path) -> None:
    done = seglab(*words, cwd=tmp_path, python=("-X", "importtime"))
    lines = done.stderr.splitlines()
    output = "\n".join(line for line in lines if not line.startswith("import time:"))
    assert done.returncode == 2, output
    assert output.startswith("error: "), output
    for part in expected:
        assert part in output
    assert not {line.rpartition("|")[2].strip() for line in lines} & HEAVY


def test_its_version_loads_no_more_than_it_must(tmp_path: Path) -> None:
    done = seglab("--version", cwd=tmp_path, python=("-X", "importtime"))
    assert re.fullmatch(r"seglab \S+", done.stdout.strip())
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & (HEAVY | {"hydra", "pydantic", "rich", "numpy"})


def test_help_of_a_verb_is_also_help_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["help", "sync"])
    assert capsys.readouterr().out.startswith("seglab sync [key=value …]")


def test_a_verb_is_a_row_that_leads_somewhere() -> None:
    for verb in VERBS.values():
        assert callable(verb.load()), verb.name
    with pytest.raises(ConfigError, match="unknown verb"):
        main(["nothing"])


@pytest.mark.parametrize("script", ["scripts/predict.py", "train.py"])
def test_the_scripts_of_before_are_the_verbs(script: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, root / script, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ},
        check=True,
    )
    verb = Path(script).stem
    assert done.stdout == seglab(verb, "--help", cwd=tmp_path).stdout


def test_a_key_that_is_given_twice_is_reported(tmp_path: Path) -> None:
    done = seglab("train", "model=unet", "model=unet_mini", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0
    assert "name: UNetMini" in done.stdout
    assert done.stderr.strip() == "note: model is given twice; the last one counts: model=unet_mini"
    assert not seglab("train", "seed=1", "seed=1", "--cfg", "job", cwd=tmp_path).stderr


def test_very_long_words_are_cut_in_the_middle(tmp_path: Path) -> None:
    done = seglab("train", f"loss={'x' * 3000}", cwd=tmp_path)
    assert done.returncode == 2
    assert "(3,000 characters)" in done.stderr
    assert max(map(len, done.stderr.splitlines())) < 1000


def test_a_reader_that_has_ended_gets_no_traceback(tmp_path: Path) -> None:
    for flags in ("", "-u"):
        line = f"set -o pipefail; {sys.executable} {flags} -m seglab predict --help | true"
        words = ["bash", "-c", line]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (141, "")


def test_a_study_that_is_a_path_gets_no_place_of_that_name(tmp_path: Path) -> None:
    done = seglab("report", "study=../../etc", cwd=tmp_path)
    assert "an unknown study" in done.stderr
    assert "etc/study.yaml" not in done.stderr
    assert "<name>/study.yaml" in done.stderr
