"""The data section of a config for tests: small 2D patches, unless they say otherwise."""

from __future__ import annotations

from typing import Any

from seglab.config.sections import DataConfig


def data_config(**changes: Any) -> DataConfig:
    """A card of the rank of its size."""
    settings = {
        "name": "Toy",
        "size": [16, 16],
        "batch_size": 4,
        "resize_mode": "patch",
        "spacing": None,
        "foreground_share": 0.0,
        "patches_per_case": 1,
        "normalize": "scale",
        "modality": None,
        "workers": 1,
        "split": {"train": 0.7, "val": 0.15, "test": 0.15},
        "split_seed": None,
        "fold": None,
        "folds": 5,
        "stratify": False,
        "allow": [],
        "cache_dir": "cache",  # below the working folder of the test
        "cache_gb": 1.0,
        "limit_cases": None,
        "validate_on_train": False,
        **changes,
    }
    return DataConfig(**{"rank": len(settings["size"]), **settings})
