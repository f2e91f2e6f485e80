"""A file in the place of an image or a volume that is something else is called what it is, with what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import pytest

from seglab.data.io.image_files import read_image_file
from seglab.data.io.volume_files import read_header
from seglab.errors import DataError

PNG = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
OTHERS = [
    (b"\xef\xbb\xbf\r\n<!doctype HTML><html></html>", "a page of the web", "download the file itself"),
    (b"<HTML><body>Sign in</body></HTML>", "a page of the web", "download the file itself"),
    (b"<?xml version='1.0'?><Error/>", "a text in XML", "download the file itself"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS", "git lfs pull"),
    (b"PK\x03\x04" + bytes(40), "a ZIP archive", "unpack it"),
    (b"BZh9" + bytes(40), "compressed by bzip2", "unpack it"),
    (b"%PDF-1.7\n", "a PDF", "save the images"),
]


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        *OTHERS,
        (gzip.compress(PNG), "compressed by gzip", "gzip -dc"),
        (gzip.compress(bytes(344) + b"n+1\0" + bytes(8)), "a volume in NIfTI", "data=nifti"),
        (bytes(128) + b"DICM" + bytes(40), "a volume in DICOM", "data=nifti"),
        (b"NRRD0004\ntype: uint8\n", "a volume in NRRD", "data=nifti"),
    ],
)
def test_in_the_place_of_an_image(tmp_path: Path, content: bytes, what: str, remedy: str, ending: str) -> None:
    (tmp_path / f"a{ending}").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image_file(tmp_path / f"a{ending}")
    message = str(caught.value)
    assert caught.value.code == "file-unreadable"
    assert what in message
    assert remedy in message
    assert "copy it again" not in message


@pytest.mark.parametrize(("content", "what", "remedy"), OTHERS)
def test_in_the_place_of_a_volume(tmp_path: Path, content: bytes, what: str, remedy: str) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(DataError, match=f"{what}[\\s\\S]*{remedy}"):
        read_header(str(tmp_path / "a.nii.gz"))


def test_a_damaged_image_is_to_be_copied_again(tmp_path: Path) -> None:
    for content in (PNG[:40], b"", b"\x1f\x8b\x08\x00" + bytes(9)):
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(DataError, match="copy it again"):
            read_image_file(tmp_path / "a.png")
