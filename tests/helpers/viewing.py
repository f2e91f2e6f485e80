"""What a browser shows in the viewer of the pages."""

from __future__ import annotations

from typing import Any


def wait_for_viewer(page: Any, key: str = "", milliseconds: int = 30_000) -> Any:
    """The viewer, when it shows what has `key` in its name; `milliseconds` at most are waited."""
    found = page.locator(f'.viewer[data-shown*="{key}"]' if key else ".viewer[data-shown]")
    found.wait_for(state="attached", timeout=milliseconds)
    return found


def pixels(page: Any, pane: str, kind: str = "overlay") -> tuple[list[int], list[int]]:
    """Height and width, and RGBA row by row, of a canvas of the pane with this title."""
    drawn = page.evaluate(
        """([title, kind]) => {
          const all = [...document.querySelectorAll('*')].map((one) => one.shadowRoot).filter(Boolean);
          const figures = all.flatMap((root) => [...root.querySelectorAll('figure')]);
          const figure = figures.find((one) => one.querySelector('strong').textContent === title);
          const canvas = figure.querySelector(`canvas.${kind}`);
          const drawn = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          return [[canvas.height, canvas.width], [...drawn.data]];
        }""",
        [pane, kind],
    )
    return drawn[0], drawn[1]
