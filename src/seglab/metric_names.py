"""The names of metrics: built, taken apart and spelled for the store of runs here alone.

A score of a table of cases is a column, `dice` or `dice/<class>`. A metric is a column behind the part of the run that
it was taken in: `train_` and `val_` of an epoch, `test_` of the end of a training, `eval_<split>_` or
`eval_<data>-<split>_` of a later evaluation. A class may have any name, and so hold a slash or a prefix of its own.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from seglab.errors import ConfigError
from seglab.run_record import SCORED, SPLIT_NAMES

_LONGEST = 250  # characters, MLflow's limit
_DIGITS = 8

TRAIN, VAL, TEST, EVAL = *SPLIT_NAMES, "eval"
# Of data that are not the run's own the name stands before the split; it may hold underscores, a score no hyphen.
_EVALUATED = re.compile(rf"{EVAL}_((?:[^/]+-)?(?:{'|'.join(SCORED)}))_(.+)")


class Column(NamedTuple):
    """A column of a table of cases.

    Attributes:
        score: such as `dice`.
        of: the class; None for a mean over classes.
    """

    score: str
    of: str | None = None

    @classmethod
    def parse(cls, text: str) -> Column:
        """Of its name; only the first slash divides."""
        score, slash, of = text.partition("/")
        return cls(score, of if slash else None)

    @property
    def of_each_class(self) -> str:
        """What the columns of the score's classes begin with: `dice/`."""
        return f"{self.score}/"

    def __str__(self) -> str:
        return self.score if self.of is None else f"{self.score}/{self.of}"


def of_class(score: str, name: str) -> str:
    """The column of a score of one class: `dice/<class>`."""
    return str(Column(score, name))


class MetricName(NamedTuple):
    """A metric's name, taken apart.

    Attributes:
        stage: `train`, `val`, `test` or `eval`; empty for what is no score, such as `learning_rate`.
        column: the score and its class.
        evaluated: of `eval` the split or `<data>-<split>`.
    """

    stage: str
    column: Column
    evaluated: str = ""

    @classmethod
    def parse(cls, text: str) -> MetricName:
        """Of a name in full; what begins like no score is a column of no stage."""
        if match := _EVALUATED.fullmatch(text):
            return cls(EVAL, Column.parse(match[2]), match[1])
        stage, underscore, rest = text.partition("_")
        if underscore and rest and stage in SPLIT_NAMES:
            return cls(stage, Column.parse(rest))
        return cls("", Column.parse(text))

    @property
    def prefix(self) -> str:
        """What stands before the column."""
        if self.stage == EVAL:
            return f"{EVAL}_{self.evaluated}_"
        return f"{self.stage}_" if self.stage else ""

    @property
    def lower_is_better(self) -> bool:
        """Whether it is a loss of the epochs, which alone among their metrics is minimised."""
        return self.column.score.endswith("loss")

    def __str__(self) -> str:
        return self.prefix + str(self.column)


VAL_DICE, VAL_IOU = (str(MetricName(VAL, Column(score))) for score in ("dice", "iou"))
TEST_DICE = str(MetricName(TEST, Column("dice")))


def epoch_metric(metric: str) -> str:
    """The metric of the epochs that takes the same score from the validation cases."""
    return str(MetricName(VAL, MetricName.parse(metric).column))


def evaluated_metric(name: str, score: str) -> str:
    """A score of a later evaluation: `eval_<name>_<score>`.

    Args:
        name: the split, or `<data>-<split>`.
        score: as the evaluation names it, with its class.
    """
    return f"{EVAL}_{name}_{score}"


def metric_name(name: str) -> str:
    """The name as MLflow takes it; one that it takes already stays as it is.

    MLflow knows letters and digits of all scripts, and `_ - . : /` and blanks; `_` stands for anything else. Between
    two slashes there must be something other than dots. A name that is too long ends in the beginning of its SHA-256.
    """
    text = re.sub(r"[^\w\-. :/]", "_", unicodedata.normalize("NFC", name))
    text = "/".join("_" if part in ("", ".", "..") else part for part in text.split("/"))
    if len(text) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
        text = f"{text[: _LONGEST - _DIGITS - 1]}-{digest}"
    return text


def check_class_names(class_names: Sequence[str], where: str = "data") -> None:
    """See that each class has metrics of its own; raises `ConfigError` naming two whose metrics would be one."""
    first: dict[str, str] = {}
    for name in class_names:
        same = first.setdefault(metric_name(of_class("dice", name)), name)
        if same != name:
            raise ConfigError(
                "two classes whose metrics would have one name",
                code="class-names-collide",
                where=where,
                found=f"'{same}' and '{name}', both kept as '{metric_name(of_class('dice', name))}'",
                expected="names that differ in a letter, a digit or one of _ - . : / and blank: the store of runs keeps"
                " no others",
                remedy=f"rename one of them, such as '{_other(name)}': in the table of labels, dataset.json or"
                " data.class_names",
            )


def _other(name: str) -> str:
    words = {"<": "under ", ">": "over ", "+": "plus ", "=": "is ", "%": " percent", "≤": "up to ", "≥": "from "}
    spelled = re.sub(r"\s+", " ", "".join(words.get(c, c) for c in name)).strip()
    return spelled if spelled != name and metric_name(spelled) == spelled else f"{metric_name(name)} 2"
