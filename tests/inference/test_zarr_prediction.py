"""A volume in Zarr is predicted by parts: the mask is that of the same voxels in memory, in a share of the memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from predicted_files import predict_files
from zarr_images import window_predictor, write_image

from seglab.data.io.nifti_files import spacing_of
from seglab.data.io.volume_files import read_header
from seglab.data.io.zarr_volumes import open_levels
from seglab.errors import DataError
from seglab.inference import streaming
from seglab.inference.postprocessing import Step
from seglab.inference.predict_files import plan_files, predict_plan
from seglab.inference.predictor import Predictor
from seglab.inference.streaming import fitting_level
from seglab.task import Region

SHAPE = (40, 100, 70)  # z, y, x


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    smooth = np.random.default_rng(0).normal(120, 60, shape)
    return np.clip(smooth, 0, 255).astype(dtype)


def make_bars_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_HELD_BYTES", 1)
    monkeypatch.setattr(streaming, "_LEAST_WINDOWS", 1)
    for module in ("streaming", "zarr_masks"):
        monkeypatch.setattr(f"seglab.inference.{module}.MASK_CHUNK", 32)


@pytest.mark.parametrize(("version", "narrow"), [("0.4", False), ("0.5", True)], ids=["one bar", "bars"])
def test_the_mask_is_that_of_the_voxels_in_memory(
    tmp_path: Path, version: str, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if narrow:
        make_bars_narrow(monkeypatch)
    stored = noise(SHAPE)
    image = write_image(tmp_path / "in" / "a.ome.zarr", [stored], version=version, scales=[(2.0, 0.5, 0.25)])
    predictor = window_predictor(3)
    (mask,) = predict_files(predictor, [image], tmp_path / "masks")
    assert mask == tmp_path / "masks" / "a.zarr"
    wanted = predictor.predict(stored.transpose(2, 1, 0)[..., None].astype(np.float32))
    assert np.bincount(wanted.ravel()).min() > 500
    found = zarr.open_group(mask, mode="r")
    np.testing.assert_array_equal(found["0"][...], wanted.transpose(2, 1, 0))
    assert found["0"].dtype == np.uint8
    shape, affine = read_header(str(mask)).ras
    assert shape == (70, 100, 40)
    assert spacing_of(affine) == (0.25, 0.5, 2.0)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_percentiles_of_the_whole_volume_are_taken_by_parts(tmp_path: Path, dtype: str) -> None:
    stored = noise((24, 40, 33), dtype)
    image = write_image(tmp_path / "in" / "a.zarr", [stored])
    predictor = window_predictor(2, mode="zscore")
    (mask,) = predict_files(predictor, [image], tmp_path / "masks")
    wanted = predictor.predict(stored.transpose(2, 1, 0)[..., None].astype(np.float32))
    np.testing.assert_array_equal(zarr.open_group(mask, mode="r")["0"][...], wanted.transpose(2, 1, 0))


def test_channels_values_flips_and_a_volume_of_one_window(tmp_path: Path) -> None:
    stored = noise((2, 12, 16, 10))
    image = write_image(tmp_path / "in" / "a.zarr", [stored], version="0.4", axes="czyx", unit="micrometer")
    predictor = window_predictor(2, channels=2, flips=(0, 2))
    (mask,) = predict_files(predictor, [image], tmp_path / "masks", values=(7, 300))
    wanted = predictor.predict(stored.transpose(3, 2, 1, 0).astype(np.float32))
    found = zarr.open_group(mask, mode="r")
    np.testing.assert_array_equal(found["0"][...], np.array([7, 300])[wanted.transpose(2, 1, 0)])
    fields = found.attrs.asdict()
    assert fields["multiscales"][0]["version"] == "0.4"
    assert fields["multiscales"][0]["axes"] == [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    assert fields["image-label"]["properties"] == [
        {"label-value": 7, "class": "class 0"},
        {"label-value": 300, "class": "class 1"},
    ]


def test_regions_that_overlap_are_painted_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bars_narrow(monkeypatch)
    stored = noise((24, 40, 33))
    image = write_image(tmp_path / "in" / "a.zarr", [stored])
    predictor = window_predictor(3, regions=(Region("all", (1, 2), 1), Region("core", (2,), 2)))
    (mask,) = predict_files(predictor, [image], tmp_path / "masks")
    wanted = predictor.predict(stored.transpose(2, 1, 0)[..., None].astype(np.float32))
    assert np.bincount(wanted.ravel(), minlength=3).min() > 30
    np.testing.assert_array_equal(read_header(str(mask)).values(), wanted)


def test_the_level_of_the_networks_spacing_is_taken(tmp_path: Path) -> None:
    fine = noise((24, 40, 32))
    levels = [fine, fine[::2, ::2, ::2], fine[::4, ::4, ::4]]
    image = write_image(tmp_path / "in" / "a.zarr", levels, scales=[(0.5,) * 3, (1,) * 3, (2,) * 3])
    predictor = window_predictor(2, spacing=(1.0, 1.0, 1.0))
    plan = plan_files(predictor.task, [image], tmp_path / "masks")
    result = predict_plan(predictor, plan)
    assert result.notes == [f"{image}: the mask lies on level 1 of 3, with voxels of 1×1×1 mm"]
    wanted = predictor.predict(levels[1].transpose(2, 1, 0)[..., None].astype(np.float32), (1.0, 1.0, 1.0))
    header = read_header(str(result.masks[0]))
    np.testing.assert_array_equal(header.values(), wanted)
    assert spacing_of(header.ras[1]) == (1, 1, 1)
    assert zarr.open_group(result.masks[0], mode="r").attrs["ome"]["version"] == "0.5"


GRIDS = {
    "finer": ((0.8, 0.7, 0.5), "cubic"),
    "coarser": ((1.3, 2.1, 2.9), "linear"),
    "one finer, one coarser": ((1.0, 1.6, 0.6), "cubic"),
}


@pytest.mark.parametrize(("spacing", "kind"), GRIDS.values(), ids=GRIDS)
def test_at_another_spacing_the_mask_is_that_of_the_voxels_in_memory(
    tmp_path: Path, spacing: tuple[float, ...], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bars_narrow(monkeypatch)
    stored = noise((41, 50, 44))
    image = write_image(tmp_path / "in" / "a.zarr", [stored], chunks=(16, 16, 16), scales=[(1.1, 1.2, 1.0)])
    predictor = window_predictor(3, spacing=spacing, interpolation=kind, mode="zscore" if kind == "cubic" else "scale")
    (mask,) = predict_files(predictor, [image], tmp_path / "masks")
    wanted = predictor.predict(stored.transpose(2, 1, 0)[..., None].astype(np.float32), (1.0, 1.2, 1.1))
    assert np.bincount(wanted.ravel(), minlength=3).min() > 30
    np.testing.assert_array_equal(zarr.open_group(mask, mode="r")["0"][...], wanted.transpose(2, 1, 0))


def test_levels_of_a_high_pyramid_are_compared_and_none_is_refused(tmp_path: Path) -> None:
    fine = noise((8, 8, 8))
    levels = open_levels(str(write_image(tmp_path / "b.zarr", [fine], scales=[(0.005,) * 3])))
    coarse = open_levels(str(write_image(tmp_path / "c.zarr", [fine], scales=[(1.0,) * 3])))
    assert fitting_level([*levels, *coarse], (1.0, 1.0, 1.0)) is coarse[0]


def test_what_needs_the_whole_volume_is_given_it_where_it_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = noise((12, 20, 16))
    image = write_image(tmp_path / "in" / "a.zarr", [stored])
    predictor = window_predictor(2, postprocessing=(Step("largest", (1,)),))
    (mask,) = predict_files(predictor, [image], tmp_path / "masks")
    wanted = predictor.predict(stored.transpose(2, 1, 0)[..., None].astype(np.float32))
    np.testing.assert_array_equal(read_header(str(mask)).values(), wanted)
    monkeypatch.setattr(streaming, "available_bytes", lambda: 10_000)
    with pytest.raises(DataError, match="postprocessing=false leaves them out") as refused:
        predict_files(predictor, [image], tmp_path / "others")
    assert refused.value.code == "zarr-whole"
    assert list((tmp_path / "others").iterdir()) == []


def test_a_mask_is_there_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_image(tmp_path / "in" / "a.zarr", [noise((24, 40, 96))])
    out, predictor = tmp_path / "masks", window_predictor(2)
    blocks = Predictor.deciding_blocks

    def stopping(*args: Any, **how: Any) -> Iterator[Any]:
        for number, block in enumerate(blocks(*args, **how)):
            if number == 1:
                assert [one.name for one in out.iterdir()] != ["a.zarr"]
                raise KeyboardInterrupt
            yield block

    monkeypatch.setattr(Predictor, "deciding_blocks", stopping)
    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor, [image], out)
    assert list(out.iterdir()) == []

    def racing(*args: Any, **how: Any) -> Iterator[Any]:
        write_image(out / "a.zarr", [noise((2, 2, 2))])
        yield from blocks(*args, **how)

    monkeypatch.setattr(Predictor, "deciding_blocks", racing)
    with pytest.raises(DataError, match="another process has written"):
        predict_files(predictor, [image], out)
    assert zarr.open_group(out / "a.zarr", mode="r")["0"].shape == (2, 2, 2)
    shutil.rmtree(out / "a.zarr")
    monkeypatch.undo()
    (mask,) = predict_files(predictor, [image], out)
    assert [one.name for one in out.iterdir()] == ["a.zarr"]
    array = zarr.open_group(mask, mode="r")["0"]
    assert array.nchunks_initialized == array.nchunks
    with pytest.raises(DataError, match="predicted before"):
        predict_files(predictor, [image], out)
    assert predict_files(predictor, [image], out, existing="replace") == [mask]
    (mask / "zarr.json").write_text("{}")
    with pytest.raises(DataError, match="not written by this program"):
        predict_files(predictor, [image], out, existing="replace")


def test_a_chunk_that_reads_back_otherwise_leaves_no_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_image(tmp_path / "in" / "a.zarr", [noise((24, 40, 32))])
    monkeypatch.setattr("seglab.inference.zarr_masks.np.array_equal", lambda *_: False)
    with pytest.raises(DataError, match="reads back differently"):
        predict_files(window_predictor(2), [image], tmp_path / "masks")
    assert list((tmp_path / "masks").iterdir()) == []


def test_chunks_that_are_not_stored_are_reported(tmp_path: Path) -> None:
    stored = noise((24, 40, 32))
    image = write_image(tmp_path / "in" / "a.zarr", [stored], chunks=(8, 8, 8))
    (image / "0" / "c" / "0" / "1" / "2").unlink()
    stored[:8, 8:16, 16:24] = 0
    predictor = window_predictor(2)
    result = predict_plan(predictor, plan_files(predictor.task, [image], tmp_path / "masks"))
    assert result.notes == [f"{image}: 1 of 60 chunks are not stored, and were read as 0"]
    wanted = predictor.predict(stored.transpose(2, 1, 0)[..., None].astype(np.float32))
    np.testing.assert_array_equal(read_header(str(result.masks[0])).values(), wanted)


def refusal(tmp_path: Path, image: Path | str, predictor: Predictor | None = None, **how: Any) -> DataError:
    with pytest.raises(DataError) as refused:
        predict_files(predictor or window_predictor(2), [image], tmp_path / "masks", **how)
    assert not (tmp_path / "masks").exists() or not list((tmp_path / "masks").iterdir())
    return refused.value


def test_what_is_no_image_for_the_model_is_refused(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "a.zarr", [noise((24, 20, 32))])
    labels = write_image(tmp_path / "in" / "b.zarr", [noise((24, 20, 32))], **{"image-label": {}})
    nan = noise((24, 20, 32), "float32")
    nan[3, 4, 5] = np.nan
    gaps = write_image(tmp_path / "in" / "c.zarr", [nan])
    wide = write_image(tmp_path / "in" / "d.zarr", [noise((24, 20, 32)).astype(np.uint16) * 200])
    assert refusal(tmp_path, labels).code == "zarr-labels"
    assert "1 of 15360 voxels" in str(refusal(tmp_path, gaps))
    assert refusal(tmp_path, wide).code == "image-scale"
    channels = refusal(tmp_path, image, window_predictor(2, channels=2))
    assert (channels.code, "24, 1): 1 channels" in str(channels)) == ("image-channels-of-training", True)
    assert refusal(tmp_path, image, overlays=True).code == "zarr-mask-alone"
    assert refusal(tmp_path, image, probabilities=True).code == "zarr-mask-alone"
    assert refusal(tmp_path, "s3://bucket/a.zarr").code == "remote-image"
    assert refusal(tmp_path, "https://host/a.zarr/").code == "remote-image"


def test_masks_are_not_written_into_a_folder_of_zarr(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "a.zarr", [noise((16, 16, 16))])
    write_image(tmp_path / "other", [noise((16, 16, 16))])
    task = window_predictor(2).task
    for out in (image, image / "masks", image / "0" / "c", tmp_path / "other" / "deep" / "masks"):
        with pytest.raises(DataError, match="in the folder of the images") as refused:
            plan_files(task, [image], out)
        assert refused.value.code == "mask-beside-images"
    with pytest.raises(DataError, match="in the folder of the images"):
        plan_files(task, [image / "0"], image / "masks")
    (series := tmp_path / "b.zarr").mkdir()  # known by its name alone, as one of slices is by them
    with pytest.raises(DataError, match="in the folder of the images"):
        plan_files(task, [series], series / "masks")
    plan_files(task, [image], tmp_path / "in" / "masks")


def test_a_place_that_cannot_be_written_to_is_reported_and_the_image_is_not_blamed(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "a.zarr", [noise((16, 16, 16))])
    (tmp_path / "file").write_bytes(b"")
    out, predictor, failed = tmp_path / "file" / "masks", window_predictor(2), []
    with pytest.raises(DataError) as refused:
        predict_plan(predictor, plan_files(predictor.task, [image], out), failed=lambda image, _: failed.append(image))
    assert refused.value.code == "mask-unwritable"
    assert refused.value.where == str(out / "a.zarr")
    assert failed == []


@pytest.mark.parametrize("name", ["a.zarr", "a.zarr.zip", "a.ozx"])
def test_zarr_in_one_file_is_to_be_unpacked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    refused = refusal(tmp_path, tmp_path / name)
    assert refused.code == "image-format"
    assert f"a file ending in {(tmp_path / name).suffix}\n" in str(refused)
    assert "a folder of DICOM slices or of Zarr\n" in str(refused)
    assert "unpack it into a folder" in str(refused)


def test_a_folder_of_folders_and_a_damaged_one_among_them(tmp_path: Path) -> None:
    for name in ("a.ome.zarr", "b.zarr"):
        write_image(tmp_path / "in" / name, [noise((16, 16, 40))], chunks=(16, 16, 16))
    (tmp_path / "in" / "b.zarr" / "0" / "c" / "0" / "0" / "2").write_bytes(b"x")
    predictor = window_predictor(2)
    for number, words in enumerate((tmp_path / "in", str(tmp_path / "in" / "*.zarr"), str(tmp_path / "**" / "*"))):
        out = tmp_path / f"masks {number}"
        failed: dict[Path, DataError] = {}
        found = predict_plan(predictor, plan_files(predictor.task, [words], out), failed=failed.__setitem__)
        assert found.masks == [out / "a.zarr"]
        assert list(failed) == [tmp_path / "in" / "b.zarr"]
        assert "a damaged chunk at {'x': 2" in str(failed[tmp_path / "in" / "b.zarr"])
        assert sorted(one.name for one in out.iterdir()) == ["a.zarr"]
        shutil.rmtree(out)
