"""The values that the classes of a mask are stored as."""

from __future__ import annotations

from collections.abc import Sequence

from seglab.errors import DataError
from seglab.inference.mask_writer import MOST_IN_A_PNG, MOST_IN_A_VOLUME
from seglab.task import Task


def check_values(values: Sequence[int], task: Task) -> None:
    """See that values fit the classes of a task, one for each, and a mask; raises `DataError`."""
    fitting = f"{task.classes} values, for {', '.join(task.class_names)}"
    most = MOST_IN_A_PNG if task.rank == 2 else MOST_IN_A_VOLUME
    if len(values) != task.classes:
        what, expected = "values that do not fit the classes of the model", fitting
    elif len(set(values)) < len(values):
        what, expected = (
            "one value for several classes, which no mask would tell apart any more",
            f"different {fitting}",
        )
    elif min(values) < 0 or max(values) > most:
        what, expected = "values that masks cannot hold", f"{fitting}, from 0 to {most}"
    else:
        return
    raise DataError(
        what,
        code="mask-values-mismatch",
        where="values",
        found=list(values),
        expected=expected,
        remedy="give one value for each class, or none for the values of the training masks",
    )
