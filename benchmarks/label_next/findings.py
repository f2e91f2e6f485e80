"""What the trainings show: a table and a picture for docs/monitor.md, by the laboratory's own statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.statistics.tables import made_by, put, table
from seglab.monitoring.label_queue import STRATEGIES
from seglab.number_format import difference, interval, p_value
from seglab.statistics.ranking import compare_pair

ALL = "all"
SIZES = (10, 20, 40, 80)
BASELINE = STRATEGIES[0]
_PAGE = Path(__file__).parents[2] / "docs" / "monitor.md"
_PICTURE = _PAGE.with_name("label_next.png")
# Okabe and Ito's colours, with a mark of its own each: not by colour alone.
_LOOKS = dict(zip(STRATEGIES, (("#000000", "o"), ("#0072B2", "s"), ("#D55E00", "^"), ("#009E73", "D")), strict=True))


@dataclass(frozen=True)
class Round:
    """A training.

    Attributes:
        seed: of the network and of what was labelled first.
        strategy: that chose the newest of its images; of the first ones the baseline, though a draw chose them.
        ids: of the labelled cases.
        dice: of each test case.
        next: by way the cases that it would label next, as many again.
        cpu_seconds: of training, scoring and choosing.
    """

    seed: int
    strategy: str
    ids: list[str]
    dice: list[float]
    next: dict[str, list[str]]
    cpu_seconds: float

    @property
    def mean(self) -> float:
        """Over the test cases."""
        return float(np.nanmean(self.dice))


def scores(rounds: Sequence[Round], strategy: str, size: int) -> np.ndarray | None:
    """`(seeds, cases)`; None where a seed is missing."""
    seeds = sorted({one.seed for one in rounds})
    wanted = BASELINE if size == SIZES[0] else strategy
    found = {one.seed: one.dice for one in rounds if (one.strategy, len(one.ids)) == (wanted, size)}
    return np.array([found[seed] for seed in seeds]) if len(found) == len(seeds) else None


def write_page(rounds: Sequence[Round]) -> None:
    """Write the section and the picture, of the sizes that every way has come to with every seed."""
    by_size = {size: {way: scores(rounds, way, size) for way in STRATEGIES} for size in SIZES}
    whole = {
        size: {way: found for way, found in ways.items() if found is not None}
        for size, ways in by_size.items()
        if all(found is not None for found in ways.values())
    }
    draw(whole)
    put(_PAGE, "label_next", section(rounds, whole))


def section(rounds: Sequence[Round], whole: dict[int, dict[str, np.ndarray]]) -> str:
    """In Markdown."""
    seeds = len({one.seed for one in rounds})
    cases = len(rounds[0].dice)
    rounds_of_choice = [size for size in whole if size > SIZES[0]]
    rows = []
    for way in STRATEGIES:
        curve = [f"{whole[size][way].mean():.3f} ± {whole[size][way].mean(axis=1).std(ddof=1):.3f}" for size in whole]
        if way == BASELINE:
            rows.append([way, *curve, "", ""])
            continue
        ours, drawn = (np.mean([whole[size][one] for size in rounds_of_choice], axis=0) for one in (way, BASELINE))
        found = compare_pair(ours, drawn, methods=len(STRATEGIES))
        rows.append([way, *curve, f"{difference(found)} {interval(found)}", p_value(found.p)])
    heads = ["chosen by", *(f"{size} labelled" for size in whole), "against `random`, 95% interval", "p"]
    seconds = sum(one.cpu_seconds for one in rounds)
    text = made_by("python -m benchmarks.label_next") + table(heads, rows) + "\n\n"
    text += (
        f"Dice over {cases} test images, mean ± standard deviation of {seeds} seeds. Against `random`: mean over the "
        f"rounds of {' and '.join(map(str, rounds_of_choice))}, interval and p over seeds and cases, corrected for all "
        f"pairs of the {len(STRATEGIES)} ways. {len(rounds)} trainings, {seconds / 60:.0f} minutes of processor time."
    )
    ceiling = scores(rounds, ALL, 300)
    if ceiling is not None:
        text += f" All 300 images labelled: {ceiling.mean():.3f}."
    return text + f"\n\n![Dice against the number of labelled images, by what chose them.]({_PICTURE.name})\n"


def draw(whole: dict[int, dict[str, np.ndarray]]) -> None:
    """A line a way, a faint point a seed."""
    figure = Figure(figsize=(6.4, 4.0), dpi=130, layout="constrained")
    axes = figure.subplots()
    sizes = list(whole)
    for place, (way, (color, mark)) in enumerate(_LOOKS.items()):
        beside = [size * 1.02 ** (place - 1.5) for size in sizes]  # so that points do not hide each other
        for seed in range(len(whole[sizes[0]][way])):
            axes.scatter(
                beside, [whole[size][way][seed].mean() for size in sizes], s=14, c=color, alpha=0.35, marker=mark
            )
        axes.plot(beside, [whole[size][way].mean() for size in sizes], color=color, marker=mark, label=way)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlabel("labelled images")
    axes.set_ylabel("Dice on the test images")
    axes.grid(alpha=0.3)
    axes.legend(title="chosen by", frameon=False)
    figure.savefig(_PICTURE)
