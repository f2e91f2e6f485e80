"""A network that learns from the labelled cases alone, and what it says of all others."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seglab.command import composed_config
from seglab.config.run_config import load_config
from seglab.data.labelled import labelled
from seglab.data.loading.training_data import TrainingData, gather
from seglab.data.preprocessing.case_fingerprint import class_frequencies
from seglab.data.preprocessing.normalisation import fit_preprocessing
from seglab.data.splits import Split
from seglab.evaluation.case_scores import score_case
from seglab.experiment.run_parts import assemble, make_augmentation
from seglab.inference.image_statistics import image_statistics
from seglab.inference.mask_facts import MaskFacts
from seglab.inference.predictor import Predictor
from seglab.metrics.confusion import confusion_matrix
from seglab.monitoring.kept_images import KeptImage
from seglab.monitoring.label_queue import LabelCandidate

POOL, TEST = 300, 60
_SAMPLES = 240  # of an epoch, whatever the number of labelled images: each network sees as many
_SHARES = f"{{train: {POOL / (POOL + TEST)}, val: 0, test: {TEST / (POOL + TEST)}}}"
WORDS = (
    *("data=synthetic2d", "data.size=[48,48]", f"data.count={POOL + TEST}", "data.classes=3"),
    *("data.foreground=[0.005,0.2]", f"data.split={_SHARES}", "data.split_seed=0"),
    *("model=unet_mini", "loss=combined", "optimizer=adam", "augment=light"),
    *("trainer.epochs=12", "trainer.monitor=train_dice", "trainer.patience_epochs=null"),
)


def words(seed: int, labelled_count: int) -> tuple[str, ...]:
    """Settings of a training."""
    return (*WORDS, f"seed={seed}", f"data.patches_per_case={max(1, _SAMPLES // labelled_count)}")


@dataclass(frozen=True)
class Learnt:
    """What a network is worth, and what it says of the cases that nobody has labelled.

    Attributes:
        dice: of each test case, the mean over the scored classes.
        candidates: the unlabelled ones, as the service knows its answers.
    """

    dice: list[float]
    candidates: list[LabelCandidate]


class Pool:
    """The cases: a pool to label from, and a test set that nobody chooses from."""

    def __init__(self) -> None:
        self._all: TrainingData = gather(load_config(composed_config(words(0, POOL))))
        self.ids = self._all.split.train
        self.test = self._all.split.test
        self._images = {case.id: self._all.source.read(case).image for case in self._all.cases("train")}
        self._statistics = {
            case_id: tuple(value for _, value in sorted(image_statistics(image).items()))
            for case_id, image in self._images.items()
        }

    def learn(self, chosen: Sequence[str], seed: int) -> Learnt:
        """Train on the chosen cases from random weights, score, and look at the others."""
        import keras

        config = load_config(composed_config(words(seed, len(chosen))))
        data = self._of(chosen, config.data_config.normalize)
        parts = assemble(config, data, make_augmentation(config, data.task))
        with tempfile.TemporaryDirectory() as place:
            parts.train(config.trainer, Path(place), lambda metrics, epoch: None, stream=None)
        card = config.data_config
        predictor = Predictor(parts.model, data.task, data.preprocessing, tuple(card.size), card.resize_mode)
        dice = []
        for case in data.cases("test"):
            sample, truth = labelled(data.source, case)
            mask = predictor.predict(sample.image, sample.spacing)
            dice.append(score_case(confusion_matrix(truth, mask, data.task), data.task)["dice"])
        left = [case_id for case_id in self.ids if case_id not in set(chosen)]
        found = [self._candidate(case_id, predictor) for case_id in left]
        keras.backend.clear_session()
        return Learnt(dice, found)

    def _of(self, chosen: Sequence[str], normalize: str) -> TrainingData:
        """As `gather` would have it, were these the only labelled cases."""
        everything = self._all
        split = Split(tuple(chosen), (), everything.split.test)
        named = [case for case in everything.cases("train") if case.id in set(chosen)]
        fitted = fit_preprocessing(
            everything.arrays,
            everything.source.task,
            split.train,
            normalize,
            everything.facts,  # type: ignore[arg-type]
        )
        task = everything.source.task.with_frequencies(class_frequencies(everything.facts, named))
        return replace(everything, split=split, task=task, preprocessing=fitted)

    def _candidate(self, case_id: str, predictor: Predictor) -> LabelCandidate:
        facts = MaskFacts(predictor.task)
        predictor.predict(self._images[case_id], seen=facts)
        nowhere = KeptImage(Path(case_id), Path(case_id))
        return LabelCandidate(case_id, case_id, nowhere, facts.entropy, facts.soft_dice, self._statistics[case_id])


def first_labelled(ids: Sequence[str], count: int, seed: int) -> list[str]:
    """What somebody labels before there is any network: a plain draw."""
    return [ids[place] for place in np.random.default_rng(seed).permutation(len(ids))[:count]]
