"""Tables as CSV that a spreadsheet opens without obeying them: a name such as `=HYPERLINK(…)` stays a name."""

from __future__ import annotations

from typing import Any

import pandas as pd

from seglab.safety.shown_text import in_cell


def csv_text(frame: pd.DataFrame) -> str:
    """The table as CSV; names that a spreadsheet would take for formulas have an apostrophe before them.

    Numbers stay as they are, the negative ones too. `shown_text.from_cell` takes it off again.
    """
    texts = [name for name, kind in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    safe = frame.assign(**{str(name): frame[name].map(_safe) for name in texts if isinstance(name, str)})
    return str(safe.rename(columns=_safe).to_csv(index=False))


def _safe(value: Any) -> Any:
    return in_cell(value) if isinstance(value, str) else value
