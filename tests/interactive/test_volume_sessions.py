"""Sessions on a volume: a prompt on one slice, corrections on any, and the mask in the volume's own geometry."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from served import Running
from volume_clients import BOX, SHAPE, SPACING, begin, content, plane, running, truth, whole

from seglab.data.io.nifti_files import restore_orientation
from seglab.data.sources.nifti import Nifti

__all__ = ["content", "running"]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_volume_is_described_by_its_file(running: Running, content: bytes) -> None:
    where = begin(running, content)
    fields = running.client.get(where).json()
    assert fields["shape"] == list(SHAPE)
    assert fields["spacing_mm"] == pytest.approx(SPACING)
    assert (fields["undo"], fields["slices"], fields["area"]) == (0, None, 0)
    picture = running.client.get(f"{where}/image", params={"axis": "x", "index": 15})
    assert Image.open(io.BytesIO(picture.content)).size == (SHAPE[1], SHAPE[2])
    middle = running.client.get(f"{where}/image")
    assert Image.open(io.BytesIO(middle.content)).size == (SHAPE[0], SHAPE[1])


def test_a_prompt_on_one_slice_finds_the_object_and_the_way_back_is_exact(running: Running, content: bytes) -> None:
    where = begin(running, content)
    answer = running.client.post(f"{where}/predict", json=BOX)
    fields = json.loads(answer.headers["X-Prompt"])
    first = whole(running, where)
    assert (plane(answer) == first[..., 8]).all()
    assert iou(first, truth()) > 0.85
    assert (fields["axis"], fields["index"], fields["prompted"]) == ("z", 8, [8])
    assert fields["area"] == first.sum()
    assert fields["slice_area"] == first[..., 8].sum()
    assert fields["volume_mm3"] == pytest.approx(first.sum() * np.prod(SPACING), rel=1e-4)
    held = np.flatnonzero(first.any((0, 1)))
    assert fields["slices"] == [held[0], held[-1]]
    beside = {"axis": "z", "index": int(held[-1]), "points": [[15, 30]], "labels": [0]}
    second_answer = running.client.post(f"{where}/predict", json=beside)
    second = whole(running, where)
    assert not second[15, 30, held[-1]]
    assert (second[..., :9] == first[..., :9]).all()  # what lies beyond the slice of the box stays
    undone = running.client.post(f"{where}/undo")
    assert (plane(undone) == first[..., held[-1]]).all()  # of the slice that the step was made on
    back = json.loads(undone.headers["X-Prompt"])
    assert (back["index"], back["points"], back["prompted"]) == (held[-1], [], [8])
    assert (back["scores"], back["verdict"]) == (None, None)  # nothing was asked about this slice any more
    assert (whole(running, where) == first).all()
    redone = running.client.post(f"{where}/redo")
    assert (plane(redone) == plane(second_answer)).all()
    assert (whole(running, where) == second).all()
    assert json.loads(redone.headers["X-Prompt"])["prompted"] == [8, int(held[-1])]
    prompts = running.client.get(where).json()["prompts"]
    assert prompts["8"] == {"points": [], "labels": [], "box": BOX["box"]}
    assert prompts[str(held[-1])] == {"points": [[15, 30]], "labels": [0], "box": None}


def test_what_is_accepted_has_the_geometry_of_the_volume_and_is_read_as_data(running: Running, content: bytes) -> None:
    where = begin(running, content)
    assert running.client.post(f"{where}/accept").status_code == 409
    running.client.post(f"{where}/predict", json=BOX)
    mask = whole(running, where)
    answer = running.client.post(f"{where}/accept", json={"by": "Ada"})
    assert answer.headers["content-type"] == "application/gzip"
    written, given = (nib.Nifti1Image.from_bytes(gzip.decompress(one)) for one in (answer.content, content))
    assert (np.asarray(written.dataobj) == mask).all()
    assert (written.affine == given.affine).all()
    for field in ("sform_code", "qform_code", "xyzt_units"):
        assert written.header[field] == given.header[field]
    assert written.header.get_zooms() == given.header.get_zooms()
    place: Path = running.accepted  # type: ignore[attr-defined]
    name = answer.headers["X-Mask-Id"]
    assert (place / "images" / f"{name}.nii.gz").read_bytes() == content
    source = Nifti(root=str(place))
    sample = source.read(next(case for case in source.cases if case.id == name))
    assert sample.mask is not None
    assert sample.file_affine is not None
    assert (restore_orientation(sample.mask, sample.file_affine) == mask).all()
    (line,) = [json.loads(text) for text in (place / "prompts.jsonl").read_text().splitlines()]
    assert (line["outcome"], line["by"], line["size"], line["axis"]) == ("accepted", "Ada", list(SHAPE), "z")
    assert line["prompts"]["8"]["box"] == BOX["box"]
    again = running.client.post(f"{where}/accept")
    assert (again.headers["X-Mask-Id"], again.content) == (name, answer.content)
    refused = running.client.post(f"{where}/accept", params={"form": "rle"})
    assert (refused.status_code, refused.json()["code"]) == (422, "parameter-invalid")
    assert running.client.post(f"{where}/reject").json() == {"outcome": "rejected"}
    assert len((place / "prompts.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"box": [6, 20, 23, 39]}, "prompt-form"),
        ({"axis": "z", "index": 18, "box": [6, 20, 23, 39]}, "prompt-point-outside"),
        ({"axis": "z", "index": -1, "box": [6, 20, 23, 39]}, "parameter-invalid"),
        ({"axis": "z", "index": 2**40, "box": [6, 20, 23, 39]}, "parameter-invalid"),
        ({"axis": "w", "index": 1, "box": [6, 20, 23, 39]}, "parameter-invalid"),
        ({"axis": "x", "index": 15, "points": [[30, 20]], "labels": [1]}, "prompt-point-outside"),
        ({"axis": "z", "index": 8, "points": [["nan", 20]], "labels": [1]}, "prompt-not-finite"),
        ({"axis": "z", "index": 8, "points": [[15, 20]], "labels": [0]}, "prompt-without-object"),
        ({"axis": "z", "index": 8, "points": [[1, 2]] * 10_000, "labels": [1] * 10_000}, "parameter-invalid"),
    ],
)
def test_bad_prompts_change_nothing(running: Running, content: bytes, body: dict[str, Any], code: str) -> None:
    where = begin(running, content)
    answer = running.client.post(f"{where}/predict", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert running.client.get(where).json()["undo"] == 0
    running.client.delete(where)


def test_another_axis_is_another_object(running: Running, content: bytes) -> None:
    where = begin(running, content)
    running.client.post(f"{where}/predict", json=BOX)
    across = {"axis": "x", "index": 15, "box": [20.5, 2.5, 39.5, 13.5]}
    refused = running.client.post(f"{where}/predict", json=across)
    assert (refused.status_code, refused.json()["code"]) == (422, "prompt-other-axis")
    answer = running.client.post(f"{where}/predict", json={**across, "anew": True})
    fields = json.loads(answer.headers["X-Prompt"])
    assert (fields["axis"], fields["prompted"], fields["undo"]) == ("x", [15], 2)
    assert iou(whole(running, where), truth()) > 0.7
    running.client.post(f"{where}/undo")
    assert running.client.get(where).json()["axis"] == "z"
