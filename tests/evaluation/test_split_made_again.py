"""The split of a training, made again from what travels with its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app_data import write_data
from omegaconf import OmegaConf

from seglab.command import composed_config
from seglab.config.run_config import load_data
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.splits import split_for
from seglab.evaluation.subject import split_made_again
from seglab.inference.bundle import Bundle


def test_it_is_the_one_whose_digest_is_stored_or_none(tmp_path: Path) -> None:
    names = tuple(f"case {number:02}" for number in range(12))
    words = write_data(tmp_path / "data", (16, 16), names)
    composed = composed_config(words)
    settings = load_data(composed)
    source = settings.data.build()
    split = split_for(source, settings.data_config, 3)
    section = OmegaConf.to_container(composed, resolve=True)["data"]  # type: ignore[index,call-overload]
    scaled = Preprocessing("scale", 3, 255.0)
    bundle = Bundle(source.task, scaled, (16, 16), "patch", config={"data": section, "seed": 3})
    bundle = replace(bundle, split_digest=split.digest())
    assert split_made_again(bundle, source) == split
    assert sorted((*split.train, *split.val, *split.test)) == list(names)
    assert split_made_again(replace(bundle, config={"data": section, "seed": 4}), source) is None
    assert split_made_again(replace(bundle, config={}), source) is None
    (tmp_path / "data" / "images" / f"{names[0]}.png").unlink()
    (tmp_path / "data" / "masks" / f"{names[0]}.png").unlink()
    assert split_made_again(bundle, load_data(composed_config(words)).data.build()) is None
