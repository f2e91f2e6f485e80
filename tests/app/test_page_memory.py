"""What the process of the pages takes while many images are looked at."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from page_session import PageSession
from served import ROAD, Running, served_folder

from benchmarks.app_pages import write_images

pytestmark = pytest.mark.slow
MIB = 2**20


def test_large_images_leave_little_behind(tmp_path: Path) -> None:
    """Of 1024 × 2048; what is kept of thirty is about ten MiB. With the heaps that glibc gives threads by itself it was
    50 to 100 MiB."""
    folder = served_folder(tmp_path / "road", ROAD, (512, 1024))
    words = write_images(tmp_path / "data", folder, 30)
    with Running(folder, *words, "interactive=false", verb="app", cwd=tmp_path) as running:
        own = psutil.Process(running.process.pid)
        with PageSession(running.port) as session:
            taken = []
            for number in (*range(30), *range(30)):
                session.show("images", image=f"image{number:02}")
                taken.append(own.memory_info().rss // MIB)
        with PageSession(running.port) as other:  # another who looks at the same
            other.show("images", image="image07")
        after = own.memory_info().rss // MIB
    assert max(taken) - taken[0] < 40, taken
    assert after - taken[-1] < 16, (after, taken)
