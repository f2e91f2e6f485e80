"""A job that SLURM starts again, after its time was up or its node has died: it goes on with its own run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from seglab.config.run_config import load_config
from seglab.run_record import RUNS, Tag
from seglab.sweeping.ledger import Ledger, objective_of
from seglab.tracking.store_lookup import open_existing


@dataclass(frozen=True)
class EarlierStart:
    """What the earlier starts of a job have left.

    Attributes:
        resume: id of the run that goes on; None where a new one begins.
        finished: nothing is left to do.
        objective: of the finished run.
    """

    resume: str | None
    finished: bool = False
    objective: float = float("nan")


def own_earlier_run(cfg: DictConfig, tags: Mapping[str, str], directory: Path = RUNS) -> EarlierStart:
    """Look up what became of the job that this process is, as its earlier starts have recorded it.

    Args:
        cfg: the composed config of the job.
        tags: what its sweep gives its run.
        directory: the folder of runs.

    Raises:
        ConfigError: the config cannot be used.
        TrackingError: the store does not answer.
    """
    config = load_config(cfg)
    standing = Ledger(open_existing(config.tracking.uri, directory)).standing(tags[Tag.JOB_IDENTITY])
    if standing.kind == "finished" and standing.run is not None:
        return EarlierStart(None, finished=True, objective=objective_of(standing.run))
    going_on = standing.run is not None and standing.kind in ("dead", "alive")
    return EarlierStart(standing.run.info.run_id if standing.run is not None and going_on else config.resume)
