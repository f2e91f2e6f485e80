"""What a quantised graph is fitted to: inputs of training cases, chosen so that every class is among them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seglab.data.cases import Case, Source
from seglab.errors import DataError
from seglab.inference.predictor import Predictor

LOOKED_AT = 400  # training cases whose classes are counted, at most
WINDOWS_PER_CASE = 2


@dataclass(frozen=True)
class CalibrationInputs:
    """Inputs of the network, and where they come from.

    Attributes:
        inputs: `(N, *size, C)` float32.
        cases: ids of the training cases.
        digest: SHA-256 of the inputs' bytes.
    """

    inputs: np.ndarray
    cases: tuple[str, ...]
    digest: str


def calibrate(
    predictor: Predictor,
    source: Source,
    cases: Sequence[Case],
    count: int,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationInputs:
    """Choose `count` of the training cases and take inputs of each.

    Cases are taken in turn for each class, the class that the fewest cases hold first, so that a rare one is not left
    out.

    Args:
        predictor: prepares them.
        source: reads them.
        cases: of the training split.
        count: cases to choose.
        progress: called with the cases done and in all.

    Raises:
        DataError: no training case.
    """
    if not cases:
        raise DataError(
            "no training case to quantise with",
            code="no-case",
            where="precision=int8",
            expected="the data and the split that the model was trained on",
            remedy="name its run, or its data: data.root=…; or precision=float32",
        )
    step = -(-len(cases) // LOOKED_AT)
    looked_at = cases[::step]
    chosen = choose([_classes(source, case) for case in looked_at], count)
    inputs = []
    for done, number in enumerate(chosen, start=1):
        sample = source.read(looked_at[number])
        inputs.append(predictor.inputs(sample.seen, sample.spacing, WINDOWS_PER_CASE))
        if progress:
            progress(done, len(chosen))
    together = np.concatenate(inputs)
    ids = tuple(looked_at[number].id for number in chosen)
    return CalibrationInputs(together, ids, hashlib.sha256(together.tobytes()).hexdigest())


def choose(classes: Sequence[frozenset[int]], count: int) -> list[int]:
    """Numbers of up to `count` cases that hold these classes, in rising order; each class has a turn, the rarest first.

    Within a class cases are drawn at random, the same for ever, as neighbours in a list are often alike. Cases without
    any class come last.
    """
    holders: dict[int, list[int]] = {}
    for number in np.random.default_rng(0).permutation(len(classes)).tolist():
        for one in classes[number]:
            holders.setdefault(one, []).append(number)
    queues = [holders[one] for one in sorted(holders, key=lambda one: (len(holders[one]), one))]
    chosen: dict[int, None] = {}
    while len(chosen) < count and any(queues):
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < count:
                chosen[queue.pop(0)] = None
    for number in range(len(classes)):
        if len(chosen) < count:
            chosen.setdefault(number)
    return sorted(chosen)


def _classes(source: Source, case: Case) -> frozenset[int]:
    mask = source.read(case).mask
    if mask is None:
        return frozenset()
    return frozenset(int(one) for one in np.unique(mask) if one != source.task.ignore_label)
