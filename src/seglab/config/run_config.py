"""The typed schema of a run: reads what Hydra composed, refuses what cannot work, before TensorFlow is loaded.

`load_config` turns the composed yaml into a `Config`, `load_data` into the part of it that looking at data needs,
`load_section` into one group. Sections that are ours are pydantic models; sections with a `_target_` are checked
against the signature of what they name. Each mistake becomes one `ConfigError` with the dotted key, what was found,
what is allowed and what to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from seglab.config.cross_checks import check_data, check_monitor_name, check_together
from seglab.config.former_names import current_config, current_section
from seglab.config.identity import identity_of
from seglab.config.keras_metrics import KEY as METRICS
from seglab.config.keras_metrics import KerasMetric, check_metrics
from seglab.config.refusals import missing, not_allowed, unknown
from seglab.config.sections import (
    ComponentConfig,
    DataConfig,
    ModelConfig,
    PrecisionSettings,
    Section,
    TrackingSettings,
    TrainerSettings,
)
from seglab.config.stages import coarsest
from seglab.config.targets import check_given, construct, parameters_of
from seglab.config.transforms import check_transforms
from seglab.config.types import PositiveFloat, Seed, Title
from seglab.config.value_checks import as_mapping, check_chosen, check_value, plain_values
from seglab.errors import ConfigError

_DISPLAY_NAMES = {
    "vgg16": "VGG16",
    "resnet50": "ResNet50",
    "mobilenetv3": "MobileNetV3",
    "efficientnetv2b0": "EfficientNetV2B0",
    "efficientnetv2s": "EfficientNetV2S",
    "efficientnetv2m": "EfficientNetV2M",
    "convnext_tiny": "ConvNeXtTiny",
    "convnext_small": "ConvNeXtSmall",
    "convnext_base": "ConvNeXtBase",
    **{f"b{i}": f"B{i}" for i in range(6)},
}
OmegaConf.register_new_resolver("pow2", lambda exponent: 2 ** int(exponent), replace=True)
OmegaConf.register_new_resolver("halvings", lambda levels: 2 ** (len(levels) - 1), replace=True)
OmegaConf.register_new_resolver("coarsest", lambda strides: coarsest(plain_values(strides)), replace=True)
OmegaConf.register_new_resolver("class_of", lambda target: str(target).rpartition(".")[2], replace=True)
OmegaConf.register_new_resolver("display", lambda word: _DISPLAY_NAMES.get(word, str(word)), replace=True)
OmegaConf.register_new_resolver(
    "normalization", lambda word: {"ct": "window", "mri": "zscore"}.get(word, str(word)), replace=True
)


S = TypeVar("S", bound=Section)

COMPONENTS: Mapping[str, type[Section]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "loss": ComponentConfig,
    "optimizer": ComponentConfig,
    "schedule": ComponentConfig,
    "augment": ComponentConfig,
}
# Given by the experiment, though spelled in the yaml beside the target's own arguments.
PASSED_BY_EXPERIMENT = {"optimizer": {"learning_rate": PositiveFloat}}
SECTIONS: Mapping[str, type[Section]] = {
    "precision": PrecisionSettings,
    "trainer": TrainerSettings,
    "tracking": TrackingSettings,
}
ROOT_VALUES: Mapping[str, Any] = {"seed": Seed, "run_name": Title, "resume": str | None}
# Where a run starts that does not start from nothing.
STARTS: Mapping[str, Any] = {"init_from": str | None, "continues": str | None}
Backend: TypeAlias = Literal["tensorflow", "jax"]
_BACKEND = "tensorflow"
# What is not said, or says what goes without saying, is no part of a config: such configs have their digest of before.
_UNSAID_IS_NO_PART: Mapping[str, Any] = {**STARTS, METRICS: list[Any] | None, "backend": Backend | None}
_WITHOUT_SAYING: tuple[Any, ...] = (None, [], _BACKEND)
# What every run has, whatever its groups.
_ANYWHERE = [
    *ROOT_VALUES,
    *(f"{group}.{name}" for group, names in PASSED_BY_EXPERIMENT.items() for name in names),
    *(f"{group}.{name}" for group, section in {**COMPONENTS, **SECTIONS}.items() for name in section.model_fields),
]


@dataclass(frozen=True)
class Component:
    """A named thing to construct: the target's dotted path and its keyword arguments."""

    name: str
    target: str
    arguments: Mapping[str, Any]

    def build(self, *injected: Any) -> Any:
        """Import the target and call it with what the experiment injects and what the config says."""
        return construct(self.target, injected, self.arguments)


@dataclass(frozen=True)
class DataSettings:
    """What looking at data needs: no model, and nothing of how one would be trained but by which score."""

    seed: int
    data_config: DataConfig
    data: Component
    augment: Component
    trainer: TrainerSettings


@dataclass(frozen=True)
class Config(DataSettings):
    """A checked configuration. `resolved` is the plain dictionary that it was read from."""

    run_name: str
    resume: str | None
    init_from: str | None
    continues: str | None
    backend: Backend
    metrics: tuple[KerasMetric, ...]
    model_config: ModelConfig
    model: Component
    loss: Component
    optimizer: Component
    learning_rate: float
    schedule: Component
    precision: PrecisionSettings
    tracking: TrackingSettings
    resolved: Mapping[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that can change a result: the whole config less names, store, resume, cache, workers and places.

        What lies in the places of the data is not in here; of a model's file it is the contents that count.
        """
        return identity_of(self.resolved)

    @property
    def digest(self) -> str:
        """SHA-256 of `identity`."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()


def load_config(cfg: DictConfig | Mapping[str, Any]) -> Config:
    """Check a composed config and return it typed; raises `ConfigError` on the first thing that cannot work."""
    _check_names(cfg, [*ROOT_VALUES, *COMPONENTS, *SECTIONS])
    resolved = current_config(as_mapping(plain_values(cfg)))
    for key, kind in _UNSAID_IS_NO_PART.items():
        check_value(resolved.get(key), kind, key)
    resolved = {
        key: value for key, value in resolved.items() if key not in _UNSAID_IS_NO_PART or value not in _WITHOUT_SAYING
    }
    for key, kind in ROOT_VALUES.items():
        check_value(resolved[key], kind, key)
    for group in (*COMPONENTS, *SECTIONS):
        check_chosen(group, resolved[group])
    data_config = _validated("data", resolved["data"], DataConfig)
    model_config = _validated("model", resolved["model"], ModelConfig)
    parts = {group: _component(group, resolved[group], kind) for group, kind in COMPONENTS.items()}
    config = Config(
        seed=resolved["seed"],
        run_name=resolved["run_name"],
        resume=resolved["resume"],
        init_from=resolved.get("init_from"),
        continues=resolved.get("continues"),
        backend=cast(Backend, resolved.get("backend", _BACKEND)),
        metrics=check_metrics(resolved.get(METRICS)),
        data_config=data_config,
        model_config=model_config,
        learning_rate=resolved["optimizer"]["learning_rate"],
        precision=_validate("precision", resolved["precision"], PrecisionSettings),
        trainer=_validate("trainer", resolved["trainer"], TrainerSettings),
        tracking=_validate("tracking", resolved["tracking"], TrackingSettings),
        resolved=resolved,
        **parts,
    )
    check_together(
        data_config,
        model_config,
        config.trainer,
        names=(config.data.name, config.model.name),
        warmup_epochs=config.schedule.arguments.get("warmup_epochs", 0),
        arguments={
            group: parts[group].arguments if parts[group].target.startswith("seglab.") else {}
            for group in ("data", "model", "loss")
        },
    )
    check_transforms(config.augment.target, config.augment.arguments, data_config.rank)
    return config


def load_data(cfg: DictConfig | Mapping[str, Any]) -> DataSettings:
    """What looking at data needs, of a composed config; whatever model stands in it, none has to fit the data.

    Raises:
        ConfigError: the first thing that cannot work.
    """
    _check_names(cfg, ["seed", "data", "augment", "trainer"])
    seed = plain_values(cfg, "seed")
    check_value(seed, ROOT_VALUES["seed"], "seed")
    data_config, data = load_section("data", cfg)
    trainer, _ = load_section("trainer", cfg)
    check_data(data_config)
    check_monitor_name(trainer.monitor)
    augment = load_section("augment", cfg)[1]
    check_transforms(augment.target, augment.arguments, data_config.rank)
    return DataSettings(seed, data_config, data, augment, trainer)


def load_section(group: str, cfg: DictConfig | Mapping[str, Any]) -> tuple[Any, Any]:
    """One group of a composed config, checked by itself: its schema or settings, and the component of one that has a
    `_target_`, None of another; raises `ConfigError` on the first thing that cannot work."""
    section = current_section(group, plain_values(cfg, group))
    check_chosen(group, section)
    if group in SECTIONS:
        return _validate(group, section, SECTIONS[group]), None
    return _validated(group, section, COMPONENTS[group]), _component(group, section, COMPONENTS[group])


def _check_names(cfg: DictConfig | Mapping[str, Any], needed: list[str]) -> None:
    """Refuse a root that lacks a section, or has one that nothing reads."""
    for key in needed:
        if key not in cfg:
            raise ConfigError(
                "a missing section",
                code="missing-section",
                where=key,
                found="the sections " + ", ".join(str(name) for name in cfg),
                expected=f"a value or a group named {key}",
                remedy=f"give it: {key}=…, or compose from conf/train.yaml, which names every section",
            )
    known = [*ROOT_VALUES, *COMPONENTS, *SECTIONS]
    for key in map(str, cfg):
        if key not in (*known, *_UNSAID_IS_NO_PART):
            raise unknown(key, cfg[key], known, _ANYWHERE)


def _validated(group: str, section: Mapping[str, Any], schema: type[S]) -> S:
    return _validate(group, {key: value for key, value in section.items() if key in schema.model_fields}, schema)


def _component(group: str, section: Mapping[str, Any], schema: type[Section]) -> Component:
    target = section.get("_target_")
    if not isinstance(target, str):
        raise ConfigError(
            "a group without a target",
            code="group-without-target",
            where=f"{group}._target_",
            found=target,
            expected="the dotted path of a Python function or class, such as seglab.models.unet.unet",
            remedy=f"write _target_ into the group's yaml, or choose another: {group}=…",
        )
    passed = PASSED_BY_EXPERIMENT.get(group, {})
    for key, kind in passed.items():
        if key not in section:
            raise missing(f"{group}.{key}")
        check_value(section[key], kind, f"{group}.{key}")
    own = {k: v for k, v in section.items() if k != "_target_" and k not in schema.model_fields and k not in passed}
    check_given(target, group, [*own])
    parameters = parameters_of(target, f"{group}._target_")
    for key, value in own.items():
        if key not in parameters:
            raise unknown(
                f"{group}.{key}",
                value,
                [f"{group}.{name}" for name in (*parameters, *schema.model_fields, *passed)],
                _ANYWHERE,
            )
        check_value(value, parameters[key].annotation, f"{group}.{key}")
    for key, parameter in parameters.items():
        if parameter.required and key not in own:
            raise missing(f"{group}.{key}")
    name = _validated(group, section, schema).model_dump()["name"]
    return Component(name=name, target=target, arguments=own)


def _validate(group: str, section: Mapping[str, Any], schema: type[S]) -> S:
    try:
        return schema.model_validate(dict(section))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([group, *[str(part) for part in first["loc"]]])
        if first["type"] == "extra_forbidden":
            raise unknown(
                where, first["input"], [f"{group}.{name}" for name in schema.model_fields], _ANYWHERE
            ) from error
        field = schema.model_fields.get(str(first["loc"][0]))
        raise not_allowed(error, where, first["input"], field and field.annotation) from error
