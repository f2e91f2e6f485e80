"""A study as its folder tells it: the question and the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seglab.config.places import STUDIES
from seglab.errors import ConfigError, nearest
from seglab.safety.file_names import file_name

FILE = "study.yaml"


@dataclass(frozen=True)
class Study:
    """A folder below `experiments/`.

    Attributes:
        name: of the folder, and the tag `study` of its runs.
        folder: where the report goes.
        question: the words of the comment that `study.yaml` begins with.
        command: the command lines in that comment.
    """

    name: str
    folder: Path
    question: str
    command: str


def _how_to_write(name: str, studies: Path) -> str:
    """Where a new study of this name would stand; one that is no name of a folder gets no place."""
    place = studies / (name if file_name(name) == name else "<name>") / FILE
    return f"write {place}: experiments/loss_study has one to copy"


def load_study(name: str, studies: Path = STUDIES) -> Study:
    """Read a study.

    Raises:
        ConfigError: no such study, or one that asks no question.
    """
    known = sorted(path.parent.name for path in studies.glob(f"*/{FILE}"))
    if name not in known:
        raise ConfigError(
            "an unknown study",
            code="study-missing",
            where="study",
            found=name,
            expected="one of " + ", ".join(known) if known else f"a folder below {studies} with a {FILE}",
            remedy=nearest(name, known) or _how_to_write(name, studies),
        )
    path = studies / name / FILE
    text = path.read_text(encoding="utf-8")
    question, commands = _opening(text)
    if not question:
        raise ConfigError(
            "a study without a question",
            code="study-without-question",
            where=str(path),
            expected="a comment at the beginning that says what the study is to answer",
            remedy="# Which loss wins when 3% of an image is foreground?",
        )
    return Study(name, path.parent, question, "\n".join(commands) or f"seglab train -m experiment={name}")


def _opening(text: str) -> tuple[str, list[str]]:
    """Question and commands of the comment at the beginning, which Hydra's own `@package` is no part of."""
    words, commands = [], []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment = line.lstrip("#").strip()
        if comment.startswith(("seglab ", "python ")):
            commands.append(comment)
        elif comment and not comment.startswith("@package"):
            words.append(comment)
    return " ".join(words), commands
