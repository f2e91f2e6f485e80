"""How many clicks a promptable model needs: the robot user over many objects, with intervals, recorded as a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seglab.data.digest import digest_values
from seglab.interactive.prompt_models import PromptModel
from seglab.interactive.robot import CLICKS, TARGETS, Trial, try_object
from seglab.interactive.session import Session
from seglab.interactive.target_objects import TargetObject
from seglab.run_record import Artifact, Metric, Tag
from seglab.statistics.intervals import mean_interval

IOU_AT = (1, 2, 3, 5, 10, 20)
_ELSEWHERE = ("model", "data", "seed", "contents")  # than among the parameters of the prompts
_COLUMNS = {f"noc_{round(100 * target)}": target for target in TARGETS}


@dataclass(frozen=True)
class BenchSettings:
    """What a bench can differ in.

    Attributes:
        model: of the table of promptable models.
        weights: digest of its weights and code.
        data: what the objects are of, in words.
        clicks: interactions at most.
        box_first: the first is a drawn box.
        guard: whether answers go through the guard.
        objects, seed, least_pixels, classes: which objects.
        contents: digest of what the objects are taken from; empty for generated ones.
    """

    model: str
    weights: str
    data: str
    clicks: int = CLICKS
    box_first: bool = False
    guard: bool = True
    objects: int = 50
    seed: int = 0
    least_pixels: int = 64
    classes: tuple[str, ...] = ()
    contents: str = ""


def run_robot(
    model: PromptModel,
    targets: Iterable[TargetObject],
    settings: BenchSettings,
    progress: Callable[[int, Trial], None] | None = None,
) -> pd.DataFrame:
    """One row an object: `id`, `group`, `noc_80|85|90|95`, `reached_80…`, `iou_1|2|3|5|10|20`, `seconds` an answer,
    `clicks`, `falls` and `fall_share` (clicks after which the IoU was lower by more than 0.01), `pixels`."""
    rows = []
    last: tuple[str, Session] | None = None
    for target in targets:
        if last is None or last[0] != target.image_id:
            last = (target.image_id, Session(model, model.embed(target.image), guard=settings.guard))
        embedding = last[1].embedding
        session = Session(model, embedding, guard=settings.guard)
        trial = try_object(
            lambda points, labels, box, session=session: session.predict(points, labels, box).mask,  # type: ignore[misc]
            target.truth,
            clicks=settings.clicks,
            box_first=settings.box_first,
            ignored=target.ignored,
        )
        rows.append(_row(target, trial, settings.clicks))
        if progress:
            progress(len(rows), trial)
    return pd.DataFrame(rows)


def _row(target: TargetObject, trial: Trial, clicks: int) -> dict[str, object]:
    later = len(trial.ious) - 1
    return {
        "id": target.id,
        "group": target.group,
        "image": target.image_id,
        **{name: trial.noc(threshold, clicks) for name, threshold in _COLUMNS.items()},
        **{f"reached_{name[4:]}": int(not trial.failed(threshold)) for name, threshold in _COLUMNS.items()},
        **{f"iou_{number}": trial.iou_at(number) for number in IOU_AT if number <= clicks},
        "seconds": float(np.mean(trial.seconds)),
        "clicks": len(trial.ious),
        "falls": trial.falls,
        "fall_share": trial.falls / later if later else float("nan"),
        "pixels": int(target.truth.sum()),
    }


def summary(table: pd.DataFrame, clicks: int) -> dict[str, tuple[float, float, float]]:
    """Mean of each score over the objects with its interval at 95%, in which an image's objects are drawn together.

    `nof_<t>` is the number of objects that never reached `t`, `fall_share` the share of all clicks but the first ones.
    """
    groups = table["image"].tolist()
    found = {}
    for name in (*_COLUMNS, *[column for column in table if column.startswith("iou_")], "seconds"):
        bounds = (0.0, 1.0) if name.startswith("iou_") else (0.0, np.inf) if name == "seconds" else (1.0, float(clicks))
        found[name] = mean_interval(table[name].to_numpy(float)[None], groups, bounds)
    for name in _COLUMNS:
        failed = int((table[f"reached_{name[4:]}"] == 0).sum())
        found[f"nof_{name[4:]}"] = (float(failed), float("nan"), float("nan"))
    later = int((table["clicks"] - 1).sum())
    found["fall_share"] = (float(table["falls"].sum()) / later if later else 0.0, float("nan"), float("nan"))
    return found


def record(table: pd.DataFrame, settings: BenchSettings, uri: str | None, study: str, directory: Path) -> str:
    """Record a bench as a run: settings as parameters, means as metrics `test_…`, the table of objects; its id."""
    from seglab.config.sections import TrackingSettings
    from seglab.tracking.tracker import Tracker

    tracking = TrackingSettings(uri=uri, experiment=study, system_metrics=False, heartbeat_seconds=30.0)
    counted = {key: value for key, value in asdict(settings).items() if key != "contents" or value}
    digest = digest_values({key: list(v) if isinstance(v, tuple) else v for key, v in counted.items()})
    tags = {
        Tag.CONFIG_DIGEST: digest,
        Tag.DATA_DIGEST: _data_digest(settings),
        Tag.STUDY: study,
        Tag.SEED: settings.seed,
    }
    params: Mapping[str, object] = {
        "model": {"name": settings.model},
        "data": {"name": settings.data},
        "seed": settings.seed,
        "prompt": {key: value for key, value in asdict(settings).items() if key not in _ELSEWHERE},
    }
    name = f"{settings.model}_{'box' if settings.box_first else 'clicks'}{'' if settings.guard else '_unguarded'}"
    with Tracker(tracking, directory, run_name=name, params=params, tags=tags) as tracker:
        values = {f"test_{score}": found[0] for score, found in summary(table, settings.clicks).items()}
        tracker.emit({**values, Metric.EPOCH_SECONDS: float(table["seconds"].sum())}, 0)
        tracker.log_table(table.drop(columns="image"), Artifact.TEST_CASES)
        return tracker.run_id


def _data_digest(settings: BenchSettings) -> str:
    keys = ("objects", "seed", "least_pixels", "classes")
    return digest_values([settings.contents or settings.data, *(str(getattr(settings, key)) for key in keys)])
