"""Images whose numbers cannot count in one unit, though all are divided by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seglab.config.sections import DataConfig
from seglab.data.check.findings import Finding
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.preprocessing.value_scale import common_scale

# Floats that fill 0 to 1 beside such as go beyond: some were divided by 255 or the like and some were not.
FULL_SHARE, BEYOND_SHARES = 0.5, 100.0


def find_mixed_scales(facts: Mapping[str, CaseFingerprint], card: DataConfig) -> Iterator[Finding]:
    """A row when the numbers of the images cannot count in one unit, and no image is normalised by itself.

    An error where types say so, as 8 bits beside 16 or beside floats of 0 to 1 (see `value_scale`); a warning
    where floats fill 0 to 1 in some images and go far beyond in others.
    """
    if card.normalize == "zscore" or not facts:
        return
    scale, _ = common_scale(facts.values())
    groups: dict[str, list[str]] = {}
    for case_id, one in facts.items():
        low, high = min(one.intensity.minimum), max(one.intensity.maximum)
        if one.dtype.startswith("float") and low >= 0 and FULL_SHARE <= high <= 1:
            kind = "floats from 0 to 1"
        elif one.dtype.startswith("float"):
            kind = "floats beyond" if high >= BEYOND_SHARES else ""
        else:
            kind = "8 bits" if one.dtype == "uint8" else "16 bits, above 255" if high > 255 else "16 bits, up to 255"
        groups.setdefault(kind, []).append(case_id)
    two_kinds = scale == "reals" and {"floats from 0 to 1", "floats beyond"} <= set(groups)
    if scale != "mixed" and not two_kinds:
        return
    by_kind = {kind or "other floats": ids for kind, ids in groups.items()}
    yield Finding.of(
        "mixed-pixel-scales",
        f"{len(facts)} images",
        "; ".join(
            f"{kind}: {len(ids)} images ({ids[0]}{', …' if len(ids) > 1 else ''})" for kind, ids in by_kind.items()
        ),
        "numbers that count in one unit in all images, since all are divided by one",
        "data.normalize=zscore, which scales each image by itself; or save all images in one type and range",
        severity=None if scale == "mixed" else "warning",
    )
