"""A plan on the terminal: the table of settings, what to know, and what comes next."""

from __future__ import annotations

import shlex

from rich.table import Table

from seglab.planning.planning import Planned
from seglab.runtime.terminal import Terminal
from seglab.safety.shown_text import in_line


def print_planned(planned: Planned) -> None:
    """Print it, and the stages of a cascade that was planned beside it."""
    console = Terminal(highlight=False, soft_wrap=True)
    _print(planned, console, "next")
    if not planned.stages:
        return
    for one in planned.stages:
        _print(one, console, "train")
    first, second = (one.folder.name for one in planned.stages)
    masks = planned.stages[1].plan.value("data.previous_stage")
    console.print("the cascade, one after the other", markup=False)
    for command in (
        f"python train.py -m experiment={first}",
        f"seglab ensemble study={first} masks={shlex.quote(masks)}",
        f"python train.py -m experiment={second}",
        f"seglab ensemble study={second}",
    ):
        console.print(f"           {command}", markup=False)


def _print(planned: Planned, console: Terminal, verb: str) -> None:
    table = Table(show_header=True, title=f"{planned.folder.name}")
    for column in ("setting", "value", "why"):
        table.add_column(column, overflow="fold")
    key, values, reason = planned.plan.sweep
    for one in planned.plan.choices:
        table.add_row(one.key, one.shown.replace("[", "\\["), one.reason.replace("[", "\\["))
    table.add_row(key, ",".join(map(str, values)), reason)
    console.print(table)
    for note in planned.plan.notes:
        console.print(f"beware     {note}", markup=False)
    if planned.forecast is not None:
        took = planned.forecast
        console.print(
            f"forecast   {took.study_hours:.2f} hours in {took.jobs} runs of {took.run_minutes:.1f} minutes, "
            f"{took.measured.memory_mb / 1000:.2f} GB each",
            markup=False,
        )
    console.print(in_line(f"{'study      ' if planned.written else 'unchanged  '}{planned.folder}"), markup=False)
    words = f" {planned.forecast.slurm}" if planned.forecast is not None else ""
    console.print(f"{verb:<10} python train.py -m experiment={planned.folder.name}", markup=False)
    if words:
        console.print(f"on SLURM   python train.py -m experiment={planned.folder.name}{words}", markup=False)
