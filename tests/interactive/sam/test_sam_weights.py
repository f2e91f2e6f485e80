"""Weights of SAM: converted, of another model, missing, no numbers; each said before TensorFlow is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sam_models import arrays, checkpoint, model, networks, small
from sam_weights import picture
from torch_files import dictionary, name, write_archive, write_torch

from seglab.cli import convert_sam
from seglab.errors import ConfigError, DataError
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import MODELS, PromptModel, load_model
from seglab.interactive.sam.sam_model import load
from seglab.interactive.sam.sam_variants import VARIANTS
from seglab.interactive.sam.weights import check_fit, fill, open_tensors, slots

__all__ = ["arrays", "checkpoint", "model", "networks", "small"]


def test_converted_weights_are_the_same_model(model: PromptModel, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "small.weights.h5"
    assert convert_sam.run([f"checkpoint={checkpoint}", f"out={out}"]) == 0
    again = load("sam_vit_l", out)
    assert again.digest == model.digest
    image, prompt = picture(90, 40), Prompt.of((90, 40), box=[3, 4, 30, 50])
    first, second = (one.candidates(one.embed(image), prompt).logits for one in (model, again))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-6)
    with pytest.raises(ConfigError, match=r"place of the weights"):
        convert_sam.run([f"checkpoint={checkpoint}", f"out={out}"])
    with pytest.raises(ConfigError, match=r"ends in \.weights\.h5"):
        convert_sam.run([f"checkpoint={checkpoint}", f"out={tmp_path / 'a.h5'}"])


def test_the_digest_is_of_the_numbers(networks: Any, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Not of the file or its order; one number more or less changes it."""
    wanted = slots(networks("small").variables)
    changed = {**arrays, "mask_decoder.iou_token.weight": arrays["mask_decoder.iou_token.weight"] + np.float32(1e-6)}
    digests = []
    for index, kept in enumerate((changed, arrays, dict(reversed(arrays.items())))):
        path = write_torch(tmp_path / f"{index}.pth", kept)
        digests.append(fill(wanted, open_tensors(path), path))
    assert digests[0] != digests[1] == digests[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_encoder.pos_embed": None}, "image_encoder.pos_embed is missing"),
        ({"mask_decoder.other": np.ones(3, np.float32)}, "mask_decoder.other is none of its own"),
        (
            {"mask_decoder.mask_tokens.weight": np.ones((3, 32), np.float32)},
            r"mask_decoder.mask_tokens.weight is \(3, 32\) and not \(4, 32\)",
        ),
        ({"image_encoder.pos_embed": np.ones((1, 64, 64, 1280), np.float32)}, "it looks like sam_vit_h"),
    ],
)
def test_a_file_that_does_not_fit(
    networks: Any, arrays: dict[str, np.ndarray], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    kept = {key: value for key, value in {**arrays, **change}.items() if value is not None}
    path = write_torch(tmp_path / "a.pth", kept)
    with pytest.raises(DataError, match=message) as caught:
        check_fit(slots(networks("small").variables), open_tensors(path), path, "sam_vit_l")
    assert caught.value.code == "checkpoint-of-other-model"


def test_weights_that_are_no_numbers(networks: Any, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    name = "image_encoder.pos_embed"  # the first to be read, so that the network stays as it is
    broken = arrays[name].copy()
    broken[0, 1, 2, 3] = np.nan
    path = write_torch(tmp_path / "a.pth", {**arrays, name: broken})
    with pytest.raises(DataError, match=name) as caught:
        fill(slots(networks("small").variables), open_tensors(path), path)
    assert caught.value.code == "model-not-finite"


@pytest.mark.parametrize("name", [name for name in MODELS if "sam" in name])
def test_a_model_without_its_weights_says_where_they_are(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(name)
    for word in (VARIANTS[name].file, " MB", "https://github.com/", "grabcut"):
        assert word in str(caught.value)
    with pytest.raises(DataError, match="no file of weights here"):
        load_model(name, Path("nowhere.pth"))


def test_what_cannot_be_loaded_is_stated_before_tensorflow_is(tmp_path: Path) -> None:
    hostile = write_archive(tmp_path / "a.pth", dictionary({"a": name("os", "system")}), {})
    code = (
        "import sys; from pathlib import Path; from seglab.errors import SeglabError\n"
        "from seglab.interactive.prompt_models import load_model\n"
        f"for path in (None, Path('nowhere.pth'), Path({str(hostile)!r})):\n"
        "    try: load_model('mobile_sam', path)\n"
        "    except SeglabError as error: print(error.code)\n"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["checkpoint-not-given", "checkpoint-missing", "checkpoint-refused", "False"]
