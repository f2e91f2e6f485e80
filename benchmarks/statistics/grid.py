"""The full grid: every size, every variation, written as one row for each cell."""

from __future__ import annotations

import csv
import gzip
import io
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path

from benchmarks.statistics.designs import CASES, METHODS, SEEDS, Design, designs
from benchmarks.statistics.rates import COUNTS, Rates, rates

SIZES = tuple(product(METHODS, SEEDS, CASES))
ERROR_AT_MOST, COVERAGE_AT_LEAST = 0.07, 0.93
_OF_DESIGN = ("variation", "methods", "seeds", "cases", "seed", "residual")


def measure(studies: int, seed: int, processes: int, sizes=SIZES) -> list[Rates]:
    """Rates of both rules in every cell; tells each size as it ends."""
    largest_first = sorted(sizes, key=lambda size: -size[0] * size[1] * size[2])
    found: list[Rates] = []
    began = time.monotonic()
    with ProcessPoolExecutor(processes) as pool:
        waiting = {pool.submit(_one_size, size, studies, seed): size for size in largest_first}
        for number, done in enumerate(as_completed(waiting), 1):
            found += done.result()
            ours = [cell for cell in done.result() if cell.rule == "ours"]
            print(
                f"[{number:2}/{len(waiting)}] {time.monotonic() - began:5.0f} s  methods, seeds, cases "
                f"{waiting[done]}: false 'worse' at most {max(cell.error for cell in ours):.3f}, "
                f"coverage at least {min(cell.coverage for cell in ours):.3f}",
                flush=True,
            )
    return sorted(found, key=_place)


def _one_size(size: tuple[int, int, int], studies: int, seed: int) -> list[Rates]:
    return rates(size, designs(size), studies, seed=seed)


def _place(cell: Rates) -> tuple:
    return (*(getattr(cell.design, name) for name in _OF_DESIGN), cell.effect, cell.rule)


def broken(cells: list[Rates]) -> list[Rates]:
    """Cells in which our rule does not hold what it promises."""
    ours = (cell for cell in cells if cell.rule == "ours")
    return [cell for cell in ours if cell.error > ERROR_AT_MOST or cell.coverage < COVERAGE_AT_LEAST]


def write(cells: list[Rates], path: Path) -> None:
    """One line a cell, the counts as they are: a packed CSV table."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*_OF_DESIGN, "effect", "rule", *COUNTS])
    rows.writerows(_row(cell) for cell in cells)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))  # the same counts are the same bytes


def _row(cell: Rates) -> Iterator[object]:
    yield from (getattr(cell.design, name) for name in _OF_DESIGN)
    yield from (cell.effect, cell.rule)
    yield from (getattr(cell, name) for name in COUNTS)


def read(path: Path) -> list[Rates]:
    """What `write` wrote."""
    with gzip.open(path, "rt", newline="") as file:
        return [_cell(row) for row in csv.DictReader(file)]


def _cell(row: dict[str, str]) -> Rates:
    size = int(row["methods"]), int(row["seeds"]), int(row["cases"])
    design = Design(*size, float(row["seed"]), float(row["residual"]), row["variation"])
    counts = {name: int(row[name]) for name in COUNTS}
    return Rates(design, float(row["effect"]), row["rule"], **counts)
