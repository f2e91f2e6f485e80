"""What a shell is told to complete, and that bash and zsh do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seglab.cli.completion import completions
from seglab.cli.conf_options import GROUPS, compare_settings, options, settings
from seglab.cli.verbs import VERBS
from seglab.config.vocabulary import compose, options_of


def test_verbs_are_completed() -> None:
    assert completions([""]) == list(VERBS)
    assert completions([]) == list(VERBS)
    assert completions(["mod"]) == ["model-summary"]
    assert completions(["--v"]) == ["--version"]
    assert completions(["--completion", "z"]) == ["zsh"]
    assert completions(["nothing", ""]) == []


def test_groups_options_and_settings_of_a_run_are_completed() -> None:
    assert completions(["train", "mo"]) == ["model=", "model."]
    assert completions(["train", "model=conv"]) == ["model=conv3d"]
    assert completions(["check-data", "loss=dice,gen"]) == ["loss=dice,generalized_dice"]
    assert completions(["train", "trainer.ep"]) == ["trainer.epochs="]
    assert completions(["train", "loss=dice", "los"]) == ["loss."]
    assert completions(["train", "experiment=loss"]) == ["experiment=loss_study"]


def test_settings_of_other_verbs_are_completed_with_their_values() -> None:
    assert completions(["evaluate", "split="]) == ["split=train", "split=val", "split=test", "split=all"]
    assert completions(["predict", "overl"]) == ["overlay=true", "overlay=false", "overlap="]
    assert completions(["promote", "rol"]) == ["rollback"]
    assert completions(["ui", "tr"]) == ["tracking.uri="]
    assert "metric=" in completions(["compare", ""])
    assert compare_settings()[-1] == "tracking.uri"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_completes_something(verb: str) -> None:
    assert len(completions([verb, ""])) > 1


def test_what_is_completed_is_what_hydra_knows() -> None:
    for group in GROUPS:
        assert options(group) == list(options_of(group)), group
    known = compose("train", [])
    offered = [name for name in settings() if name.startswith(("trainer.", "tracking.")) or "." not in name]
    assert {name for name in offered if name not in ("resume", "init_from")} <= {
        *(str(key) for key in known),
        *(f"{section}.{key}" for section in ("trainer", "tracking") for key in known[section]),
    }
    assert {"data.root", "data.fold", "model.encoder", "launcher.gpus", "seed"} <= set(settings())


def test_an_option_of_the_current_folder_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text("name: Mine\nsharpness: 2\n")
    monkeypatch.chdir(tmp_path)
    assert completions(["train", "loss=mi"]) == ["loss=mine"]
    assert completions(["train", "loss.sharp"]) == ["loss.sharpness="]


def _command(folder: Path) -> dict[str, str]:
    """A command `seglab` on the path."""
    folder.mkdir()
    command = folder / "seglab"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seglab "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seglab swe", "sweep-status"),
        ("seglab train model=conv", "conv3d"),
        ("seglab train model=unet loss=focal_", "focal_tversky"),
        ("seglab evaluate run=4f split=va", "val"),
        ("seglab doctor --he", "--help"),
    ],
)
def test_bash_completes(line: str, expected: str, tmp_path: Path) -> None:
    script = f"""source <(seglab --completion bash)
complete -p seglab
COMP_LINE={line!r} COMP_POINT={len(line)}
compopt() {{ :; }}
_seglab
printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        env=_command(tmp_path / "bin"),
        cwd=tmp_path,
        timeout=60,
        check=True,
    )
    registered, *found = done.stdout.splitlines()
    assert "-F _seglab seglab" in registered
    assert found == [expected], done.stderr


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh on this machine")
def test_zsh_reads_its_script(tmp_path: Path) -> None:
    script = "autoload -U compinit; compinit -D; source <(seglab --completion zsh); echo $_comps[seglab]"
    done = subprocess.run(
        ["zsh", "-f", "-c", script], capture_output=True, text=True, env=_command(tmp_path / "bin"), timeout=60
    )
    assert done.stdout.strip() == "_seglab", done.stderr
