"""The four scores of the Cityscapes benchmark, over its own label ids, as its evaluation script counts them.

Cordts et al., The Cityscapes dataset for semantic urban scene understanding, 2016. IoU of a class or a category comes
from the pixels of all images; the instance-level iIoU weighs each true instance's pixels with the average size of its
class over the size of that instance, so that far and small ones count as much as near ones. False positives belong to
no instance and stay unweighted. Pixels whose true label is ignored are no false positives of anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.data.labels.label_schema import Label
from seglab.errors import DataError, nearest

# Average pixels of an instance in the training images, as the benchmark fixes them, for every label with instances.
AVERAGE_SIZE = {
    "bicycle": 4672.3249222261,
    "caravan": 36771.8241758242,
    "motorcycle": 6298.7200839748,
    "rider": 3930.4788056518,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "car": 12794.0202738185,
    "person": 3462.4756337644,
    "truck": 27855.1264367816,
    "trailer": 16926.9763313609,
}
FIRST_INSTANCE = 1000  # ids above are label id · 1000 + number of the instance


class CityscapesScores:
    """Takes images one by one, then gives class IoU, category IoU, iIoU class and iIoU category.

    Args:
        labels: the official table; labels with a negative id are in no image.
    """

    def __init__(self, labels: Sequence[Label]):
        self._labels = {label.id: label for label in labels if label.id >= 0}
        size = max(self._labels) + 1
        self._confusion = np.zeros((size, size), np.int64)
        self._true = {name: np.zeros(size) for name in ("class", "category")}  # weighted pixels that were found
        self._missed = {name: np.zeros(size) for name in ("class", "category")}
        names = list(dict.fromkeys(label.category for label in self._labels.values()))
        self._members = {name: [i for i, label in self._labels.items() if label.category == name] for name in names}
        self._category = np.full(size, -1)
        for number, members in enumerate(self._members.values()):
            self._category[members] = number
        self._counted = [i for i, label in self._labels.items() if not label.ignored]

    def add(self, prediction: np.ndarray, truth: np.ndarray, instances: np.ndarray | None = None) -> None:
        """Counts one image.

        Args:
            prediction: `(H, W)` official label ids.
            truth: `(H, W)` official label ids (`labelIds`).
            instances: `(H, W)` instance ids (`instanceIds`); without them the image adds to no iIoU.

        Raises:
            DataError: an id that is no label.
        """
        size = len(self._confusion)
        for ids, what in ((truth, "the truth"), (prediction, "the prediction")):
            strange = [int(i) for i in np.unique(ids) if int(i) not in self._labels]
            if strange:
                raise DataError(
                    "label ids that Cityscapes does not have",
                    code="cityscapes-classes",
                    where=what,
                    found=strange[:8],
                    expected=f"ids from {min(self._labels)} to {max(self._labels)}",
                    remedy="use the files *_gtFine_labelIds.png",
                )
        pairs = truth.astype(np.int64).ravel() * size + prediction.ravel()
        self._confusion += np.bincount(pairs, minlength=size * size).reshape(size, size)
        if instances is not None:
            self._add_instances(prediction, instances)

    def _add_instances(self, prediction: np.ndarray, instances: np.ndarray) -> None:
        inside = instances > FIRST_INSTANCE
        ids, which, pixels = np.unique(instances[inside], return_inverse=True, return_counts=True)
        owners, predicted = ids // FIRST_INSTANCE, prediction[inside].astype(np.int64)
        hits = {
            "class": predicted == owners[which],
            "category": self._category[predicted] == self._category[owners[which]],
        }
        for level, right in hits.items():
            found = np.bincount(which, right, minlength=len(ids))
            for owner, hit, size in zip(owners, found, pixels, strict=True):
                label = self._labels[int(owner)]
                if not label.ignored:
                    weight = AVERAGE_SIZE[label.name] / size
                    self._true[level][owner] += hit * weight
                    self._missed[level][owner] += (size - hit) * weight

    def result(self) -> dict[str, float]:
        """The scores by name: `cityscapes_iou_class`, `cityscapes_iiou_class` and the same two with `_category`.

        Each is the mean over what is defined; with `/<class>` or `/<category>` it is that one's, NaN where neither
        truth nor prediction holds it. What the benchmark ignores, and what has no instances for iIoU, is left out.
        """
        scores: dict[str, float] = {}
        # All label ids of each class and category; those that are counted may be fewer.
        levels = {"class": {self._labels[i].name: [i] for i in self._counted}, "category": self._members}
        for level, members in levels.items():
            counted = {name: [i for i in ids if i in self._counted] for name, ids in members.items()}
            iou = {name: self._iou(ids) for name, ids in counted.items() if ids}
            instance_iou = {
                name: self._instance_iou(counted[name], members[name], level)
                for name in iou
                if all(self._labels[i].name in AVERAGE_SIZE for i in members[name])
            }
            for kind, values in (("iou", iou), ("iiou", instance_iou)):
                defined = [value for value in values.values() if not np.isnan(value)]
                scores[f"cityscapes_{kind}_{level}"] = float(np.mean(defined)) if defined else np.nan
                scores |= {f"cityscapes_{kind}_{level}/{name}": value for name, value in values.items()}
        return scores

    def _false_positives(self, ids: Sequence[int], predicted: Sequence[int]) -> int:
        others = [i for i in self._counted if i not in ids]
        return int(self._confusion[np.ix_(others, predicted)].sum())

    def _iou(self, ids: Sequence[int]) -> float:
        right = int(self._confusion[np.ix_(ids, ids)].sum())
        union = int(self._confusion[ids].sum()) + self._false_positives(ids, ids)
        return right / union if union else np.nan

    def _instance_iou(self, ids: Sequence[int], predicted: Sequence[int], level: str) -> float:
        right = float(self._true[level][list(ids)].sum())
        union = right + float(self._missed[level][list(ids)].sum()) + self._false_positives(ids, predicted)
        return right / union if union else np.nan


def label_ids_of(class_names: Sequence[str], labels: Sequence[Label]) -> np.ndarray:
    """The official label id that each class of a model stands for, `(K,)`.

    A class is a label of that name, or else a category, which any of its counted labels stands for: the category
    scores do not depend on which. An ignored label or category (`void`) gets an ignored id.

    Raises:
        DataError: a class that is neither a label nor a category.
    """
    by_name = {label.name: label.id for label in reversed(labels) if label.id >= 0}
    for label in sorted(labels, key=lambda label: (label.ignored, label.id)):
        if label.id >= 0:
            by_name.setdefault(label.category, label.id)
    for name in class_names:
        if name not in by_name:
            raise DataError(
                "a class that Cityscapes does not have",
                code="cityscapes-classes",
                where="the model's classes",
                found=name,
                expected="labels or categories of the official table",
                remedy=nearest(name, by_name) or "score the model on data with its own classes",
            )
    return np.array([by_name[name] for name in class_names])
