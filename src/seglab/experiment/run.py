"""The joining point: config → data → model → fit → evaluate → log. The only module that knows every station.

TensorFlow and MLflow are imported by the functions that need them, after config and data are known to be good.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.progress import Progress

from seglab.command import JOB_VARIABLE
from seglab.config.run_config import Config, load_config
from seglab.data.io.folders import check_root
from seglab.errors import TrackingError, TrainingError, no_room
from seglab.experiment.backend import TITLES, load_backend
from seglab.experiment.record import announce, record_inputs, record_pictures, record_words
from seglab.experiment.run_parts import RunComponents, assemble, bundle_of, make_augmentation
from seglab.experiment.several_processes import check_together, follow, lead, lead_data
from seglab.extras import check_extras
from seglab.run_record import RUNS, Artifact, Tag, WorkFile
from seglab.runtime.code_version import code_version
from seglab.runtime.process_end import ending_together
from seglab.runtime.process_group import PROCESSES, ProcessGroup, own_group
from seglab.runtime.process_meeting import leave
from seglab.runtime.terminal import Terminal, tell
from seglab.safety.shown_text import in_line

if TYPE_CHECKING:
    import keras

    from seglab.data.loading.training_data import TrainingData
    from seglab.experiment.warm_start import WarmStart
    from seglab.tracking.tracker import Tracker
    from seglab.training.history import History

console = Terminal(highlight=False, soft_wrap=True)


def run(
    cfg: DictConfig | Mapping[str, Any],
    overrides: Sequence[str] = (),
    tags: Mapping[str, Any] | None = None,
    began: Callable[[str], None] = lambda _: None,
) -> float:
    """Train, evaluate and record one configuration.

    Args:
        cfg: the composed config, as `conf/train.yaml` makes it.
        overrides: what was said on the command line; on `resume` these keys are compared with the run's own.
        tags: further tags for the run, such as the sweep that it belongs to.
        began: told the id of the run when it begins to be recorded.

    Returns:
        The objective: the best value of `trainer.monitor`, NaN when it was never defined.

    Raises:
        ConfigError, DataError: before TensorFlow or JAX is loaded.
        TrackingError: the run cannot be recorded (before the data is read), or not be resumed.
        TrainingError: the loss is not finite, or the state cannot be written.
    """
    group = own_group()
    if group.alone:
        return _run(cfg, overrides, tags, began, group)
    check_extras(("jax",), f"{PROCESSES}={group.count}")
    with ending_together(group):
        if group.first:
            return _run(cfg, overrides, tags, began, group)
        follow(cfg, group)
        return math.nan


def _run(
    cfg: DictConfig | Mapping[str, Any],
    overrides: Sequence[str],
    tags: Mapping[str, Any] | None,
    began: Callable[[str], None],
    group: ProcessGroup,
) -> float:
    config = load_config(cfg)
    if config.resume:
        from seglab.experiment.resume import stored_config

        tell("reading the settings of the run")
        config = stored_config(config, overrides, RUNS)
    else:
        check_root(config.data.target, config.data.arguments)
    check_together(config, group)
    if not group.alone:
        lead(config, group)
    tell("opening the store of runs")
    # After the config is known to be good, for these load MLflow, scikit-learn and SciPy: two seconds.
    from seglab.data.loading.training_data import gather
    from seglab.tracking.store_lookup import check_beforehand

    check_beforehand(config.tracking.uri, RUNS, needed=config.init_from)
    tell("reading and checking the data")
    training_data = gather(config)
    if not group.alone:
        lead_data(training_data)
    code = code_version(Path(__file__).parent)
    for found in code.withheld:
        console.print(f"beware     {found}; how this file was changed is not recorded with the run", markup=False)
    identity = {
        Tag.CONFIG_DIGEST: config.digest,
        Tag.DATA_DIGEST: training_data.digest,
        Tag.SPLIT_DIGEST: training_data.split.digest(),
    }
    facts = {**identity, Tag.GIT_DIRTY: code.dirty, Tag.SEED: config.seed, **(tags or {})}
    if code.commit:
        facts[Tag.GIT_COMMIT] = code.commit
    params = {key: value for key, value in config.resolved.items() if key not in ("run_name", "resume", "tracking")}
    # May be another when the run goes on, which its params may not.
    params["trainer"] = {key: value for key, value in params["trainer"].items() if key != "devices"}

    augmentation = make_augmentation(config, training_data.task)
    tell(f"loading {TITLES[config.backend]}")
    load_backend(config.backend, config.trainer.deterministic)
    from seglab.experiment.resume import how_to_go_on, remember
    from seglab.experiment.warm_start import put_weights, start_of
    from seglab.tracking.tracker import Tracker
    from seglab.training.checkpoint import discard_state, random_streams, restore_streams

    start = start_of(config, training_data, identity, RUNS)
    facts |= start.tags
    if findings := [*training_data.report.allowed_findings, *start.findings]:
        facts[Tag.DATA_ALLOWED] = ", ".join(findings)
    tell(f"building the network, {config.model.name}")
    parts = assemble(config, training_data, augmentation)
    put_weights(start, parts, config)
    streams = random_streams()
    tracker = Tracker(config.tracking, RUNS, run_name=config.run_name, params=params, tags=facts, resume=config.resume)
    try:
        with tracker:
            restore_streams(streams)  # whatever the store has drawn since
            began(tracker.run_id)
            remember(tracker.work_dir, config, identity)
            record_words(config, training_data, code, tracker)
            objective = _train_and_score(config, training_data, parts, tracker, start)
            tell("handing the last records to the store")
    except KeyboardInterrupt:
        if tracker.run_id and JOB_VARIABLE not in os.environ:  # a job of a sweep goes on with the sweep
            console.print(how_to_go_on(tracker, config, overrides), markup=False)
        raise
    except TrainingError as error:  # whoever trains knows no id
        raise TrainingError(
            error.what,
            code=error.code,
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
            code="no-room",
            where=str(error.filename or tracker.work_dir),
            found=str(error),
            expected="room for the pictures, the model and the records of the run",
            remedy=f"make room, then: {how_to_go_on(tracker, config, overrides).partition('; ')[2]}",
        ) from error
    if not config.tracking.keep_state:
        discard_state(tracker.work_dir)
    return objective


def _train_and_score(
    config: Config, training_data: TrainingData, parts: RunComponents, tracker: Tracker, start: WarmStart
) -> float:
    from seglab.experiment.warm_start import begin_state
    from seglab.training.checkpoint import load_state

    choice = parts.precision
    tracker.set_tags({Tag.BACKEND: config.backend, Tag.DEVICE: parts.device.name})
    tracker.set_tags({Tag.PRECISION: choice.policy, Tag.PRECISION_REASON: choice.reason})
    announce(config, training_data, tracker, parts, console)
    goes_on = begin_state(start, tracker, config, parts)
    for line in filter(None, (start.origin_phrase, *start.beware, goes_on)):
        console.print(f"starts     {line}", markup=False)
    tell("drawing training samples and the page of the data")
    record_inputs(config, training_data, tracker, parts.model, start.origin_phrase)
    record_pictures(training_data, tracker, parts.batches["train"])

    tell("compiling the training step, then the first epoch")
    state_file = tracker.work_dir / WorkFile.STATE
    history = parts.train(
        config.trainer,
        tracker.work_dir,
        tracker.emit,
        state=load_state(state_file) if state_file.is_file() else None,
        tag=tracker.set_tags,
    )
    if not own_group().alone:
        leave()
    _score(config, training_data, tracker, parts.model, history)
    return float("nan") if history.best is None else history.best


def _score(config: Config, training_data: TrainingData, tracker: Tracker, model: keras.Model, history: History) -> None:
    """Score the kept weights on whole test cases, draw it, hand over the bundle, say where everything lies."""
    from seglab.evaluation.aggregate import aggregate, score_table, unlike_scores
    from seglab.evaluation.monitoring_reference import watched_with
    from seglab.evaluation.scoring import score_cases
    from seglab.inference.bundle import amend_bundle, save_bundle
    from seglab.inference.model_usage import readme, usage
    from seglab.inference.predicted_quality import PredictedQuality
    from seglab.inference.predictor import Predictor
    from seglab.inference.pyfunc import input_example
    from seglab.runtime.memory import peak_memory
    from seglab.tracking.mlflow_client import MlflowException
    from seglab.tracking.run_addresses import pictures_address, run_address
    from seglab.viz.figures import case_panels, curves, pick_examples

    tell("drawing the curves and saving the model")
    card = config.data_config
    bundle = bundle_of(config, training_data)
    tracker.log_figure(curves(history.epochs, best_epoch=history.best_epoch, title=config.run_name), Artifact.CURVES)
    profile = tracker.work_dir / Artifact.PROFILE
    if profile.is_file():
        tracker.log_file(profile)
    saved = save_bundle(tracker.work_dir / WorkFile.BUNDLE, model, bundle)
    predictor = Predictor.load(saved)
    tell("measuring what the model is watched with")
    bundle = replace(bundle, **watched_with(predictor, training_data, bundle.reference))
    amend_bundle(saved, bundle)
    example = input_example(bundle)
    tracker.log_bundle(
        saved,
        example=example,
        prediction=predictor.predict(example[0], bundle.spacing)[None],
        usage=usage(bundle),
        readme=readme(bundle),
    )
    name = next(name for name in ("test", "val", "train") if getattr(training_data.split, name))
    source, cases = training_data.scored(name, card, config.seed)
    tell(f"scoring {len(cases)} {name} cases")
    with Progress(console=console, transient=True) as bar:
        work = bar.add_task(f"scoring {len(cases)} {name} cases", total=len(cases))
        scores = score_cases(predictor, source, cases, progress=lambda done, _: bar.update(work, completed=done))
    if name == "test":
        metrics = aggregate(scores.cases, scores.confusion, training_data.task)
        tracker.emit({key: value for key, value in metrics.items() if not math.isnan(value)}, len(history.epochs))
    tracker.log_table(scores.cases, Artifact.cases(name))
    examples = pick_examples(predictor, source, scores.cases)
    for picture, figure in case_panels(examples, training_data.task).items():
        tracker.log_figure(figure, Artifact.picture(f"{name}_{picture}"))
    tracker.set_tags({Tag.BEST_EPOCH: history.best_epoch, Tag.STOPPED_EARLY: history.stopped_early})
    tracker.set_tags({Tag.OBJECTIVE: float("nan") if history.best is None else history.best})
    if history.undefined:
        tracker.set_tags({Tag.MONITOR_UNDEFINED: f"{history.undefined} of {len(history.epochs)} epochs"})
    tracker.set_tags({Tag.PROCESSOR_SECONDS: round(sum(os.times()[:4]), 1), **peak_memory()})
    console.print()
    console.print(
        score_table(scores.cases, scores.confusion, training_data.task, title=f"{config.run_name}: {name} cases")
    )
    if training_data.report.allowed_findings:
        console.print(f"beware     found in the data: {', '.join(training_data.report.allowed_findings)}", markup=False)
    epochs = len(history.epochs)
    console.print(f"trained    {epochs} epoch{'s' * (epochs != 1)}, {history.verdict}", markup=False)
    console.print(f"scores     {unlike_scores(training_data.task)}", markup=False)
    if quality := PredictedQuality.from_dict(bundle.quality):
        console.print(f"quality    predicted without truth: {quality.sentence()}", markup=False)
    console.print(f"run id     {tracker.run_id}", markup=False)
    console.print(in_line(f"pictures   {pictures_address(tracker.store, tracker.artifact_uri)}"), markup=False)
    with suppress(MlflowException, OSError):  # a store that is away is told of by others
        console.print(f"look at it {run_address(tracker.store, tracker.run_id)}", markup=False)
