"""Where a run starts that does not start from nothing: the weights of another run, or its last state of training.

Neither changes the run that it comes from: both are new runs, which say where they began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.config.former_names import current_section
from seglab.config.run_config import Config
from seglab.data.loading.training_data import TrainingData
from seglab.data.splits import Split
from seglab.errors import ConfigError, TrackingError
from seglab.experiment.resume import check_same, how_to_keep
from seglab.experiment.run_parts import RunComponents
from seglab.experiment.seen_images import SeenImages, add_seen, find_near_duplicates
from seglab.inference.bundle import load_bundle, logits_model, read_bundle
from seglab.run_record import Artifact, RunRecord, Tag, WorkFile
from seglab.safety.untrusted_files import read_json
from seglab.task import Task
from seglab.tracking.bundles import resolve_bundle, run_file
from seglab.tracking.store import Store
from seglab.tracking.store_lookup import open_existing

if TYPE_CHECKING:
    from mlflow.entities import Run

    from seglab.tracking.tracker import Tracker

LEAK = "weights-saw-these-cases"
_DIGITS = 16
_ANCESTORS = 20
_NONE = "none, as far as equal images and near-duplicates tell"


@dataclass(frozen=True)
class WarmStart:
    """What a run is to know and to tell of its beginning; empty for one that starts from nothing.

    Attributes:
        tags: for the run: where it began, and what the weights had seen.
        findings: what every later table is to show beside the scores.
        beware: what somebody should read before the first epoch.
        bundle: folder with the weights; None without.
        state: file with the state of training; None without.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    beware: tuple[str, ...] = ()
    bundle: Path | None = None
    state: Path | None = None

    @property
    def origin_phrase(self) -> str:
        """Where it began, in one phrase; empty for nothing."""
        return self.tags.get(Tag.STARTED_FROM, "")


def image_digests(training_data: TrainingData) -> dict[str, str]:
    """Of each case, by its id, what is equal for equal images, whatever their files are called."""
    return {case_id: facts.image_hash[:_DIGITS] for case_id, facts in training_data.facts.items()}


def start_of(config: Config, training_data: TrainingData, identity: Mapping[str, str], directory: Path) -> WarmStart:
    """Where a config says that training starts.

    Raises:
        ConfigError: the other run is of another model, other channels or other classes; names both.
        DataError: a run that goes on has another data set or split than the one that it goes on from.
        TrackingError: no such run, or what it left is gone.
    """
    if config.continues:
        store = open_existing(config.tracking.uri, directory)
        return _continuation(config, store, store.run(config.continues), identity)
    if config.init_from:
        store = open_existing(config.tracking.uri, directory)
        return _warm(config, training_data, store, store.run(config.init_from))
    return WarmStart()


def put_weights(start: WarmStart, parts: RunComponents, config: Config) -> None:
    """Give the network the weights of the bundle; states of dropout stay those of this run's seed.

    Raises:
        ConfigError: a layer has another shape; names it.
    """
    if start.bundle is None:
        return
    trained, _ = load_bundle(start.bundle)
    given, wanted = trained.weights, logits_model(parts.model).weights
    for before, now in zip(given, wanted, strict=False):
        if before.shape != now.shape:
            raise _other_model(config, f"{before.path} {tuple(before.shape)}", f"{now.path} {tuple(now.shape)}")
    if len(given) != len(wanted):
        raise _other_model(config, f"{len(given)} weights", f"{len(wanted)} weights")
    for before, now in zip(given, wanted, strict=True):
        now.assign(before)


def begin_state(start: WarmStart, tracker: Tracker, config: Config, parts: RunComponents) -> str:
    """Put the state to go on from into the folder of the run, which is its own from now on; says what follows."""
    from seglab.training.checkpoint import load_state, save_state

    if start.state is None or (tracker.work_dir / WorkFile.STATE).is_file():
        return ""
    state = load_state(start.state)
    save_state(tracker.work_dir / WorkFile.STATE, replace(state, finished=False))
    steps, epochs = len(parts.batches["train"]), int(start.tags[Tag.CONTINUES_FROM_EPOCH])
    former = config.schedule.build(config.learning_rate, epochs, steps)
    former.scale.assign(state.scale)
    before = float(former(max(epochs * steps - 1, 0)))
    now = float(parts.schedule(epochs * steps)) * float(state.scale or 1.0)
    return (
        f"from epoch {epochs} of run {config.continues}; {config.schedule.name} now runs over {config.trainer.epochs} "
        f"epochs: the learning rate was {before:.3g}, is {now:.3g}"
    )


def _continuation(config: Config, store: Store, run: Run, identity: Mapping[str, str]) -> WarmStart:
    from seglab.training.checkpoint import finished_epochs

    run_id = run.info.run_id
    folder = store.work_dir(run_id)
    check_same(folder / WorkFile.IDENTITY, identity, f"resume={run_id}")
    epoch, _ = finished_epochs(folder / WorkFile.STATE)
    if not epoch:
        raise how_to_keep(run, folder / WorkFile.STATE)
    tags = {Tag.STARTED_FROM: f"continues {run_id} from epoch {epoch}", Tag.CONTINUES_FROM_EPOCH: str(epoch)}
    return WarmStart(tags, state=folder / WorkFile.STATE)


def _warm(config: Config, training_data: TrainingData, store: Store, run: Run) -> WarmStart:
    run_id, where = run.info.run_id, f"init_from={run.info.run_id}"
    found = resolve_bundle(run_id, config.tracking.uri, store.directory)
    bundle = read_bundle(found.folder)
    _check_task(bundle.task, training_data.task, where)
    before, now = current_section("model", bundle.config.get("model", {})), config.resolved["model"]
    if before.get("_target_") != now["_target_"] or before.get("encoder") != now.get("encoder"):
        raise _other_model(config, str(before.get("name")), config.model.name)
    tags = {Tag.STARTED_FROM: f"weights of {run_id} ({run.info.run_name})", Tag.INIT_FROM: run_id}
    beware = []
    if bundle.task.class_names != training_data.task.class_names:
        beware.append(f"its classes were called {', '.join(bundle.task.class_names)}")
    if bundle.preprocessing.mode != training_data.preprocessing.mode:
        beware.append(f"its images were scaled by data.normalize={bundle.preprocessing.mode}")
    seen, images, unknown = _seen(store, run, training_data)
    alike = find_near_duplicates(training_data.facts, training_data.split, images, seen)
    leaks = [
        f"{len(cases)} of {len(getattr(training_data.split, name))} {word} cases "
        "helped to train or to choose these weights"
        for name, word in (("test", "test"), ("val", "validation"))
        if (cases := seen & set(getattr(training_data.split, name)))
    ]
    leaks += alike.rows
    if alike.missed > 0:
        missed = f"of many images a sample was compared: a near-duplicate is missed with a chance of {alike.missed:.1%}"
        unknown = missed if unknown == _NONE else f"{unknown}; {missed}"
    tags[Tag.INIT_LEAK] = "; ".join(leaks) or unknown
    if leaks:
        beware.append(f"{tags[Tag.INIT_LEAK]}: their scores are not those of unseen cases")
    if unknown != _NONE:
        beware.append(unknown)
    return WarmStart(tags, (LEAK,) if leaks else (), tuple(beware), bundle=found.folder)


def _check_task(before: Task, now: Task, where: str) -> None:
    for what, one, other in (
        ("rank", f"{before.rank}D", f"{now.rank}D"),
        ("channels", before.channels, now.channels),
        ("number of classes", before.classes, now.classes),
        ("set of regions", _regions(before), _regions(now)),
    ):
        if one != other:
            raise ConfigError(
                f"weights of another {what}",
                code="weights-of-other-task",
                where=where,
                found=f"{one} in that run, with the classes {', '.join(before.class_names)}",
                expected=f"{other}, as this run's data has, with the classes {', '.join(now.class_names)}",
                remedy="start from a run of alike data, or remove init_from",
            )


def _regions(task: Task) -> str:
    """By class ids: their names may be others."""
    return ", ".join("+".join(map(str, region.classes)) for region in task.regions) or "none"


def _other_model(config: Config, found: str, expected: str) -> ConfigError:
    return ConfigError(
        "weights of another model",
        code="weights-of-other-model",
        where=f"init_from={config.init_from}",
        found=f"{found} in that run",
        expected=f"{expected}, as this run's model={config.model.name} has",
        remedy="choose that run's model and its settings, or remove init_from",
    )


def _seen(store: Store, run: Run, training_data: TrainingData) -> tuple[set[str], SeenImages, str]:
    """Cases of this data that the weights of a run have seen, those of the runs before it too; the images that they
    have seen, for what looks like them; and what is not known.

    Cases are the same when their images are, whatever they are called. Runs of before did not keep the digests of
    their images; then cases of the same data set are told by their ids.
    """
    mine = image_digests(training_data)
    seen: set[str] = set()
    images = SeenImages()
    unknown = _NONE
    for _ in range(_ANCESTORS):
        try:
            split = Split.from_json(run_file(store, run, Artifact.SPLIT).read_text(encoding="utf-8"))
            theirs = {*split.train, *split.val}
            if (digests := _json_of(store, run, Artifact.IMAGE_DIGESTS)) is not None:
                hashes = {digests.get(case_id) for case_id in theirs}
                seen |= {case_id for case_id, digest in mine.items() if digest in hashes}
            elif RunRecord.of(run).data_digest == training_data.digest:
                seen |= theirs
            else:
                unknown = f"whether run {run.info.run_id} has seen these cases is not known"
        except (TrackingError, ValueError, KeyError, TypeError):
            unknown = f"whether run {run.info.run_id} has seen these cases is not known"
        try:
            add_seen(images, _json_of(store, run, Artifact.IMAGE_DETAILS) or {}, training_data.task.rank)
        except (ValueError, KeyError, TypeError):
            unknown = (
                f"what looks like an image that run {run.info.run_id} has seen is not known"
                if unknown == _NONE
                else unknown
            )
        former = run.data.tags.get(Tag.INIT_FROM) or run.data.params.get("continues")
        if not former:
            break
        try:
            run = store.run(former)
        except TrackingError:
            return seen, images, f"what run {former}, from which it began, had seen is not known"
    return seen, images, unknown


def _json_of(store: Store, run: Run, path: str) -> dict[str, Any] | None:
    """What a run has recorded there; None where it has not, or what nobody can read."""
    try:
        return read_json(run_file(store, run, path))
    except (TrackingError, OSError, ValueError):
        return None
