"""The process that reads a data set for the service: which cases there are, an image, its truth. An id is looked up
among them and never a path."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.cases import SPLIT_NAMES, Case, Source
from seglab.data.io.nifti_headers import is_nifti
from seglab.data.splits import Split
from seglab.serving.errands import Doing, Errand
from seglab.serving.previews import preview, viewable
from seglab.serving.problems import Problem
from seglab.task import Task

# By which a stored file is sent as it is.
_KINDS = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}
_GZIP = "application/gzip"
_Reading = Callable[[dict[str, Any], bytes, Callable[[], None]], tuple[dict[str, Any], bytes]]


def main(line: int, words: Sequence[str]) -> None:
    """Read the data that the words name."""
    doing = Doing(line)
    doing.run(lambda: _begin(json.loads(words[0])))


def _begin(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Errand]]:
    from seglab.evaluation.subject import source_for, split_made_again
    from seglab.export.folder import read_folder, targets_below

    if settings["folder"]:
        bundle = read_folder(targets_below(Path(settings["folder"]))[0]).bundle
        source = source_for(bundle, settings["words"], Path(settings["folder"]))
        showing, split = _Showing(source, bundle.task), split_made_again(bundle, source)
        own = not any(word.startswith("data=") for word in settings["words"])
        stored = own and bool((bundle.config.get("data") or {}).get("stratify"))
    else:
        from seglab.command import composed_config
        from seglab.config.run_config import load_data

        source = load_data(composed_config(settings["words"])).data.build()
        showing, split, stored = _Showing(source, source.task), None, False
    return showing.described(split, stored), {"image": _reading(showing.image), "truth": _reading(showing.truth)}


def _reading(errand: _Reading) -> _Reading:
    """The errand, which tells of a file that went away since the data were found."""

    def read(asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        try:
            return errand(asked, body, between)
        except OSError as error:
            raise Problem(
                404,
                "image-gone",
                "a file of the data set that cannot be read any more",
                f"{asked['id'][:80]}: {error.strerror or type(error).__name__}",
                remedy="whoever runs the service puts the data back, or starts it again with others",
            ) from error

    return read


class _Showing:
    def __init__(self, source: Source, task: Task):
        self._source, self._task = source, task  # the latter as masks are told: the model's, where there is one
        self._cases = {case.id: case for case in source.cases}
        uses = Counter(case.image for case in source.cases)
        self._shared = {case.id for case in source.cases if uses[case.image] > 1}  # pages of one file

    def described(self, trained: Split | None, stored: bool) -> dict[str, Any]:
        """Ids, whether each has a truth, and its split: of the training of the model, where that is known, else of the
        data set, where it brings one; `split_of` says which. A `stored` one only the run of the model knows."""
        if trained is None and stored:
            return {"images": [self._row(case) for case in self._source.cases], "split_of": "stored"}
        parts = (
            {name: getattr(trained, name) for name in reversed(SPLIT_NAMES)} if trained else self._source.split or {}
        )
        splits = {id: name for name, ids in parts.items() for id in ids}
        rows = [self._row(case) for case in self._source.cases]
        rows = [row | ({"split": splits[row["id"]]} if row["id"] in splits else {}) for row in rows]
        return {"images": rows, "split_of": "training" if trained else "data" if splits else ""}

    def _row(self, case: Case) -> dict[str, Any]:
        return {"id": case.id, "truth": _has_truth(case)}

    def image(self, asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        """The stored file; with `preview` a picture that every browser shows, which may be that."""
        case, as_preview = self._case(asked["id"]), asked["preview"]
        etag = _etag(case, case.image, f"image {as_preview}")
        if etag == asked["etag"]:
            return {"etag": etag, "media_type": ""}, b""
        stored = len(case.image) == 1 and (self._source.task.rank == 2 or is_nifti(Path(case.image[0])))
        if stored and case.id not in self._shared:
            content = Path(case.image[0]).read_bytes()
            kind = next((kind for head, kind in _KINDS.items() if content.startswith(head)), "")
            if viewable(content) if as_preview else kind or self._source.task.rank == 3:
                return {"etag": etag, "media_type": kind or _GZIP}, _gzipped(content, self._source.task.rank)
        if as_preview:
            return {"etag": etag, "media_type": "image/png"}, preview(self._source.read_image(case).image)
        sample = self._source.read_image(case)
        if self._source.task.rank == 2:
            return {"etag": etag, "media_type": "image/tiff"}, _tiff(sample.image)
        return {"etag": etag, "media_type": _GZIP}, _nifti(sample.image, sample.affine)

    def truth(self, asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        """The labels, as masks of the model are: an indexed PNG, or NIfTI; what is ignored keeps its value."""
        case = self._case(asked["id"])
        if not _has_truth(case):
            raise Problem(
                404,
                "truth-missing",
                "an image without a truth",
                f"{case.id[:80]} has no label in this data set",
                remedy="GET /images lists which have one",
            )
        etag = _etag(case, (*case.image, *([case.label] if case.label else [])), "truth")
        rank, task, model_task = self._source.task.rank, self._source.task, self._task
        kind = "image/png" if rank == 2 else _GZIP
        if etag == asked["etag"]:
            return {"etag": etag, "media_type": ""}, b""
        sample = self._source.read(case)
        assert sample.mask is not None
        values = np.arange(256)
        values[: task.classes] = model_task.label_values or range(task.classes)
        stored = values.astype(np.min_scalar_type(int(values.max())))[sample.mask]
        if rank == 3:
            return {"etag": etag, "media_type": kind}, _nifti(stored[..., None], sample.affine)
        return {"etag": etag, "media_type": kind}, _indexed(stored, values[: task.classes], model_task.class_colors)

    def _case(self, word: str) -> Case:
        if word not in self._cases:
            raise Problem(
                404, "image-unknown", "no such image", f"found: {word[:80]}", remedy="GET /images lists their ids"
            )
        return self._cases[word]


def _has_truth(case: Case) -> bool:
    """A generated case has one, without a file."""
    return case.label is not None or not case.image


def _etag(case: Case, files: Sequence[str], form: str) -> str:
    """Another one whenever a file is."""
    facts: list[object] = [form, case.id]
    for file in files:
        seen = os.stat(file)
        facts.append((seen.st_size, seen.st_mtime_ns, seen.st_ino))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _gzipped(content: bytes, rank: int) -> bytes:
    return content if rank == 2 or content.startswith(b"\x1f\x8b") else gzip.compress(content, 1, mtime=0)


def _indexed(stored: np.ndarray, values: np.ndarray, colors: Sequence[Sequence[int]]) -> bytes:
    from PIL import Image

    picture = Image.fromarray(stored)
    if stored.dtype == np.uint8:
        table = np.zeros((256, 3), np.uint8)
        table[values] = np.asarray(colors, np.uint8)
        picture.putpalette(table.tobytes())
    room = io.BytesIO()
    picture.save(room, "PNG", compress_level=1)
    return room.getvalue()


def _tiff(image: np.ndarray) -> bytes:
    import tifffile

    room = io.BytesIO()
    colours = image.shape[-1] == 3
    tifffile.imwrite(room, image if image.shape[-1] > 1 else image[..., 0],
                     photometric="rgb" if colours else "minisblack", planarconfig="contig")  # fmt: skip
    return room.getvalue()


def _nifti(volume: np.ndarray, affine: np.ndarray | None) -> bytes:
    """In the axes that it is read in, RAS."""
    import nibabel as nib

    values = volume[..., 0] if volume.shape[-1] == 1 else volume
    image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), 1, mtime=0)
