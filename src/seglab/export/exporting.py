"""From a run to a folder for each target: converted, examined on whole cases, described, verified, then put in place.

Everything is made beside its place and moved there in the end, so that a refused or broken export leaves nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.labelled import labelled
from seglab.errors import ConfigError, DataError
from seglab.evaluation.subject import EvaluationSubject, find_subject
from seglab.export.accuracy import accuracy, check, limits_of
from seglab.export.calibration import Calibration, calibrate
from seglab.export.end_to_end import check_size
from seglab.export.examining import Answer, Examination, Examiner, write_case
from seglab.export.folder import (
    ACCURACY,
    ANSWER,
    GIVEN,
    IMAGE,
    LATENCY,
    MANIFEST,
    MASK,
    README,
    SBOM,
    read_folder,
    sha256,
    write_json,
    write_sums,
)
from seglab.export.inventory import bill_of_materials, copy_licences
from seglab.export.latency import RUNS as LATENCY_RUNS
from seglab.export.manual import manual
from seglab.export.signing import sign
from seglab.export.targets import ExportRefused, Target, check_targets, targets_of
from seglab.export.verification import verify_apart
from seglab.inference.bundle import MODEL_FILE, Bundle, read_bundle
from seglab.inference.example import example_image
from seglab.metrics.confusion import confusion_matrix
from seglab.run_record import RUNS
from seglab.safety.untrusted_files import read_any_json

if TYPE_CHECKING:
    from seglab.tracking.bundles import FoundBundle

Tell = Callable[[str], None]
C_PROGRAM = "run.c"


@dataclass(frozen=True)
class Request:
    """What is asked for; each field is a word `<field>=<value>` of the command line.

    Attributes:
        out: folder to make, with one folder a target.
        run, model, bundle: one of them: id of a run; `models:/<name>@<alias>`; folder of a bundle.
        format: of `seglab.export.targets.FORMATS`.
        precision: `float32`, `int8`.
        graph: `logits`, or `end_to_end` for raw pixels in and class ids out.
        image_size: of the image that an end-to-end graph takes; the network's when None.
        split: that accuracy is measured on.
        data: words that begin with `data`, for the data in another place; see `find_subject`.
        accuracy: False to export without any labelled image: only the example is compared then.
        calibration: training cases that int8 is fitted to.
        allow_drop: Dice that int8 may lose; None for the rule.
        key: Ed25519 key in PEM to sign with.
        tracking_uri: where the run is recorded; None for the store in `mlruns/`.
    """

    out: str
    run: str | None = None
    model: str | None = None
    bundle: str | None = None
    format: tuple[str, ...] = ("openvino", "onnx")
    precision: tuple[str, ...] = ("float32",)
    graph: str = "logits"
    image_size: tuple[int, ...] | None = None
    split: str = "test"
    data: tuple[str, ...] = ()
    accuracy: bool = True
    calibration: int = 64
    allow_drop: float | None = None
    key: str | None = None
    tracking_uri: str | None = None

    @property
    def reference(self) -> str:
        """The model that is exported."""
        given = [word for word in (self.run, self.model, self.bundle) if word]
        if len(given) != 1:
            raise ConfigError(
                "one model is exported",
                code="one-model",
                where="run, model, bundle",
                found=", ".join(given) or "none",
                expected="run=<id>, model=models:/<name>@<alias> or bundle=<folder>",
                remedy="see the runs with: seglab ui",
            )
        return given[0]


@dataclass(frozen=True)
class _Sources:
    """Where the model and the images come from."""

    found: FoundBundle
    bundle: Bundle
    scored: EvaluationSubject | None
    training: EvaluationSubject | None


def export(request: Request, *, directory: Path = RUNS, tell: Tell = lambda _: None) -> Path:
    """Export a model to every target that is asked for.

    Args:
        request: what to export.
        directory: the local folder of runs.
        tell: told what is being done.

    Returns:
        The folder, which holds one folder a target.

    Raises:
        ConfigError, DataError, TrackingError: nothing was begun.
        ExportRefused: a target is not what was trained; nothing is left.
    """
    out = _checked_place(Path(request.out))
    targets = targets_of(request.format, request.precision, request.graph)
    sources = _sources(request, targets, directory)
    check_targets(targets, sources.bundle)
    size = tuple(request.image_size or sources.bundle.size)
    if request.graph == "end_to_end":
        check_size(sources.bundle, size)
    tell("loading TensorFlow")
    from seglab.runtime.reproducibility import load_tensorflow

    load_tensorflow()
    from seglab.export.reference import Reference

    reference = Reference(sources.found.folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        calibration = None
        if sources.training is not None:
            tell("choosing training cases to calibrate with")
            calibration = calibrate(
                reference.predictor, sources.training.source, sources.training.cases, request.calibration
            )
        for target in targets:
            tell(f"converting to {target.name}")
            _convert(reference, target, partial / target.name, calibration, size, sources, request)
        _examine(reference, targets, partial, sources, request, tell, size)
        for target in targets:
            _finish(target, partial / target.name, sources.bundle, request, tell)
        partial.chmod(0o755)
        if out.exists():
            out.rmdir()  # an empty one, unless somebody has written to it meanwhile
        partial.rename(out)
    except OSError as error:
        raise DataError(
            "an export that cannot be written; nothing of it is left",
            code="file-unwritable",
            where=str(error.filename or out),
            found=error.strerror or str(error),
            expected="room, permission, and nobody else who exports to the same folder",
            remedy="free some space, or choose another folder",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _checked_place(out: Path) -> Path:
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ConfigError(
            "a folder that is not empty, in the place of an export",
            code="folder-not-empty",
            where=f"out={out}",
            expected="no such folder, or an empty one",
            remedy="choose another folder, or move that one away",
        )
    return out


def _sources(request: Request, targets: Sequence[Target], directory: Path) -> _Sources:
    from seglab.tracking.bundles import resolve_bundle

    def subject(split: str) -> EvaluationSubject:
        return find_subject(request.reference, split, request.data, uri=request.tracking_uri, directory=directory)

    int8 = any(target.precision == "int8" for target in targets)
    if int8 and not request.accuracy:
        raise ConfigError(
            "an int8 model that nobody has measured",
            code="export-unmeasured",
            where="accuracy=false",
            found="precision=int8",
            expected="labelled cases to measure the loss on",
            remedy="leave accuracy=false out, or precision=float32",
        )
    if not request.accuracy:
        found = resolve_bundle(request.reference, request.tracking_uri, directory)
        return _Sources(found, read_bundle(found.folder), None, None)
    scored = subject(request.split)
    return _Sources(scored.found, scored.bundle, scored, subject("train") if int8 else None)


def _convert(
    reference: Any,
    target: Target,
    folder: Path,
    calibration: Calibration | None,
    size: tuple[int, ...],
    sources: _Sources,
    request: Request,
) -> None:
    """Write a target's model, manifest and example, and their digests."""
    from seglab.export.manifest import make_manifest

    folder.mkdir()
    used = calibration if target.precision == "int8" else None
    reference.write(target, folder, size, used)
    program = target.format == "openvino" and target.graph == "logits"
    if program:
        shutil.copyfile(Path(__file__).with_name(C_PROGRAM), folder / C_PROGRAM)
    manifest = make_manifest(
        target,
        folder,
        sources.bundle,
        trained_in=reference.trained_in,
        run=_run_of(sources.found),
        digest=sha256(sources.found.folder / MODEL_FILE),
        calibration=used,
        image_size=size,
        c_program=program,
    )
    write_json(folder / MANIFEST, manifest)
    whole = target.graph == "end_to_end"
    image = example_image(sources.bundle, size if whole else None)
    image = image.astype(np.uint8) if whole else image
    mask = reference.predictor.predict(image, sources.bundle.spacing)
    given = image[None] if whole else reference.predictor.inputs(image, sources.bundle.spacing)
    answer = mask[None] if whole else reference.network.logits(given)
    for name, array in ((IMAGE, image), (GIVEN, given), (ANSWER, answer), (MASK, mask)):
        np.save(folder / name, array)
    write_sums(folder)


def _run_of(found: FoundBundle) -> dict[str, str]:
    return {} if found.run is None else {"id": found.run.info.run_id, "name": found.run.info.run_name or ""}


def _examine(
    reference: Any,
    targets: Sequence[Target],
    place: Path,
    sources: _Sources,
    request: Request,
    tell: Tell,
    size: tuple[int, ...],
) -> None:
    """Set every target beside the reference, each in a process of its own; write what came out, or refuse."""
    task = sources.bundle.task
    cases, whole = sources.scored.cases if sources.scored else [], request.graph == "end_to_end"
    answers: dict[str, list[Answer]] = {target.name: [] for target in targets}
    truths: list[np.ndarray] = []
    groups: list[object] = []
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
            mask = reference.predictor.predict(sample.image, sample.spacing)
            window = reference.predictor.inputs(sample.image, sample.spacing)
            file = write_case(
                Path(room) / "case.npz",
                image=sample.image,
                spacing=sample.spacing if sources.bundle.spacing else None,
                truth=truth,
                mask=mask,
                window=window,
                logits=reference.network.logits(window),
            )
            for name, one in asked.items():
                answers[name].append(one.answer(file))
            truths.append(confusion_matrix(truth, mask, task))
            groups.append(case.group)
    for target in targets:
        limits = limits_of(target, resizes=size != sources.bundle.size, allow_drop=request.allow_drop)
        scores: dict[str, Any] = {"cases": 0, "why_not": _why_not(request, size)}
        if truths:
            scores = accuracy(answers[target.name], truths, groups, task)
            check(target, scores, limits, task)
        scores |= {
            "split": sources.scored.name if sources.scored else None,
            "reference": f"Keras in float32; trained in {reference.trained_in}",
            "allowed_drop": request.allow_drop if target.precision == "int8" else None,
        }
        write_json(place / target.name / ACCURACY, scores)


def _why_not(request: Request, size: tuple[int, ...]) -> str:
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
    if asked.told["precision"] != target.precision:
        raise ExportRefused(
            "a model that is not executed in the precision that was asked for",
            where=target.name,
            found=asked.told["precision"],
            expected=target.precision,
            remedy="choose another format or precision",
        )
    manifest["target"]["executed"] = asked.told["precision"]
    write_json(folder / MANIFEST, manifest)
    if target.precision == "int8":
        found = asked.example(room / "example.npz")
        np.save(folder / ANSWER, found["answer"])
        np.save(folder / MASK, found["mask"])


def _finish(target: Target, folder: Path, bundle: Bundle, request: Request, tell: Tell) -> None:
    """Latency, papers, digests, signature; then the folder is verified as whoever gets it would."""
    manifest, scores = read_any_json(folder / MANIFEST), read_any_json(folder / ACCURACY)
    write_sums(folder)
    latency = None
    if target.runtime:
        tell(f"measuring {target.name}")
        latency = _measured(folder)
        write_json(folder / LATENCY, latency)
    file = folder / manifest["file"]
    digest = sha256(file if file.is_file() else file / "saved_model.pb")
    write_json(
        folder / SBOM,
        bill_of_materials(target.name, manifest["file"], digest, target.format, target.precision == "int8"),
    )
    copy_licences(target.format, folder)
    (folder / README).write_text(manual(manifest, bundle, scores, latency), encoding="utf-8")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.chmod(0o755)
    write_sums(folder)
    if request.key:
        sign(folder, Path(request.key))
    tell(f"verifying {target.name}")
    code, said = verify_apart(folder)
    if code:
        raise ExportRefused(
            "an exported model that does not pass its own verification",
            where=target.name,
            found=said,
            remedy="use another format, or report this",
        )


def _measured(folder: Path) -> dict[str, Any]:
    import json

    done = subprocess.run(
        [sys.executable, "-m", "seglab.export.latency", str(folder), str(LATENCY_RUNS)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ExportRefused(
            "an exported model that does not run",
            where=folder.name,
            found=done.stderr.strip()[-300:],
            remedy="use another format",
        )
    return dict(json.loads(done.stdout))


def log_to_run(request: Request, out: Path, directory: Path = RUNS) -> str | None:
    """Add an export to the run that made the model; returns where it lies now, None for a bundle without a run."""
    from seglab.tracking.append import add_to_run
    from seglab.tracking.bundles import resolve_bundle

    found = resolve_bundle(request.reference, request.tracking_uri, directory)
    if found.run is None or found.store is None:
        return None
    metrics: dict[str, float] = {}
    for place in sorted(out.iterdir()):
        scores = read_any_json(place / ACCURACY)
        if scores["cases"] and scores["dice"]["mean"]["difference"] is not None:
            name = place.name.replace("-", "_")
            metrics[f"export_{name}_dice"] = scores["dice"]["mean"]["target"]
            metrics[f"export_{name}_dice_difference"] = scores["dice"]["mean"]["difference"]
    return add_to_run(found.store, found.run, metrics, out, "export")
