"""Data that go away while they are shown, and come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from app_data import write_data
from served import ROAD, Running, served_folder


@pytest.mark.slow
def test_files_that_are_gone_are_reported_and_found_again(tmp_path: Path) -> None:
    words = write_data(tmp_path / "data")
    with Running(served_folder(tmp_path / "road", ROAD, (32, 40)), *words, cwd=tmp_path) as service:
        there = service.client.get("/images/a")
        assert there.status_code == 200
        (tmp_path / "data").rename(tmp_path / "away")
        for path in ("/images/a", "/images/a?preview=true", "/images/a/truth"):
            gone = service.client.get(path)
            assert gone.status_code == 404
            fields = gone.json()
            assert fields["code"] in ("image-gone", "file-missing", "file-unreadable", "image-unreadable"), fields
            assert str(tmp_path) not in gone.text
        (tmp_path / "away").rename(tmp_path / "data")
        again = service.client.get("/images/a")
        assert (again.status_code, again.content) == (200, there.content)
