"""Every target beside the model that it was made from, case by case, in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.labelled import labelled
from seglab.export.accuracy import LOGIT, accuracy, check, limits_of, only_rounded
from seglab.export.examining import CaseComparison, Examination, Examiner, write_case
from seglab.export.export_sources import Sources
from seglab.export.export_targets import ExportRefused, Target
from seglab.export.folder import (
    ACCURACY,
    ANSWER,
    GIVEN,
    IMAGE,
    MANIFEST,
    MASK,
    read_folder,
    write_json,
)
from seglab.export.request import ExportRequest
from seglab.metrics.confusion import confusion_matrix
from seglab.safety.untrusted_files import read_any_json

Tell = Callable[[str], None]


def prove(
    reference: Any,
    targets: Sequence[Target],
    place: Path,
    sources: Sources,
    request: ExportRequest,
    tell: Tell,
    size: tuple[int, ...],
) -> None:
    """Set every target beside the reference, each in a process of its own; write what came out, or refuse."""
    task = sources.bundle.task
    cases, whole = sources.scored.cases if sources.scored else [], request.graph == "end_to_end"
    answers: dict[str, list[CaseComparison]] = {target.name: [] for target in targets}
    truths: list[np.ndarray] = []
    groups: list[object] = []
    worst: dict[str, tuple[float, np.ndarray]] = {}
    exact: dict[str, dict[str, float]] = {}
    with ExitStack() as stack, tempfile.TemporaryDirectory(dir=place) as room:
        asked = {target.name: stack.enter_context(_examination(place / target.name)) for target in targets}
        for target in targets:
            _read_back(target, place / target.name, asked[target.name], Path(room))
        for number, case in enumerate(cases, start=1):
            tell(f"comparing case {number} of {len(cases)}")
            assert sources.scored is not None
            sample, truth = labelled(sources.scored.source, case)
            if whole and sample.image.shape[:-1] != size:
                continue
            mask = reference.predictor.predict(sample.seen, sample.spacing)
            window = reference.predictor.inputs(sample.seen, sample.spacing)
            file = write_case(
                Path(room) / "case.npz",
                image=sample.seen,
                spacing=sample.spacing if reference.predictor.example_spacing else None,
                truth=truth,
                mask=mask,
                window=window,
                logits=reference.network.logits(window),
            )
            for name, one in asked.items():
                answers[name].append(found := one.answer(file))
                if name not in worst or found.logit > worst[name][0]:
                    worst[name] = (found.logit, window)
            truths.append(confusion_matrix(truth, mask, task))
            groups.append(case.group)
        for target in targets:
            if not (target.quantised or whole):
                found_exact = from_exact(
                    reference, asked[target.name], place / target.name, Path(room), worst.get(target.name)
                )
                if found_exact:
                    exact[target.name] = found_exact
    for target in targets:
        limits = limits_of(target, resizes=size != sources.bundle.size, allow_drop=request.allow_drop)
        scores: dict[str, Any] = {"cases": 0, "why_not": _why_not(request, size)}
        if truths:
            scores = accuracy(answers[target.name], truths, groups, task)
            scores |= {"exact": exact[target.name]} if target.name in exact else {}
            check(target, scores, limits, task)
        elif target.quantised:
            raise ExportRefused(
                "a quantised model that nobody has measured; nothing of it is left",
                where=target.name,
                found=scores["why_not"],
                expected="labelled cases to measure the loss on",
                remedy="image_size=… as the cases have it, another split, or precision=float32",
            )
        scores |= {
            "split": sources.scored.name if sources.scored else None,
            "reference": f"Keras in float32; trained in {reference.trained_in}",
            "allowed_drop": request.allow_drop if target.quantised else None,
        }
        write_json(place / target.name / ACCURACY, scores)


def from_exact(
    reference: Any, one: Any, folder: Path, room: Path, worst: tuple[float, np.ndarray] | None
) -> dict[str, float]:
    """Where a target differs by more than the rule in its example or in the window that differs most: how far it and
    the trained model in float32 are from the exact logits, which then is the manifest's rule for the example; see
    `seglab.export.accuracy.only_rounded`. Empty where nothing differs by more."""
    image, given, answer, mask = (np.load(folder / name) for name in (IMAGE, GIVEN, ANSWER, MASK))

    def distance(window: np.ndarray, logits: np.ndarray) -> float:
        file = write_case(
            room / "exact.npz",
            image=image,
            spacing=reference.predictor.example_spacing,
            truth=mask,
            mask=mask,
            window=window,
            logits=logits,
        )
        return float(one.answer(file).logit)

    windows = [given] if worst is None else [given, worst[1]]
    if max(distance(given, answer), 0.0 if worst is None else worst[0]) <= LOGIT:
        return {}
    found = {"target": 0.0, "reference": 0.0}
    for window in windows:
        try:
            exact = reference.exact_logits(window)
        except TypeError:  # TensorFlow has no pooling of volumes in float64: the rule stands as it is
            return {}
        found["target"] = max(found["target"], distance(window, exact))
        rounded = float(np.abs(reference.network.logits(window) - exact).max())
        found["reference"] = max(found["reference"], rounded)
    if only_rounded(found):
        manifest = read_any_json(folder / MANIFEST)
        manifest["target"]["logit"] = found["target"] + found["reference"]
        write_json(folder / MANIFEST, manifest)
    return found


def _why_not(request: ExportRequest, size: tuple[int, ...]) -> str:
    if request.accuracy:
        return f"no case of the split has the size {' × '.join(map(str, size))} that this graph takes"
    return "the exporter asked for none (accuracy=false)"


def _examination(folder: Path) -> Any:
    """A process without TensorFlow; of a SavedModel this one."""
    exported = read_folder(folder)
    if exported.runtime != "savedmodel":
        return Examination(folder)
    from seglab.export.conversion import SAVED_MODEL
    from seglab.export.reference import InThisProcess
    from seglab.inference.backends.savedmodel import SavedModelNetwork

    return InThisProcess(Examiner(SavedModelNetwork(folder / SAVED_MODEL), exported))


def _read_back(target: Target, folder: Path, asked: Any, room: Path) -> None:
    """Write into the manifest what the target is really executed in, and of int8 what it answers to the example."""
    manifest = read_any_json(folder / MANIFEST)
    if asked.reply["precision"] != target.precision:
        raise ExportRefused(
            "a model that is not executed in the precision that was asked for",
            where=target.name,
            found=asked.reply["precision"],
            expected=target.precision,
            remedy="choose another format or precision",
        )
    manifest["target"]["executed"] = asked.reply["precision"]
    write_json(folder / MANIFEST, manifest)
    if target.quantised:
        found = asked.example(room / "example.npz")
        np.save(folder / ANSWER, found["answer"])
        np.save(folder / MASK, found["mask"])
