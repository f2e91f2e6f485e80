"""A bundle goes out, is proved equal, arrives whole, and is refused where it is not what it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exportable import exportable
from exported import bundle, out

from seglab.cli.verify import run as verify_words
from seglab.errors import DataError
from seglab.export.examining import Examination
from seglab.export.exporting import export
from seglab.export.folder import check_sums, read_folder, write_sums
from seglab.export.request import ExportRequest
from seglab.export.verification import verify, verify_apart
from seglab.inference.backends.openvino import load_openvino
from seglab.inference.bundle import Bundle
from seglab.inference.predictor import Predictor

__all__ = ["bundle", "out"]


@pytest.fixture
def target(out: Path, tmp_path: Path) -> Path:
    """A copy of the float32 target to do harm to."""
    return Path(shutil.copytree(out / "openvino-float32", tmp_path / "target"))


def test_every_target_is_what_it_says(out: Path) -> None:
    assert sorted(place.name for place in out.iterdir()) == ["openvino-float32", "openvino-int8"]
    plain, small = (json.loads((out / f"openvino-{kind}/accuracy.json").read_text()) for kind in ("float32", "int8"))
    assert plain["cases"] == small["cases"] == 3
    assert plain["dice"]["mean"]["reference"] > 0.25
    assert plain["dice"]["mean"]["difference"] == 0
    assert 0 < plain["logits"]["largest_difference"] < 1e-5
    assert plain["masks"]["differ"] == 0
    assert 1e-3 < small["logits"]["largest_difference"] < 1
    assert abs(small["dice"]["mean"]["difference"]) <= 0.005
    for kind in ("float32", "int8"):
        manifest = json.loads((out / f"openvino-{kind}/manifest.json").read_text())
        assert manifest["target"]["executed"] == kind
        assert manifest["input"]["shape"] == [1, 24, 24, 1]
        assert (manifest["calibration"] is None) == (kind == "float32")
    calibration = manifest["calibration"]
    layers = json.loads((out / "openvino-int8/layers.json").read_text())["layers"]
    assert [one["kind"] for one in layers] == ["Convolution", "Convolution"]
    assert all(one["sqnr_db"] > 20 for one in layers)
    assert "| layers.json |" in (out / "openvino-int8/README.md").read_text()
    assert not (out / "openvino-float32/layers.json").exists()
    assert "layers.json" not in (out / "openvino-float32/README.md").read_text()
    assert len(calibration["cases"]) == 14
    assert len(calibration["sha256"]) == 64
    latency = json.loads((out / "openvino-float32/latency.json").read_text())
    assert set(latency["milliseconds"]) == {"decode", "pre", "network", "post", "encode", "all"}
    assert latency["peak_rss_mb"] < 350


def test_it_is_verified_in_a_process_without_tensorflow(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert verify_words([str(out)]) == 0
    output = capfd.readouterr().out
    assert "openvino-float32: float32; logits of the example within" in output
    assert "openvino-int8: int8; logits of the example within" in output
    with Examination(out / "openvino-float32") as process:
        assert process.reply == {"precision": "float32", "tensorflow": False}


def test_nothing_of_the_machine_travels(out: Path, bundle: Path) -> None:
    private = [os.uname().nodename.encode(), str(Path.home()).encode() + b"/", str(bundle.parent).encode()]
    for file in (path for path in out.rglob("*") if path.is_file() and "LICENSES" not in path.parts):
        content = file.read_bytes()
        assert not [word for word in private if len(word) > 3 and word in content], file


@pytest.mark.slow
def test_an_export_can_be_made_again_to_the_bit(out: Path, bundle: Path, tmp_path: Path) -> None:
    again = export(ExportRequest(str(tmp_path / "again"), bundle=str(bundle), format=("openvino", "onnx")))
    other = export(ExportRequest(str(tmp_path / "other"), bundle=str(bundle), format=("onnx",), accuracy=False))
    for name in ("manifest.json", "model.onnx", "example_out.npy", "sbom.cdx.json"):
        file = f"onnx-float32/{name}"
        assert (again / file).read_bytes() == (other / file).read_bytes(), name
    for name in ("manifest.json", "model.bin", "model.xml", "accuracy.json", "sbom.cdx.json", "example_out.npy"):
        file = f"openvino-float32/{name}"
        assert (again / file).read_bytes() == (out / file).read_bytes(), name


def test_a_predictor_of_the_folder_is_that_of_the_bundle(out: Path, bundle: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (45, 31, 1)).astype(np.uint8)
    exported = read_folder(out / "openvino-float32").predictor()
    reference = Predictor.load(bundle)
    np.testing.assert_array_equal(exported.predict(image), reference.predict(image))
    np.testing.assert_allclose(exported.predict_probabilities(image), reference.predict_probabilities(image), atol=1e-6)
    flipped = Predictor.of(exported.network, exported_bundle(out), flips=(0, 1)).predict(image)
    assert (flipped == Predictor.load(bundle, flips=(0, 1)).predict(image)).mean() > 0.999


def exported_bundle(out: Path) -> Bundle:
    return read_folder(out / "openvino-float32").bundle


@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_flipped_byte_in_any_file_is_refused_with_its_name(target: Path, place: float) -> None:
    for file in sorted(path for path in target.rglob("*") if path.is_file()):
        content = bytearray(file.read_bytes())
        if not content:
            continue
        at = int(place * (len(content) - 1))
        content[at] ^= 1
        file.write_bytes(content)
        with pytest.raises(DataError) as caught:
            check_sums(target)
        if file.name != "SHA256SUMS":
            assert file.name in str(caught.value)
        content[at] ^= 1
        file.write_bytes(content)
    check_sums(target)


@pytest.mark.parametrize("harm", ["missing", "added", "link", "climbs"])
def test_other_files_than_those_exported_are_refused(target: Path, harm: str, tmp_path: Path) -> None:
    if harm == "missing":
        (target / "model.bin").unlink()
    elif harm == "added":
        (target / "sitecustomize.py").write_text("print('hello')")
    elif harm == "link":
        (target / "README.md").rename(tmp_path / "elsewhere")
        (target / "README.md").symlink_to(tmp_path / "elsewhere")
    else:
        with (target / "SHA256SUMS").open("a") as file:
            file.write(f"{'0' * 64}  ../secret\n")
    code, output = verify_apart(target)
    assert code == 1
    words = {"missing": "model.bin", "added": "sitecustomize.py", "link": "README.md", "climbs": "../secret"}
    assert words[harm] in output


def test_another_model_of_the_same_shape_is_refused(target: Path) -> None:
    weights = np.fromfile(target / "model.bin", np.float32)
    (weights * 1.01).tofile(target / "model.bin")
    write_sums(target)
    code, output = verify_apart(target)
    assert (code, "logits that are not those of the example" in output) == (1, True)


def test_a_precision_that_is_not_stated_is_noticed(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seglab.inference.backends import openvino as backend

    if "BF16" not in load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16, and so nothing to compute in but float32")
    monkeypatch.setitem(backend.HINTS, "float32", "bf16")  # what the machine takes where nothing is said
    with pytest.raises(DataError, match="not executed in the precision that it was proved in"):
        verify(target)


def test_a_later_format_and_a_strange_manifest_are_refused(target: Path) -> None:
    manifest = json.loads((target / "manifest.json").read_text())
    for change, message in (({"format": 9}, "format 9"), ({"bundle": {}}, "cannot be read"), ({"target": 1}, "read")):
        (target / "manifest.json").write_text(json.dumps(manifest | change))
        write_sums(target)
        with pytest.raises(DataError, match=message):
            read_folder(target)


def test_a_signature_says_who_exported_it(bundle: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = {}
    for name in ("mine", "other"):
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
        (tmp_path / f"{name}.pem").write_bytes(pem)
        public[name] = tmp_path / f"{name}.pub"
        public[name].write_bytes(
            key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        )
    key_file = str(tmp_path / "mine.pem")
    request = ExportRequest(
        str(tmp_path / "out"), bundle=str(bundle), format=("openvino",), accuracy=False, key=key_file
    )
    signed = export(request)
    assert "asked for none" in (signed / "openvino-float32/README.md").read_text()
    verify(signed, public["mine"], lambda _: None)
    with pytest.raises(DataError, match="not of this key"):
        verify(signed, public["other"])
    (signed / "openvino-float32/SHA256SUMS.sig").unlink()
    with pytest.raises(DataError, match="nobody signed"):
        verify(signed, public["mine"])


def test_a_c_program_gives_the_same_answer_without_python(out: Path, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    folder, package = out / "openvino-float32", Path(load_openvino().__file__).parent
    (library,) = (package / "libs").glob("libopenvino_c.so.*")
    linked = [f"-I{package / 'include'}", str(library), f"-Wl,-rpath,{package / 'libs'}"]
    linked += ["-Wl,--allow-shlib-undefined", "-lm"]
    build = ["gcc", "-Wall", "-Wextra", "-Werror", "-O2", str(folder / "run.c"), "-o", str(tmp_path / "run"), *linked]
    subprocess.run(build, check=True)
    words = [str(tmp_path / "run"), str(folder / "model.xml"), str(folder / "example_in.npy")]
    good = [*words, str(folder / "example_out.npy"), "1e-4"]
    done = subprocess.run(good, capture_output=True, text=True, check=False)
    assert (done.returncode, 0 < float(done.stdout) < 1e-5) == (0, True)
    other = np.load(folder / "example_out.npy")
    other[0, 3, 4, 0] += 0.01
    np.save(tmp_path / "other.npy", other)
    done = subprocess.run([*words, str(tmp_path / "other.npy"), "1e-4"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "0.01")
    for bad, message in ((folder / "model.xml", "no array"), (tmp_path / "none.npy", "cannot open")):
        done = subprocess.run([*words, str(bad), "1e-4"], capture_output=True, text=True, check=False)
        assert (done.returncode, message in done.stderr) == (1, True)


def test_verifying_needs_neither_laboratory_nor_tables() -> None:
    code = (
        "import sys; import seglab.cli.verify, seglab.export.verification, seglab.export.latency; "
        "import seglab.export.examining; "
        "heavy = {'tensorflow', 'keras', 'mlflow', 'hydra', 'omegaconf', 'pandas', 'sklearn', 'matplotlib'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_volumes_go_out_in_both_precisions(tmp_path: Path) -> None:
    request = ExportRequest(
        str(tmp_path / "out"),
        bundle=str(exportable(tmp_path, 3)),
        format=("openvino", "onnx"),
        precision=("float32", "int8"),
        calibration=6,
    )
    out = export(request)
    assert sorted(place.name for place in out.iterdir()) == ["onnx-float32", "openvino-float32", "openvino-int8"]
    for place in out.iterdir():
        scores = json.loads((place / "accuracy.json").read_text())
        assert scores["cases"] == 3
        assert scores["logits"]["largest_difference"] < (1 if "int8" in place.name else 1e-5)
        latency = json.loads((place / "latency.json").read_text())
        assert set(latency["milliseconds"]) == {"pre", "network", "post", "all"}
    verify(out, tell=lambda _: None)


@pytest.mark.slow
def test_raw_pixels_go_in_and_class_ids_come_out(tmp_path: Path) -> None:
    request = ExportRequest(
        str(tmp_path / "out"),
        bundle=str(exportable(tmp_path, 2, "resize")),
        format=("openvino", "onnx", "litert"),
        graph="end_to_end",
        image_size=(32, 32),
    )
    out = export(request)
    assert len(list(out.iterdir())) == 3
    for place in out.iterdir():
        manifest, scores = (json.loads((place / f"{name}.json").read_text()) for name in ("manifest", "accuracy"))
        assert (manifest["input"]["dtype"], manifest["input"]["shape"]) == ("uint8", [1, 32, 32, 1])
        assert (manifest["output"]["dtype"], manifest["output"]["shape"]) == ("uint8", [1, 32, 32])
        assert scores["masks"]["of"] == 3 * 32 * 32
        assert scores["masks"]["differ"] <= 3
    verify(out, tell=lambda _: None)
