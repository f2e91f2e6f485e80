"""Tables as CSV that a spreadsheet opens without obeying them: a name such as `=HYPERLINK(…)` stays a name."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seglab.safety.shown_text import in_cell

if TYPE_CHECKING:
    import pandas as pd


def csv_text(frame: pd.DataFrame) -> str:
    """The table as CSV; names that a spreadsheet would take for formulas have an apostrophe before them.

    Numbers stay as they are, the negative ones too. `shown_text.from_cell` takes it off again.
    """
    import pandas as pd  # the core of seglab is without it

    texts = [name for name, kind in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    safe = frame.assign(**{str(name): frame[name].map(_safe) for name in texts if isinstance(name, str)})
    return str(safe.rename(columns=_safe).to_csv(index=False))


def csv_of_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same of rows with the same keys, at least one; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_safe(name) for name in rows[0]])
    writer.writerows([[_safe(value) for value in row.values()] for row in rows])
    return text.getvalue()


def _safe(value: Any) -> Any:
    return in_cell(value) if isinstance(value, str) else value
