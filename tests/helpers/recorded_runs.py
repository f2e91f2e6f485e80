"""Runs as training leaves them in a real store, made in milliseconds: params, tags, curves, a table of cases."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.entities import Metric, Param, RunTag

from seglab.tracking.store import Store, open_store

START = 1_700_000_000_000
CASES = [f"case{n:02d}" for n in range(12)]


class Recorder:
    """Writes runs into a store below `directory`, or into that of a server."""

    def __init__(self, directory: Path, uri: str | None = None):
        self.store: Store = open_store(uri, directory)
        self.count = 0

    def run(
        self,
        scores: Mapping[str, float] | Callable[[int], Mapping[str, float]],
        *,
        model: str = "UNet",
        loss: str = "DiceLoss",
        optimizer: str = "Adam",
        augment: str = "Light",
        seed: int = 0,
        split: str = "split-a",
        data: str = "data-a",
        status: str = "FINISHED",
        experiment: str = "seglab",
        epochs: int = 4,
        groups: Mapping[str, str] | None = None,
        counts: Mapping[str, list[int]] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        padding: int = 0,
        rate: float = 100.0,
        begun: int = 0,
    ) -> str:
        """Record a run of a minute, `begun` seconds after `START`, with these Dice scores by case; returns its id."""
        client = self.store.client
        self.count += 1
        given = {"model.name": model, "loss.name": loss, "optimizer.name": optimizer, "augment.name": augment}
        given |= {"data.name": "Toy", "seed": str(seed), "run_name": f"{model}_{loss}_{optimizer}", **(params or {})}
        given |= {f"trainer.setting_{i}": str(i) for i in range(padding)}
        known = {"config_digest": f"c{self.count}", "data_digest": data, "split_digest": split, "parameters": "1000"}
        known |= {"seed": str(seed), "device": "cpu", "precision": "float32", **(tags or {})}
        start = START + 1000 * begun + self.count
        run = client.create_run(self.store.experiment_id(experiment), start_time=start, run_name=given["run_name"])
        scores = scores(seed) if callable(scores) else scores
        values = np.array(list(scores.values()), float)
        mean = float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
        curves = []
        for epoch in range(1, epochs + 1):
            curves += [
                Metric("val_dice", mean * epoch / epochs, START + epoch, epoch),
                Metric("val_iou", mean * epoch / epochs / 2, START + epoch, epoch),
                Metric("epoch_seconds", 10.0, START + epoch, epoch),
                Metric("images_per_second", rate + epoch, START + epoch, epoch),
            ]
        final = [Metric("test_dice", mean, START, epochs)] if np.isfinite(mean) else []
        client.log_batch(
            run.info.run_id,
            [*curves, *final, Metric("system/system_memory_usage_megabytes", 2048.0, START, 0)],
            [Param(key, value) for key, value in given.items()],
            [RunTag(key, value) for key, value in known.items()],
        )
        if scores:
            table = pd.DataFrame({"id": list(scores), "group": [(groups or {}).get(case, case) for case in scores]})
            table["dice"] = table["dice/object"] = values
            table["iou"] = values / 2
            table["true/object"] = 5
            for name, column in (counts or {}).items():
                table[name] = column
            client.log_text(run.info.run_id, table.to_csv(index=False), "test_cases.csv")
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status, start + 60_000)
        return run.info.run_id


def copies(store: Store, run_id: str, count: int) -> None:
    """That many more runs like one, with scores around its own, by the database itself: three seeds each of a loss.

    A thousand are made in seconds.
    """
    (folder,) = store.directory.glob(f"artifacts/*/{run_id}")
    ids = [f"{number:08x}{run_id[8:]}" for number in range(count)]
    with contextlib.closing(sqlite3.connect(store.directory / "mlflow.db")) as database:
        for table in ("runs", "params", "tags", "metrics", "latest_metrics"):
            names = [row[1] for row in database.execute(f"pragma table_info({table})")]
            rows = database.execute(f"select {', '.join(names)} from {table} where run_uuid = ?", (run_id,)).fetchall()
            for number, copy in enumerate(ids):
                new = {
                    ("params", "seed"): str(number % 3),
                    ("params", "loss.name"): f"Loss{number // 3}",
                    ("tags", "config_digest"): f"c{number}",
                }
                made = []
                for row in rows:
                    fields = dict(zip(names, row, strict=True))
                    fields |= {
                        name: text.replace(run_id, copy) for name, text in fields.items() if isinstance(text, str)
                    }
                    fields["value"] = new.get((table, fields.get("key")), fields.get("value"))
                    made.append([fields[name] for name in names])
                marks = ", ".join("?" * len(names))
                database.executemany(f"insert into {table} ({', '.join(names)}) values ({marks})", made)
        database.commit()
    table = pd.read_csv(folder / "artifacts" / "test_cases.csv", dtype={"id": str, "group": str})
    rng = np.random.default_rng(0)
    for copy in ids:
        place = folder.with_name(copy) / "artifacts"
        place.mkdir(parents=True)
        scores = {name: table[name] + rng.normal(0, 0.01, len(table)) for name in ("dice", "dice/object", "iou")}
        table.assign(**scores).to_csv(place / "test_cases.csv", index=False)


def level(mean: float, *, noise: float = 0.01, cases: list[str] | None = None) -> Callable[[int], dict[str, float]]:
    """Scores around `mean`, of the same hard and easy cases for everybody, other noise for each seed."""
    names = CASES if cases is None else cases

    def of(seed: int) -> dict[str, float]:
        hardness = np.random.default_rng(0).normal(0, 0.05, len(names))
        rng = np.random.default_rng((seed, int(mean * 1000)))
        drawn = mean + hardness + rng.normal(0, noise, len(names))
        return dict(zip(names, np.clip(drawn, 0, 1).tolist(), strict=True))

    return of
