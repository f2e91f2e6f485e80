"""The Dockerfile as data: its stages and their instructions, so that what is tried is what is shipped."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_NAME = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
KNOWN = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "WORKDIR"}


@dataclass(frozen=True)
class Instruction:
    """One instruction: its word in capitals, the rest as it is written, and its line."""

    word: str
    rest: str
    line: int

    @property
    def options(self) -> dict[str, str]:
        """`--chown=…` and the like, which stand first."""
        found = {}
        for part in self.rest.split():
            if not part.startswith("--"):
                break
            key, _, value = part[2:].partition("=")
            found[key] = value
        return found

    @property
    def words(self) -> list[str]:
        """What stands behind the options, as a list: of the form with brackets, or split at blanks."""
        rest = self.rest
        while rest.startswith("--"):
            rest = rest.partition(" ")[2].lstrip()
        rest = rest.removeprefix("CMD ") if self.word == "HEALTHCHECK" else rest
        return list(json.loads(rest)) if rest.startswith("[") else shlex.split(rest)

    def variables(self) -> dict[str, str]:
        """Of ENV: names and values."""
        return dict(part.partition("=")[::2] for part in shlex.split(self.rest))


@dataclass
class Stage:
    """One stage: its name, the image or stage that it begins with, and what is done."""

    name: str
    base: str
    line: int
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, word: str) -> Instruction | None:
        """The instruction of a kind that counts."""
        return next((one for one in reversed(self.instructions) if one.word == word), None)


def read(file: Path, arguments: Mapping[str, str] = {}) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in its order; `arguments` are those of `--build-arg`."""
    stages: dict[str, Stage] = {}
    known: dict[str, str] = {}
    stage: Stage | None = None
    for one in _instructions(file.read_text()):
        if one.word not in KNOWN:
            raise ValueError(f"{file}:{one.line}: {one.word} is not understood here")
        if one.word == "ARG" and stage is None:
            name, _, default = one.rest.partition("=")
            known[name] = arguments.get(name, default)
        elif one.word == "FROM":
            base, _, name = filled(one.rest, known).partition(" AS ")
            stage = stages[name or base] = Stage(name or base, base, one.line)
        elif stage is not None:
            stage.instructions.append(one)
    return stages


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with `$NAME` and `${NAME}` replaced; a name that is not known becomes nothing."""
    return _NAME.sub(lambda found: values.get(found[1] or found[2], ""), text)


def chain(stages: Mapping[str, Stage], name: str) -> list[Stage]:
    """A stage and those that it begins with, the first one first."""
    found = [stages[name]]
    while found[0].base in stages:
        found.insert(0, stages[found[0].base])
    return found


def needed(stages: Mapping[str, Stage], name: str) -> list[str]:
    """The stages that have to be made for one, in their order, itself last."""
    wanted: set[str] = set()
    waiting = [name]
    while waiting:
        stage = stages[waiting.pop()]
        wanted.add(stage.name)
        sources = [one.options.get("from", "") for one in stage.instructions if one.word == "COPY"]
        waiting += [other for other in (stage.base, *sources) if other in stages and other not in wanted]
    return [other for other in stages if other in wanted]


def _instructions(text: str) -> list[Instruction]:
    found, held, begun = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not held):
            continue
        begun = begun or number
        held += line.strip()
        if held.endswith("\\"):
            held = held[:-1].rstrip() + " "
            continue
        word, _, rest = held.partition(" ")
        found.append(Instruction(word.upper(), rest.strip(), begun))
        held, begun = "", 0
    return found
