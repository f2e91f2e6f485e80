"""Training: `model.fit` with exact resume, an honest clock and a guard against losses that are not finite."""

from __future__ import annotations

import cProfile
import io
import pstats
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import keras

from seglab.config.sections import TrainerSettings
from seglab.errors import TrainingError
from seglab.run_record import Artifact, Tag, WorkFile
from seglab.schedules import Schedule
from seglab.training.batch_parts import chosen_part, compiled_step, is_out_of_memory, out_of_memory
from seglab.training.batch_steps import BatchSteps
from seglab.training.callbacks import AveragedWeights, Emit, EncoderFreezing, EpochEnd
from seglab.training.checkpoint import StateWriter, TrainingState, assign, restore_streams
from seglab.training.history import History
from seglab.training.loader import BatchSource, TrainingLoader
from seglab.training.progress import Progress
from seglab.training.step_trials import xla_trial
from seglab.training.stopping import EarlyStopping, Plateau, check_monitor


def train(
    model: keras.Model,
    loss: keras.losses.Loss,
    optimizer: keras.optimizers.Optimizer,
    metrics: Sequence[keras.metrics.Metric],
    train: BatchSource,
    val: BatchSource | None,
    settings: TrainerSettings,
    work_dir: Path | None,
    emit: Emit,
    *,
    schedule: Schedule | None = None,
    state: TrainingState | None = None,
    stream: TextIO | None = sys.stdout,
    tag: Callable[[dict[str, Any]], None] = lambda _: None,
) -> History:
    """Train a model and leave it with the weights of its best epoch, or of the last.

    The whole state of an epoch is brought to `work_dir` while the next one trains; when it is on the disk,
    `emit(metrics, epoch)` is called between two steps, epochs counted from 1. A run that is cut off goes on from the
    last epoch whose state is there with `state=load_state(<the file>)`, to the same bits as one that was not
    (with `settings.deterministic`, on the same machine); the epochs before are emitted once more, so the receiver must
    leave out the steps that it has.

    Several processes train one model together (`seglab.runtime.process_group`) when each calls this with the same
    arguments. The first one keeps the state and tells it to the others, which are given no `work_dir` and no `state`.

    Emitted are `train_<metric>` and `val_<metric>` for the loss and every result of `metrics`, `learning_rate` of the
    epoch's first step, `epoch_seconds` with validation, `images_per_second` of training alone, and `data_wait_share`,
    the share of the training time for which the loop had to wait for the next batch.

    Args:
        model: from images `(B, *size, C)` to logits; not compiled. One with `freeze_epochs` above 0 and
            `freeze_encoder(frozen)` has its encoder held fixed for so many epochs.
        loss: of class ids `(B, *size)` and logits.
        optimizer: keeps averaged weights if made with `use_ema`; then these are validated and kept.
        metrics: results that are dicts give one metric for each key.
        train: batches that are learned from.
        val: batches that are validated on, always those of epoch 0; None to go without.
        settings: number of epochs, monitored metric, which epoch is kept, patience, `min_delta`, profile, whether
            batches fit memory.
        work_dir: where the state and, after a loss that is not finite, the batch are kept; None to keep nothing.
        emit: receiver of the metrics.
        schedule: the optimizer's learning rate schedule; one with `plateau` has its scale lowered. None when the
            learning rate is a number.
        state: where to go on from.
        stream: where progress is written; None to be silent.
        tag: told the tags of what is found before the first step: how many images are computed at once, where
            `settings.fit_memory` divides batches, and what a trial of XLA shows. A resumed run does both as before.

    Raises:
        TrainingError: the monitored metric does not appear, a loss is not finite, memory does not hold a step, the
            state cannot be written or does not fit the model.
    """
    if work_dir is not None:
        work_dir.mkdir(parents=True, exist_ok=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=list(metrics), jit_compile=False)  # steps are compiled here
    model.optimizer.build(model.trainable_variables)
    if keras.backend.backend() == "jax":
        from seglab.training.jax_steps import keep_with_optimizer
        from seglab.training.shared_start import shared_start

        keep_with_optimizer(model.optimizer, schedule)
        state = shared_start(state, model)
    shape = model.inputs[0].shape[1:]
    train_feed = TrainingLoader(train, shape)
    val_feed = TrainingLoader(val, shape) if val is not None else None
    progress = Progress(stream, settings.epochs, len(train), settings.monitor)
    stopping = EarlyStopping(settings.monitor, settings.patience_epochs, settings.min_delta, settings.keep)
    plateau = None
    if schedule is not None and schedule.plateau is not None:
        plateau = Plateau(settings.monitor, schedule.plateau, settings.min_delta)

    history: list[dict[str, float]] = []
    if state is not None:
        _restore(state, model, schedule, stopping, plateau)
        history += state.history
        for epoch, values in enumerate(history, start=1):
            emit(values, epoch)
        progress.say(f"resuming after epoch {state.epoch} of {settings.epochs}")

    writer = StateWriter(work_dir / WorkFile.STATE) if work_dir is not None else None
    averaged = AveragedWeights(model.optimizer)
    end = EpochEnd(
        feed=train_feed,
        stopping=stopping,
        plateau=plateau,
        schedule=schedule,
        averaged=averaged,
        progress=progress,
        writer=writer,
        emit=emit,
        history=history,
        best_weights=state.best if state is not None else [],
        epochs=settings.epochs,
    )
    part, xla = _how_compiled(model, train, settings, state, progress, tag)
    end.compiled = ({"part": part} if part is not None else {}) | ({"xla": True} if xla else {})
    steps = BatchSteps(
        model, train_feed, val_feed, progress, work_dir, end.tell_if_written, settings.devices, part, xla
    )
    callbacks: list[keras.callbacks.Callback] = [averaged, end]
    if getattr(model, "freeze_epochs", 0):
        callbacks.append(EncoderFreezing(model, steps.make_train_function))
    begun = state.epoch if state is not None else 0
    if begun < settings.epochs and not (state is not None and state.finished):
        check_monitor(settings.monitor, _metric_names(metrics, val is not None))
        with _profiled(settings.profile, work_dir), closing(writer) if writer is not None else nullcontext():
            try:
                steps.fit(callbacks, begun, settings.epochs)
            finally:
                end.tell()  # of the last whole epoch, however the next one ended

    if end.best_weights:
        assign(model.variables, end.best_weights, "model")
    else:  # of the last epoch, by `keep` or for want of a best one; also where a resumed run finds that it was the last
        averaged.assign()
    return History(
        epochs=history,
        monitor=settings.monitor,
        keep=settings.keep,
        best_epoch=stopping.best_epoch,
        best=stopping.best,
        stopped_early=stopping.stop and len(history) < settings.epochs,
    )


def _how_compiled(
    model: keras.Model,
    train: BatchSource,
    settings: TrainerSettings,
    state: TrainingState | None,
    progress: Progress,
    tag: Callable[[dict[str, Any]], None],
) -> tuple[int | None, bool]:
    """How many images of a batch are computed at once, and whether steps are compiled with XLA."""
    part, xla = (state.rules.get("part"), state.rules.get("xla", False)) if state is not None else (None, False)
    if state is None:
        if settings.fit_memory:
            part = chosen_part(model, train[0], settings.devices)
        if settings.xla != "auto":
            xla = settings.xla
        elif part is None and keras.backend.backend() == "tensorflow":  # XLA cannot compile parts
            progress.say("trying steps without XLA and with it")
            try:
                found = xla_trial(model, train[0], lambda training, on: compiled_step(model, training, xla=on))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise out_of_memory(model, train[0], settings.devices, None, error) from error
            xla = found.faster
            progress.say(f"steps are compiled {found}")
            tag({Tag.XLA_TRIAL: str(found)})
    if part is not None:
        progress.say(f"each batch is computed in parts of {part} images: memory holds no larger one")
        tag({Tag.BATCH_PART: part})
    return part, xla


def _restore(
    state: TrainingState,
    model: keras.Model,
    schedule: Schedule | None,
    stopping: EarlyStopping,
    plateau: Plateau | None,
) -> None:
    assign(model.variables, state.model, "model")
    assign(model.optimizer.variables, state.optimizer, "optimizer")
    if (state.scale is None) != (schedule is None) or (state.rules["plateau"] is None) != (plateau is None):
        kinds = {True: "none", False: "one"}
        raise TrainingError(
            "a stored state of another schedule",
            code="state-mismatch",
            where="schedule",
            found=f"schedule {kinds[state.scale is None]}, plateau {kinds[state.rules['plateau'] is None]} on disk",
            expected=f"schedule {kinds[schedule is None]}, plateau {kinds[plateau is None]}, as this run has",
            remedy="resume with the code and the settings that the run began with",
        )
    if schedule is not None:
        schedule.scale.assign(state.scale)
    if plateau is not None:
        plateau.restore(state.rules["plateau"])
    stopping.restore(state.rules["stopping"])
    restore_streams(state.streams)


def _metric_names(metrics: Sequence[keras.metrics.Metric], validated: bool) -> list[str]:
    names = ["loss"]
    for metric in metrics:
        result = metric.result()
        names += list(result) if isinstance(result, dict) else [metric.name]
    return [f"{split}_{name}" for split in (("val", "train") if validated else ("train",)) for name in names]


@contextmanager
def _profiled(wanted: bool, directory: Path | None) -> Iterator[None]:
    """Write what took the time, by Python function, to `profile.txt`."""
    if not wanted or directory is None:
        yield
        return
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        yield
    finally:
        profiler.disable()
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("cumulative").print_stats(60)
        (directory / Artifact.PROFILE).write_text(text.getvalue())
