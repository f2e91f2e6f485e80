"""Settings that are each fine and cannot go together, told before anything is loaded or read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.config.loss_checks import check_class_weights, check_prices, check_terms
from seglab.config.sections import DataConfig, ModelConfig, TrainerSettings
from seglab.config.stages import PerAxis, check_layers, per_axis
from seglab.config.synonyms import closest
from seglab.config.trainer_checks import check_trainer
from seglab.errors import ConfigError
from seglab.metric_names import TRAIN, VAL, VAL_DICE, VAL_IOU, Column, MetricName

_SHARES_OFF = 1e-6  # rounding of a sum of shares


def check_together(
    data: DataConfig,
    model: ModelConfig,
    trainer: TrainerSettings,
    *,
    names: tuple[str, str],
    warmup_epochs: float,
    arguments: Mapping[str, Mapping[str, Any]],
) -> None:
    """Refuse what cannot work together.

    Args:
        data, model, trainer: the checked sections.
        names: display names of data and model, for messages.
        warmup_epochs: of the schedule, 0 without one.
        arguments: what the constructors of `data`, `model` and `loss` are to be given, as far as they are ours:
            another's may mean something else by the same name.

    Raises:
        ConfigError: names the settings, what was found and what to do.
    """
    data_name, model_name = names
    if model.rank != data.rank:
        fitting = "unet, unet_mini, attention_unet" if data.rank == 2 else "unet3d, dynunet, segresnet"
        raise ConfigError(
            f"a {model.rank}D model on {data.rank}D data",
            code="rank-mismatch",
            where="model.rank, data.rank",
            found=f"model={model_name} is {model.rank}D, data={data_name} is {data.rank}D",
            expected="the same rank",
            remedy=f"choose a {data.rank}D model (such as {fitting}) or {model.rank}D data (synthetic{model.rank}d)",
        )
    check_data(data)
    check_layers(arguments["model"], data.rank)
    check_input_size(data.size, data.rank, model.size_multiple, model_name)
    if arguments["model"].get("norm") == "instance":
        _check_positions(data.size, model.size_multiple)
    check_monitor_name(trainer.monitor)
    _check_validation(trainer.monitor, data)
    check_trainer(trainer, warmup_epochs)
    of_model = arguments["model"]
    published = "encoder" in of_model  # one of keras.applications, and not the model's own
    check_encoder_weights(of_model.get("weights"), of_model.get("freeze_epochs", 0), published=published)
    _check_loss(arguments["loss"], _known_classes(arguments["data"]))


def check_input_size(size: Sequence[int], rank: int, multiple: PerAxis = 1, model: str = "the model") -> None:
    """Refuse an input size of another rank than the data, or with a side that a network cannot halve often enough.

    Args:
        size: of each axis, in pixels or voxels.
        rank: of the data.
        multiple: what each side is to be a multiple of: how much coarser the network's coarsest features are; one
            number, or one for each axis.
        model: its name, for the message.

    Raises:
        ConfigError: names the next valid size.
    """
    multiples = per_axis(multiple, rank)
    if len(size) != rank:
        raise ConfigError(
            "an input size of the wrong rank",
            code="input-size-rank",
            where="data.size",
            found=list(size),
            expected=f"{rank} numbers, one for each axis of {rank}D data",
            remedy=f"data.size=[{','.join(str(-(-128 // each) * each) for each in multiples)}]",
        )
    valid = [max(-(-side // each), 1) * each for side, each in zip(size, multiples, strict=True)]
    if valid != list(size):
        needed = " x ".join(map(str, multiples)) if len(set(multiples)) > 1 else multiples[0]
        raise ConfigError(
            f"an input size that {model} cannot halve",
            code="input-size-not-divisible",
            where="data.size",
            found=list(size),
            expected=f"multiples of {needed} (model.size_multiple)",
            remedy=f"the next valid size: data.size=[{','.join(map(str, valid))}]",
        )


def _check_positions(size: Sequence[int], multiple: PerAxis) -> None:
    """Refuse an input whose coarsest features are one position: an instance norm makes it 0, whatever it was."""
    multiples = per_axis(multiple, len(size))
    if list(size) == list(multiples):
        raise ConfigError(
            "an input size whose coarsest features are a single position, which an instance norm makes 0",
            code="input-size-one-position",
            where="data.size",
            found=list(size),
            expected="at least twice model.size_multiple along one axis, or another norm",
            remedy=f"data.size=[{','.join(str(2 * side) for side in size)}], or model.norm=group",
        )


def check_shares(train: float, val: float, test: float) -> None:
    """Refuse shares of the splits that are negative or do not sum to 1.

    Raises:
        ConfigError: names all three.
    """
    if min(train, val, test) < 0 or abs(train + val + test - 1) > _SHARES_OFF:
        raise ConfigError(
            "split shares that do not sum to 1",
            code="split-shares",
            where="data.split",
            found=f"train {train} + val {val} + test {test}",
            expected="shares from 0 to 1 with a sum of 1",
            remedy="for example data.split.train=0.7 data.split.val=0.15 data.split.test=0.15",
        )


def check_fold(fold: int, folds: int) -> None:
    """Refuse a number of a fold that is not one of `folds`, counted from 0.

    Raises:
        ConfigError: names both.
    """
    if not 0 <= fold < folds:
        raise ConfigError(
            "fold index out of range",
            code="fold-out-of-range",
            where="data.fold",
            found=f"fold {fold} of {folds}",
            expected=f"0 to {folds - 1}",
            remedy=f"count the folds from 0, or data.folds={max(fold + 1, 2)}",
        )


def check_parts(fold: int | None, folds: int, parts: int) -> None:
    """Refuse folds of a file of which none is chosen, or another number of them; raises `ConfigError`."""
    if fold is None or folds != parts:
        raise ConfigError(
            "folds of a file, and none is chosen" if fold is None else "another number of folds than the file has",
            code="fold-out-of-range",
            where="data.fold" if fold is None else "data.folds",
            found=f"{'null' if fold is None else folds}, and data.folds_file has {parts}",
            expected=f"data.fold=0 to {parts - 1}, data.folds={parts}",
            remedy=f"data.folds={parts} data.fold={fold or 0}, or data.folds_file=null",
        )


def check_data(data: DataConfig) -> None:
    """Refuse settings of the data that cannot go together, whatever is made of it.

    Raises:
        ConfigError: see above.
    """
    check_input_size(data.size, data.rank)
    if data.foreground_share and data.resize_mode in ("resize", "letterbox"):
        raise ConfigError(
            "patches around the foreground, where whole images are taken",
            code="unused-foreground-share",
            where="data.foreground_share",
            found=f"{data.foreground_share} with data.resize_mode={data.resize_mode}",
            expected="0 for whole images",
            remedy="data.resize_mode=patch, or data.foreground_share=0.0",
        )
    check_shares(data.split.train, data.split.val, data.split.test)
    if data.split.train == 0:
        raise ConfigError(
            "no share of the cases to train on",
            code="split-no-training-share",
            where="data.split.train",
            found=0,
            expected="a share above 0",
            remedy="for example data.split.train=0.7 data.split.val=0.15 data.split.test=0.15",
        )
    _check_spacing_and_folds(data)


def check_encoder_weights(weights: str | None, freeze_epochs: int = 0, *, published: bool = True) -> None:
    """Refuse a file that does not exist, and random weights that are to be frozen: they would learn nothing meanwhile.

    Args:
        weights, freeze_epochs: of the model.
        published: whether keras.applications has weights of this encoder, which `imagenet` stands for.

    Raises:
        ConfigError: see above.
    """
    fetched = published and weights == "imagenet"
    if weights is not None and not fetched and not Path(weights).is_file():
        raise ConfigError(
            "a file of encoder weights that does not exist",
            code="encoder-weights-missing",
            where="model.weights",
            found=weights,
            expected=f"{'imagenet, ' if published else ''}the path of a .h5 or .weights.h5 file, or null",
            remedy="check the path, which starts in the folder of the command; or "
            f"model.weights={'imagenet' if published else 'null'}",
        )
    if freeze_epochs and weights is None:
        raise ConfigError(
            "an encoder with random weights that is to be frozen",
            code="frozen-random-encoder",
            where="model.freeze_epochs, model.weights",
            found=f"freeze_epochs={freeze_epochs} with weights=null",
            expected="pre-trained weights, or freeze_epochs=0",
            remedy=f"{'model.weights=imagenet, ' if published else ''}model.weights=<file> or model.freeze_epochs=0",
        )


def _check_loss(loss: Mapping[str, Any], classes: int | None) -> None:
    terms = {key: weight for key, weight in loss.items() if key.endswith("_weight")}
    if len(terms) > 1:
        check_terms(terms)
    if "alpha" in loss and "beta" in loss:
        check_prices(loss["alpha"], loss["beta"])
    if classes is not None and loss.get("class_weights") is not None:
        check_class_weights(loss["class_weights"], classes)


def _known_classes(data: Mapping[str, Any]) -> int | None:
    """Number of classes that can be weighed, where it shows without reading the data; regions take no such weights."""
    if data.get("label_schema") is not None or data.get("regions") is not None:
        return None
    named = data.get("class_names") or data.get("label_values")
    return len(named) if named else data.get("classes")


def _check_spacing_and_folds(data: DataConfig) -> None:
    if data.spacing is not None and (data.rank == 2 or len(data.spacing) != 3):
        raise ConfigError(
            "data.spacing does not fit the data",
            code="spacing-on-images",
            where="data.spacing",
            found=f"{data.spacing} for {data.rank}D data",
            expected="three lengths in mm for volumes; null for images",
            remedy="data.spacing=null" if data.rank == 2 else "for example data.spacing=[1,1,1]",
        )
    if data.interpolation != "linear" and data.spacing is None:
        raise ConfigError(
            "data.interpolation without a spacing to resample to",
            code="unused-interpolation",
            where="data.interpolation",
            found=f"{data.interpolation} with data.spacing=null",
            expected="linear, or a spacing to resample to",
            remedy="data.spacing=[1,1,1], or data.interpolation=linear",
        )
    if data.fold is not None:
        check_fold(data.fold, data.folds)


def check_monitor_name(monitor: str) -> None:
    """Refuse a monitored metric that no training emits; raises `ConfigError`."""
    known = [f"{split}_{metric}" for split in (VAL, TRAIN) for metric in ("dice", "iou", "loss")]
    column = Column.parse(monitor)
    if column.score not in known or (column.of and MetricName.parse(monitor).lower_is_better):
        raise ConfigError(
            "a monitored metric that does not exist",
            code="unknown-monitor",
            where="trainer.monitor",
            found=monitor,
            expected="one of " + ", ".join(known) + f", or {VAL_DICE}/<class>, {VAL_IOU}/<class>",
            remedy=f"did you mean: trainer.monitor={closest(monitor, known, 0.5) or VAL_DICE}",
        )


def _check_validation(monitor: str, data: DataConfig) -> None:
    if MetricName.parse(monitor).stage == VAL and data.split.val == 0 and not data.validate_on_train:
        raise ConfigError(
            "a monitored metric without validation cases",
            code="monitor-without-validation",
            where="trainer.monitor",
            found=f"{monitor} with data.split.val=0",
            expected="a validation share above 0, or a metric of the training split",
            remedy="data.split.val=0.15, or trainer.monitor=train_dice",
        )
