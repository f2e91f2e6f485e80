"""Measure everything and write docs/statistics.md: `make test-statistics` (PEERS=1 for the other tools)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.statistics import grid, peers, tables
from benchmarks.statistics.mean_rates import CASES, SEEDS, SHAPES, Held, held
from benchmarks.statistics.power_rates import DESIGNS, foreseen

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
CELLS = PAGE.with_name("statistics_rates.csv.gz")
Of, Result = TypeVar("Of"), TypeVar("Result")


def main() -> int:
    """Run what was asked for; 1 where our rule does not hold what it promises."""
    asked = _arguments()
    if asked.peers:
        _peers(asked)
        return 0
    if asked.cells:
        cells = grid.read(asked.cells)
    else:
        cells = grid.measure(asked.studies, asked.seed, asked.processes)
        grid.write(cells, CELLS)
    command = f"make test-statistics ARGS='--studies {asked.studies} --seed {asked.seed}'"
    tables.put(PAGE, "rates", tables.rates_section(cells, command))
    fewer = max(asked.studies // 3, 1)
    means = _each(partial(_held, studies=asked.studies, seed=asked.seed), _MEANS, asked.processes, "means")
    tables.put(PAGE, "means", tables.mean_section(means, asked.studies, command))
    predictions = _each(partial(foreseen, studies=fewer, seed=asked.seed), DESIGNS, asked.processes, "power")
    tables.put(PAGE, "power", tables.power_section(cells, predictions, command))
    broken = grid.broken(cells)
    for cell in broken:
        print(f"does not hold: error {cell.error:.3f}, coverage {cell.coverage:.3f}: {cell.design}, {cell.effect:g}")
    print(f"{PAGE}: written; {len(broken)} of {len(cells) // 2} cells do not hold")
    return 1 if broken else 0


_MEANS = tuple((shape, seeds, cases) for shape in range(len(SHAPES)) for seeds in SEEDS for cases in CASES)


def _held(of: tuple[int, int, int], studies: int, seed: int) -> Held:
    shape, seeds, cases = of
    return held(SHAPES[shape], seeds, cases, studies, seed)


def _peers(asked: argparse.Namespace) -> None:
    found = []
    for design in peers.DESIGNS:
        studies = 200 if design.methods == 2 else 100
        errors = peers.errors(design, studies, asked.seed)
        print(design, errors, flush=True)
        found.append((design, studies, errors))
    tables.put(PAGE, "peers", tables.peers_section(found, "make test-statistics PEERS=1"))


def _each(run: Callable[[Of], Result], over: Sequence[Of], processes: int, word: str) -> list[Result]:
    """Run all, in processes, telling how far it is."""
    results: list[Result] = []
    with ProcessPoolExecutor(processes) as pool:
        for result in pool.map(run, over):
            results.append(result)
            print(f"{word} {len(results)}/{len(over)}", end="\r" if sys.stdout.isatty() else "\n", flush=True)
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="studies in each cell of the grid")
    parser.add_argument("--seed", type=int, default=1, help="of all random numbers")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cells", type=Path, help="take the grid from this file of an earlier run")
    parser.add_argument("--peers", action="store_true", help="only the other tools, on a small grid")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
