"""The typed sections of a run's config: what may stand in them and in which range."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from seglab.config.types import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Processes,
    Seed,
    Text,
    Title,
)


class Section(BaseModel):
    """A part of the config that refuses unknown keys and does not guess types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SplitSettings(Section):
    """Shares of the cases; used when the source brings no split of its own."""

    train: Fraction
    val: Fraction
    test: Fraction


class DataConfig(Section):
    """What every data set states beside its reader's own arguments."""

    name: str
    rank: Literal[2, 3]
    size: list[PositiveInt]
    batch_size: PositiveInt
    resize_mode: Literal["resize", "letterbox", "pad", "patch"]
    spacing: list[PositiveFloat] | None
    interpolation: Literal["linear", "cubic"] = "linear"  # configs of runs before it was to choose lack it
    foreground_share: Fraction
    patches_per_case: PositiveInt
    normalize: Literal["scale", "standard", "zscore", "window"]
    modality: Literal["ct", "mri"] | None
    workers: Processes
    split: SplitSettings
    split_seed: Seed | None
    fold: NonNegativeInt | None
    folds: Annotated[int, Field(ge=2)]
    stratify: bool
    allow: list[str]
    cache_dir: Text
    cache_gb: PositiveFloat
    limit_cases: PositiveInt | None
    validate_on_train: bool


class ModelConfig(Section):
    """What every model states beside its own arguments."""

    name: str
    rank: Literal[2, 3]
    size_multiple: PositiveInt | list[PositiveInt]
    prompted: bool = False  # asked for one object at a time, by clicks and boxes; models that are not need not say so


class ComponentConfig(Section):
    """Losses, optimizers, schedules and augmentations state a display name only."""

    name: str


class PrecisionSettings(Section):
    """The number format of training."""

    policy: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]


class TrainerSettings(Section):
    """How long to train and when to stop; durations carry their unit."""

    epochs: PositiveInt
    monitor: str
    patience_epochs: PositiveInt | None
    min_delta: NonNegativeFloat
    deterministic: bool
    profile: bool
    devices: PositiveInt | Literal["auto"] | None = None  # configs of runs before it was to choose lack it
    fit_memory: bool = False  # as devices
    keep: Literal["best", "last"] = "best"  # as devices
    xla: bool | Literal["auto"] = False  # as devices


class TrackingSettings(Section):
    """Where runs are recorded."""

    uri: str | None
    experiment: Title
    system_metrics: bool
    heartbeat_seconds: PositiveFloat
    keep_state: bool = False  # configs of runs before it was to choose lack it
