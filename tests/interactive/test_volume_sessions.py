"""Sessions on a volume: a prompt on one slice, corrections on any, and the mask in the volume's own geometry."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from served import Running

from seglab.data.io.nifti_files import restore_orientation
from seglab.data.sources.nifti import Nifti
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.answering import Answering
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.sessions import Sessions
from seglab.serving.limits import Limits
from seglab.serving.problems import Problem

SHAPE, CENTRE, RADII = (44, 50, 18), (15, 30, 8), (8, 9, 5)
SPACING = (0.7, 1.1, 3.0)


def oblique() -> np.ndarray:
    """The file's first axis goes mostly to the back, the second mostly to the right, the third mostly down; all are
    tilted."""
    a, b = np.radians(12), np.radians(-7)
    tilt = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, -1.0]]) @ np.diag(SPACING)
    affine[:3, 3] = (-30, 12, 44)
    return affine


def truth() -> np.ndarray:
    off = np.ogrid[tuple(slice(length) for length in SHAPE)]
    return np.asarray(sum(((axis - at) / r) ** 2 for axis, at, r in zip(off, CENTRE, RADII, strict=True)) <= 1)


def nifti(values: np.ndarray) -> nib.Nifti1Image:
    image = nib.Nifti1Image(values.astype(np.int16), oblique())
    image.header.set_xyzt_units("mm")
    image.set_sform(oblique(), code=1)
    image.set_qform(oblique(), code=1)
    return image


@pytest.fixture(scope="module")
def content() -> bytes:
    noise = np.random.default_rng(0).normal(0, 15, SHAPE)
    return gzip.compress(nifti(100 + 300 * truth() + noise).to_bytes(), 1, mtime=0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("volumes")
    with Running("interactive=true", f"accepted={place / 'accepted'}", "voxels=100000", cwd=place) as service:
        service.accepted = place / "accepted" / "volumes"  # type: ignore[attr-defined]
        yield service


OUTCOME = {"by": "", "note": "", "form": "png", "tolerance_px": 1.0}
BOX: dict[str, Any] = {"axis": "z", "index": 8, "box": [6.5, 20.5, 23.5, 39.5]}


def begin(running: Running, content: bytes) -> str:
    answer = running.client.post("/sessions", content=content, headers={"Content-Type": "application/gzip"})
    assert answer.status_code == 201, answer.text
    return f"/sessions/{answer.json()['id']}"


def plane(answer: httpx.Response) -> np.ndarray:
    """A slice with x first, as the volume has it."""
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content))).T > 0


def whole(running: Running, where: str) -> np.ndarray:
    slices = [running.client.get(f"{where}/mask", params={"axis": "z", "index": k}) for k in range(SHAPE[2])]
    return np.stack([plane(one) for one in slices], -1)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_volume_is_described_by_its_file(running: Running, content: bytes) -> None:
    where = begin(running, content)
    told = running.client.get(where).json()
    assert told["shape"] == list(SHAPE)
    assert told["spacing_mm"] == pytest.approx(SPACING)
    assert (told["undo"], told["slices"], told["area"]) == (0, None, 0)
    picture = running.client.get(f"{where}/image", params={"axis": "x", "index": 15})
    assert Image.open(io.BytesIO(picture.content)).size == (SHAPE[1], SHAPE[2])
    middle = running.client.get(f"{where}/image")
    assert Image.open(io.BytesIO(middle.content)).size == (SHAPE[0], SHAPE[1])


def test_a_prompt_on_one_slice_finds_the_object_and_the_way_back_is_exact(running: Running, content: bytes) -> None:
    where = begin(running, content)
    answer = running.client.post(f"{where}/predict", json=BOX)
    told = json.loads(answer.headers["X-Prompt"])
    first = whole(running, where)
    assert (plane(answer) == first[..., 8]).all()
    assert iou(first, truth()) > 0.85
    assert (told["axis"], told["index"], told["prompted"]) == ("z", 8, [8])
    assert told["area"] == first.sum()
    assert told["slice_area"] == first[..., 8].sum()
    assert told["volume_mm3"] == pytest.approx(first.sum() * np.prod(SPACING), rel=1e-4)
    held = np.flatnonzero(first.any((0, 1)))
    assert told["slices"] == [held[0], held[-1]]
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
    told = json.loads(answer.headers["X-Prompt"])
    assert (told["axis"], told["prompted"], told["undo"]) == ("x", [15], 2)
    assert iou(whole(running, where), truth()) > 0.7
    running.client.post(f"{where}/undo")
    assert running.client.get(where).json()["axis"] == "z"


def test_files_that_are_no_volume_for_it(running: Running, content: bytes) -> None:
    channels = nib.Nifti1Image(np.zeros((5, 6, 7, 2), np.int16), np.eye(4))
    broken = nib.Nifti1Image(np.full((5, 6, 7), np.nan, np.float32), np.eye(4))
    flat = nib.Nifti1Image(np.zeros((5, 6, 1), np.int16), np.eye(4))
    large = nib.Nifti1Image(np.zeros((50, 50, 50), np.int8), np.eye(4))
    for body, status, code in (
        (b"\x1f\x8b" + b"x" * 100, 400, "file-unreadable"),
        (content[: len(content) // 2], 400, "file-unreadable"),
        (channels.to_bytes(), 422, "prompt-form"),
        (broken.to_bytes(), 422, "image-not-finite"),
        (large.to_bytes(), 413, "request-too-large"),
    ):
        answer = running.client.post("/sessions", content=body, headers={"Content-Type": "application/octet-stream"})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert "/shm/" not in answer.text
    where = begin(running, flat.to_bytes())  # of one slice and one grey value: nothing to find, and nothing breaks
    answer = running.client.post(f"{where}/predict", json={"axis": "z", "index": 0, "box": [1, 1, 4, 4]})
    assert answer.status_code == 200


def test_two_at_once_beside_an_image(running: Running, content: bytes) -> None:
    """Between two slices of one, prompts of others are answered; a second one on the same session is sent away."""
    picture = io.BytesIO()
    Image.fromarray((truth()[..., 8] * 200).astype(np.uint8)).save(picture, "PNG")
    wheres = [begin(running, content) for _ in range(2)]
    flat = running.client.post("/sessions", content=picture.getvalue(), headers={"Content-Type": "image/png"})

    def ask(where: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(running.address.rstrip("/") + where + "/predict", json=body, timeout=60, trust_env=False)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, where, BOX) for where in wheres]
        asked.append(pool.submit(ask, flat.headers["location"], {"box": [20, 6, 40, 24]}))
        again = pool.submit(ask, wheres[0], BOX).result()
        answers = [one.result() for one in asked]
    assert [one.status_code for one in answers[1:]] == [200, 200]
    both = [answers[0], again]
    assert {one.status_code for one in both} <= {200, 409}
    assert any(one.status_code == 200 for one in both)
    for one in both:
        if one.status_code == 409:
            assert one.json()["code"] == "session-busy"
    assert (whole(running, wheres[0]) == whole(running, wheres[1])).all()
    refused = ask(flat.headers["location"], {**BOX, "box": [20, 6, 40, 24]})
    assert (refused.status_code, refused.json()["code"]) == (422, "prompt-form")


def test_in_the_middle_of_an_answer_others_are_answered_and_its_own_session_waits(
    content: bytes, tmp_path: Path
) -> None:
    errands = Answering(Sessions(GrabCut()), AcceptedMasks(tmp_path), Limits()).errands()

    def ask(what: str, between: Callable[[], None] = lambda: None, body: bytes = b"", **asked: Any) -> dict[str, Any]:
        return errands[what](asked, body, between)[0]

    prompt = {"labels": [], "points": [], "candidate": None, "anew": False, **BOX}
    mine, other = (ask("begin", body=content, client="")["id"] for _ in range(2))
    seen: list[Any] = []

    def between() -> None:
        if seen:
            return
        seen.append(None)
        for what, more in (("predict", prompt), ("step", {"way": "undo"}), ("accept", OUTCOME)):
            with pytest.raises(Problem) as caught:
                ask(what, id=mine, **more)
            seen.append((caught.value.status, caught.value.code))
        seen.append(ask("predict", id=other, **prompt)["area"])

    told = ask("predict", between, id=mine, **prompt)
    assert seen[1:4] == [(409, "session-busy")] * 3
    assert seen[4] == told["area"] > 0
    assert ask("step", id=mine, way="undo")["moved"] is True
    with pytest.raises(InterruptedError):
        ask("predict", _interrupted, id=mine, **prompt)
    assert ask("session", id=mine)["undo"] == 0  # and is free again
    assert ask("step", id=mine, way="redo")["moved"] is True


def _interrupted() -> None:
    raise InterruptedError


def test_a_process_that_is_killed_takes_its_sessions_along_and_nothing_else(running: Running, content: bytes) -> None:
    where = begin(running, content)
    running.client.post(f"{where}/predict", json=BOX)
    kept = sorted(running.accepted.rglob("*.nii.gz"))  # type: ignore[attr-defined]
    (process,) = [one for one in running.processes() if any("prompt_process" in word for word in one.cmdline())]
    process.kill()
    assert running.client.get("/health").status_code == 200
    assert running.client.post(f"{where}/undo").status_code in (404, 503)
    again = begin(running, content)
    assert running.client.post(f"{again}/predict", json=BOX).status_code == 200
    assert sorted(running.accepted.rglob("*.nii.gz")) == kept  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_answer_that_takes_too_long_ends_between_two_slices(tmp_path: Path) -> None:
    """And leaves session and process as they were."""
    tube = np.full((48, 48, 1500), 100, np.int16)
    tube[18:30, 18:30] = 400
    tube += np.random.default_rng(0).integers(-20, 20, tube.shape, np.int16)
    with Running("interactive=true", "deadline_seconds=8", cwd=tmp_path) as running:

        def prompting() -> list[int]:
            found = running.processes()
            return [one.pid for one in found if any("prompt_process" in word for word in one.cmdline())]

        before = prompting()
        content = gzip.compress(nib.Nifti1Image(tube, np.eye(4)).to_bytes(), 1)
        where = begin(running, content)
        body = {"axis": "z", "index": 700, "box": [17.5, 17.5, 29.5, 29.5]}
        answer = running.client.post(f"{where}/predict", json=body)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline-exceeded")
        told = running.client.get(where).json()
        assert (told["undo"], told["area"]) == (0, 0)
        flat = {"axis": "x", "index": 23, "box": [17.5, 650, 29.5, 750]}
        assert running.client.post(f"{where}/predict", json=flat).status_code == 200
        assert prompting() == before
