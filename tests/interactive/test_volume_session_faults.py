"""Sessions on volumes: several at once, a killed process, an answer that takes too long."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from served import Running
from volume_clients import BOX, begin, content, running, truth, whole

from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.answering import Answering
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.sessions import Sessions
from seglab.serving.limits import Limits
from seglab.serving.problems import Problem

__all__ = ["content", "running"]

OUTCOME = {"by": "", "note": "", "form": "png", "tolerance_px": 1.0}


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

    fields = ask("predict", between, id=mine, **prompt)
    assert seen[1:4] == [(409, "session-busy")] * 3
    assert seen[4] == fields["area"] > 0
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
        fields = running.client.get(where).json()
        assert (fields["undo"], fields["area"]) == (0, 0)
        flat = {"axis": "x", "index": 23, "box": [17.5, 650, 29.5, 750]}
        assert running.client.post(f"{where}/predict", json=flat).status_code == 200
        assert prompting() == before
