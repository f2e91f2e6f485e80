"""What is said while a check runs, and how one fails."""

from __future__ import annotations

import time

_BEGAN = time.monotonic()


class Failed(Exception):
    """A step that failed: what, what to do about it, and the end of the log."""

    def __init__(self, what: str, remedy: str = "", log: str = ""):
        parts = [what, *([f"  remedy:   {remedy}"] if remedy else []), *([f"  its log ends:\n{log}"] if log else [])]
        super().__init__("\n".join(parts))
        self.what, self.remedy, self.log = what, remedy, log


def tell(words: str) -> None:
    """A line of progress with the seconds since the beginning."""
    print(f"{time.monotonic() - _BEGAN:6.0f} s  {words[:150]}", flush=True)
