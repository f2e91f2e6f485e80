"""The parts of a run, made and proved before it begins: what cannot work leaves no failed run behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.config.run_config import Config
from seglab.config.sections import TrainerSettings
from seglab.experiment.component_trial import (
    prove_augmentation,
    prove_loss,
    prove_model,
    prove_optimizer,
    prove_schedule,
)
from seglab.experiment.record import without_secrets
from seglab.runtime.reproducibility import seed_everything
from seglab.task import Task

if TYPE_CHECKING:
    import keras

    from seglab.data.loading.training_data import TrainingData
    from seglab.inference.bundle import Bundle
    from seglab.runtime.precision import Device, PrecisionChoice
    from seglab.training.callbacks import Emit
    from seglab.training.history import History


@dataclass(frozen=True)
class RunComponents:
    """What is trained, by what, on which device.

    Attributes:
        batches: of `train` and, where there are cases, `val`.
        metrics: Dice and IoU, and what the config asks for beside them.
    """

    batches: dict[str, Any]
    model: keras.Model
    loss: Any
    optimizer: keras.optimizers.Optimizer
    schedule: Any
    device: Device
    precision: PrecisionChoice
    metrics: list[keras.metrics.Metric]

    def train(self, settings: TrainerSettings, work_dir: Path | None, emit: Emit, **more: Any) -> History:
        """Train the model, as `seglab.training.fit.train` says, which takes `more`: `state`, `stream`, `tag`."""
        from seglab.training.fit import train

        return train(
            self.model,
            self.loss,
            self.optimizer,
            self.metrics,
            self.batches["train"],
            self.batches.get("val"),
            settings,
            work_dir,
            emit,
            schedule=self.schedule,
            **more,
        )


def make_augmentation(config: Config, task: Task) -> Any:
    """The changes of the training samples; loads no TensorFlow.

    Raises:
        ConfigError: it does not fit the data.
    """
    augmentation = config.augment.build(task)
    prove_augmentation(augmentation, config.augment, task, config.data_config.size)
    return augmentation


def assemble(config: Config, training_data: TrainingData, augmentation: Any) -> RunComponents:
    """Seed everything and make the parts, in the order that a run's bits depend on.

    Raises:
        ConfigError: a part that cannot be made, or does not fit the others.
    """
    import keras

    from seglab.data.loading.batches import Batches
    from seglab.metrics.keras_scores import SegmentationScores
    from seglab.runtime.gpu_use import check_gpu_used
    from seglab.runtime.precision import choose_policy, find_device
    from seglab.runtime.several_devices import chosen_devices

    card, task = config.data_config, training_data.task
    size = tuple(card.size)
    seed_everything(config.seed, config.trainer.deterministic)
    device = find_device()
    check_gpu_used(device, config.backend)
    if config.backend == "jax":
        chosen_devices(config.trainer.devices, card.batch_size)  # before anything of the run is made
    choice = choose_policy(config.precision.policy, device)
    keras.config.set_dtype_policy(choice.policy)
    batches = {
        name: Batches(
            training_data, name, card, seed=config.seed, augmentation=augmentation if name == "train" else None
        )
        for name in ("train", "val")
        if getattr(training_data.split, name)
    }
    model = config.model.build(task, size)
    prove_model(model, config.model, task, size)
    schedule = config.schedule.build(config.learning_rate, config.trainer.epochs, len(batches["train"]))
    prove_schedule(schedule, config.schedule)
    optimizer = config.optimizer.build(schedule)
    prove_optimizer(optimizer, config.optimizer)
    if choice.policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    loss = config.loss.build(task)
    prove_loss(loss, config.loss, task, size)
    metrics = [SegmentationScores(task), *(metric.build(task) for metric in config.metrics)]
    return RunComponents(batches, model, loss, optimizer, schedule, device, choice, metrics)


def bundle_of(config: Config, training_data: TrainingData) -> Bundle:
    """What travels with the weights, as far as it is known before they are trained."""
    from seglab.inference.bundle import Bundle
    from seglab.inference.public_config import public_config
    from seglab.inference.reference_data import fingerprint

    card, prompted = config.data_config, training_data.objects is not None
    given = training_data.preprocessing
    return Bundle(
        task=replace(training_data.task, channels=given.given_channels),
        preprocessing=given,
        size=tuple(card.size),
        resize_mode="resize" if prompted else card.resize_mode,
        spacing=None if card.spacing is None or prompted else tuple(card.spacing),
        interpolation=card.interpolation,
        split_digest=training_data.split.digest(),
        config=public_config(without_secrets(config)),
        previous_stage=previous.digest if (previous := getattr(training_data.source, "previous", None)) else "",
        reference=fingerprint(training_data.facts[case_id] for case_id in training_data.split.train),
    )
