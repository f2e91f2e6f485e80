"""The terminal that everything is said on: names of files, classes and runs are read there, and never obeyed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from seglab.safety.secrets import redacted
from seglab.safety.shown_text import shown


class Terminal(Console):
    """rich's console; control characters in what is printed are shown as their codes, passwords as stars."""

    def print(self, *objects: Any, **style: Any) -> None:
        """As rich's."""
        super().print(*(redacted(one) if isinstance(one, str) else one for one in objects), **style)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text), segment.style)


def tell(step: str) -> None:
    """Say on stderr what begins now and may take more than two seconds, as one plain line, wherever that goes."""
    print(f"… {shown(redacted(step))}", file=sys.stderr, flush=True)
