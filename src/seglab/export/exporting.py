"""From a run to a folder for each target: converted, examined on whole cases, described, verified, then put in place.

Everything is made beside its place and moved there in the end, so that a refused or broken export leaves nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.export.calibration_inputs import CalibrationInputs, calibrate
from seglab.export.end_to_end import check_size
from seglab.export.export_sources import Sources, find_sources
from seglab.export.export_targets import Target, targets_of
from seglab.export.finishing import finish
from seglab.export.folder import ANSWER, GIVEN, IMAGE, LAYERS, MANIFEST, MASK, write_json, write_sums
from seglab.export.graph_operations import check_operations
from seglab.export.graphs import graph_of
from seglab.export.manifest import make_manifest
from seglab.export.output_place import making
from seglab.export.proving import prove
from seglab.export.request import ExportRequest
from seglab.inference.bundle import CARD_FILE, FIRST_STAGE, MODEL_FILE
from seglab.inference.example import example_image
from seglab.run_record import RUNS
from seglab.runtime.file_digest import sha256_of

if TYPE_CHECKING:
    from seglab.tracking.bundles import FoundBundle

Tell = Callable[[str], None]
C_PROGRAM = "run.c"


def export(request: ExportRequest, *, directory: Path = RUNS, tell: Tell = lambda _: None) -> Path:
    """Export a model to every target that is asked for.

    Args:
        request: what to export.
        directory: the local folder of runs.
        tell: called with what is being done.

    Returns:
        The folder, which holds one folder a target.

    Raises:
        ConfigError, DataError, TrackingError: nothing was begun.
        ExportRefused: a target is not what was trained; nothing is left.
    """
    out = request.place
    targets = targets_of(request.format, request.precision, request.graph)
    sources = find_sources(request, targets, directory)
    size = tuple(request.image_size or sources.bundle.size)
    if request.graph == "end_to_end":
        check_size(sources.bundle, size)
    with making(out, tell) as partial:
        tell("loading TensorFlow")
        from seglab.runtime.reproducibility import load_tensorflow

        load_tensorflow()
        from seglab.export.reference import Reference

        reference = Reference(sources.found.folder)
        calibration = None
        if sources.training is not None:
            tell("choosing training cases to calibrate with")
            calibration = calibrate(
                reference.predictor, sources.training.source, sources.training.cases, request.calibration
            )
        for target in targets:
            tell(f"converting to {target.name}")
            _convert(reference, target, partial / target.name, calibration, size, sources)
        prove(reference, targets, partial, sources, request, tell, size)
        for target in targets:
            finish(target, partial / target.name, sources.bundle, request, tell)
    return out


def _convert(
    reference: Any,
    target: Target,
    folder: Path,
    calibration: CalibrationInputs | None,
    size: tuple[int, ...],
    sources: Sources,
) -> None:
    """Write a target's model, manifest and example, and their digests; of a cascade first those of its first stage,
    into a folder of its own within."""
    folder.mkdir()
    bundle = reference.bundle
    if reference.first is not None:
        _convert(reference.first, target, folder / FIRST_STAGE, None, reference.first.bundle.size, sources)
    used = calibration if target.calibrated else None
    layers = reference.write(target, folder, size, used)
    if layers is not None:
        write_json(folder / LAYERS, {"layers": layers})
    program = target.format == "openvino" and target.graph == "logits"
    if program:
        shutil.copyfile(Path(__file__).with_name(C_PROGRAM), folder / C_PROGRAM)
    graph = graph_of(target.format, folder)
    check_operations(target, graph["operations"])
    manifest = make_manifest(
        target,
        graph,
        bundle,
        trained_in=reference.trained_in,
        run=_run_of(sources.found),
        digest=sha256_of(reference.folder / (CARD_FILE if bundle.members else MODEL_FILE)),
        calibration=used,
        image_size=size,
        c_program=program,
    )
    write_json(folder / MANIFEST, manifest)
    whole = target.graph == "end_to_end"
    image = example_image(bundle, size if whole else None)
    image = image.astype(np.uint8) if whole else image
    predictor = reference.predictor
    mask = predictor.predict(image, predictor.example_spacing)
    given = image[None] if whole else predictor.inputs(image, predictor.example_spacing)
    answer = mask[None] if whole else reference.network.logits(given)
    for name, array in ((IMAGE, image), (GIVEN, given), (ANSWER, answer), (MASK, mask)):
        np.save(folder / name, array)
    write_sums(folder)


def _run_of(found: FoundBundle) -> dict[str, str]:
    return {} if found.run is None else {"id": found.run.info.run_id, "name": found.run.info.run_name or ""}
