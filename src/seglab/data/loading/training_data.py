"""What a run learns from: the source, its split, and what was fitted to the training part. Loads no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from seglab.config.loss_checks import check_of_regions
from seglab.config.run_config import Config
from seglab.config.sections import DataConfig, ModelConfig
from seglab.data.cache.case_cache import Cache
from seglab.data.cache.in_memory import store_in_memory
from seglab.data.cases import SPLIT_NAMES, Case, Source, check_source
from seglab.data.check.config_conflicts import find_intentions
from seglab.data.check.findings import DataReport, check_names
from seglab.data.check.quick_check import check_short
from seglab.data.digest import remembered
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint, class_frequencies
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing, CaseStore
from seglab.data.preprocessing.normalisation import Preprocessing, fit_preprocessing
from seglab.data.previous_stage import PreviousStage
from seglab.data.prompts.channels import PROMPT_CHANNELS
from seglab.data.prompts.objects import SMALLEST_OBJECT, SceneObject
from seglab.data.prompts.prompted_cases import PromptedCases, objects_in, prompted_task
from seglab.data.splits import Split, split_for
from seglab.errors import ConfigError, DataError, nearest
from seglab.metric_names import VAL, Column, MetricName, check_class_names
from seglab.runtime.terminal import Terminal
from seglab.runtime.waiting import step
from seglab.task import Task

console = Terminal(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class TrainingData:
    """The checked data of a run.

    Attributes:
        source: reads the cases as they are.
        split: which case is for what.
        task: the source's task, with the class shares of the training split.
        preprocessing: fitted on the training split.
        digest: SHA-256 of the data's contents.
        arrays: training and validation cases, decoded and prepared once.
        facts: what is known of each case of the split, by its id.
        report: what the data check found and `data.allow` let through.
        objects: of each training and validation case, by its id, for a promptable network: then `task` and
            `preprocessing` are of an image with a prompt. None for any other.
    """

    source: Source
    split: Split
    task: Task
    preprocessing: Preprocessing
    digest: str
    arrays: CaseStore
    facts: Mapping[str, CaseFingerprint]
    report: DataReport
    objects: Mapping[str, tuple[SceneObject, ...]] | None = None

    def cases(self, name: str) -> list[Case]:
        """The cases of one split (`train`, `val`, `test`), in the split's order."""
        return _named(self.source, getattr(self.split, name))

    def scored(self, name: str, card: DataConfig, seed: int) -> tuple[Source, Sequence[Case]]:
        """What a split is scored on, and what reads it: its cases, or for a promptable network their objects."""
        if self.objects is None:
            return self.source, self.cases(name)
        objects = PromptedCases(self.source, self.cases(name), CasePreprocessing.of(card), card.size, seed)
        return objects, objects.cases


def gather(config: Config) -> TrainingData:
    """Find the cases, split them, read each once, fit the preprocessing.

    Training and validation cases come from the cache in `data.cache_dir`, or are built into it; generated ones, which
    have no files, are held in memory. Test cases are only examined, so that a file which cannot be used is known before
    the first epoch and not after the last.

    Raises:
        DataError: files that cannot be used, or a split that cannot be made of them.
    """
    card = config.data_config
    check_names(card.allow)
    with step("finding the files"):
        source: Source = config.data.build()
    check_source(source)
    if source.task.rank != card.rank:
        raise DataError(
            "data of another rank than its config says",
            code="data-rank",
            where="data.rank",
            found=f"{source.task.rank}D files",
            expected=f"{card.rank}D",
            remedy=f"set data.rank={source.task.rank} and choose a model of that rank",
        )
    files = any(case.image for case in source.cases)
    with step("taking the digest of the data"), remembered(Path(card.cache_dir)) if files else nullcontext():
        digest = source.digest()
    collector = _Collector(source, digest, card, files)
    foreground = None
    if card.stratify:  # only then is a split a matter of what the cases hold
        facts, _ = collector.collect(source.cases)
        foreground = {case_id: fact.share_of(source.task.scored) for case_id, fact in facts.items()}
    split = split_for(source, card, config.seed, foreground)
    _check_parts(split, config, source.task)
    training = _named(source, split.train)
    facts, arrays = collector.collect([*training, *_named(source, split.val)], _named(source, split.test))
    report = check_short(source, split, facts, card, find_intentions(config, source, split, facts))
    report.raise_unless_allowed()
    training_data = TrainingData(
        source=source,
        split=split,
        task=source.task.with_frequencies(class_frequencies(facts, training)),
        preprocessing=fit_preprocessing(arrays, source.task, split.train, card.normalize, facts),
        digest=digest,
        arrays=arrays,
        facts=facts,
        report=report,
    )
    if getattr(source, "previous", None) is not None:
        return _after_first_stage(training_data, config.model_config)
    return prompted(training_data) if config.model_config.prompted else training_data


def examined(source: Source, card: DataConfig, cases: Sequence[Case]) -> tuple[str, dict[str, CaseFingerprint]]:
    """The digest of a source, and the facts of some of its cases, from the cache or read into it.

    Raises:
        DataError: a case that cannot be read.
    """
    files = any(case.image for case in source.cases)
    with step("taking the digest of the data"), remembered(Path(card.cache_dir)) if files else nullcontext():
        digest = source.digest()
    return digest, _Collector(source, digest, card, files).collect([], cases)[0]


def prompted(training_data: TrainingData) -> TrainingData:
    """The same data for a promptable network: with the objects of each case, one object at a time as the task.

    Raises:
        DataError: no object to train on.
    """
    task, arrays, split = training_data.source.task, training_data.arrays, training_data.split
    with step("finding the objects"):
        objects = {
            case.id: objects_in(case, arrays.read(case.id)[1], task)
            for name in ("train", "val")
            for case in training_data.cases(name)
        }
    for name in ("train", "val"):
        ids = getattr(split, name)
        if ids and not any(objects[case_id] for case_id in ids):
            raise DataError(
                "a promptable network needs objects, and the masks hold none",
                code="no-object",
                where=f"the {name} split",
                found=f"{len(ids)} cases without an object of {', '.join(task.class_names[k] for k in task.scored)}",
                expected=f"one of {SMALLEST_OBJECT} pixels or more, at the size that the cases are prepared at",
                remedy="check the labels; data.resize_mode=patch leaves images at their own size",
            )
    return replace(
        training_data,
        task=prompted_task(task),
        preprocessing=replace(training_data.preprocessing, prompts=PROMPT_CHANNELS),
        objects=objects,
    )


def _after_first_stage(training_data: TrainingData, model: ModelConfig) -> TrainingData:
    """The same data for the second stage of a cascade: a channel more for each foreground class of the first stage.

    Raises:
        ConfigError: a promptable network.
        DataError: folds that are not those of the first stage.
    """
    if model.prompted:
        raise ConfigError(
            "a promptable network as the second stage of a cascade",
            code="previous-stage-prompted",
            where="model, data.previous_stage",
            found=model.name,
            expected="a network of images",
            remedy="data.previous_stage=null",
        )
    if training_data.task.regions:
        raise DataError(
            "regions that overlap, and a first stage's mask, in which they do not",
            code="previous-stage-regions",
            where="data.previous_stage",
            found=f"regions {', '.join(training_data.task.class_names[1:])}",
            expected="classes, one for each voxel",
            remedy="data.previous_stage=null",
        )
    previous: PreviousStage = training_data.source.previous  # type: ignore[attr-defined]
    previous.check_tested(training_data.split.test)
    return behind_masks(training_data)


def behind_masks(training_data: TrainingData) -> TrainingData:
    """The same data for a network that gets the mask of a first stage: a channel more for each foreground class."""
    task, more = training_data.task, training_data.task.classes - 1
    return replace(
        training_data,
        task=replace(task, channels=task.channels + more),
        preprocessing=replace(training_data.preprocessing, previous=more),
    )


def _check_parts(split: Split, config: Config, task: Task) -> None:
    check_class_names(task.score_names, f"the classes of data={config.data.name}")
    metrics = [metric.target for metric in config.metrics]
    check_of_regions(task, config.loss.target, config.loss.arguments, metrics)
    if not split.train:
        raise DataError(
            "no case to train on",
            code="no-case",
            where="data.split",
            found={n: len(getattr(split, n)) for n in SPLIT_NAMES},
            remedy="add more cases or groups, or give training a larger share of them",
        )
    if not split.val and MetricName.parse(config.trainer.monitor).stage == VAL:
        raise DataError(
            "no case to validate on",
            code="no-case",
            where="data.split",
            found=f"monitor {config.trainer.monitor} and an empty validation split",
            expected="one case or more to validate on",
            remedy="add validation cases, or set trainer.monitor=train_dice",
        )
    metric, a_class = Column.parse(config.trainer.monitor)
    if a_class and a_class not in task.score_names:
        raise ConfigError(
            "a monitored class that the data does not have",
            code="unknown-monitored-class",
            where="trainer.monitor",
            found=config.trainer.monitor,
            expected=f"{metric}/ and one of {', '.join(task.score_names)}",
            remedy=nearest(a_class, task.score_names) or f"trainer.monitor={metric}",
        )


class _Collector:
    """Facts and arrays, from the cache or from memory."""

    def __init__(self, source: Source, digest: str, card: DataConfig, files: bool):
        self._source, self._digest, self._card, self._files = source, digest, card, files
        self._preparation = CasePreprocessing.of(card)

    def collect(
        self, whole: Sequence[Case], examined: Sequence[Case] = ()
    ) -> tuple[dict[str, CaseFingerprint], CaseStore]:
        """As `Cache.collect` and `hold`."""
        if not self._files:
            return store_in_memory(self._source, self._preparation, whole, examined)
        cache = Cache(
            self._source,
            self._digest,
            self._preparation,
            Path(self._card.cache_dir),
            self._card.cache_gb,
            say=lambda text: console.print(f"cache      {text}", markup=False),
        )
        return cache.collect(whole, examined)


def _named(source: Source, ids: Sequence[str]) -> list[Case]:
    by_id = {case.id: case for case in source.cases}
    return [by_id[case_id] for case_id in ids]
