"""Pictures and probabilities beside a mask, and images that fail alone."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from predicted_files import above_half, pictures, predict_files

from seglab.cli.predict import run as predict
from seglab.errors import DataError
from seglab.inference import memory_forecast
from seglab.inference import overlay_picture as overlays
from seglab.inference.bundle import save_bundle
from seglab.inference.overlay_picture import overlay
from seglab.inference.predict_files import plan_files, predict_plan
from seglab.inference.predictor import Predictor
from seglab.task import Task

ROAD = Task(2, 3, ("ground", "road", "a very long name of a class"), class_colors=((0, 0, 0), (200, 0, 100), (0, 9, 0)))


def test_an_overlay_is_half_the_class_and_half_the_image_over_a_legend() -> None:
    image, mask = np.full((40, 300, 3), 100, np.uint8), np.zeros((40, 300), np.uint8)
    mask[10:20, :50] = 1
    picture = overlay(image, mask, ROAD)
    assert picture.shape == (66, 300, 3)
    assert picture[0, 0].tolist() == [100, 100, 100]  # the background is left clear
    assert picture[15, 20].tolist() == [150, 50, 100]
    legend = picture[40:].reshape(-1, 3).tolist()
    assert [200, 0, 100] in legend
    assert [0, 9, 0] not in legend  # of classes that are there
    assert (overlay(image, mask * 0, ROAD)[:40] == 100).all()


def test_an_overlay_of_other_numbers_and_channels() -> None:
    deep = np.linspace(1000, 3000, 64 * 64).reshape(64, 64, 1).astype(np.uint16)
    picture = overlay(deep, np.zeros((64, 64), np.uint8), ROAD)
    assert (picture[0, 0, 0], picture[63, 63, 0]) == (0, 255)
    assert overlay(np.zeros((8, 8, 5), np.float32), np.ones((8, 8), np.uint8), ROAD).shape == (34, 240, 3)


def test_an_overlay_of_a_large_image_is_for_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlays, "LONGEST_SIDE", 300)
    picture = overlay(np.zeros((40, 900, 3), np.uint8), np.ones((40, 900), np.uint8), ROAD)
    assert picture.shape[1] == 300
    assert picture[5, 5].tolist() == [100, 0, 50]


def test_an_overlay_of_a_volume_is_its_fullest_plane_front_up() -> None:
    image, mask = np.zeros((6, 9, 4, 1), np.float32), np.zeros((6, 9, 4), np.uint8)
    mask[0, 8, 2] = 1  # left, front
    picture = overlay(image, mask, ROAD)
    assert picture[0, 0].tolist() == [100, 0, 50]
    assert picture[0, 1].tolist() == [0, 0, 0]


def test_both_are_written_beside_the_mask(tmp_path: Path) -> None:
    files, truth = pictures(tmp_path)
    predictor = Predictor.of(*above_half(2))
    (mask,) = predict_files(predictor, files[1:2], tmp_path / "out", overlays=True, probabilities=True)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "two.png",
        "two_overlay.png",
        "two_probabilities.npz",
    ]
    np.testing.assert_array_equal(np.asarray(Image.open(mask)), truth)
    with np.load(tmp_path / "out" / "two_probabilities.npz") as held:  # without pickle
        assert held["classes"].tolist() == ["background", "object"]
        assert held["probabilities"].dtype == np.float16
        assert held["probabilities"].shape == (11, 19, 2)
        exact = predictor.predict_probabilities(np.asarray(Image.open(files[1]))[..., None])
        np.testing.assert_array_equal(held["probabilities"], exact.astype(np.float16))
    with pytest.raises(DataError, match="predicted before"):
        predict_files(predictor, files[1:2], tmp_path / "out", probabilities=True)
    predict_files(predictor, files[1:2], tmp_path / "out", overlays=True, probabilities=True, existing="replace")
    (tmp_path / "out" / "two_probabilities.npz").write_bytes(b"mine")
    with pytest.raises(DataError, match="not written by this program"):
        predict_files(predictor, files[1:2], tmp_path / "out", probabilities=True, existing="replace")


def test_probabilities_of_a_volume_lie_on_it(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).random((9, 13, 7), np.float32)
    affine = np.array([[0, -0.5, 0, 4], [0, 0, 3, 5], [-0.8, 0, 0, 6], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "scan.nii")
    predict_files(
        Predictor.of(*above_half(3)), [tmp_path / "scan.nii"], tmp_path / "out", overlays=True, probabilities=True
    )
    written = nib.load(tmp_path / "out" / "scan_probabilities.nii.gz")
    assert written.shape == (9, 13, 7, 2)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "scan.nii").affine)
    expected = 1 / (1 + np.exp(-(10 * voxels.astype(np.float64) - 5)))
    np.testing.assert_allclose(np.asarray(written.dataobj)[..., 1], expected, atol=1e-3)
    assert Image.open(tmp_path / "out" / "scan_overlay.png").size[0] == 240


def test_a_bad_image_fails_alone(tmp_path: Path) -> None:
    files, _ = pictures(tmp_path)
    (tmp_path / "cut.png").write_bytes(files[0].read_bytes()[:40])
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "rgb.png")
    predictor = Predictor.of(*above_half(2))
    plan = plan_files(predictor.task, [tmp_path], tmp_path / "masks")
    reported: list[str] = []
    result = predict_plan(
        predictor, plan, failed=lambda file, error: reported.append(str(error)), doing=reported.append
    )
    assert {file.name for file in result.failed} == {"cut.png", "rgb.png"}
    assert sorted(mask.name for mask in result.masks) == ["three.png", "two.png", "ä one.png"]
    assert sorted(file.name for file in (tmp_path / "masks").iterdir()) == ["three.png", "two.png", "ä one.png"]
    assert any("a file that cannot be read" in line and "cut.png" in line for line in reported)
    assert any(line.startswith("image 5 of 5, ") and " a second: " in line for line in reported)
    assert any(line.endswith("8 of 8 windows") for line in reported)


def test_a_mask_that_could_not_be_written_is_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1000 × 1000 in grey: the image's megabyte is let go before five of the mask's are needed."""
    monkeypatch.setattr(memory_forecast, "_FREE", 0)
    monkeypatch.setattr(memory_forecast, "available_bytes", lambda: 3_999_999)
    monkeypatch.setattr(Predictor, "predict", lambda *_: pytest.fail("computed"))
    Image.new("L", (1000, 1000)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match=r"large\.png") as caught:
        predict_files(Predictor.of(*above_half(2)), [tmp_path / "large.png"], tmp_path / "masks")
    assert "1000×1000 pixels, which need 0.0 GB" in str(caught.value)


def test_the_command_names_what_failed_and_goes_on_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_bundle("bundle", *above_half(2))
    Path("in").mkdir()
    files, _ = pictures(Path("in"))
    Path("in/cut.png").write_bytes(files[0].read_bytes()[:40])
    with pytest.raises(DataError, match="in the folder of the images"):
        predict(["bundle", "in", "--out", "in"])
    assert predict(["bundle", "in/*", "--out", "masks", "--overlay"]) == 1
    output = capsys.readouterr()
    assert sorted(output.out.splitlines()) == sorted(
        f"masks/{name}{end}" for name in ("three", "two", "ä one") for end in (".png", "_overlay.png")
    )
    assert output.err.startswith("error: a file that cannot be read [file-unreadable]\n  where:    in/cut.png")
    assert output.err.endswith("1 of 4 images have no mask:\n  in/cut.png\n")
    assert predict(["bundle", "in", "--out", "masks", "--skip-existing"]) == 1
    assert "3 masks were there already" in capsys.readouterr().err
    Path("in/cut.png").unlink()
    monkeypatch.setattr("seglab.inference.predict_command.load_tensorflow", lambda: pytest.fail("for nothing"))
    assert predict(["bundle", "in", "--out", "masks", "--skip-existing"]) == 0


def test_what_was_written_before_an_interruption_is_whole_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_bundle("bundle", *above_half(2))
    Path("in").mkdir()
    pictures(Path("in"))
    real = Predictor.predict

    def interrupted(self: Predictor, image: np.ndarray, *rest: object) -> np.ndarray:
        if Path("masks").exists():
            raise KeyboardInterrupt
        return real(self, image, *rest)

    monkeypatch.setattr(Predictor, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(["bundle", "in", "--out", "masks"])
    assert [file.name for file in Path("masks").iterdir()] == ["three.png"]
    assert "stopped: 1 files are written and whole; skip_existing=true goes on" in capsys.readouterr().err


def test_its_help_says_what_is_given_and_what_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        predict(["--help"])
    assert left.value.code == 0
    output = capsys.readouterr().out
    for words in ("the id of a run", "models:/roadseg@champion", "x_overlay.png", "skip_existing=false", "float16"):
        assert words in output
