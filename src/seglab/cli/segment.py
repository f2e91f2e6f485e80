"""`seglab segment`: a mask for what a box or clicks name."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from seglab.cli.words import read, setting
from seglab.errors import ConfigError, DataError
from seglab.runtime.waiting import Waiting, step
from seglab.safety.shown_text import in_line

if TYPE_CHECKING:
    from seglab.interactive.prompt_models import PromptModel

_EXAMPLES = """examples:
  seglab segment image=photo.jpg box=[256,192,768,576] points=[[512,384,1],[307,230,0]] out=outputs/
                                                          a box, a click on the object and one beside it
  seglab segment images=data/images box=center out=outputs/
                                                          the object in the middle of each image of a folder
  seglab segment image=photo.jpg points=[[512,384,1]] model=sam_vit_b checkpoint=sam_vit_b_01ec64.pth out=outputs/
  seglab segment image=volume.nii.gz box=[20,30,12,44,52,12] points=[[30,40,20,1]] out=outputs/
                                                          a box on the slice z = 12 and a click on another, carried
                                                          through the volume; also NRRD, MetaImage, a stack in TIFF,
                                                          a folder of DICOM slices, or one DICOM file (z = 0)

what is written to the folder out=, for an image x:
  x.png            the mask, 255 on the object
  x_overlay.png    the image with the mask in colour
  segments.csv     a row for each image: image, tight box, score, area, perimeter, share of the box that is mask,
                   components, milliseconds, what the guard did, and warnings
  prompts.jsonl    a line for each image: the prompt in pixels of the image, with the image's size and the model
of a volume: x.nii.gz (1 on the object) in the volume's own geometry, and a row with voxels and mm³"""
# Of files that are volumes whatever they hold, one slice of DICOM too; a TIFF is one where it has several pages.
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima")


@dataclass(frozen=True, kw_only=True)
class SegmentWords:
    """Write a mask of the object that a box, clicks or both show. Coordinates are pixels of the image after its EXIF
    rotation, x to the right and y down; a whole number is the centre of a pixel. Of a volume: voxels of the file."""

    image: str | None = setting("file of one image", default=None)
    images: str | None = setting("a folder or a pattern in quotes, instead of image", default=None)
    box: tuple[float | Literal["center"], ...] | None = setting(
        "[x0,y0,x1,y1] around the object, or center for the middle half of each image; of a volume [x0,y0,z0,x1,y1,z1] "
        "on one slice",
        default=None,
    )
    points: tuple[tuple[float, ...], ...] = setting(
        "[[x,y,label],…]: label 1 on the object, 0 beside it; of a volume [x,y,z,label]", default=()
    )
    model: str = setting(
        "grabcut (needs no weights), click_unet, sam_vit_b, sam_vit_l, sam_vit_h or mobile_sam", default="grabcut"
    )
    checkpoint: str | None = setting(
        "file of the model's weights; null: the shipped ones, if there are any", default=None
    )
    precision: str = setting(
        "number format of the encoder of SAM: float32, mixed_bfloat16, mixed_float16 or auto", default="float32"
    )
    candidate: Annotated[int, Field(ge=0, le=2)] | None = setting(
        "which of the model's three masks; null: the one with the best score", default=None
    )
    pixel_mm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = setting(
        "side of a pixel in mm: the table has area and perimeter in mm too; a volume tells its own", default=None
    )
    out: str = setting("folder to write to; not the folder of the images")
    overwrite: bool = setting("replace masks that were written before", default=False)


def read_words(words: Sequence[str]) -> SegmentWords:
    """What the words of the command line say; raises `ConfigError` for words that do not fit together."""
    settings = read(SegmentWords, words, "segment", _EXAMPLES)
    if (settings.image is None) == (settings.images is None):
        raise ConfigError(
            "one image or a folder of them",
            code="settings-exclude",
            where="image, images",
            found="neither" if settings.image is None else "both",
            expected="one of them",
            remedy="image=photo.jpg, or images=folder",
        )
    wrong = [list(point) for point in settings.points if len(point) != (4 if _of_volume(settings) else 3)]
    if wrong:
        raise ConfigError(
            "a point that is not its coordinates and a label",
            code="prompt-form",
            where="points",
            found=wrong[0],
            expected=f"x, y, {'z, ' * _of_volume(settings)}and 1 on the object or 0 beside it",
            remedy="points=[[30,40,12,1]]; z is 0 in a file of one slice"
            if _of_volume(settings)
            else "points=[[512,384,1],[307,230,0]]",
        )
    of_images = {
        "candidate": settings.candidate is not None,
        "box=center": "center" in (settings.box or ()),
        "pixel_mm": settings.pixel_mm is not None,
    }
    if any(of_images.values()) and _of_volume(settings):
        raise ConfigError(
            "a setting that is of images alone",
            code="settings-exclude",
            where="image",
            found=", ".join(name for name, given in of_images.items() if given),
            expected="points and a box on a slice of a volume",
            remedy="box=[20,30,12,44,52,12] lies on the slice z = 12",
        )
    if settings.box is None and not settings.points:
        raise ConfigError(
            "a prompt that names no object",
            code="prompt-without-object",
            where="box, points",
            expected="a box, points or both",
            remedy="box=[x0,y0,x1,y1], box=center, or points=[[x,y,1]]",
        )
    return settings


def _of_volume(settings: SegmentWords) -> bool:
    name = (settings.image or "").lower()
    if name.endswith(_VOLUMES) or not Path(settings.image or "").exists():
        return name.endswith(_VOLUMES)
    from seglab.data.io.dicom_series import is_dicom
    from seglab.data.io.image_files import count_pages
    from seglab.data.io.ome_metadata import is_zarr
    from seglab.data.io.volume_files import is_volume

    path = Path(settings.image or "")
    if is_zarr(path):
        raise ConfigError(
            "a volume of Zarr, which no prompt is carried through",
            code="image-format",
            where="image",
            found=str(path),
            expected="an image, or a volume in NIfTI, NRRD, MetaImage, DICOM or TIFF",
            remedy="save what shows the object as a stack, z, y and x of one channel: with zarr and tifffile, "
            f"tifffile.imwrite('part.tif', zarr.open({str(path)!r})['0'][…], photometric='minisblack'), without ['0'] "
            "where the folder is one array",
        )
    if path.is_dir():
        return is_volume(path)
    if is_dicom(path):
        raise ConfigError(
            "a DICOM file without the ending of one",
            code="image-format",
            where="image",
            found=str(path),
            expected="a name that ends in .dcm or .ima, or the folder of the whole series",
            remedy=f"a copy or a link of that name: {path.name}.dcm; or image={shlex.quote(str(path.parent))} for the "
            "series",
        )
    with suppress(DataError):  # told when it is read
        return name.endswith((".tif", ".tiff")) and count_pages(path) > 1
    return False


def _box(settings: SegmentWords) -> Sequence[float] | str | None:
    if settings.box is None:
        return None
    return "center" if "center" in settings.box else [float(value) for value in settings.box]


def _volume(settings: SegmentWords, model: PromptModel, waiting: Waiting) -> dict[str, Any]:
    """The row of a volume, whose mask is written."""
    from seglab.interactive.volume_segmentation import segment_volume_file

    one = segment_volume_file(
        model,
        Path(settings.image or ""),
        Path(settings.out),
        points=settings.points,
        box=None if settings.box is None else [float(value) for value in settings.box],
        overwrite=settings.overwrite,
        progress=lambda done, total: waiting.tell(f"slice {done} of {total}"),
    )
    assert one.row is not None
    return one.row


def run(words: Sequence[str]) -> int:
    """Segment; 1 where an image could not be used."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = read_words(words)
    with step("loading what reads the images"):
        from seglab.interactive.prompt_models import load_model
        from seglab.interactive.segment import segment_files

    failed = done = 0
    with Waiting() as waiting:
        waiting.tell(f"loading {settings.model}")
        model = load_model(
            settings.model, Path(settings.checkpoint) if settings.checkpoint else None, settings.precision
        )
        if _of_volume(settings):
            row = _volume(settings, model, waiting)
            waiting.clear()
            doubts = f"  {row['warnings']}" if row["warnings"] else ""
            text = f"{row['voxels']} voxels, {row['volume_mm3']:g} mm³, on {row['slices']} slices, {row['ms']:.0f} ms"
            print(in_line(f"{row['image']}: {text}{doubts}"))
            print(in_line(f"1 mask and segments.csv in {settings.out}"))
            return 0
        found = segment_files(
            model,
            [settings.image or settings.images or ""],
            Path(settings.out),
            points=settings.points,
            box=_box(settings),
            candidate=settings.candidate,
            pixel_mm=settings.pixel_mm,
            overwrite=settings.overwrite,
            progress=lambda number, total: waiting.tell(f"image {number + 1} of {total}"),
        )
        for one in found:
            waiting.clear()
            if one.row is None:
                failed += 1
                print(one.error.for_terminal() if one.error else "", file=sys.stderr)
                continue
            done += 1
            row = one.row
            doubts = f"  {row['warnings']}" if row["warnings"] else ""
            text = f"{row['image']}: area {row['area']}, score {row['score']:.3f}, {row['ms']:.0f} ms{doubts}"
            print(in_line(text), flush=True)
    masks = "1 mask" if done == 1 else f"{done} masks"
    print(in_line(f"{masks} and segments.csv in {Path(settings.out)}" if done else "no mask was written"))
    return 1 if failed else 0
