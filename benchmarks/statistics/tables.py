"""What was measured, as Markdown, put between the marks of docs/statistics.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.statistics.designs import CASES, METHODS, RESIDUAL_SDS, SEED_SDS, SEEDS, VARIATIONS, Design
from benchmarks.statistics.mean_rates import CASES as MEAN_CASES
from benchmarks.statistics.mean_rates import SEEDS as MEAN_SEEDS
from benchmarks.statistics.mean_rates import SHAPES, Held
from benchmarks.statistics.power_rates import Foreseen
from benchmarks.statistics.rates import EFFECTS, Rates

_HEADS = [f"{seeds} seeds" for seeds in SEEDS]


def put(page: Path, section: str, text: str) -> None:
    """Replace what stands between a section's marks.

    Raises:
        ValueError: the page has no such marks.
    """
    before, begin, rest = page.read_text().partition(f"<!-- {section} -->\n")
    _, end, after = rest.partition(f"<!-- end of {section} -->\n")
    if not begin or not end:
        raise ValueError(f"{page} has no marks of '{section}'")
    page.write_text(f"{before}{begin}{text.strip()}\n{end}{after}")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, its first column words and the others numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def made_by(command: str) -> str:
    """Where a section comes from."""
    return f"Made by `{command}`.\n\n"


# --- error rates and coverage


def rates_section(cells: Sequence[Rates], command: str) -> str:
    """Worst cells by variation and by size, ours and Tukey's with one variance for all."""
    ours = [cell for cell in cells if cell.rule == "ours"]
    pooled = [cell for cell in cells if cell.rule == "pooled"]
    studies = sorted({cell.studies for cell in ours})
    equal = [cell for cell in ours if cell.effect == 0]
    text = made_by(command)
    text += (
        f"{len(ours):,} cells, {len(equal):,} of them of equal methods, {' or '.join(f'{n:,}' for n in studies)} "
        f"studies each. A share of 0.05 is measured with an error of ± {np.sqrt(0.0475 / studies[0]):.3f}.\n\n"
        "**Studies with any false `worse`: the worst cell**, over all numbers of methods and cases, all SDs, and all "
        "true differences. In brackets the worst cell of Tukey's rule with one variance for all methods.\n\n"
    )
    text += _by_variation(ours, pooled, lambda cell: cell.error, max)
    text += "\n\n**Coverage of the printed intervals: the worst cell.** In brackets as above.\n\n"
    text += _by_variation(ours, pooled, lambda cell: cell.coverage, min)
    text += "\n\n**By the number of methods**: worst share with a false `worse`, and worst coverage.\n\n"
    text += table(
        ["methods", *_HEADS],
        (
            [methods]
            + [
                f"{max(cell.error for cell in among):.3f}, {min(cell.coverage for cell in among):.3f}"
                for seeds in SEEDS
                for among in [[c for c in ours if (c.design.methods, c.design.seeds) == (methods, seeds)]]
            ]
            for methods in METHODS
        ),
    )
    return text


def _by_variation(
    ours: Sequence[Rates],
    pooled: Sequence[Rates],
    value: Callable[[Rates], float],
    worst: Callable[[Iterable[float]], float],
) -> str:
    def cell(variation: str, seeds: int) -> str:
        both = [
            worst(value(each) for each in rule if (each.design.variation, each.design.seeds) == (variation, seeds))
            for rule in (ours, pooled)
        ]
        return "{:.3f} ({:.3f})".format(*both)

    rows = ([f"{name}: {words}", *(cell(name, seeds) for seeds in SEEDS)] for name, words in VARIATIONS.items())
    return table(["variation", *_HEADS], rows)


# --- power


def power_section(cells: Sequence[Rates], foreseen: Sequence[Foreseen], command: str) -> str:
    """What plain designs find, what that costs, and whether `power` says so."""
    plain = {(cell.design, cell.effect, cell.rule): cell for cell in cells if cell.design.variation == "plain"}
    text = made_by(command)
    text += (
        "Every second method is truly worse by 0.01 / 0.02 / 0.05. Shown is how many of 100 of these are called "
        "`worse`. The SD of method × case is 0.01.\n\n"
    )
    settings = [(seed, residual) for seed in SEED_SDS for residual in RESIDUAL_SDS]
    heads = ["seeds × cases", *(f"seed SD {seed:g}, rest {residual:g}" for seed, residual in settings)]
    for methods in METHODS:
        rows = (
            [f"{seeds} × {cases}", *(_found(plain, Design(methods, seeds, cases, *sds)) for sds in settings)]
            for seeds in SEEDS
            for cases in CASES
        )
        text += f"**{methods} methods**\n\n{table(heads, rows)}\n\n"
    text += (
        "**What the caution costs.** Mean share of differences found, in the cells where either rule finds between 5 "
        "and 95 of 100: ours, and Tukey's rule with one variance for all methods, which fails where spreads differ.\n\n"
    )
    text += table(["methods", *_HEADS], ([methods, *(_cost(plain, methods, s) for s in SEEDS)] for methods in METHODS))
    text += (
        "\n\n**Whether the page's own numbers are true.** `detectable` is what a study of equal methods names (the "
        "median); `found` is how many of 100 new studies with one method better by that much tell another from it. "
        "Then the seeds or cases that it names for half of that, and how many of 100 such studies find it. Last the "
        "best mean's upward bias among equal methods, as named and as measured.\n\n"
    )
    text += table(
        ["methods × seeds × cases, seed SD, rest", "detectable", "found", "seeds: found", "cases: found", "bias"],
        (_foreseen(each) for each in foreseen),
    )
    return text


def _found(plain: dict[tuple[Design, float, str], Rates], design: Design) -> str:
    return " / ".join(f"{100 * plain[design, effect, 'ours'].power:.0f}" for effect in EFFECTS[1:])


def _cost(plain: dict[tuple[Design, float, str], Rates], methods: int, seeds: int) -> str:
    both = np.array(
        [
            (cell.power, plain[design, effect, "pooled"].power)
            for (design, effect, rule), cell in plain.items()
            if rule == "ours" and effect > 0 and (design.methods, design.seeds) == (methods, seeds)
        ]
    )
    telling = both[((both > 0.05) & (both < 0.95)).any(axis=1)]
    return "{:.2f}, {:.2f}".format(*telling.mean(axis=0)) if len(telling) else "–"


def _foreseen(each: Foreseen) -> list[str]:
    design = each.design
    more = [
        "none" if np.isnan(number) else f"{number:.0f}: {100 * found:.0f}"
        for number, found in ((each.seeds, each.found_seeds), (each.cases, each.found_cases))
    ]
    return [
        f"{design.methods} × {design.seeds} × {design.cases}, {design.seed:g}, {design.residual:g}",
        f"{each.detectable:.3f}",
        f"{100 * each.found:.0f}",
        *more,
        f"{each.luck:.4f}, {each.bias:.4f}",
    ]


# --- the mean of one method, and peers


def mean_section(cells: Sequence[Held], studies: int, command: str) -> str:
    """How often the mean's interval holds."""
    of = {(cell.shape.words, cell.seeds, cell.cases): cell for cell in cells}
    text = made_by(command)
    text += f"{studies:,} studies a cell. **Bold**: below 0.93.\n\n"
    heads = ["scores of the cases, seeds", *(f"{cases} cases" for cases in MEAN_CASES)]
    rows: list[list[str]] = []
    for shape in SHAPES:
        for seeds in MEAN_SEEDS:
            here = [of[shape.words, seeds, cases] for cases in MEAN_CASES]
            rows.append([f"{shape.words}; {seeds}", *(_held(cell.coverage) for cell in here)])
            if seeds == 1:
                rows.append(["– Student's interval", *(_held(cell.student) for cell in here)])
                rows.append(["– percentile bootstrap", *(_held(cell.percentile) for cell in here)])
    return text + table(heads, rows)


def _held(coverage: float) -> str:
    return f"{coverage:.2f}" if round(coverage, 2) >= 0.93 else f"**{coverage:.2f}**"


def peers_section(found: Sequence[tuple[Design, int, dict[str, float]]], command: str) -> str:
    """Other tools' error rates beside ours."""
    names = list(found[0][2])
    rows = (
        [
            f"{design.methods} × {design.seeds} × {design.cases}, seed SD {design.seed:g} ({studies} studies)",
            *(f"{rate:.2f}" if rate <= 0.07 else f"**{rate:.2f}**" for rate in (errors[name] for name in names)),
        ]
        for design, studies, errors in found
    )
    text = made_by(command)
    text += "Share of studies of equal methods with any false `worse`. **Bold**: above 0.07.\n\n"
    return text + table(["methods × seeds × cases", *names], rows)
