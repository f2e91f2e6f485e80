"""The finished folds of a study without their training: runs of a real store, with networks of a known look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
import keras
import numpy as np
import pandas as pd
import toys
from omegaconf import OmegaConf

from seglab.config.places import CONF
from seglab.config.run_config import load_config
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.splits import split_for
from seglab.inference.bundle import Bundle, save_bundle
from seglab.tracking.store import open_store
from seglab.tracking.tracker import Tracker

Build = Callable[[int], keras.Model]
SCALE = Preprocessing("scale", 1, 255.0, scale="bytes")


def trained_folds(
    runs: Path,
    words: Sequence[str],
    build: Build,
    *,
    folds: int,
    study: str = "folds",
    preprocessing: Callable[[int], Preprocessing] = lambda fold: SCALE,
    described: Callable[[Bundle], Bundle] = lambda bundle: bundle,
) -> list[str]:
    """One run a fold below `runs`; returns their ids.

    Args:
        runs: the folder of runs.
        words: of the config, without those of folds.
        build: a fold's network, of logits.
        folds: how many.
        study: the tag of the runs.
        preprocessing: of each fold.
        described: what else goes with each network.
    """
    store, ids = open_store(None, runs), []
    for fold in range(folds):
        settings = [*words, f"data.folds={folds}", f"data.fold={fold}", "data.split_seed=0"]
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = load_config(hydra.compose("train", overrides=settings))
        source, card = config.data.build(), config.data_config
        split, model = split_for(source, card, config.seed), build(fold)
        resolved = OmegaConf.create(dict(config.resolved))
        bundle = Bundle(
            source.task,
            preprocessing(fold),
            tuple(card.size),
            card.resize_mode,
            split_digest=split.digest(),
            config=OmegaConf.to_container(resolved, resolve=True),  # type: ignore[arg-type]
        )
        tags = {"study": study, "config_digest": "c", "data_digest": "d", "split_digest": split.digest(), "seed": 0}
        tags |= {"parameters": model.count_params()}
        params = {key: value for key, value in config.resolved.items() if key not in ("run_name", "resume", "tracking")}
        with Tracker(toys.tracking(store.uri), runs, run_name=config.run_name, params=params, tags=tags) as tracker:
            saved = save_bundle(tracker.work_dir / "bundle", model, described(bundle))
            example = np.zeros((1, *card.size, 1), np.float32)
            tracker.log_bundle(saved, example=example, prediction=np.zeros((1, *card.size), np.uint8))
            tracker.log_text(split.to_json(), "config/split.json")
            tracker.log_text(OmegaConf.to_yaml(resolved), "config/config.yaml")
            group = {case.id: case.group for case in source.cases}
            table = {"id": split.test, "group": [group[case_id] for case_id in split.test], "dice": 0.5}
            tracker.log_table(pd.DataFrame(table), "test_cases.csv")
            tracker.emit({"test_dice": 0.5}, 1)
        ids.append(tracker.run_id)
    return ids
