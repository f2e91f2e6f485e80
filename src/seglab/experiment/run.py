"""The joining point: config → data → model → fit → evaluate → log. The only module that knows every station.

TensorFlow and MLflow are imported by the functions that need them, after config and data are known to be good.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress

from seglab.command import JOB_VARIABLE
from seglab.config.loading import Config, load_config
from seglab.errors import TrackingError, TrainingError, no_room
from seglab.experiment.components import RunComponents, assemble, make_augmentation
from seglab.runtime.code_version import CodeVersion, code_version
from seglab.runtime.reproducibility import environment, load_tensorflow
from seglab.runtime.terminal import Terminal, tell
from seglab.safety.secrets import redacted

if TYPE_CHECKING:
    import keras

    from seglab.data.loading.training_data import TrainingData
    from seglab.experiment.warm_start import WarmStart
    from seglab.runtime.precision import Device
    from seglab.tracking.tracker import Tracker
    from seglab.training.fit import History

RUNS = Path("mlruns")
SAMPLES_SHOWN = 16
ENVIRONMENT_FILE = "config/environment.json"
SUMMARY_FILE = "model_summary.txt"
SAMPLES_FILE = "pictures/training_samples.png"
console = Terminal(highlight=False, soft_wrap=True)


def run(
    cfg: DictConfig | Mapping[str, Any], overrides: Sequence[str] = (), tags: Mapping[str, Any] | None = None
) -> float:
    """Train, evaluate and record one configuration.

    Args:
        cfg: the composed config, as `conf/train.yaml` makes it.
        overrides: what was said on the command line; on `resume` these keys are compared with the run's own.
        tags: further tags for the run, such as the sweep that it belongs to.

    Returns:
        The objective: the best value of `trainer.monitor`, NaN when it was never defined.

    Raises:
        ConfigError, DataError: before TensorFlow is loaded.
        TrackingError: the run cannot be recorded (before the data is read), or not be resumed.
        TrainingError: the loss is not finite, or the state cannot be written.
    """
    config = load_config(cfg)
    tell("opening the store of runs")
    if config.resume:
        from seglab.experiment.resume import stored_config

        config = stored_config(config, overrides, RUNS)
    # After the config is known to be good, for these load MLflow, scikit-learn and SciPy: two seconds.
    from seglab.data.loading.training_data import gather
    from seglab.tracking.store import check_beforehand

    check_beforehand(config.tracking.uri, RUNS, needed=config.init_from)
    tell("reading and checking the data")
    training_data = gather(config)
    code = code_version(Path(__file__).parent)
    for found in code.withheld:
        console.print(f"beware     {found}; how this file was changed is not recorded with the run", markup=False)
    identity = {
        "config_digest": config.digest,
        "data_digest": training_data.digest,
        "split_digest": training_data.split.digest(),
    }
    facts = {**identity, "git_dirty": code.dirty, "seed": config.seed, **(tags or {})}
    if code.commit:
        facts["git_commit"] = code.commit
    params = {key: value for key, value in config.resolved.items() if key not in ("run_name", "resume", "tracking")}

    augmentation = make_augmentation(config, training_data.task)
    tell("loading TensorFlow")
    load_tensorflow()
    from seglab.experiment.resume import how_to_go_on, remember
    from seglab.experiment.warm_start import put_weights, start_of
    from seglab.tracking.tracker import Tracker
    from seglab.training.checkpoint import discard_state, random_streams, restore_streams

    start = start_of(config, training_data, identity, RUNS)
    facts |= start.tags
    if findings := [*training_data.report.allowed_findings, *start.findings]:
        facts["data_allowed"] = ", ".join(findings)
    tell(f"building the network, {config.model.name}")
    parts = assemble(config, training_data, augmentation)
    put_weights(start, parts, config)
    streams = random_streams()
    tracker = Tracker(config.tracking, RUNS, run_name=config.run_name, params=params, tags=facts, resume=config.resume)
    try:
        with tracker:
            restore_streams(streams)  # whatever the store has drawn since
            remember(tracker.work_dir, config, identity)
            _record_words(config, training_data, code, tracker)
            objective = _train_and_judge(config, training_data, parts, tracker, start)
            tell("handing the last records to the store")
    except KeyboardInterrupt:
        if tracker.run_id and JOB_VARIABLE not in os.environ:  # a job of a sweep goes on with the sweep
            console.print(how_to_go_on(tracker, config, overrides), markup=False)
        raise
    except TrainingError as error:  # whoever trains knows no id
        raise TrainingError(
            error.what,
            where=error.where,
            found=error.found,
            expected=error.expected,
            remedy=error.remedy.replace("<run id>", tracker.run_id),
        ) from error
    except OSError as error:
        if not no_room(error):
            raise
        raise TrackingError(
            "no room on the disk",
            where=str(error.filename or tracker.work_dir),
            found=str(error),
            expected="room for the pictures, the model and the records of the run",
            remedy=f"make room, then: {how_to_go_on(tracker, config, overrides).partition('; ')[2]}",
        ) from error
    if not config.tracking.keep_state:
        discard_state(tracker.work_dir)
    return objective


def _record_words(config: Config, training_data: TrainingData, code: CodeVersion, tracker: Tracker) -> None:
    """Config, split and code; of a run that goes on, those that it was stopped before."""
    from seglab.experiment.warm_start import DIGESTS_FILE, image_digests

    texts = {
        "config/config.yaml": OmegaConf.to_yaml(OmegaConf.create(_told(config))),
        "config/split.json": training_data.split.to_json(),
        DIGESTS_FILE: json.dumps(image_digests(training_data)),
    }
    # Nothing was trained before the environment was recorded, so the code of now is the run's.
    if code.dirty and ENVIRONMENT_FILE not in tracker.recorded:
        texts["config/code.diff"] = code.diff
    for path, text in texts.items():
        if path not in tracker.recorded:
            tracker.log_text(text, path)


def _told(config: Config) -> dict[str, Any]:
    """The resolved config as it is handed on: without passwords and keys."""
    return dict(json.loads(redacted(json.dumps(config.resolved))))


def _train_and_judge(
    config: Config, training_data: TrainingData, parts: RunComponents, tracker: Tracker, start: WarmStart
) -> float:
    from seglab.experiment.warm_start import begin_state
    from seglab.metrics.keras_scores import SegmentationScores
    from seglab.training.checkpoint import STATE_FILE, load_state
    from seglab.training.fit import train

    choice = parts.precision
    tracker.set_tags({"device": parts.device.name, "precision": choice.policy, "precision_reason": choice.reason})
    _announce(config, training_data, tracker, parts)
    goes_on = begin_state(start, tracker, config, parts)
    for line in filter(None, (start.told, *start.beware, goes_on)):
        console.print(f"starts     {line}", markup=False)
    tell("drawing training samples and the page of the data")
    _record_inputs(config, training_data, tracker, parts.model, start.told)
    _record_pictures(training_data, tracker, parts.batches["train"])

    tell("compiling the training step, then the first epoch")
    state_file = tracker.work_dir / STATE_FILE
    history = train(
        parts.model,
        parts.loss,
        parts.optimizer,
        [SegmentationScores(training_data.task)],
        parts.batches["train"],
        parts.batches.get("val"),
        config.trainer,
        tracker.work_dir,
        tracker.emit,
        schedule=parts.schedule,
        state=load_state(state_file) if state_file.is_file() else None,
    )
    _judge(config, training_data, tracker, parts.model, history)
    return float("nan") if history.best is None else history.best


def _announce(config: Config, training_data: TrainingData, tracker: Tracker, parts: RunComponents) -> None:
    """Say what is about to happen, before the first epoch."""
    from seglab.data.check.class_table import class_table
    from seglab.data.check.findings import FILES_IN_MESSAGE

    task, split = training_data.task, training_data.split
    rows = {
        "run": f"{config.run_name}  {tracker.run_id}",
        "data": f"{config.data.name}: {len(split.train)} training, {len(split.val)} validation, {len(split.test)} test",
        "data check": training_data.report.summary(),
        "model": f"{config.model.name}, {parts.model.count_params():,} parameters, input {config.data_config.size}",
        "precision": f"{parts.precision.policy}: {parts.precision.reason}",
        "memory": _memory_needed(parts.model, config.data_config.batch_size, parts.device),
    }
    for key, value in rows.items():
        console.print(f"{key:<10} {value}", markup=False)
    console.print(class_table([training_data.facts[case_id] for case_id in split.train], task))
    if training_data.report.findings:
        console.print(training_data.report.table(FILES_IN_MESSAGE))


def _memory_needed(model: keras.Model, batch_size: int, device: Device) -> str:
    from seglab.models.summary import estimated_training_bytes
    from seglab.runtime.memory import available_bytes

    least, free = estimated_training_bytes(model, batch_size), available_bytes()
    needed = f"{least / 2**30:.2f} GiB or more for a training step"
    if device.kind == "gpu":
        return f"{needed}, on the GPU"
    if least < free:
        return f"{needed}, {free / 2**30:.1f} GiB are free"
    return f"{needed}, and {free / 2**30:.1f} GiB are free: try a smaller data.batch_size, data.size or model.width"


def _record_inputs(
    config: Config, training_data: TrainingData, tracker: Tracker, model: keras.Model, told: str
) -> None:
    """Data sets, environment and model summary: what the run began with, unless it was recorded then."""
    from seglab.evaluation.aggregate import UNLIKE_SCORES
    from seglab.models.summary import forward_flops

    source = str(config.data.arguments.get("root", config.data.target))
    for name, context in (("train", "training"), ("val", "validation"), ("test", "testing")):
        cases = training_data.cases(name)
        if cases and f"{config.data.name}/{name}" not in tracker.recorded:
            digest = hashlib.sha256(
                f"{training_data.digest}:{'/'.join(case.id for case in cases)}".encode()
            ).hexdigest()
            profile = {"cases": len(cases), "classes": list(training_data.task.class_names)}
            tracker.log_dataset(f"{config.data.name}/{name}", digest, context, source, profile)
    if ENVIRONMENT_FILE not in tracker.recorded:
        tracker.log_json(environment(Path(__file__).parent), ENVIRONMENT_FILE)
    if SUMMARY_FILE not in tracker.recorded:
        tracker.describe(f"{told}. {UNLIKE_SCORES}" if told else UNLIKE_SCORES)
        tracker.set_tags({"parameters": model.count_params(), "flops": forward_flops(model)})
        lines: list[str] = []
        model.summary(print_fn=lines.append, line_length=110)
        tracker.log_text("\n".join(lines), SUMMARY_FILE)


def _record_pictures(training_data: TrainingData, tracker: Tracker, batches: Any) -> None:
    """What the network is about to see, and the page of the data set, unless the run has them."""
    from seglab.reports.data.data_page import build_page
    from seglab.viz.training_samples import augmented_samples

    if SAMPLES_FILE not in tracker.recorded:
        samples: list[tuple[Any, Any]] = []
        for step in range(len(batches)):
            if len(samples) < SAMPLES_SHOWN:
                samples += zip(*batches[step], strict=True)
        spacing = next(iter(training_data.arrays.outlines.values())).spacing
        figure = augmented_samples(samples[:SAMPLES_SHOWN], training_data.task, spacing=spacing)
        tracker.log_figure(figure, SAMPLES_FILE)
    page = tracker.work_dir / "data.html"
    if page.name in tracker.recorded:
        return
    build_page(training_data.source, training_data.split, training_data.facts, page, report=training_data.report)
    tracker.log_file(page)


def _judge(config: Config, training_data: TrainingData, tracker: Tracker, model: keras.Model, history: History) -> None:
    """Score the best epoch on whole test cases, draw it, hand over the bundle, say where everything lies."""
    from seglab.evaluation.aggregate import UNLIKE_SCORES, aggregate, score_table
    from seglab.evaluation.cases import evaluate_cases
    from seglab.inference.bundle import Bundle, save_bundle
    from seglab.inference.model_usage import readme, usage
    from seglab.inference.predictor import Predictor
    from seglab.inference.public_config import public_config
    from seglab.inference.pyfunc import input_example
    from seglab.inference.reference_data import fingerprint
    from seglab.runtime.memory import peak_memory
    from seglab.tracking.client import MlflowException
    from seglab.tracking.pages import pictures_address, run_address
    from seglab.viz.figures import case_panels, curves, pick_examples

    tell("drawing the curves and saving the model of the best epoch")
    card = config.data_config
    bundle = Bundle(
        task=training_data.task,
        preprocessing=training_data.preprocessing,
        size=tuple(card.size),
        fit=card.resize_mode,
        spacing=None if card.spacing is None else tuple(card.spacing),
        interpolation=card.interpolation,
        split_digest=training_data.split.digest(),
        config=public_config(_told(config)),
        reference=fingerprint(training_data.facts[case_id] for case_id in training_data.split.train),
    )
    tracker.log_figure(
        curves(history.epochs, best_epoch=history.best_epoch, title=config.run_name), "pictures/curves.png"
    )
    profile = tracker.work_dir / "profile.txt"
    if profile.is_file():
        tracker.log_file(profile)
    saved = save_bundle(tracker.work_dir / "bundle", model, bundle)
    predictor = Predictor.load(saved)
    example = input_example(bundle)
    tracker.log_bundle(
        saved,
        example=example,
        prediction=predictor.predict(example[0], bundle.spacing)[None],
        usage=usage(bundle),
        readme=readme(bundle),
    )
    name = next(name for name in ("test", "val", "train") if getattr(training_data.split, name))
    cases = training_data.cases(name)
    tell(f"scoring {len(cases)} {name} cases")
    with Progress(console=console, transient=True) as bar:
        work = bar.add_task(f"scoring {len(cases)} {name} cases", total=len(cases))
        scores = evaluate_cases(
            predictor, training_data.source, cases, progress=lambda done, _: bar.update(work, completed=done)
        )
    if name == "test":
        metrics = aggregate(scores.cases, scores.confusion, training_data.task)
        tracker.emit({key: value for key, value in metrics.items() if not math.isnan(value)}, len(history.epochs))
    tracker.log_table(scores.cases, f"{name}_cases.csv")
    examples = pick_examples(predictor, training_data.source, scores.cases)
    for picture, figure in case_panels(examples, training_data.task).items():
        tracker.log_figure(figure, f"pictures/{name}_{picture}.png")
    tracker.set_tags({"best_epoch": history.best_epoch, "stopped_early": history.stopped_early})
    tracker.set_tags({"objective": float("nan") if history.best is None else history.best})
    if history.undefined:
        tracker.set_tags({"monitor_undefined": f"{history.undefined} of {len(history.epochs)} epochs"})
    tracker.set_tags({"processor_seconds": round(sum(os.times()[:4]), 1), **peak_memory()})
    console.print()
    console.print(
        score_table(scores.cases, scores.confusion, training_data.task, title=f"{config.run_name}: {name} cases")
    )
    if training_data.report.allowed_findings:
        console.print(f"beware     found in the data: {', '.join(training_data.report.allowed_findings)}", markup=False)
    epochs = len(history.epochs)
    console.print(f"trained    {epochs} epoch{'s' * (epochs != 1)}, {history.verdict}", markup=False)
    console.print(f"scores     {UNLIKE_SCORES}", markup=False)
    console.print(f"run id     {tracker.run_id}", markup=False)
    console.print(f"pictures   {pictures_address(tracker.store, tracker.artifact_uri)}", markup=False)
    with suppress(MlflowException, OSError):  # a store that is away is told of by others
        console.print(f"look at it {run_address(tracker.store, tracker.run_id)}", markup=False)
