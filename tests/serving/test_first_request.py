"""What a request makes a service load and open: nothing that could have been there before, and no file on a disk."""

from __future__ import annotations

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from served import Running
from service_processes import SLOW, SMALL, Seen


@pytest.mark.parametrize("kind", ["image", "volume"])
def test_the_first_request_loads_nothing(kind: str, road: Path, organ: Path, tmp_path: Path) -> None:
    """Else it takes seconds where the next takes milliseconds, as reports about many services have it."""
    seen = Seen(tmp_path)
    scan = nib.Nifti1Image((np.arange(8000) % 256).astype(np.uint8).reshape(20, 20, 20), np.eye(4))
    with Running(road if kind == "image" else organ, **seen.environment) as running:
        before = len(seen.so_far("import"))
        assert before > 100
        for _ in range(2):
            if kind == "image":
                assert running.predict(SMALL).status_code == 200
            else:
                answer = running.predict(gzip.compress(scan.to_bytes()), "application/gzip", "application/gzip")
                assert answer.status_code == 200, answer.text
        assert seen.so_far("import")[before:] == []


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="images are decoded from temporary files here")
def test_requests_take_no_room_on_a_disk(road: Path, tmp_path: Path) -> None:
    """Of a form, what is larger than a megabyte would usually be written to one, if only for as long as it is read."""
    (room := tmp_path / "room").mkdir()
    seen = Seen(tmp_path)
    with Running(road, TMPDIR=str(room), **seen.environment) as running, ThreadPoolExecutor(4) as pool:
        before = len(seen.so_far("open"))
        list(pool.map(running.predict, [SMALL, SMALL[:100], SMALL]))
        for content in (SMALL, SLOW):
            form = running.client.post("/predict", files={"image": ("a.png", content, "image/png")})
            assert form.status_code == 200, form.text
        opened = seen.so_far("open")[before:]
        assert any(path.startswith("/dev/shm") for path in opened), "what is opened is seen"
        assert [path for path in opened if path.startswith(str(room))] == []
        assert list(room.iterdir()) == []
