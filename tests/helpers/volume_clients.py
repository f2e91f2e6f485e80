"""Shared by the tests of sessions on volumes: an oblique volume, and a client that clicks on it."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from served import Running

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
