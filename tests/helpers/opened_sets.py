"""Shared by the tests of public sets: opened, refused, read whole."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import hydra
import numpy as np
import pytest

from seglab.command import CONF
from seglab.config.run_config import Config, load_config
from seglab.data.sources.image_cases import ImageCases
from seglab.data.sources.image_folder import ImageFolder
from seglab.errors import DataError


def configured(root: Path, *words: str) -> Config:
    """As `train.py` reads the words of a command line."""
    settings = [
        "data=image_folder",
        f"data.root={root}",
        "data.resize_mode=resize",
        "data.size=[64,64]",
        *map(in_quotes, words),
    ]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return load_config(hydra.compose("train", overrides=settings))


def in_quotes(word: str) -> str:
    """As `seglab.command.kept` hands a word on to Hydra, without the time that it takes."""
    key, _, value = word.partition("=")
    return f"{key}='{value}'" if "{id}" in value else word


def opened(root: Path, *words: str) -> ImageFolder:
    return configured(root, *words).data.build()


def refused(root: Path, *words: str) -> list[tuple[str, list[str]]]:
    """What a plain root is answered with: words, and the settings as a shell would hand them on."""
    with pytest.raises(DataError) as caught:
        read_all(opened(root, *words))
    error = caught.value
    if not error.paste:  # one setting, in the midst of the sentence
        return [("", re.findall(r"data\.mask_threshold=\d+", error.remedy))]
    assert all(settings in str(error) for _, settings in error.paste)
    return [(reason, shlex.split(settings)) for reason, settings in error.paste]


def read_all(source: ImageCases) -> list[np.ndarray]:
    return [source.read(case).mask for case in source.cases]
