"""Units of length as headers of every format name them: one table, so that no format knows fewer than another."""

from __future__ import annotations

from seglab.errors import DataError

_NAMES = {
    1e-7: ("angstrom", "angstroms", "\u00c5", "\u212b"),
    1e-6: ("nm", "nanometer", "nanometre", "nanometers", "nanometres"),
    # Both signs for micro, and the one that ImageJ writes as an escape.
    1e-3: ("um", "µm", "μm", "\\u00B5m", "micron", "microns", "micrometer", "micrometre", "micrometers", "micrometres"),
    1.0: ("mm", "millimeter", "millimetre", "millimeters", "millimetres"),
    10.0: ("cm", "centimeter", "centimetre", "centimeters", "centimetres"),
    1000.0: ("m", "meter", "metre", "meters", "metres"),
    25.4: ("inch", "inches", "in"),
}
KNOWN = ", ".join(names[0] for names in _NAMES.values())
_MILLIMETRES = {name: size for size, names in _NAMES.items() for name in names}
_NONE = ("", "?", "???", "pixel", "pixels", "voxel", "voxels", "reference frame")
_LEAST_OF_A_WORD = 4  # letters: shorter ones are symbols, whose case says something


def millimetres(unit: str) -> float | None:
    """Millimetres in a unit; None where the name stands for no unit, such as `pixel`; `KeyError` of any other name."""
    name = unit.strip()
    name = name.lower() if len(name) >= _LEAST_OF_A_WORD and name.isalpha() else name
    return None if name in _NONE else _MILLIMETRES[name]


def is_length(unit: str) -> bool:
    """Whether a unit of length has this name."""
    try:
        return millimetres(unit) is not None
    except KeyError:
        return False


def unknown_unit(
    path: str, found: str, remedy: str = "write the unit into its header, or export it again in mm"
) -> DataError:
    """Of a header whose unit is none of these, or not the same along all axes."""
    return DataError(
        "a volume whose header does not say where its voxels lie",
        code="volume-position-unknown",
        finding="grid-mismatch",
        where=path,
        found=found,
        expected=f"one of {KNOWN}, the same for all three axes",
        remedy=remedy,
    )
