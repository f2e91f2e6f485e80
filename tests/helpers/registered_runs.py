"""Shared by the tests of the register: a store with runs whose bundles can be promoted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toys
from promotable import made_bundle

from seglab.run_record import StoreFile
from seglab.tracking.store import Store, open_store


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(None, toys.fresh_store(tmp_path / "mlruns"))


def log(store: Store) -> list[dict[str, object]]:
    return [json.loads(line) for line in (store.directory / StoreFile.PROMOTIONS).read_text().splitlines()]
