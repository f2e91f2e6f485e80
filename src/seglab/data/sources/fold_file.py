"""The folds of a cross-validation in a file, as nnU-Net keeps them."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from seglab.errors import DataError

FOLDS_FILE = "splits_final.json"
_MOST_BYTES = 64 * 2**20


def read_folds(file: Path, ids: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """The cases that each fold holds out: `val` of a list of `{"train": [ids], "val": [ids]}`.

    Args:
        file: JSON.
        ids: of the cases there are; those that no fold names are left out of the cross-validation.

    Raises:
        DataError: no such file or none of that form, an id that is unknown or held out twice, a fold that trains on
            what it holds out or leaves some of the rest out.
    """
    try:
        folds = json.loads(file.read_text(encoding="utf-8") if file.stat().st_size < _MOST_BYTES else "")
        held = [tuple(map(str, fold["val"])) for fold in folds]
        trained = [set(map(str, fold["train"])) for fold in folds]
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise _unusable(file, f"{type(error).__name__}: {error}"[:200]) from error
    named = [case_id for fold in held for case_id in fold]
    unknown = sorted(set(named) - set(ids))
    twice = sorted({case_id for case_id in named if named.count(case_id) > 1}) if len(set(named)) < len(named) else []
    if len(held) < 2 or not all(held):
        raise _unusable(file, f"{len(held)} folds, {sum(not fold for fold in held)} of them without a case to hold out")
    if unknown or twice:
        found = f"case {unknown[0]}, which there is not" if unknown else f"case {twice[0]} held out by two folds"
        raise _unusable(file, found)
    for number, (out, rest) in enumerate(zip(held, trained, strict=True)):
        if rest != set(named) - set(out):
            raise _unusable(
                file, f"fold {number} trains on other cases than the {len(named) - len(out)} it does not hold out"
            )
    return tuple(held)


def _unusable(file: Path, found: str) -> DataError:
    return DataError(
        "a file of folds that cannot be used",
        code="folds-file-unusable",
        where=str(file),
        found=found,
        expected='[{"train": [ids], "val": [ids]}, …], in which each case is held out once and trained on otherwise',
        remedy="correct it, or data.folds_file=null for folds of seglab's own",
    )
