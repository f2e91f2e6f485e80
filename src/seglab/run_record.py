"""What a run keeps and under which name: tags, artifacts, metrics and files, each named here and nowhere else.

Names are read by runs, stores and pages of years to come: one that changes must still be read under its old name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

RUNS: Final = Path("mlruns")
"""The local folder of runs, where no other is given."""

SPLIT_NAMES: Final = ("train", "val", "test")
ALL: Final = "all"
"""All cases, whatever their split."""
SCORED: Final = (*SPLIT_NAMES, ALL)
"""What a model can be scored on."""


class StoreFile:
    """What lies in the folder of runs."""

    DATABASE: Final = "mlflow.db"
    ARTIFACTS: Final = "artifacts"
    PROMOTIONS: Final = "promotions.jsonl"


class Tag:
    """Facts about a run, kept as texts."""

    # What it was made from.
    CONFIG_DIGEST: Final = "config_digest"
    DATA_DIGEST: Final = "data_digest"
    SPLIT_DIGEST: Final = "split_digest"
    GIT_COMMIT: Final = "git_commit"
    GIT_DIRTY: Final = "git_dirty"
    SEED: Final = "seed"
    DATA_ALLOWED: Final = "data_allowed"
    DATA_LICENCE: Final = "data_licence"
    # Where it began.
    STARTED_FROM: Final = "started_from"
    INIT_FROM: Final = "init_from"
    INIT_LEAK: Final = "init_leak"
    CONTINUES_FROM_EPOCH: Final = "continues_from_epoch"
    # What it ran on.
    DEVICE: Final = "device"
    BACKEND: Final = "backend"
    PRECISION: Final = "precision"
    PRECISION_REASON: Final = "precision_reason"
    PARAMETERS: Final = "parameters"
    FLOPS: Final = "flops"
    # What came of it.
    BEST_EPOCH: Final = "best_epoch"
    STOPPED_EARLY: Final = "stopped_early"
    OBJECTIVE: Final = "objective"
    MONITOR_UNDEFINED: Final = "monitor_undefined"
    PROCESSOR_SECONDS: Final = "processor_seconds"
    PEAK_MEMORY_MB: Final = "peak_memory_mb"
    PEAK_GPU_MEMORY_MB: Final = "peak_gpu_memory_mb"
    XLA_TRIAL: Final = "xla_trial"  # what a trial of steps with XLA and without showed, where trainer.xla=auto
    BATCH_PART: Final = "batch_part"  # images computed at once, where trainer.fit_memory divided the batches
    HOST: Final = "host"  # and the process that runs it
    PID: Final = "pid"
    PROCESS_STARTED: Final = "process_started"
    MACHINE: Final = "machine"
    SLURM_JOB_ID: Final = "slurm_job_id"
    SLURM_ARRAY_JOB_ID: Final = "slurm_array_job_id"
    SLURM_ARRAY_TASK_ID: Final = "slurm_array_task_id"
    SLURM_RESTART_COUNT: Final = "slurm_restart_count"
    HEARTBEAT: Final = "heartbeat"
    HEARTBEAT_SECONDS: Final = "heartbeat_seconds"
    RESUME_COUNT: Final = "resume_count"
    END_REASON: Final = "end_reason"
    # The sweep that it belongs to, or is.
    STUDY: Final = "study"
    SWEEP_ID: Final = "sweep_id"
    SWEEP_DIGEST: Final = "sweep_digest"
    SWEEP_JOB: Final = "sweep_job"
    SWEEP_JOBS: Final = "sweep_jobs"
    JOB_IDENTITY: Final = "job_identity"
    LAUNCHER: Final = "launcher"
    LAUNCHER_JOBS: Final = "launcher_jobs"
    LAUNCHER_THREADS: Final = "launcher_threads"
    PRUNED: Final = "pruned"
    # What was done with it later.
    IMPORTED_RUN_ID: Final = "imported_run_id"
    IMPORT_COMPLETE: Final = "import_complete"
    PROMOTION: Final = "promotion"
    PROMOTION_REASONS: Final = "promotion_reasons"
    REPRODUCES: Final = "reproduces"
    REPRODUCTION: Final = "reproduction"
    REPRODUCTION_TOKEN: Final = "reproduction_token"
    ENSEMBLE_OF: Final = "ensemble_of"
    # MLflow's own.
    PARENT_RUN_ID: Final = "mlflow.parentRunId"
    USER: Final = "mlflow.user"
    SOURCE_NAME: Final = "mlflow.source.name"
    SOURCE_COMMIT: Final = "mlflow.source.git.commit"
    RUN_NAME: Final = "mlflow.runName"
    NOTE: Final = "mlflow.note.content"
    DATA_CONTEXT: Final = "mlflow.data.context"  # of a data set that went in

    @staticmethod
    def dataset_digest(context: str) -> str:
        """The digest of what was read for `training`, `validation` or `testing`; MLflow itself cuts it."""
        return f"dataset_digest_{context}"


class Artifact:
    """Files and folders that a run records."""

    CONFIG: Final = "config/config.yaml"
    SPLIT: Final = "config/split.json"
    IMAGE_DIGESTS: Final = "config/image_digests.json"
    IMAGE_DETAILS: Final = "config/image_details.json"
    CODE_DIFF: Final = "config/code.diff"
    ENVIRONMENT: Final = "config/environment.json"
    MODEL_SUMMARY: Final = "model_summary.txt"
    DATA_PAGE: Final = "data.html"
    PICTURES: Final = "pictures"
    TRAINING_SAMPLES: Final = "pictures/training_samples.png"
    CURVES: Final = "pictures/curves.png"
    TEST_CASES: Final = "test_cases.csv"
    PROFILE: Final = "profile.txt"
    TRACEBACK: Final = "traceback.txt"
    REPRODUCTION: Final = "reproduction.csv"
    SWEEP_JOBS: Final = "sweep/jobs.json"
    COMPARISON: Final = "comparison"
    ENSEMBLE: Final = "ensemble"
    MODEL_CARD: Final = "MODEL_CARD.md"  # beside the weights of a promoted model

    @staticmethod
    def cases(split: str) -> str:
        """The table of the scores of each case at the end of a training."""
        return f"{split}_cases.csv"

    @staticmethod
    def picture(name: str) -> str:
        """A picture by its name, such as `test_worst`."""
        return f"pictures/{name}.png"

    @staticmethod
    def evaluation(name: str) -> str:
        """The folder of a later evaluation, by its split or `<data>-<split>`."""
        return f"evaluation/{name}"

    @staticmethod
    def evaluated_cases(name: str) -> str:
        """The table of the scores of each case of a later evaluation."""
        return f"evaluation/{name}/{EvaluationFile.CASES}"

    @staticmethod
    def export(digest: str) -> str:
        """The folder of an export, one for each by the digest of its digests."""
        return f"export/{digest}"


class EvaluationFile:
    """What an evaluation leaves in its folder."""

    CASES: Final = "cases.csv"
    CASES_PARQUET: Final = "cases.parquet"
    METRICS: Final = "metrics.json"
    CALIBRATION: Final = "calibration.json"


class Metric:
    """Metrics with a name of their own; those of scores are made by `seglab.metric_names`."""

    LEARNING_RATE: Final = "learning_rate"
    IMAGES_PER_SECOND: Final = "images_per_second"
    EPOCH_SECONDS: Final = "epoch_seconds"
    DATA_WAIT_SHARE: Final = "data_wait_share"
    SYSTEM: Final = "system/"  # begins what is sampled of the machine
    EXPORT: Final = "export_"
    """Begins what an export scored: the target's name and one of the next two follow."""
    EXPORT_DICE: Final = "_dice"
    EXPORT_DIFFERENCE: Final = "_dice_difference"


class WorkFile:
    """What a run keeps on the machine where it trains, in its own folder there."""

    CONFIG: Final = "config.json"
    IDENTITY: Final = "identity.json"
    STATE: Final = "state.npz"
    OUTBOX: Final = "outbox"
    BUNDLE: Final = "bundle"


class BundleFile:
    """The files of a model bundle."""

    CARD: Final = "bundle.json"
    MODEL: Final = "model.keras"
    EXAMPLE: Final = "example.npz"
    MEMBERS: Final = "members"


_TRUE = "True"


class _Text:
    """Reads a tag that is kept as the text that it means; empty where the run has none of it."""

    def __init__(self, tag: str):
        self._tag = tag

    def __get__(self, record: RunRecord, owner: type[RunRecord]) -> str:
        return record.tags.get(self._tag, "")


@dataclass(frozen=True)
class RunRecord:
    """A run's own words, read as what they mean; the text is empty, or the number NaN, where it said nothing.

    Attributes:
        tags, params, metrics: as the store has them.
    """

    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    data_digest = _Text(Tag.DATA_DIGEST)
    split_digest = _Text(Tag.SPLIT_DIGEST)
    git_commit = _Text(Tag.GIT_COMMIT)
    data_allowed = _Text(Tag.DATA_ALLOWED)
    device = _Text(Tag.DEVICE)
    precision = _Text(Tag.PRECISION)
    end_reason = _Text(Tag.END_REASON)
    parent_run_id = _Text(Tag.PARENT_RUN_ID)
    job_identity = _Text(Tag.JOB_IDENTITY)

    @classmethod
    def of(cls, run: Any) -> RunRecord:
        """Of a run as the store returns it (with `data`), or of anything with `tags`, `params` and `metrics`."""
        found = getattr(run, "data", run)
        return cls(found.tags, found.params, found.metrics)

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> RunRecord:
        """Of tags alone."""
        return cls(tags, {}, {})

    @property
    def trained_here(self) -> bool:
        """Whether seglab's training made this run."""
        return Tag.CONFIG_DIGEST in self.tags

    @property
    def git_dirty(self) -> bool:
        """Whether the code had uncommitted changes, which the run keeps as `Artifact.CODE_DIFF`."""
        return self.tags.get(Tag.GIT_DIRTY) == _TRUE

    @property
    def seed(self) -> str:
        """The seed as a text, `?` where none was recorded."""
        return self.params.get("seed", self.tags.get(Tag.SEED, "?"))

    @property
    def stopped_early(self) -> bool:
        """Whether its patience ended the training."""
        return self.tags.get(Tag.STOPPED_EARLY) == _TRUE

    @property
    def objective(self) -> float:
        """The best value of the monitored metric."""
        return float(self.tags.get(Tag.OBJECTIVE, "nan"))

    @property
    def resumed(self) -> bool:
        """Whether it went on after a break."""
        return self.tags.get(Tag.RESUME_COUNT, "0") != "0"

    @property
    def resume_count(self) -> int:
        """How often it was resumed."""
        return int(self.tags.get(Tag.RESUME_COUNT, "0"))

    @property
    def pruned(self) -> bool:
        """Whether a search gave it up."""
        return self.tags.get(Tag.PRUNED) == "true"

    @property
    def imported_run_id(self) -> str | None:
        """The id that it had where it was trained; None for a run of this store's own."""
        return self.tags.get(Tag.IMPORTED_RUN_ID)

    def number(self, name: str) -> float:
        """A fact that is kept as a metric or as a tag; NaN where it is neither, or no number."""
        try:
            return float(cast(Any, self.metrics.get(name, self.tags.get(name, "nan"))))
        except ValueError:
            return math.nan
