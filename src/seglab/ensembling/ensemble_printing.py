"""An ensemble on the terminal: what stood to choose, what was tried beyond, what was made and what comes next."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from seglab.ensembling.ensemble_run import EnsembleRun, changes_of
from seglab.ensembling.ensembling import Chosen
from seglab.metric_names import TEST_DICE
from seglab.number_format import difference, duration, interval, p_value, score
from seglab.runtime.terminal import Terminal


def print_chosen(chosen: Chosen, console: Terminal) -> None:
    """The tables of candidates and changes."""
    ranking = chosen.selection.ranking
    table = Table(title="Dice of cases that the networks never saw")
    for column in ("candidate", "networks a case", "weights", "Dice", "less the best", "p", "verdict"):
        table.add_column(column, overflow="fold")
    for number, (one, standing) in enumerate(zip(chosen.selection.candidates, ranking, strict=True)):
        best = standing.verdict == "best"
        table.add_row(
            escape(one.label) + (" ← chosen" if number == chosen.selection.chosen else ""),
            str(len(one.configurations)),
            f"{one.parameters:,}",
            score(ranking.means[number]),
            "–" if best else escape(f"{difference(standing)} {interval(standing)}"),
            "–" if best else p_value(standing.p),
            standing.verdict,
        )
    console.print(table)
    if changes := changes_of(chosen):
        table = Table(title="What was tried beyond")
        for column in ("change", "score", "gain, 95% interval", "p", "time", "taken"):
            table.add_column(column, overflow="fold")
        for change in changes:
            table.add_row(
                escape(change.label),
                escape(change.score),
                escape(f"{difference(change.gain)} {interval(change.gain)}"),
                p_value(change.gain.p),
                f"{change.cost:.1f} ×",
                "yes" if change.taken else "no",
            )
        console.print(table)
    for note in chosen.notes:
        console.print(f"beware     {note}", markup=False)


def print_recorded(chosen: Chosen, recorded: EnsembleRun, console: Terminal) -> None:
    """What was made, where it lies, and the commands that take it."""
    steps = "; ".join(step.sentence(chosen.subjects.task) for step in chosen.tried.steps)
    lines = [
        f"ensemble   {len(chosen.members)} networks: {chosen.candidate.label}",
        f"masks      {f'flips along {list(chosen.axes)}' if chosen.axes else 'no flips'}; {steps or 'as they are'}",
        f"Dice       {score(chosen.metrics.get(TEST_DICE, float('nan')))} by cross-validation, each case by the "
        "networks of its fold alone",
        f"took       {duration(chosen.seconds)} for {len(chosen.subjects.cases)} cases",
        f"run id     {recorded.run_id}  {recorded.run_name}",
        f"bundle     {recorded.bundle}",
        f"next       seglab predict {recorded.run_id} <images> out=masks",
        f"           seglab promote run={recorded.run_id} name=<name>",
    ]
    for line in lines:
        console.print(line, markup=False)
