"""The terminal that everything is said on: names of files, classes and runs are read there, and never obeyed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from seglab.safety.secrets import redacted
from seglab.safety.shown_text import in_line, shown


class Terminal(Console):
    """rich's console; control characters in what is printed are shown as their codes, passwords as stars. A notebook is
    shown what a file would be: rich's own form for it, a piece of HTML a line, wants widgets for its bars."""

    def __init__(self, **settings: Any):
        if "ipykernel" in sys.modules:  # which says of itself that it is a terminal
            settings = {"force_terminal": False, **settings}
        super().__init__(force_jupyter=False, **settings)

    def print(self, *objects: Any, **style: Any) -> None:
        """As rich's."""
        super().print(*(redacted(one) if isinstance(one, str) else one for one in objects), **style)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text), segment.style)


def tell(step: str) -> None:
    """Say on stderr what begins now and may take more than two seconds, as one plain line, wherever that goes."""
    print(f"… {in_line(redacted(step))}", file=sys.stderr, flush=True)


def seglab_here() -> list[str]:
    """The command `seglab` as it can be typed from here: by its name alone where the shell finds this very one."""
    script = Path(sys.executable).with_name("seglab")
    if shutil.which("seglab") == str(script):
        return ["seglab"]
    return [_from_here(script)] if script.is_file() else [python_here(), "-m", "seglab"]


def python_here() -> str:
    """This Python as it is called from here: by its short name where that means the same."""
    return "python" if shutil.which("python") == sys.executable else _from_here(Path(sys.executable))


def _from_here(file: Path) -> str:
    here = os.path.relpath(file)
    return str(file) if here.startswith("..") else here
