"""The network that is shipped: small, whole, without TensorFlow where OpenVINO is there, and better than no network."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from seglab.data.prompts.objects import objects_of
from seglab.data.synthetic.shapes import Synthetic2D
from seglab.inference.bundle import read_bundle
from seglab.interactive.click_network import SHIPPED, load
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import load_model
from seglab.interactive.robot import next_click


def ious_after(model_name: str, clicks: int, count: int = 8) -> np.ndarray:
    """IoU of `count` built-in objects that no network has seen, after so many clicks of the robot user."""
    model, found = load_model(model_name), []
    source = Synthetic2D(count=count, seed=99)
    for case in source.cases:
        sample = source.read(case)
        one = max(objects_of(sample.mask, (1,)), key=lambda one: int(one.inside.sum()))
        truth = np.zeros(sample.mask.shape, bool)
        truth[tuple(slice(s, s + n) for s, n in zip(one.start, one.shape, strict=True))] = one.inside
        embedding = model.embed(np.repeat(sample.image, 3, axis=-1))
        logits, points, labels, clicked = None, [], [], np.zeros_like(truth)
        for _ in range(clicks):
            click = next_click(truth, np.zeros_like(truth) if logits is None else logits > 0, clicked)
            if click is None:
                break
            x, y, label = click
            clicked[y, x] = True
            points.append([x, y])
            labels.append(label)
            answer = model.candidates(embedding, Prompt.of(truth.shape, points, labels, mask=logits))
            logits = answer.logits[answer.best]
        mask = logits > 0
        found.append((mask & truth).sum() / (mask | truth).sum())
    return np.array(found)


def test_it_is_small_and_says_where_it_comes_from() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= 4_000_000
    card = (SHIPPED / "README.md").read_text()
    bundle = read_bundle(SHIPPED)
    assert bundle.preprocessing.prompts == 4
    assert bundle.config["run_name"] in card
    assert "seglab train model=click_unet" in card


def test_it_finds_objects_that_it_has_not_seen_and_grabcut_does_not() -> None:
    own, without = ious_after("click_unet", 3), ious_after("grabcut", 3)
    assert own.mean() > 0.8
    assert own.mean() > without.mean() + 0.1


def test_it_runs_without_tensorflow() -> None:
    pytest.importorskip("openvino")
    words = (
        "import sys, numpy as np; from seglab.interactive.prompt_models import load_model;"
        "from seglab.interactive.prompt import Prompt; m = load_model('click_unet');"
        "m.candidates(m.embed(np.zeros((40, 50, 3), np.uint8)), Prompt.of((40, 50), [[9, 9]], [1]));"
        "assert not {'tensorflow', 'keras', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", words], check=True, timeout=300)


@pytest.mark.slow
def test_its_two_files_are_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    sample = Synthetic2D(count=1, seed=99).read(Synthetic2D(count=1, seed=99).cases[0])
    image, prompt = np.repeat(sample.image, 3, axis=-1), Prompt.of(sample.mask.shape, box=[30, 30, 90, 90])
    one = load("click_unet")
    monkeypatch.setattr("seglab.interactive.click_network.importlib.util.find_spec", lambda name: None)
    other = load("click_unet")
    assert "keras" in other.device
    a, b = (model.candidates(model.embed(image), prompt).logits > 0 for model in (one, other))
    assert (a & b).sum() / max((a | b).sum(), 1) > 0.98
