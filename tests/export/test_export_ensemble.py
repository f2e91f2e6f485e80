"""An ensemble leaves the laboratory as one graph: it answers the mean of its members, and says how many they are."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from exportable import blurring, exportable

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.export.conversion import in_float32
from seglab.export.exporting import export
from seglab.export.request import ExportRequest
from seglab.inference.backends.keras import KerasNetwork
from seglab.inference.bundle import load_bundle, save_bundle
from seglab.inference.ensembles import MemberSource, save_ensemble
from seglab.inference.postprocessing import Step
from seglab.inference.predictor import Predictor
from seglab.models.members import combined
from seglab.serving.exported_model import load_model
from seglab.serving.page import page


@pytest.mark.slow
def test_it_is_exported_and_served_as_one_with_its_postprocessing(tmp_path: Path) -> None:
    first = exportable(tmp_path)
    model, bundle = load_bundle(first)
    model.layers[-1].bias.assign([-12.0])
    second = save_bundle(tmp_path / "second", model, bundle)
    steps = (Step("largest", (1,)),)
    whole = save_ensemble(tmp_path / "all", [MemberSource(first), MemberSource(second)], postprocessing=steps)
    export(ExportRequest(str(tmp_path / "out"), bundle=str(whole), format=("onnx",), accuracy=False))
    loaded = load_model(tmp_path / "out", name="both")
    assert (loaded.served.members, loaded.served.postprocessing) == (2, (steps[0].sentence(bundle.task),))
    assert "It is the mean of 2 networks." in page(loaded.served)
    picture = (np.random.default_rng(3).random((60, 50, 1)) * 255).astype(np.uint8)
    picture[10:20, 5:30] = 255
    alone, expected = Predictor.load(first).predict(picture), Predictor.load(whole)
    mask = loaded.predictor.predict(picture)
    np.testing.assert_array_equal(mask, expected.predict(picture))
    assert 0 < mask.sum() < alone.sum()
    with pytest.raises(DataError, match="masks are postprocessed") as refused:
        export(ExportRequest(str(tmp_path / "no"), bundle=str(whole), graph="end_to_end", accuracy=False))
    assert "graph=logits" in refused.value.remedy


def test_members_of_bfloat16_are_computed_in_float32() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    members = [blurring((16, 16)), blurring((16, 16), sign=0.5)]
    keras.config.set_dtype_policy("float32")
    scale = Preprocessing("scale", 1, 255.0, scale="bytes")
    whole = combined(members, [scale] * 2, scale, [1.0, 2.0])
    assert KerasNetwork(whole).precision == "bfloat16"
    exact = in_float32(whole)
    assert KerasNetwork(exact).precision == "float32"
    image = np.random.default_rng(0).random((1, 16, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(exact.predict_on_batch(image), whole.predict_on_batch(image), atol=0.2)


def test_several_plans_of_windows_are_no_graph(tmp_path: Path) -> None:
    first, other = exportable(tmp_path / "a"), exportable(tmp_path / "b", fit="resize")
    whole = save_ensemble(tmp_path / "all", [MemberSource(first), MemberSource(other)])
    with pytest.raises(DataError, match="no single network"):
        export(ExportRequest(str(tmp_path / "no"), bundle=str(whole), accuracy=False))
