"""Which operations a target may be made of: those that its runtime is promised to have, listed in `operations.yaml`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml

from seglab.export.export_targets import ExportRefused, Target

LIST = Path(__file__).with_name("operations.yaml")


@cache
def allowed(target_format: str) -> frozenset[str] | None:
    """The operations of a format; None where any will do."""
    lists: dict[str, list[str]] = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    return frozenset(lists[target_format]) if target_format in lists else None


def check_operations(target: Target, operations: Iterable[str]) -> None:
    """See that a target is made of what its runtime is promised to have.

    Raises:
        ExportRefused: names the operations that are not in the list.
    """
    known = allowed(target.format)
    if known is None or not (strange := sorted(set(operations) - known)):
        return
    raise ExportRefused(
        "a network with an operation that this format is not promised to run",
        where=target.name,
        found=", ".join(strange),
        expected=f"the {len(known)} operations of {target.format} that are listed in {LIST.name}",
        remedy="build that layer of other operations, or use another format",
    )
