"""`seglab predict`: a mask for each image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seglab.cli.words import read, setting, tracking_uri
from seglab.errors import ConfigError
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.tracking.store_place import check_findable

_EXAMPLES = """examples:
  seglab predict 4f0c… photo.png out=masks                           the model of a run, by its id (seglab ui shows it)
  seglab predict run=models:/roadseg@champion street/ out=masks overlay=true
                                                                     every image in a folder, with overlays
  seglab predict dist/roadseg street/ out=masks                      what seglab export made, without TensorFlow
  seglab predict bundle/ 'scans/**/*.nii.gz' out=masks probabilities=true
                                                                     a copied bundle, and files in folders below

what is written to the folder out=, for an image x:
  x.png, x.nii.gz or x.zarr      the mask; each class as the value that it has in the training masks, or its number
  x_overlay.png                  with overlay=true: the image with the classes in colour, and a legend
  x_probabilities.npz, .nii.gz   with probabilities=true: of every class at every pixel, rounded to float16
Where images of several folders share a name, their masks are written to folders of the same names. An image that
cannot be used does not stop the others: it is named at the end, and the exit code is then 1."""


@dataclass(frozen=True, kw_only=True)
class PredictWords:
    """Write a mask for each image: a picture or volume of the image's own size that holds the class of every pixel or
    voxel. The model is one that seglab train made."""

    run: str = setting(
        "the id of a run, models:/<name>@<alias>, the folder of a bundle, or an exported folder, which needs no "
        "TensorFlow",
        positional=True,
        former=("model", "bundle"),
    )
    images: tuple[str, ...] = setting(
        "files, folders, and patterns in quotes: PNG, JPEG, TIFF, … for a 2D model, NIfTI, Zarr, … for a 3D one",
        positional=True,
    )
    out: str = setting("folder to write to; not the folder of the images")
    overlay: bool = setting("also write a picture of each mask on its image", default=False)
    probabilities: bool = setting("also write the probability of each class", default=False)
    overwrite: bool = setting("replace masks that were predicted before", default=False)
    skip_existing: bool = setting("skip images whose mask exists", default=False)
    values: tuple[int, ...] | None = setting(
        "the value to store for each class, such as [0,255]; null: as in the training masks", default=None
    )
    overlap: Annotated[float, Field(ge=0, lt=1)] | None = setting(
        "share by which neighbouring windows overlap, for images larger than the network's input; null: the model's "
        "own, 0.5",
        default=None,
    )
    flips: tuple[int, ...] | None = setting(
        "also predict the image flipped along these axes, such as [0,1], and take the mean: slower, often better",
        default=None,
    )
    postprocessing: bool = setting(
        "do to each mask what the model says, where it says anything (seglab ensemble); false: as the network has it",
        default=True,
    )
    tracking_uri: str | None = tracking_uri()


def read_words(words: Sequence[str]) -> PredictWords:
    """What the words of the command line say.

    Raises:
        ConfigError: they say nothing, or two things at once.
    """
    settings = read(PredictWords, words, "predict", _EXAMPLES)
    if settings.overwrite and settings.skip_existing:
        raise ConfigError(
            "settings that exclude each other",
            code="settings-exclude",
            where="overwrite, skip_existing",
            found="both",
            expected="one of them",
            remedy="overwrite=true predicts all anew, skip_existing=true only what is missing",
        )
    return settings


def run(words: Sequence[str]) -> int:
    """Predict; 1 where an image could not be used."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = read_words(words)
    check_findable(settings.run, settings.tracking_uri, RUNS)
    with step("loading what reads the images"):
        from seglab.export.folder import SUMS
        from seglab.inference.predict_command import predict
        from seglab.inference.predictor import Predictor
        from seglab.run_record import BundleFile

    folder, predictor = Path(settings.run), None
    exported = [*folder.glob(SUMS), *folder.glob(f"*/{SUMS}")]
    if exported and not (folder / BundleFile.CARD).is_file():
        with step(f"loading {settings.run}"):
            from seglab.serving.exported_model import load_model

            found = load_model(folder, name=folder.name)
            predictor = Predictor.of(
                found.predictor.network,
                found.bundle,
                overlap=settings.overlap,
                flips=settings.flips,
                postprocessing=settings.postprocessing,
                first=found.predictor.first,
            )
    return predict(
        settings.run,
        settings.images,
        settings.out,
        overlay=settings.overlay,
        probabilities=settings.probabilities,
        existing="replace" if settings.overwrite else "skip" if settings.skip_existing else "refuse",
        values=settings.values,
        overlap=settings.overlap,
        flips=settings.flips,
        postprocessing=settings.postprocessing,
        tracking_uri=settings.tracking_uri,
        predictor=predictor,
    )
