"""How far apart the voxels of NRRD and MetaImage lie, in every way that their headers can say it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.data.io.volume_files import read_header
from seglab.errors import DataError

SPACE = "space: left-posterior-superior\n"
DIRECTIONS = "(1,0,0) (0,2,0) (0,0,3)"
NRRD_3D = "NRRD0005\ntype: uint8\ndimension: 3\nsizes: 3 4 5\nencoding: raw\n"
NRRD_4D = "NRRD0005\ntype: uint8\ndimension: 4\nsizes: {}\nencoding: raw\n"
METAIMAGE = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 3 4 5\n"


def in_nrrd(folder: Path, fields: str, head: str = NRRD_3D) -> str:
    (folder / "a.nrrd").write_bytes(f"{head}{fields}\n\n".encode() + bytes(range(60)) * (2 if "4\n" in head else 1))
    return str(folder / "a.nrrd")


@pytest.mark.parametrize(
    ("fields", "steps", "first"),
    [
        ("axis mins: 0 0 0\naxis maxs: 1.5 2 10", (0.5, 0.5, 2), (0.25, 0.25, 1)),
        ("axis mins: 0 0 0\naxis maxs: 1.5 2 10\ncenterings: cell node node", (0.5, 2 / 3, 2.5), (0.25, 0, 0)),
        ("axismins: 1 0 0\naxismaxs: 2.5 2 10\nCenters: node node node", (0.75, 2 / 3, 2.5), (1, 0, 0)),
        ('axis mins: 0 0 0\naxis maxs: 1500 2000 10000\nunits: "um" "um" "um"', (0.5, 0.5, 2), None),
        ("spacings: 1 2 nan\naxis mins: 0 0 0\naxis maxs: 9 9 10", (1, 2, 2), None),
        (f"{SPACE}axis mins: 0 0 0\naxis maxs: 1.5 2 10", (0.5, 0.5, 2), None),
        (f"{SPACE}space directions: {DIRECTIONS}", (1, 2, 3), (0, 0, 0)),
        ("spacings: 1 2 3", (1, 2, 3), (0, 0, 0)),
    ],
)
def test_the_steps_of_a_nrrd(
    tmp_path: Path, fields: str, steps: tuple[float, ...], first: tuple[float, ...] | None
) -> None:
    header = read_header(in_nrrd(tmp_path, fields))
    assert spacing_of(header.affine) == pytest.approx(steps)
    assert header.unit == "mm"
    if first is not None:
        np.testing.assert_allclose(np.abs(header.affine[:3, 3]), first, atol=1e-6)
    np.testing.assert_array_equal(header.stored(), np.arange(60).reshape(5, 4, 3).T)


@pytest.mark.parametrize(
    ("sizes", "fields"),
    [
        ("2 3 4 5", "axis mins: nan 0 0 0\naxis maxs: nan 3 8 15\nkinds: vector space space space"),
        ("3 4 5 2", "axis mins: 0 0 0 nan\naxis maxs: 3 8 15 nan\nkinds: space space space list"),
        ("2 3 4 5", "spacings: nan 1 2 3\nkinds: vector space space space"),
        ("3 4 5 2", "spacings: 1 2 3 nan"),
        ("2 3 4 5", f"{SPACE}space directions: none {DIRECTIONS}\nkinds: vector domain domain domain"),
        ("3 4 5 2", f"{SPACE}space directions: {DIRECTIONS} none\nkinds: domain domain domain vector"),
    ],
)
def test_an_axis_of_channels_has_no_step(tmp_path: Path, sizes: str, fields: str) -> None:
    values, affine, _ = read_image([in_nrrd(tmp_path, fields, NRRD_4D.format(sizes) + "content: 4\n")])
    assert values.shape == (3, 4, 5, 2)
    assert spacing_of(affine) == pytest.approx((1, 2, 3))


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (NRRD_3D, "spacings: 1 2 nan"),
        (NRRD_3D, "axis mins: 0 0 nan\naxis maxs: 1 2 3"),
        (NRRD_3D, "spacings: 1 2 nan\naxis mins: 0 0 0"),
        (NRRD_3D, f"{SPACE}space directions: (1,0,0) (0,2,0) none"),
        (NRRD_4D.format("2 3 4 5") + "content: 4\n", "spacings: nan 1 2 3"),
    ],
)
def test_steps_along_some_axes_only_are_refused(tmp_path: Path, head: str, fields: str) -> None:
    """ITK takes the ones that are missing for 1."""
    with pytest.raises(DataError, match=r"known along some axes only[\s\S]*none[\s\S]*spacings: <first>") as caught:
        read_header(in_nrrd(tmp_path, fields, head))
    assert caught.value.code == "volume-position-unknown"


@pytest.mark.parametrize(
    ("line", "steps", "unit"),
    [
        ("ElementSize = 1 2 3\n", (1, 2, 3), "mm"),
        ("ElementSpacing = 1 2 3\n", (1, 2, 3), "mm"),
        ("ElementSize = 4 5 6\nElementSpacing = 1 2 3\n", (1, 2, 3), "mm"),
        ("", (1, 1, 1), "unknown"),
    ],
)
def test_the_steps_of_a_metaimage(tmp_path: Path, line: str, steps: tuple[float, ...], unit: str) -> None:
    text = f"{METAIMAGE}{line}ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(text.encode() + bytes(range(60)))
    header = read_header(str(tmp_path / "a.mha"))
    assert (spacing_of(header.affine), header.unit) == (pytest.approx(steps), unit)


@pytest.mark.parametrize("fields", ["content: nothing", "axis mins: 0 0 0", "spacings: nan nan nan"])
def test_a_header_that_says_no_step_names_no_unit(tmp_path: Path, fields: str) -> None:
    header = read_header(in_nrrd(tmp_path, fields))
    assert (spacing_of(header.affine), header.unit) == (pytest.approx((1, 1, 1)), "unknown")
