"""A cascade is exported and served as two networks in one folder: what it answers is what `seglab predict` writes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import nibabel as nib
import numpy as np
import pytest
import tritonclient.http as triton
from scipy.ndimage import gaussian_filter
from served import Running

from seglab.data.io.nifti_files import read_image
from seglab.data.mask_channels import one_hot, with_mask
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import ConfigError, DataError
from seglab.export.export_targets import check_targets, targets_of
from seglab.export.exporting import export
from seglab.export.folder import (
    GIVEN,
    IMAGE,
    MANIFEST,
    README,
    SBOM,
    read_folder,
    targets_below,
    write_json,
    write_sums,
)
from seglab.export.request import ExportRequest
from seglab.export.verification import verify
from seglab.inference.bundle import FIRST_STAGE, read_bundle, save_bundle
from seglab.inference.description import Bundle
from seglab.inference.ensembles import MemberSource, save_ensemble
from seglab.inference.postprocessing import Step
from seglab.inference.predict_files import plan_files, predict_plan
from seglab.inference.predictor import Predictor
from seglab.runtime.file_digest import sha256_of
from seglab.safety.untrusted_files import read_json
from seglab.serving.exported_model import load_model
from seglab.task import Task

SIZE = (8, 8, 8)
TASK = Task(3, 1, ("background", "organ", "lesion"), label_values=(0, 2, 5))


def stage(folder: Path, kernel: np.ndarray, bias: list[float], bundle: Bundle) -> Path:
    """A bundle whose network is one product a voxel, `(channels, classes)`."""
    image = keras.Input((*SIZE, len(kernel)), name="image")
    layer = keras.layers.Conv3D(3, 1)
    model = keras.Model(image, layer(image))
    layer.set_weights([kernel[None, None, None], np.array(bias)])
    return save_bundle(folder, model, bundle)


def cascade(place: Path, members: int = 2) -> Path:
    """The first stage, at 2 mm, finds an organ where a volume is bright, and of that the largest part; the second one a
    lesion where that is bright, too, and the volume brighter still."""
    first = Bundle(TASK, Preprocessing("zscore", 1), SIZE, "patch", spacing=(2.0, 2.0, 2.0))
    first = replace(first, postprocessing=(Step("largest", (1,)),))
    low = stage(place / "low", np.array([[0.0, 6.0, 0.0]]), [1.0, 0.0, -9.0], first)
    second = Bundle(
        replace(TASK, channels=2), Preprocessing("zscore", 1, previous=2), SIZE, "patch", previous_stage="0"
    )
    kernel = np.array([[0.0, 0.0, 8.0], [0.0, 9.0, 9.0], [0.0, 0.0, 0.0]])
    high = [stage(place / f"high{k}", kernel * (1 + k), [3.0, 0.0, -8.0], second) for k in range(members)]
    return save_ensemble(place / "both", [MemberSource(one) for one in high], first_stage=low)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cascade")


@pytest.fixture(scope="module")
def both(place: Path) -> Path:
    return cascade(place)


@pytest.fixture(scope="module")
def scan(place: Path) -> Path:
    rng, turn = np.random.default_rng(2), np.diag([-1.5, -1.0, 3.0, 1.0])
    values = gaussian_filter(rng.normal(size=(21, 26, 11)), (2, 3, 1)) * 900 + rng.normal(size=(21, 26, 11))
    nib.save(nib.Nifti1Image(values.astype(np.float32), turn), place / "scan.nii.gz")
    return place / "scan.nii.gz"


@pytest.fixture(scope="module")
def target(place: Path, both: Path) -> Path:
    export(ExportRequest(str(place / "out"), bundle=str(both), format=("openvino",), accuracy=False))
    (found,) = targets_below(place / "out")
    return found


def written(predictor: Predictor, scan: Path, out: Path) -> Any:
    (file,) = predict_plan(predictor, plan_files(predictor.task, [scan], out)).masks
    return nib.load(file)


def test_it_answers_what_predict_writes(both: Path, target: Path, scan: Path, tmp_path: Path) -> None:
    trained = Predictor.load(both)
    expected = written(trained, scan, tmp_path / "trained")
    mask = np.asarray(expected.dataobj)
    assert np.unique(mask).tolist() == [0, 2, 5]
    np.testing.assert_array_equal(
        written(load_model(target, name="a").predictor, scan, tmp_path / "file").dataobj, mask
    )
    with Running(target) as running:
        answer = running.predict(scan.read_bytes(), "application/gzip")
        assert answer.status_code == 200, answer.text
        metadata = running.client.get(f"/v2/models/{target.name}").json()
        page = running.client.get("/").text
        client = triton.InferenceServerClient(f"127.0.0.1:{running.port}")
        values, _, _ = read_image([str(scan)])
        given = triton.InferInput("image", list(values.shape), "FP32")
        given.set_data_from_numpy(values)
        tensor = client.infer(target.name, [given], parameters={"spacing": "1.5,1.0,3.0"}).as_numpy("mask")
        with pytest.raises(triton.InferenceServerException, match="spacing"):
            client.infer(target.name, [given])
        client.close()
    (tmp_path / "served.nii.gz").write_bytes(answer.content)
    served: Any = nib.load(tmp_path / "served.nii.gz")
    np.testing.assert_array_equal(np.asarray(served.dataobj), mask)
    assert served.header.binaryblock == expected.header.binaryblock
    ids = trained.predict(values, (1.5, 1.0, 3.0))  # in RAS order, as tensors are
    np.testing.assert_array_equal(tensor, np.array([0, 2, 5])[ids])
    assert (metadata["stages"], metadata["members"]) == (2, 2)
    assert "A first stage finds a mask" in page
    image, first = np.load(target / IMAGE), trained.first
    assert first is not None
    seen = with_mask(image, first.predict(image, first.example_spacing))
    np.testing.assert_array_equal(np.load(target / GIVEN)[0, ..., 1:], one_hot(seen[..., -1], 2))
    without = with_mask(image, np.zeros(image.shape[:-1]))
    assert (trained.predict(without, (2, 2, 2)) != trained.predict(image, (2, 2, 2))).any(), "the first stage counts"


def test_progress_counts_the_windows_of_both_stages(target: Path, scan: Path) -> None:
    """Between them a request ends that nobody waits for; else its process would have to be killed."""
    predictor = load_model(target, name="a").predictor
    image, _, _ = read_image([str(scan)])
    assert predictor.first is not None
    first: list[tuple[int, int]] = []
    predictor.first.predict(image, (1.5, 1.0, 3.0), lambda *done: first.append(done))
    assert first
    for predict in (predictor.predict, predictor.predict_probabilities):
        both: list[tuple[int, int]] = []
        predict(image, (1.5, 1.0, 3.0), lambda *done, steps=both: steps.append(done))
        assert both[: len(first)] == first
        assert len(both) > len(first), "and then those of the second"


def test_the_folder_says_so_and_each_stage_is_verified(target: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    verify(target, tell=lines.append)
    assert lines[0].count("logits of the example within") == 2
    assert "`first_stage/` is a target of its own" in (target / README).read_text()
    assert (
        "1 where the first stage's mask, which first_stage/ makes" in read_json(target / MANIFEST)["input"]["meaning"]
    )
    made = read_json(target / SBOM)
    networks = {".": made["metadata"]["component"], FIRST_STAGE: made["components"][0]}
    for place, network in networks.items():
        files = {file["name"]: file["hashes"][0]["content"] for file in network["components"]}
        assert files == {name: sha256_of(target / place / name) for name in ("model.bin", "model.xml")}
    copy = tmp_path / "copy"
    shutil.copytree(target, copy)
    weights = copy / FIRST_STAGE / "model.bin"
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    for reading in (lambda: verify(copy), lambda: load_model(copy, name="a")):
        with pytest.raises(DataError, match="was altered") as refused:
            reading()
        assert f"{FIRST_STAGE}/model.bin" in refused.value.where
    weights.write_bytes((target / FIRST_STAGE / "model.bin").read_bytes())
    manifest = read_json(copy / FIRST_STAGE / MANIFEST)
    manifest["target"]["executed"] = "bfloat16"
    write_json(copy / FIRST_STAGE / MANIFEST, manifest)
    write_sums(copy / FIRST_STAGE)
    write_sums(copy)
    for reading in (lambda: verify(copy), lambda: load_model(copy, name="a")):
        with pytest.raises(DataError) as refused:
            reading()
        assert refused.value.code == "exported-model-differs"
    shutil.rmtree(copy / FIRST_STAGE)
    write_sums(copy)
    with pytest.raises(DataError, match="no exported model here"):
        read_folder(copy).predictor()


@pytest.mark.parametrize(
    "asked",
    [
        {"precision": ("int8",), "format": ("openvino",)},
        {"format": ("savedmodel",)},
        {"graph": "end_to_end", "format": ("openvino",)},
    ],
)
def test_what_cannot_be_two_networks_is_refused_and_leaves_nothing(
    asked: dict[str, Any], both: Path, tmp_path: Path
) -> None:
    targets = targets_of(
        asked.get("format", ("openvino",)), asked.get("precision", ("float32",)), asked.get("graph", "logits")
    )
    with pytest.raises(ConfigError, match="cannot be two networks") as refused:
        check_targets(targets, read_bundle(both))
    assert refused.value.code == "cascade-two-networks"
    elsewhere = ("data=nifti", f"data.root={tmp_path / 'gone'}", f"data.previous_stage={tmp_path / 'moved'}")
    with pytest.raises(ConfigError) as refused:  # before it is looked for data that nobody needs
        export(ExportRequest(str(tmp_path / "no"), bundle=str(both), data=elsewhere, **asked))
    assert refused.value.code == "cascade-two-networks"
    assert not list(tmp_path.iterdir())


def test_a_first_stage_of_several_plans_is_refused(place: Path, both: Path, tmp_path: Path) -> None:
    low = read_bundle(place / "low")
    other = stage(tmp_path / "fine", np.zeros((1, 3)), [1.0, 0.0, 0.0], replace(low, spacing=(1.0, 1.0, 1.0)))
    first = save_ensemble(tmp_path / "first", [MemberSource(place / "low"), MemberSource(other)])
    whole = save_ensemble(tmp_path / "whole", [MemberSource(place / "high0")], first_stage=first)
    messages: list[str] = []
    with pytest.raises(DataError, match="no single network") as refused:
        export(ExportRequest(str(tmp_path / "no"), bundle=str(whole), accuracy=False), tell=messages.append)
    assert not messages, "before TensorFlow is loaded"
    assert refused.value.where.endswith(FIRST_STAGE)
    assert not (tmp_path / "no").exists()
