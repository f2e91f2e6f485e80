"""Exports that fail, are killed or lose too much leave nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from exportable import exportable
from exported import bundle, out

from seglab.cli.export import read_words
from seglab.cli.export import run as export_words
from seglab.errors import ConfigError, DataError, SeglabError
from seglab.export import conversion, finishing, proving
from seglab.export.export_targets import ExportRefused, Target
from seglab.export.exporting import export
from seglab.export.request import ExportRequest
from seglab.export.verification import verify
from seglab.inference.backends import open_network
from seglab.models.unet import unet
from seglab.task import Task

__all__ = ["bundle", "out"]


def test_an_int8_model_that_loses_too_much_leaves_nothing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(proving, "limits_of", lambda *_, **__: strict)
    from seglab.export.accuracy import AccuracyLimits

    strict = AccuracyLimits(None, None, None, None, -1.0, -1.0)
    words = [f"bundle={bundle}", f"out={tmp_path / 'out'}", "format=openvino", "precision=int8", "calibration=4"]
    assert export_words(words) == 1
    assert "the mean Dice falls from" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_is_refused_before_tensorflow_is_asked(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seglab.runtime.reproducibility.load_tensorflow", lambda: pytest.fail("TensorFlow was loaded"))
    volume = exportable(tmp_path / "volume", 3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    good = [f"bundle={bundle}", f"out={tmp_path / 'out'}"]
    for words, message in (
        ([f"bundle={volume}", good[1], "format=litert"], "LiteRT has no pooling of volumes"),
        ([f"bundle={volume}", good[1], "graph=end_to_end"], "cannot be put into its graph"),
        ([*good, "format=openvin"], "did you mean 'openvino'"),
        ([*good, "precision=int4"], "int8"),
        ([*good, "format=onnx", "precision=int8"], "not offered in"),
        ([*good, "precision=int8", "accuracy=false", "format=openvino"], "nobody has measured"),
        ([good[0], f"out={tmp_path / 'full'}"], "not empty"),
        ([f"bundle={tmp_path / 'nowhere'}", good[1]], "no such bundle"),
        ([good[1]], "one model is exported"),
        ([good[0]], "a missing setting"),
        ([*good, "allow_drop=2"], "less than or equal to 1"),
        ([*good, "calibration=0"], "greater than"),
        ([*good, "colour=red"], "unknown setting 'colour'"),
    ):
        with pytest.raises(SeglabError, match=message):
            export(ExportRequest(**asdict(read_words(words))))
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "full" / "diary.txt").read_text() == "mine"


def test_a_runtime_that_is_not_installed_is_named_with_the_command(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install openvino"):
        verify(out)


def test_a_model_in_mixed_precision_goes_out_in_float32(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = unet(Task(2, 1, ("background", "object")), (16, 16), depth=1, width=4)
    finally:
        keras.config.set_dtype_policy("float32")
    plain = conversion.in_float32(mixed)
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    for mine, theirs in zip(plain.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    images = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    off = np.abs(plain.predict_on_batch(images) - mixed.predict_on_batch(images)).max()
    assert 0 < off < 0.1
    conversion.convert(plain, "openvino", tmp_path)
    network = open_network("openvino", tmp_path / "model.xml")
    np.testing.assert_allclose(network.logits(images), plain.predict_on_batch(images), atol=1e-5)


@pytest.mark.slow
def test_a_killed_export_leaves_no_folder_in_its_place(bundle: Path, tmp_path: Path) -> None:
    words = ["export", f"bundle={bundle}", f"out={tmp_path / 'out'}", "format=openvino", "accuracy=false"]
    process = subprocess.Popen([sys.executable, "-m", "seglab", *words], stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".out.*/openvino-float32/model.xml")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_export_that_is_asked_to_stop_leaves_nothing_at_all(bundle: Path, tmp_path: Path) -> None:
    words = ["export", f"bundle={bundle}", f"out={tmp_path / 'out'}", "format=openvino", "accuracy=false"]
    process = subprocess.Popen([sys.executable, "-m", "seglab", *words], stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob(".out.*/openvino-float32")):
        time.sleep(0.05)
    process.terminate()
    assert process.wait() == 143
    assert list(tmp_path.iterdir()) == []


def test_two_targets_of_one_name_are_one() -> None:
    assert Target("onnx", "float32", "end_to_end").name == "onnx-float32-end-to-end"


def test_a_layer_that_the_converter_does_not_know_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = keras.Input((8, 8, 1), name="image")
    odd = keras.layers.Lambda(lambda x: tf.numpy_function(np.sin, [x], tf.float32), output_shape=(8, 8, 1))
    with pytest.raises(ExportRefused, match="cannot be converted to openvino"):
        conversion.convert(keras.Model(image, odd(image)), "openvino", tmp_path)
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_and_a_second_export_to_the_same_folder_leave_nothing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ExportRequest(str(tmp_path / "out"), bundle=str(bundle), format=("openvino",), accuracy=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(finishing, "copy_licences", full)
    with pytest.raises(DataError, match="No space left on device"):
        export(request)
    assert list(tmp_path.iterdir()) == []

    def other(*_: object) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("first")

    monkeypatch.setattr(finishing, "copy_licences", other)
    with pytest.raises(DataError, match="nobody else who exports"):
        export(request)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]
