"""What a run learns from: the source, its split, and what was fitted to the training part. Loads no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seglab.config import Config
from seglab.data.cases import Case, Source
from seglab.data.memory import SourceInMemory, class_frequencies
from seglab.data.preprocess import Preprocessing, fit_preprocessing
from seglab.data.splits import SPLIT_NAMES, Split, make_split
from seglab.errors import DataError
from seglab.task import Task


@dataclass(frozen=True)
class Material:
    """The checked data of a run.

    Attributes:
        source: reads the cases.
        split: which case is for what.
        task: the source's task, with the class shares of the training split.
        preprocessing: fitted on the training split.
        digest: SHA-256 of the data's contents.
    """

    source: Source
    split: Split
    task: Task
    preprocessing: Preprocessing
    digest: str

    def cases(self, name: str) -> list[Case]:
        """The cases of one split (`train`, `val`, `test`), in the split's order."""
        by_id = {case.id: case for case in self.source.cases}
        return [by_id[case_id] for case_id in getattr(self.split, name)]


def gather(config: Config) -> Material:
    """Find the cases, split them, read them all once, fit the preprocessing.

    Training and validation cases stay in memory, as `SourceInMemory` holds them. Test cases are only read, so that a
    file which cannot be used is known before the first epoch and not after the last.

    Raises:
        DataError: files that cannot be used, or a split that cannot be made of them.
    """
    card = config.data_card
    source = SourceInMemory(config.data.build())
    if source.task.rank != card.rank:
        raise DataError(
            "data of another rank than its config says",
            where="data.rank",
            found=f"{source.task.rank}D files",
            expected=f"{card.rank}D",
            remedy=f"set data.rank={source.task.rank} and choose a model of that rank",
        )
    split = make_split(
        source.cases,
        train=card.split.train,
        val=card.split.val,
        test=card.split.test,
        seed=config.seed if card.split_seed is None else card.split_seed,
        predefined=source.split,
    )
    if card.limit_cases is not None:
        split = split.limited(card.limit_cases)
    if card.validate_on_train:
        split = replace(split, val=split.train, test=split.train)
    if not split.train:
        raise DataError(
            "no case to train on", where="data.split", found={n: len(getattr(split, n)) for n in SPLIT_NAMES}
        )
    if not split.val and config.trainer.monitor.startswith("val_"):
        raise DataError(
            "no case to validate on",
            where="data.split",
            found=f"monitor {config.trainer.monitor} and an empty validation split",
            remedy="bring validation cases, or set trainer.monitor=train_dice",
        )
    base = Material(source, split, source.task, Preprocessing("zscore", source.task.channels), "")
    training = base.cases("train")
    source.load(list(dict.fromkeys([*training, *base.cases("val")])))
    source.check(base.cases("test"))
    return replace(
        base,
        task=source.task.with_frequencies(class_frequencies(source, training)),
        preprocessing=fit_preprocessing(source, training, card.normalize),
        digest=source.digest(),
    )
