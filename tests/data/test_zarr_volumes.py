"""OME-Zarr is read as the same voxels in TIFF or NIfTI are, or refused in words."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr_images import write_image

from seglab.data.digest import digest_files
from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.data.io.zarr_volumes import open_levels
from seglab.data.sources.nifti import Nifti
from seglab.errors import ConfigError, DataError

STORED = np.random.default_rng(0).integers(1, 4000, (6, 5, 4)).astype(np.int16)  # (Z, Y, X)
VOLUME = STORED.transpose(2, 1, 0)[..., None].astype(np.float32)


def image_with_metadata(folder: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The metadata file of an image of 0.5, all of it, and its part of OME."""
    file = folder / "zarr.json"
    everything = json.loads(file.read_text())
    return file, everything, everything["attributes"]["ome"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("axes", "turn"),
    [("zyx", lambda a: a), ("xyz", lambda a: a.T), ("czyx", lambda a: a[None]), ("ctzyx", lambda a: a[None, None])],
)
def test_axes_scale_and_origin_are_those_of_its_metadata(
    tmp_path: Path, version: str, axes: str, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    by_name = {"z": 2.5, "y": 0.75, "x": 0.5, "c": 1.0, "t": 60.0}
    scale = [by_name[name] for name in axes]
    shift = [{"z": 30.0, "y": 20.0, "x": -10.0}.get(name, 0.0) for name in axes]
    path = write_image(tmp_path / "a.zarr", [turn(STORED)], version=version, axes=axes, scales=[scale], shift=shift)
    values, affine, _ = read_image([str(path)])
    np.testing.assert_array_equal(values, VOLUME)
    assert spacing_of(affine) == (0.5, 0.75, 2.5)
    np.testing.assert_allclose(affine[:3, 3], [-10, 20, 30])


def test_channels_units_and_a_scale_for_all_levels(tmp_path: Path) -> None:
    """The scale of the multiscale counts too, which readers have left out; one that is empty is none."""
    two = np.stack([STORED, STORED + 1])
    common = [{"type": "scale", "scale": [1.0, 2.0, 3.0, 4.0]}]
    path = write_image(
        tmp_path / "a.zarr", [two], axes="czyx", scales=[(1, 500, 500, 500)], unit="micrometer", common=common
    )
    values, affine, _ = read_image([str(path)])
    np.testing.assert_array_equal(values, np.concatenate([VOLUME, VOLUME + 1], -1))
    assert spacing_of(affine) == (2.0, 1.5, 1.0)
    write_image(tmp_path / "b.zarr", [STORED], version="0.4", common=[])
    assert open_levels(str(tmp_path / "b.zarr"))[0].spacing == (1, 1, 1)


def test_a_plain_array_and_a_level_alone(tmp_path: Path) -> None:
    for number, kind in enumerate((2, 3)):
        path = tmp_path / f"{number}.zarr"
        zarr.create_array(path, data=STORED, chunks=(8, 8, 8), zarr_format=kind)  # chunks larger than the volume
        np.testing.assert_array_equal(read_image([str(path)])[0], VOLUME)
    image = write_image(tmp_path / "a.zarr", [STORED, STORED[::2, ::2, ::2]], scales=[(1, 1, 1), (2, 2, 2)])
    values, affine, _ = read_image([str(image / "1")])
    np.testing.assert_array_equal(values, VOLUME[::2, ::2, ::2])
    assert spacing_of(affine) == (2, 2, 2)


@pytest.mark.parametrize("kind", [">u2", "<f8", "f2", "bool"])
def test_numbers_are_those_of_the_file(tmp_path: Path, kind: str) -> None:
    stored = (STORED % 100).astype(kind)
    zarr.create_array(tmp_path / "a.zarr", data=stored, chunks=(4, 4, 4), zarr_format=2)
    np.testing.assert_array_equal(read_image([str(tmp_path / "a.zarr")])[0][..., 0], stored.transpose(2, 1, 0))


def test_shards_are_read_chunk_by_chunk(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=STORED, chunks=(2, 2, 2), shards=(4, 4, 4))
    assert open_levels(str(tmp_path / "a.zarr"))[0].chunks == (2, 2, 2)
    np.testing.assert_array_equal(read_image([str(tmp_path / "a.zarr")])[0], VOLUME)


def test_its_digest_is_of_every_chunk_and_of_no_place(tmp_path: Path) -> None:
    digests = set()
    for folder in ("one", "two"):
        path = write_image(tmp_path / folder / "a.zarr", [STORED], chunks=(3, 3, 3))
        digests.add(digest_files({"a": path}, {}))
    assert len(digests) == 1
    chunk = path / "0" / "c" / "1" / "0" / "1"
    chunk.write_bytes((path / "0" / "c" / "0" / "0" / "1").read_bytes())
    assert digest_files({"a": path}, {}) not in digests


def absent(path: Path) -> None:
    for chunk in (path / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.unlink()


def damaged(path: Path) -> None:
    (path / "0" / "c" / "1" / "0" / "1").write_bytes(b"nothing of the kind")


def unknown_codec(path: Path) -> None:
    file = path / "0" / "zarr.json"
    array = json.loads(file.read_text())
    array["codecs"][-1] = {"name": "of-tomorrow", "configuration": {}}
    file.write_text(json.dumps(array))


def linked(path: Path) -> None:
    outside = path.parent / "secret"
    outside.write_bytes(b"secret")
    chunk = path / "0" / "c" / "1" / "0" / "1"
    chunk.unlink()
    chunk.symlink_to(outside)


def change(**keys: Any) -> Callable[[Path], None]:
    """Of the multiscale of an image; a key of None is taken away."""

    def do(path: Path) -> None:
        file, everything, ome = image_with_metadata(path)
        ome["multiscales"][0] |= {key: value for key, value in keys.items() if value is not None}
        for key in [key for key, value in keys.items() if value is None]:
            del ome["multiscales"][0][key]
        file.write_text(json.dumps(everything))

    return do


def ome_is(**ome: Any) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        file, everything, _ = image_with_metadata(path)
        everything["attributes"]["ome"] = ome
        file.write_text(json.dumps(everything))

    return do


def spatial(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "type": "space"} for name in names]


def level(path: str = "0", *steps: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"path": path, "coordinateTransformations": list(steps) or [{"type": "scale", "scale": [1, 1, 1]}]}]


SCALE = {"type": "scale", "scale": [1, 1, 1]}
BROKEN: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "nothing in it": (lambda path: [file.unlink() for file in path.glob("*.json")], "file-unreadable", "hidden files"),
    "no JSON": (lambda path: (path / "zarr.json").write_text("{"), "file-unreadable", "JSONDecodeError"),
    "no multiscales": (ome_is(version="0.5"), "file-unreadable", "name the array in it"),
    "a plate": (ome_is(version="0.5", plate={}), "file-unreadable", "A/1/0"),
    "a collection": (ome_is(**{"bioformats2raw.layout": 3}), "file-unreadable", "name one of them"),
    "0.3": (change(axes=["z", "y", "x"]), "zarr-metadata", "a name and a type"),
    "0.6": (change(coordinateSystems=[]), "zarr-metadata", "0.4 or 0.5"),
    "two axes": (change(axes=spatial("y", "x")), "zarr-axes", "z, y and x"),
    "an axis more": (change(axes=spatial("z", "y", "x", "w")), "zarr-axes", "z, y and x"),
    "an axis less than its array": (
        change(
            axes=[{"name": "c", "type": "channel"}, *spatial("z", "y", "x")],
            datasets=[{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 1]}]}],
        ),
        "zarr-axes",
        "for axes c, z, y, x",
    ),
    "no scale": (change(datasets=[{"path": "0"}]), "zarr-metadata", "for each level a scale"),
    "a scale of two": (change(datasets=level("0", {"type": "scale", "scale": [1, 1]})), "zarr-metadata", "3 numbers"),
    "a scale of 0": (change(datasets=level("0", {"type": "scale", "scale": [1, 0, 1]})), "zarr-metadata", "above 0"),
    "a scale in a file": (change(datasets=level("0", {"type": "scale", "path": "s"})), "zarr-metadata", "3 numbers"),
    "an unknown unit": (
        change(axes=[{**axis, "unit": "pixel"} for axis in spatial("z", "y", "x")]),
        "zarr-metadata",
        "take it out",
    ),
    "no datasets": (change(datasets=[]), "zarr-metadata", "one or more levels"),
    "a level elsewhere": (change(datasets=level("../b.zarr/0")), "zarr-metadata", "within the folder"),
    "a level that is not there": (change(datasets=level("7")), "file-unreadable", ""),
    "levels that do not fit": (change(datasets=level("0") + level("1")), "zarr-levels", "the extent of"),
    "nothing stored": (absent, "file-unreadable", "8 of 8 chunks are not there, lost or never written"),
    "a damaged chunk": (damaged, "file-unreadable", "a damaged chunk at {'x': 1, 'y': 0, 'z': 1}"),
    "an unknown codec": (unknown_codec, "zarr-codec", "of-tomorrow"),
    "a link out of it": (linked, "zarr-link", "copy what it names"),
}


@pytest.mark.parametrize(("broken", "code", "message"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_used_is_refused(tmp_path: Path, broken: Callable[[Path], Any], code: str, message: str) -> None:
    path = write_image(tmp_path / "a.zarr", [STORED, STORED[::2, ::2, ::2]], chunks=(3, 3, 3))
    read_image([str(path)])
    broken(path)
    with pytest.raises(DataError) as refused:
        read_image([str(path)])
    assert refused.value.code == code
    assert message in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_without_zarr_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, found = write_image(tmp_path / "a.zarr", [STORED]), importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "zarr" else found(name))
    with pytest.raises(ConfigError, match=r"pip install 'seglab\[formats\]'"):
        read_image([str(path)])


def test_several_times_are_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr", [np.stack([STORED, STORED])], axes="tzyx")
    with pytest.raises(DataError, match="save each time") as refused:
        read_image([str(path)])
    assert refused.value.code == "zarr-axes"


def test_chunks_under_other_names_are_not_a_volume_of_zeros(tmp_path: Path) -> None:
    """The dimension separator that the metadata name is not that of the files: readers have shown zeros."""
    path = write_image(tmp_path / "a.zarr", [STORED], version="0.4", separator=".")
    np.testing.assert_array_equal(read_image([str(path)])[0], VOLUME)
    file = path / "0" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"dimension_separator": "/"}))
    with pytest.raises(DataError, match="dimension_separator"):
        read_image([str(path)])


LABEL = (STORED > 2000).astype(np.uint8)


def data_set(root: Path) -> Path:
    """Two cases in Zarr, the second with an empty label of which no chunk is stored."""
    for number in range(2):
        write_image(root / "images" / f"case_{number}.ome.zarr", [STORED + number], scales=[(3, 2, 1)])
        label = LABEL * (number == 0)
        path = write_image(root / "labels" / f"case_{number}.zarr", [label], scales=[(3, 2, 1)], **{"image-label": {}})
        if number:
            shutil.rmtree(path / "0" / "c", ignore_errors=True)
    return root


def test_a_data_set_is_read_as_one_of_nifti(tmp_path: Path) -> None:
    source = Nifti(root=str(data_set(tmp_path)), label_values=[0, 1])
    assert [case.id for case in source.cases] == ["case_0", "case_1"]
    first, second = map(source.read, source.cases)
    np.testing.assert_array_equal(first.image, VOLUME)
    np.testing.assert_array_equal(first.mask, LABEL.T)
    assert first.spacing == (1, 2, 3)
    assert second.mask is not None
    assert not second.mask.any()


def test_a_description_of_nnunet_may_name_zarr(tmp_path: Path) -> None:
    write_image(tmp_path / "imagesTr" / "a_0000.zarr", [STORED])
    write_image(tmp_path / "labelsTr" / "a.zarr", [LABEL], **{"image-label": {}})
    described = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumour": 1}, "numTraining": 1}
    (tmp_path / "dataset.json").write_text(json.dumps({**described, "file_ending": ".zarr"}))
    (case,) = (source := Nifti(root=str(tmp_path))).cases
    np.testing.assert_array_equal(source.read(case).image, VOLUME)


def test_exchanged_folders_are_refused(tmp_path: Path) -> None:
    data_set(tmp_path)
    with pytest.raises(DataError, match="exchange the folders"):
        Nifti(root=str(tmp_path), images="labels", labels="images", label_values=[0, 1])
    plain = Nifti(root=str(tmp_path), label_values=[0, 1])
    wrong = dataclasses.replace(plain.cases[0], label=plain.cases[0].image[0])
    with pytest.raises(DataError) as refused:
        plain.read(wrong)
    assert refused.value.finding == "undeclared-label"


def test_a_label_of_another_shape_and_a_volume_beyond_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Nifti(root=str(data_set(tmp_path)), label_values=[0, 1])
    shutil.rmtree(tmp_path / "labels" / "case_0.zarr")
    write_image(tmp_path / "labels" / "case_0.zarr", [LABEL[:-1]], scales=[(3, 2, 1)])
    with pytest.raises(DataError) as refused:
        source.read(source.cases[0])
    assert refused.value.code == "mask-size-differs"
    monkeypatch.setattr("seglab.data.io.nifti_headers.available_bytes", lambda: 100)
    with pytest.raises(DataError, match="does not fit into memory") as refused:
        source.read_image(source.cases[0])
    assert refused.value.code == "image-too-large"
