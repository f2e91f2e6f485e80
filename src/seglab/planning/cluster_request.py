"""The memory and time that a cluster is asked for: what was said, else what the plan of the study has forecast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from seglab.config.places import STUDIES
from seglab.planning.forecast import Forecast
from seglab.planning.study_files import measured_in
from seglab.runtime.terminal import tell

# Where neither was said nor forecast.
MEMORY_GB, MINUTES = 8.0, 240
# Settings that may be said beside a study and leave its forecast true.
_HARMLESS = ("experiment", "seed", "run_name", "trainer.epochs", "data.fold", "tracking", "launcher", "search", "hydra")


@dataclass(frozen=True)
class ClusterRequest:
    """What each job asks for: GB of memory, minutes of time."""

    memory_gb: float
    minutes: int


def request_of(
    config: DictConfig, memory_gb: float | None, minutes: int | None, studies: Path = STUDIES
) -> ClusterRequest:
    """What was said, filled up from the forecast of the planned study that is run, which is told.

    The forecast is used when the study is run as it was planned; with another model or size it is not of these jobs.

    Args:
        config: the composed config of the sweep, with Hydra's section.
        memory_gb, minutes: None where nothing was said.
        studies: where the studies lie.
    """
    forecast = _forecast(config, studies) if None in (memory_gb, minutes) else None
    if forecast is not None:
        asked = ClusterRequest(memory_gb or forecast.gigabytes, minutes or forecast.minutes)
        tell(f"asking for {asked.memory_gb:g} GB and {asked.minutes} minutes a job, as the plan of the study forecasts")
        return asked
    return ClusterRequest(
        MEMORY_GB if memory_gb is None else memory_gb,
        MINUTES if minutes is None else minutes,
    )


def _forecast(config: DictConfig, studies: Path) -> Forecast | None:
    study = config.hydra.runtime.choices.get("experiment")
    measured = measured_in(studies / str(study)) if study else None
    given = [str(word).lstrip("+~").partition("=")[0] for word in config.hydra.overrides.task]
    others = [key for key in given if not any(key == one or key.startswith(f"{one}.") for one in _HARMLESS)]
    return None if measured is None or others else Forecast(measured, int(config.trainer.epochs), 1)
