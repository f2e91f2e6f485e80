"""What a run says and records before its first epoch: config, split and code, its data, what the network is shown."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from rich.console import Console

from seglab.config.run_config import Config
from seglab.run_record import Artifact, Tag
from seglab.runtime.code_version import CodeVersion
from seglab.runtime.gpu_use import gpu_there
from seglab.runtime.reproducibility import environment
from seglab.safety.secrets import redacted

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from seglab.data.loading.training_data import TrainingData
    from seglab.experiment.run_parts import RunComponents
    from seglab.runtime.precision import Device
    from seglab.tracking.tracker import Tracker


SAMPLES_SHOWN = 16


def record_words(config: Config, training_data: TrainingData, code: CodeVersion, tracker: Tracker) -> None:
    """Config, split and code; of a run that goes on, those that it was stopped before."""
    from seglab.experiment.seen_images import kept_details
    from seglab.experiment.warm_start import image_digests

    texts = {
        Artifact.CONFIG: OmegaConf.to_yaml(OmegaConf.create(without_secrets(config))),
        Artifact.SPLIT: training_data.split.to_json(),
        Artifact.IMAGE_DIGESTS: json.dumps(image_digests(training_data)),
        Artifact.IMAGE_DETAILS: json.dumps(kept_details(training_data.facts, training_data.split)),
    }
    # Nothing was trained before the environment was recorded, so the code of now is the run's.
    if code.dirty and Artifact.ENVIRONMENT not in tracker.recorded:
        texts[Artifact.CODE_DIFF] = code.diff
    for path, text in texts.items():
        if path not in tracker.recorded:
            tracker.log_text(text, path)


def without_secrets(config: Config) -> dict[str, Any]:
    """The resolved config as it is handed on: without passwords and keys."""
    return dict(json.loads(redacted(json.dumps(config.resolved))))


def announce(
    config: Config, training_data: TrainingData, tracker: Tracker, parts: RunComponents, console: Console
) -> None:
    """Say what is about to happen, before the first epoch."""
    from seglab.data.check.class_table import class_table
    from seglab.data.check.findings import FILES_IN_MESSAGE

    split = training_data.split
    rows = {
        "run": f"{config.run_name}  {tracker.run_id}",
        "data": f"{config.data.name}: {len(split.train)} training, {len(split.val)} validation, {len(split.test)} test",
        "data check": training_data.report.summary(),
        "model": f"{config.model.name}, {parts.model.count_params():,} parameters, input {config.data_config.size}",
        "precision": f"{parts.precision.policy}: {parts.precision.reason}",
        "memory": _memory_needed(parts.model, config.data_config.batch_size, parts.device),
    }
    if parts.device.kind == "cpu" and (gpu := gpu_there()):
        rows["beware"] = f"{gpu}, a GPU, is not used: seglab doctor says why"
    for key, value in rows.items():
        console.print(f"{key:<10} {value}", markup=False)
    console.print(class_table([training_data.facts[case_id] for case_id in split.train], training_data.source.task))
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
    return (
        f"{needed}, and {free / 2**30:.1f} GiB are free: trainer.fit_memory=true, or a smaller data.size or model.width"
    )


def record_inputs(
    config: Config, training_data: TrainingData, tracker: Tracker, model: keras.Model, warm_start: str
) -> None:
    """Data sets, environment and model summary: what the run began with, unless it was recorded then."""
    from seglab.evaluation.aggregate import unlike_scores
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
    if Artifact.ENVIRONMENT not in tracker.recorded:
        tracker.log_json(environment(Path(__file__).parent), Artifact.ENVIRONMENT)
    if Artifact.MODEL_SUMMARY not in tracker.recorded:
        unlike = unlike_scores(training_data.task)
        tracker.describe(f"{warm_start}. {unlike}" if warm_start else unlike)
        tracker.set_tags({Tag.PARAMETERS: model.count_params(), Tag.FLOPS: forward_flops(model)})
        lines: list[str] = []
        model.summary(print_fn=lines.append, line_length=110)
        tracker.log_text("\n".join(lines), Artifact.MODEL_SUMMARY)


def draw_samples(training_data: TrainingData, batches: Any) -> Figure:
    """The first training samples as a network is given them."""
    from seglab.viz.training_samples import augmented_samples

    samples: list[tuple[Any, Any]] = []
    for step in range(len(batches)):
        if len(samples) < SAMPLES_SHOWN:
            samples += zip(*batches[step], strict=True)
    spacing = next(iter(training_data.arrays.outlines.values())).spacing
    return augmented_samples(samples[:SAMPLES_SHOWN], training_data.task, spacing=spacing)


def record_pictures(training_data: TrainingData, tracker: Tracker, batches: Any) -> None:
    """What the network is about to see, and the page of the data set, unless the run has them."""
    from seglab.reports.data.data_page import build_page

    if Artifact.TRAINING_SAMPLES not in tracker.recorded:
        tracker.log_figure(draw_samples(training_data, batches), Artifact.TRAINING_SAMPLES)
    page = tracker.work_dir / Artifact.DATA_PAGE
    if page.name in tracker.recorded:
        return
    build_page(training_data.source, training_data.split, training_data.facts, page, report=training_data.report)
    tracker.log_file(page)
