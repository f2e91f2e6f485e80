"""A plan as the files of a study: `study.yaml` that runs it, `plan.md` that explains it, the forecast beside them."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from seglab.errors import ConfigError
from seglab.planning.choices import Choice, shown
from seglab.planning.dry_run import Measured
from seglab.planning.fingerprint import Fingerprint
from seglab.planning.forecast import Forecast
from seglab.planning.plan import Plan
from seglab.runtime.atomic_files import telling_unwritable, write_files

STUDY, PLAN, FORECAST, MEASURED = "study.yaml", "plan.md", "forecast.md", "forecast.json"
_LINE = 110


def study_yaml(name: str, plan: Plan, fingerprint: Fingerprint, data_name: str) -> str:
    """`study.yaml`: the opening that `seglab report` reads, groups, settings with their reasons, the sweep."""
    classes = ", ".join(one.name for one in fingerprint.classes)
    opening = (
        f"How well does a network that is planned and not tuned by hand segment {classes} in {data_name}? "
        f"Planned from {len(fingerprint.shapes)} training cases: {PLAN} says why, {FORECAST} what it takes."
    )
    lines = ["# @package _global_", f"# seglab train -m experiment={name}", *_comment(opening, "")]
    groups = [one for one in plan.choices if "." not in one.key]
    lines.append("defaults:")
    for one in groups:
        lines += [*_comment(one.reason, "  "), f"  - override /{one.key}: {one.shown}"]
    for section in dict.fromkeys(one.key.partition(".")[0] for one in plan.choices if "." in one.key):
        lines += ["", f"{section}:"]
        for one in plan.choices:
            head, dot, rest = one.key.partition(".")
            if head == section and dot:
                lines += [*_comment(one.reason, "  "), f"  {rest}: {one.shown}"]
    key, values, reason = plan.sweep
    lines += ["", "hydra:", "  sweeper:", "    params:", *_comment(reason, "      ")]
    return "\n".join([*lines, f"      {key}: {','.join(map(str, values))}", ""])


def plan_page(name: str, plan: Plan, fingerprint: Fingerprint, data_name: str) -> str:
    """`plan.md`: what the training cases are like, and the table of choices."""
    shapes = _by(fingerprint.median_shape)
    steps = sorted({_by([float(f"{n:.3g}") for n in one]) for one in fingerprint.spacings})
    facts = [
        f"- {fingerprint.cases} cases in {fingerprint.groups} groups; {len(fingerprint.shapes)} of them, the training "
        "split of the first job, were read. Test cases of other folds are among these, as in any plan that folds "
        "share; it goes by sizes, spacings, intensities and shares, and by no score.",
        f"- Sizes: median {shapes}, largest {_by(fingerprint.largest_shape)}; {fingerprint.channels} channels.",
        f"- Spacing: {steps[0]}{f' to {steps[-1]}, {len(steps)} of them' if len(steps) > 1 else ''}.",
    ]
    for number, (low, tail, head, high) in enumerate(fingerprint.intensity):
        facts.append(f"- Channel {number}: {low:g} to {high:g}, 99% between {tail:g} and {head:g} (medians).")
    for one in fingerprint.classes:
        parts = f", {one.objects:g} connected parts a case of {_by(one.extent)}" if one.extent else ""
        facts.append(f"- {one.name}: {one.share:.2%} of what is labelled, in {one.cases} cases{parts}.")
    key, values, reason = plan.sweep
    rows = [(one.key, one.shown, one.reason) for one in plan.choices] + [(key, ",".join(map(str, values)), reason)]
    table = [
        f"| {' | '.join(_cell(cell) for cell in row)} |" for row in (("setting", "value", "why"), ("---",) * 3, *rows)
    ]
    notes = ["", "## To know", "", *(f"- {note}" for note in plan.notes)] if plan.notes else []
    opening = [f"# Plan of {name}", "", f"    python train.py -m experiment={name}", "", f"## {data_name}", ""]
    return "\n".join([*opening, *facts, *notes, "", "## Settings", "", *table, ""])


def forecast_page(name: str, forecast: Forecast) -> str:
    """`forecast.md`: what was measured, and what follows from it."""
    measured = forecast.measured
    rows = [
        ("memory of a run", f"{measured.memory_mb / 1000:.2f} GB"),
        ("a training step", f"{measured.step_seconds:.3f} s, {measured.steps} an epoch"),
        ("a validation step", f"{measured.val_seconds:.3f} s, {measured.val_steps} an epoch"),
        ("an epoch", f"{measured.epoch_seconds:.1f} s"),
        ("before the first step", f"{measured.begin_seconds + measured.compile_seconds:.0f} s"),
        ("from the last step to a network that predicts", f"{measured.end_seconds:.0f} s"),
        ("to predict and score a case", f"{measured.case_seconds:.2f} s"),
        (f"a run of {forecast.epochs} epochs", f"{forecast.run_minutes:.1f} minutes"),
        (f"the study, {forecast.jobs} runs one after the other", f"{forecast.study_hours:.2f} hours"),
        ("weights", f"{measured.parameters:,}"),
        ("device", measured.device),
    ]
    table = [f"| {what} | {took} |" for what, took in (("what", "takes"), ("---", "---"), *rows)]
    words = f"    python train.py -m experiment={name} {forecast.slurm}"
    text = (
        "Three steps were measured as this machine was then, with whatever else it did; on another machine, or an idle "
        "one, it is another. On SLURM, with a reserve:"
    )
    return "\n".join([f"# Forecast of {name}", "", *textwrap.wrap(text, _LINE), "", words, "", *table, ""])


def measured_in(folder: Path, digest: str | None = None) -> Measured | None:
    """The dry run that lies in the folder of a study, of a certain plan or of any; None where there is none."""
    try:
        found = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
        # Dry runs of before the end of a run was measured lack it.
        return Measured(**{"end_seconds": 0.0, **found["measured"]}) if digest in (None, found["plan"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measured_file(digest: str, measured: Measured) -> str:
    """`forecast.json`, which `measured_in` reads."""
    return json.dumps({"plan": digest, "measured": asdict(measured)}, indent=1) + "\n"


def write_study(folder: Path, files: Mapping[str, str], overwrite: bool) -> bool:
    """Write the files of a study; returns False where all are there as they would be written.

    Raises:
        ConfigError: files that are there say something else, and nobody said that they may be replaced.
        SeglabError: they cannot be written.
    """
    there = {name: folder / name for name in files if (folder / name).exists()}
    other = [name for name, path in there.items() if path.read_text(encoding="utf-8") != files[name]]
    if not other and len(there) == len(files):
        return False
    if other and not overwrite:
        raise another_study(folder, ", ".join(other))
    with telling_unwritable(folder):
        write_files({folder / name: text.encode() for name, text in files.items()})
    return True


def another_study(folder: Path, files: str) -> ConfigError:
    """What to tell of a study that would be written over."""
    return ConfigError(
        "a study of this name that is another one",
        code="study-exists",
        where=str(folder),
        found=f"{files} with other contents",
        expected="no such folder, or the same plan",
        remedy="choose another with name=…, or replace it with overwrite=true",
    )


def check_name(name: str) -> str:
    """The name of a study, which `experiment=<name>` can say.

    Raises:
        ConfigError: one of other signs.
    """
    if not re.fullmatch(r"\w[\w-]*", name):
        raise ConfigError(
            "a name that no study can have",
            code="study-name",
            where="name",
            found=name,
            expected="letters, digits, _ and -",
            remedy="name=" + (re.sub(r"[^\w-]+", "_", name).strip("_-") or "my_study"),
        )
    return name


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, _LINE - len(indent))]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _by(numbers: Sequence[float]) -> str:
    return " × ".join(f"{n:g}" for n in numbers)


def words_of(choices: Sequence[Choice]) -> list[str]:
    """Settings as `seglab train` is told them, groups first."""
    groups_first = sorted(choices, key=lambda one: "." in one.key)
    return [f"{one.key}={shown(one.value).replace(': ', ':')}" for one in groups_first]
