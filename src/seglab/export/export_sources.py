"""Where an export takes its model and its images from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.errors import ConfigError, DataError
from seglab.evaluation.subject import EvaluationSubject, find_subject
from seglab.export.export_targets import Target, check_targets
from seglab.export.request import ExportRequest
from seglab.inference.bundle import FIRST_STAGE, Bundle, read_bundle
from seglab.inference.ensembles import no_single_network

if TYPE_CHECKING:
    from seglab.tracking.bundles import FoundBundle


@dataclass(frozen=True)
class Sources:
    """Where the model and the images come from."""

    found: FoundBundle
    bundle: Bundle
    scored: EvaluationSubject | None
    training: EvaluationSubject | None


def check_bundle(bundle: Bundle, folder: Path, graph: str) -> None:
    """See that one graph can hold what a bundle does.

    Raises:
        DataError: an ensemble of several plans of windows, also as the first stage of a cascade; or steps after the
            network, which no graph has.
    """
    first = folder / FIRST_STAGE
    for place, one in [(folder, bundle)] + ([(first, read_bundle(first))] if bundle.both_stages else []):
        if one.mixed:
            raise no_single_network(place, one)
    if bundle.postprocessing and graph == "end_to_end":
        raise DataError(
            "a graph that is to give masks, of a bundle whose masks are postprocessed",
            code="export-postprocessing",
            where="graph=end_to_end",
            found="; ".join(step.sentence(bundle.task) for step in bundle.postprocessing),
            expected="graph=logits, behind which seglab does these steps; or a bundle without them",
            remedy="graph=logits; or make the ensemble anew with postprocessing=false",
        )


def find_sources(request: ExportRequest, targets: Sequence[Target], directory: Path) -> Sources:
    """The model and the images that a request names; those that int8 is fitted to only where a target is int8.

    Whether the model can go to the targets is checked before its data are looked for; raises as `check_targets`,
    `check_bundle` and `find_subject`.
    """
    from seglab.tracking.bundles import resolve_bundle

    found = resolve_bundle(request.reference, request.tracking_uri, directory)
    bundle = read_bundle(found.folder)
    check_targets(targets, bundle)
    check_bundle(bundle, found.folder, request.graph)

    def subject(split: str) -> EvaluationSubject:
        return find_subject(found, split, request.data, uri=request.tracking_uri, directory=directory)

    quantised = [target.precision for target in targets if target.quantised]
    if quantised and not request.accuracy:
        raise ConfigError(
            "an int8 model that nobody has measured",
            code="export-unmeasured",
            where="accuracy=false",
            found=f"precision={quantised[0]}",
            expected="labelled cases to measure the loss on",
            remedy="leave accuracy=false out, or precision=float32",
        )
    if not request.accuracy:
        return Sources(found, bundle, None, None)
    scored = subject(request.split)
    return Sources(
        scored.found, scored.bundle, scored, subject("train") if any(target.calibrated for target in targets) else None
    )
