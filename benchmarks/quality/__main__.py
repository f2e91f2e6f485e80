"""Trains seglab, MONAI's usual recipe and nnU-Net one after the other on the same cases and cores, each for so many
minutes, and judges all by the same count: make bench-quality ROOT=<folder> PEERS=1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.points import FILE, Job
from benchmarks.quality.results import Point, judged, picture, table
from seglab.cli.words import read, setting
from seglab.config.types import PositiveFloat, PositiveInt
from seglab.errors import ConfigError, nearest, run_script
from seglab.runtime.atomic_files import write_text
from seglab.task import Task

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SYSTEMS = ("seglab", "monai", "nnunet")
NAME = "Dataset004_Hippocampus"


@dataclass(frozen=True, kw_only=True)
class QualityWords:
    """Measures how long seglab, MONAI and nnU-Net take to a Dice of held-out cases, on the same cores."""

    root: str = setting("a folder of volumes of one channel, such as MSD Task04_Hippocampus")
    only: tuple[str, ...] = setting("which of seglab, monai, nnunet; all", default=SYSTEMS)
    minutes: PositiveFloat = setting("for each", default=30.0)
    goal: PositiveFloat = setting("Dice of held-out cases", default=0.88)
    seglab: tuple[str, ...] = setting("words of seglab's run", default=("experiment=hippocampus",))
    fold: int = setting("of five, whose cases are held out", default=0)
    iterations: PositiveInt = setting("of nnU-Net between two looks at the clock", default=10)
    peers: str = setting("a Python with MONAI and nnU-Net (requirements-peers.txt)", default=".venv-peers/bin/python")
    out: str = setting("folder of the results", default="build/quality")


def systems(only: Sequence[str], peers: Path) -> list[str]:
    """Those that were asked for.

    Raises:
        ConfigError: an unknown one, or a peer without its environment.
    """
    for name in only:
        if name not in SYSTEMS:
            raise ConfigError(
                "an unknown system",
                code="unknown-choice",
                where="only",
                found=name,
                expected=", ".join(SYSTEMS),
                remedy=nearest(name, SYSTEMS) or "one of them",
            )
    if set(only) != {"seglab"} and not peers.exists():
        raise ConfigError(
            "peers without their environment",
            code="package-missing",
            where="peers",
            found=f"no {peers}",
            expected="a Python with MONAI and nnU-Net",
            remedy="make bench-quality PEERS=1 makes it; or only=[seglab]",
        )
    return list(dict.fromkeys(only))


def prepared(root: str, out: Path) -> Path:
    """The data set as nnU-Net reads it, with its folds, which all systems train on; made once."""
    folder = out / NAME
    if not folder.exists():
        from seglab.command import composed_config
        from seglab.config.run_config import load_data
        from seglab.data.nnunet import write_nnunet

        config = load_data(composed_config(["data=nifti", f"data.root={Path(root).absolute()}", "data.folds=5"]))
        write_nnunet(config.data.build(), config.data_config, config.seed, folder)
    return folder


def check_settings(settings: QualityWords, file: Path) -> None:
    """Note what is measured, once; times to a Dice under other settings are not to stand in one table.

    Raises:
        ConfigError: what was measured before, was measured under others.
    """
    asked = {name: getattr(settings, name) for name in ("minutes", "fold", "iterations")}
    asked |= {"root": str(Path(settings.root).absolute()), "seglab": list(settings.seglab)}
    if not file.exists():
        write_text(file, json.dumps(asked, indent=1) + "\n")
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    if differing := [name for name in asked if asked[name] != before.get(name)]:
        raise ConfigError(
            "results of other settings",
            code="settings-exclude",
            where=str(file.parent),
            found=", ".join(f"{name}={before.get(name)}" for name in differing),
            expected=", ".join(f"{name}={asked[name]}" for name in differing),
            remedy="the settings of before, or another out=…",
        )


def new_folder(place: Path) -> Path:
    """A folder that is not there yet: of a system that failed or was stopped before, the next number."""
    number = 1
    while (place / f"{number}").exists():
        number += 1
    return place / f"{number}"


def trained(name: str, python: str, job: Job, task: Task) -> list[Point]:
    """Train a system in a process of its own, then judge what it left.

    Raises:
        RuntimeError: it ended by itself, with what it said last.
    """
    out = Path(job.out)
    out.mkdir(parents=True)
    path = [str(HERE), *([str(ROOT / "src")] if name == "seglab" else [])]
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [python, str(HERE / f"train_{name}.py")],
            input=json.dumps({**asdict(job), "began": time.time()}),
            text=True,
            stdout=log,
            stderr=log,
            cwd=out,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            check=False,
        )
    if done.returncode:
        raise RuntimeError("\n".join((out / "log.txt").read_text(encoding="utf-8").splitlines()[-20:]))
    lines = [json.loads(line) for line in (out / FILE).read_text().splitlines()]
    return [Point(line["seconds"], line["steps"], round(judged(job, Path(line["masks"]), task), 5)) for line in lines]


def main(words: Sequence[str]) -> int:
    """Train and judge what is not there yet; 1 where a system failed."""
    settings = read(QualityWords, words, "quality")
    names, out = systems(settings.only, Path(settings.peers)), Path(settings.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    check_settings(settings, out / "settings.json")
    data = prepared(settings.root, out)
    labels = json.loads((data / "dataset.json").read_text())["labels"]
    task = Task(3, 1, tuple(labels))
    file, failed = out / "quality.json", False
    kept: dict[str, list[dict[str, Any]]] = json.loads(file.read_text()) if file.exists() else {}
    for name in names:
        if name in kept:
            print(f"{name}: kept from before; another out=… measures it anew", flush=True)
            continue
        print(f"{name}: {settings.minutes:g} minutes, and what judging takes", flush=True)
        own = new_folder(out / name)
        job = Job(str(data), settings.fold, settings.minutes, str(own), 0.0, [*settings.seglab], settings.iterations)
        try:
            points = trained(name, sys.executable if name == "seglab" else settings.peers, job, task)
        except (RuntimeError, ValueError) as error:
            print(f"  failed: {error}", file=sys.stderr, flush=True)
            failed = True
            continue
        kept[name] = [asdict(point) for point in points]
        write_text(file, json.dumps(kept, indent=1) + "\n")
    found = {name: [Point(**point) for point in kept[name]] for name in SYSTEMS if name in kept}
    if found:
        page = f"    python -m benchmarks.quality {' '.join(words)}\n\n{table(found, settings.goal)}"
        write_text(out / "quality.md", page)
        picture(found, settings.goal).savefig(out / "quality.png", dpi=150)
        print(f"\n{page}\nkept in {out}/quality.md, quality.json and quality.png")
    return 1 if failed else 0


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
