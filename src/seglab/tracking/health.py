"""Is the file of a store whole, and does it know the runs whose artifacts lie beside it?"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_COMPLAINTS_SHOWN = 3
_BUSY_SECONDS = 20.0  # as MLflow itself waits for another process that writes


def check_file(file: Path) -> str:
    """What is wrong with the file of a database, read from its first to its last page; empty when nothing is.

    No missing or empty database is made. What a killed process has left half done is undone, as by any who reads it.
    One that is busy, or cannot be opened, is not called damaged.
    """
    if not file.exists():
        return f"{file} is gone"
    if file.stat().st_size == 0:
        return f"{file} is empty"
    try:
        address = f"{file.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as database:
            results = [row[0] for row in database.execute("pragma quick_check")]
            tables = database.execute("select count(*) from sqlite_master where type = 'table'").fetchone()[0]
    except sqlite3.OperationalError:
        return ""
    except sqlite3.DatabaseError as error:
        return f"{file}: {error}"
    if results != ["ok"]:
        words = "; ".join(" ".join(one.split()) for one in results[:_COMPLAINTS_SHOWN])
        return f"{file} is damaged: {words}" + (", …" if len(results) > _COMPLAINTS_SHOWN else "")
    return "" if tables else f"{file} holds no tables"


def runs_with_artifacts(directory: Path) -> list[str]:
    """Ids of the runs whose artifacts lie in a folder of runs, whether a database knows them or not."""
    return sorted(path.name for path in directory.glob("artifacts/*/*") if _RUN_ID.fullmatch(path.name))
