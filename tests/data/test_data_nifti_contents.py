"""Files are read by what they hold, not by their names; what holds no volume of numbers is refused in words."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from volumes import AFFINE, IMAGE, LABEL, SHAPE, folders, save

from seglab.data.io.nifti_headers import read_header
from seglab.data.sources.nifti import Nifti
from seglab.errors import DataError
from seglab.inference.mask_writer import write_mask


def _patched(path, *fields):
    """Put (offset, format, values …) into the header of a plain or compressed file."""
    raw = path.read_bytes()
    content = bytearray(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    for offset, form, *values in fields:
        struct.pack_into(form, content, offset, *values)
    path.write_bytes(gzip.compress(bytes(content)) if raw[:2] == b"\x1f\x8b" else bytes(content))


@pytest.fixture
def source(tmp_path):
    return Nifti(root=str(folders(tmp_path, ("a",))))


def _renamed(path, name):
    """The file under a name that its contents do not have."""
    return path.rename(path.with_name(name))


@pytest.mark.parametrize("folder", ["images", "labels"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_is_read_by_its_contents(tmp_path, folder, compressed):
    folders(tmp_path, ("a",))
    path = tmp_path / folder / "a.nii.gz"
    if compressed:
        _renamed(path, "a.nii")
    else:
        path.write_bytes(gzip.decompress(path.read_bytes()))
    source = Nifti(root=str(tmp_path))
    sample = source.read(source.cases[0])
    assert np.array_equal(sample.image[..., 0], IMAGE)
    assert np.array_equal(sample.mask, LABEL)
    assert sample.spacing == pytest.approx((0.5, 0.8, 5.0))
    mask = nib.load(write_mask(tmp_path / "mask.nii.gz", LABEL, like=source.cases[0].image[0]))
    assert np.array_equal(np.asarray(mask.dataobj), LABEL)


def test_bytes_that_were_changed_after_compression_do_not_pass(tmp_path, source):
    """The checksum lies behind the voxels, where a reader that stops with the last voxel does not look."""
    path = tmp_path / "images" / "a.nii.gz"
    content = gzip.decompress(path.read_bytes())
    stored = bytearray(gzip.compress(content, compresslevel=0))  # as they are, so that any change still unpacks
    stored[-20] ^= 255  # the last voxels; eight bytes of checksum and length follow
    path.write_bytes(stored)
    with pytest.raises(DataError, match=r"cannot be read[\s\S]*CRC"):
        source.read(source.cases[0])


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_header_that_declares_more_than_its_file_can_hold(tmp_path, ending):
    (tmp_path / "images").mkdir()
    path = save(tmp_path / "images" / f"a{ending}", IMAGE)
    _patched(path, (40, "<4h", 3, 32767, 32767, 32767))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"declares 32767×32767×32767 voxels, 70,36[\d,]* bytes, in a file of"):
        read_header(str(path)).values()
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_volume_that_does_not_fit_into_memory(tmp_path, source, monkeypatch):
    monkeypatch.setattr("seglab.data.io.nifti_headers.available_bytes", lambda: 4 * IMAGE.size)
    with pytest.raises(DataError, match=r"fit into memory[\s\S]*4×5×6 voxels of 2 bytes"):
        source.read(source.cases[0])


def test_a_scaled_volume_needs_room_for_what_the_scaling_makes(tmp_path, source, monkeypatch):
    path = next((tmp_path / "images").iterdir())
    monkeypatch.setattr("seglab.data.io.nifti_headers.available_bytes", lambda: 10 * IMAGE.size)
    source.read_image(source.cases[0])
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:120] = struct.pack("<2f", 0.5, 3)
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="fit into memory"):
        source.read_image(source.cases[0])
    monkeypatch.setattr("seglab.data.io.nifti_headers.available_bytes", lambda: 14 * IMAGE.size)
    assert source.read_image(source.cases[0]).image.dtype == np.float32


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ([(40, "<4h", 3, 4, 0, 6)], "a volume without voxels"),
        ([(40, "<4h", 3, 4, -5, 6)], "a volume without voxels"),
        ([(40, "<3h", 2, 4, 5)], r"no volume[\s\S]*save 2D images as PNG or TIFF"),
        ([(344, "4s", b"ni1\0")], r"second file \(\.hdr and \.img\)[\s\S]*join the two"),
        ([(344, "4s", b"\0" * 4)], r"as Analyze has it[\s\S]*convert it"),
        ([(0, "<i", 77)], r"it begins with b'M[\s\S]*convert it"),
        ([(108, "<f", np.nan)], "cannot be read"),
        ([(108, "<f", np.inf)], "cannot be read"),
        ([(108, "<f", 1e6)], "in a file of"),
        ([(112, "<2f", 2, np.nan)], r"scaling is no number[\s\S]*scl_slope 2, scl_inter nan"),
        ([(112, "<2f", np.inf, 0)], "scaling is no number"),
        ([(70, "<2h", 0, 0)], r"no real numbers[\s\S]*datatype unknown \(code 0\)"),
        ([(70, "<2h", 1, 1)], r"datatype binary \(code 1\)"),
        ([(70, "<2h", 1536, 128)], r"datatype float128 \(code 1536\)[\s\S]*program that wrote it"),
        ([(70, "<2h", 2048, 256)], r"datatype complex256 \(code 2048\)[\s\S]*program that wrote it"),
    ],
)
def test_headers_that_cannot_be_read_are_refused_in_words(tmp_path, source, fields, says):
    _patched(tmp_path / "images" / "a.nii.gz", *fields)
    with pytest.raises(DataError, match=says) as caught:
        source.read(source.cases[0])
    assert "images/a.nii.gz" in str(caught.value)


def test_a_slope_of_nan_or_nothing_is_no_scaling(tmp_path, source):
    for slope in (np.nan, 0.0):
        _patched(tmp_path / "images" / "a.nii.gz", (112, "<2f", slope, np.nan))
        assert np.array_equal(source.read(source.cases[0]).image[..., 0], IMAGE)


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
RGBA = np.dtype([*((c, "u1") for c in "RGBA")])


def _odd(dtype):
    if dtype.names is None:
        return IMAGE.astype(dtype)
    coloured = np.zeros(SHAPE, dtype)
    for n, name in enumerate(dtype.names):
        coloured[name] = IMAGE % 200 + n
    return coloured


@pytest.mark.parametrize("folder", ["images", "labels"])
@pytest.mark.parametrize(
    ("dtype", "named", "channels"),
    [
        (RGB, "RGB24", 3),
        (RGBA, "RGBA32", 4),
        (np.dtype("c8"), "complex64", 1),
        (np.dtype("c16"), "complex128", 1),
    ],
)
def test_voxels_that_are_no_real_numbers(tmp_path, folder, dtype, named, channels):
    """Refused naming the datatype; the remedy's code makes an image of it that is read."""
    folders(tmp_path, ("a", "b"))
    path = tmp_path / folder / "a.nii.gz"
    image = nib.Nifti1Image(_odd(dtype), AFFINE)
    image.header.set_xyzt_units("micron")
    nib.save(image, path)
    source = Nifti(root=str(tmp_path))  # the other case says how many channels there are
    with pytest.raises(DataError, match=rf"no real numbers[\s\S]*datatype {named} \(code") as caught:
        source.read(source.cases[0])
    assert str(path) in str(caught.value)
    code = caught.value.remedy.partition("with nibabel: ")[2].partition("nib.save(n, new)")
    new = tmp_path / "new" / "images" / "a.nii.gz"
    new.parent.mkdir(parents=True)
    exec(code[0] + code[1], {"nib": nib, "np": np, "file": str(path), "new": str(new)})
    save(tmp_path / "new" / "labels" / "a.nii.gz", LABEL, np.diag([5e-4, 8e-4, 5e-3, 1]))
    again = Nifti(root=str(tmp_path / "new"))
    sample = again.read(again.cases[0])
    assert sample.image.shape == (*SHAPE, channels)
    assert sample.spacing == pytest.approx((5e-4, 8e-4, 5e-3))
    expected = IMAGE if channels == 1 else IMAGE % 200
    assert np.array_equal(sample.image[..., 0], expected)


def test_axes_of_one_are_no_axes(tmp_path):
    for shape in ((*SHAPE, 1), (*SHAPE, 1, 1), (*SHAPE, 1, 1, 1)):
        for folder, array in (("images", IMAGE), ("labels", LABEL)):
            save(tmp_path / folder / "a.nii.gz", array.reshape(shape))
        source = Nifti(root=str(tmp_path))
        sample = source.read(source.cases[0])
        assert np.array_equal(sample.image, IMAGE[..., None])
        assert np.array_equal(sample.mask, LABEL)
    # The fifth axis is that of vectors, as registration tools write them.
    save(tmp_path / "images" / "a.nii.gz", np.stack([IMAGE, IMAGE + 1], -1)[..., None, :])
    source = Nifti(root=str(tmp_path))
    assert source.task.channels == 2
    assert np.array_equal(source.read(source.cases[0]).image[..., 1], IMAGE + 1)


def test_nifti_2_reads_the_same(tmp_path):
    for folder, array in (("images", IMAGE), ("labels", LABEL)):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti2Image(array, AFFINE), tmp_path / folder / "a.nii.gz")
    source = Nifti(root=str(tmp_path))
    sample = source.read(source.cases[0])
    assert np.array_equal(sample.image[..., 0], IMAGE)
    assert np.array_equal(sample.mask, LABEL)
    mask = write_mask(tmp_path / "mask.nii.gz", LABEL, like=source.cases[0].image[0])
    assert isinstance(nib.load(mask), nib.Nifti2Image)


def test_volumes_in_two_files_are_refused_and_the_remedy_joins_them(tmp_path, monkeypatch):
    folders(tmp_path, ("a",))
    nib.save(nib.Nifti1Pair(IMAGE, AFFINE), tmp_path / "images" / "b.img")
    with pytest.raises(DataError, match="a volume in two files") as caught:
        Nifti(root=str(tmp_path))
    monkeypatch.chdir(tmp_path / "images")
    exec(caught.value.remedy.partition("with nibabel, ")[2], {"nib": nib})
    for name in ("b.hdr", "b.img"):
        Path(name).unlink()
    save(tmp_path / "labels" / "b.nii.gz", LABEL)
    source = Nifti(root=str(tmp_path))
    assert np.array_equal(source.read(source.cases[1]).image[..., 0], IMAGE)


def test_a_table_that_lists_other_files_says_what_they_are(tmp_path):
    folders(tmp_path, ("a",))
    nib.save(nib.Nifti1Pair(IMAGE, AFFINE), tmp_path / "images" / "b.img")
    (tmp_path / "images" / "b.mnc").write_text("MINC")
    for name, says in (
        ("b.hdr", "two files"),
        ("b.mnc", "no volume"),
        ("c.nii", "file of a table row not found"),
    ):
        (tmp_path / "cases.csv").write_text(f"image,label\nimages/{name},labels/a.nii.gz\n")
        with pytest.raises(DataError, match=says) as caught:
            Nifti(root=str(tmp_path), table="cases.csv")
        assert "cases.csv, line 2" in caught.value.where


def test_one_file_that_cannot_be_read_hides_no_other(tmp_path):
    folders(tmp_path, ("a", "b"))
    (tmp_path / "images" / "a.nii.gz").write_bytes(b"")
    source = Nifti(root=str(tmp_path))
    assert source.task.channels == 1
    with pytest.raises(DataError, match="it is empty"):
        source.read(source.cases[0])
    assert np.array_equal(source.read(source.cases[1]).mask, LABEL)
