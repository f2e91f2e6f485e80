"""`${…}` in the words of a command refers to the config of the run, and is told in our words where it leads nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import DictConfig
from omegaconf.errors import ConfigKeyError

from seglab.command import command, task_overrides
from seglab.config.run_config import load_config

VOLUMES = ["data=nifti", "model=unet3d", "augment=none"]


def ran(monkeypatch: pytest.MonkeyPatch, job: Any, *words: str) -> Any:
    monkeypatch.setattr("sys.argv", ["train.py", *VOLUMES, *words, "hydra.output_subdir=null", "hydra.run.dir=."])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return command("train")(job)()


def test_words_are_recorded_as_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def job(cfg: DictConfig) -> None:
        found.extend([task_overrides(), load_config(cfg).data.arguments["root"]])

    ran(monkeypatch, job, "run_name=mine", "data.root=${run_name}/scans")
    assert found == [[*VOLUMES, "run_name=mine", "data.root=${run_name}/scans"], "mine/scans"]


@pytest.mark.parametrize("reference", ["x", "oc.env:NO_SUCH_VARIABLE", "data.root"])
def test_a_reference_that_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reference: str
) -> None:
    with pytest.raises(SystemExit) as left:
        ran(monkeypatch, lambda cfg: (task_overrides(), load_config(cfg)), f"data.root=${{{reference}}}")
    output = capsys.readouterr().err
    assert left.value.code == 2
    assert output.startswith("error: a setting that has no value")
    assert "data.root=…" in output


def test_an_error_of_hydra_within_a_job_has_our_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def job(cfg: DictConfig) -> None:
        raise ConfigKeyError("of its own")

    with pytest.raises(SystemExit):
        ran(monkeypatch, job, "data.root=x")
    output = capsys.readouterr().err
    assert output.startswith("error: the configuration cannot be composed")
    assert "of its own" in output
