"""How well `seglab plan` foretells: make bench-forecast.

Six data sets, made here, times four networks. Of each pair the dry run of `seglab plan` says what a run will take, in
memory and time; then that run is trained, as anyone would, and its process is measured. What was measured is kept, and
not measured again unless `again=true`: it can be stopped and started as often as one likes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.forecast.data import IMAGES, VOLUMES, words_of
from seglab.cli.words import read, setting
from seglab.config.types import PositiveInt
from seglab.errors import ConfigError, SeglabError, nearest, run_script
from seglab.runtime.atomic_files import write_text

if TYPE_CHECKING:
    from seglab.tracking.store import Store

ROOT = Path(__file__).resolve().parents[2]
# Small enough for two cores, and unlike one another.
MODELS = {
    2: {
        "unet": ("model=unet", "model.width=16"),
        "fpn": ("model=fpn", "model.encoder=mobilenetv3", "model.weights=null", "model.width=64"),
        "segformer": ("model=segformer",),
        "deeplabv3plus": ("model=deeplabv3plus", "model.weights=null", "model.width=64"),
    },
    3: {
        "unet3d": ("model=unet3d", "model.width=8"),
        "dynunet": (
            "model=dynunet",
            "model.widths=[8,16,32,64]",
            "model.strides=[1,2,2,2]",
            "model.kernels=[3,3,3,3]",
            "model.encoder_blocks=[2,2,2,2]",
        ),
        "segresnet": ("model=segresnet", "model.width=8"),
        "vnet": ("model=vnet", "model.width=8", "model.kernel=3", "model.depth=3"),
    },
}
# Of the forecast, as a share of what a run took; and how close it should come.
MEMORY_WITHIN, TIME_WITHIN = 0.15, 0.20
WATCH = Path(__file__).with_name("watch.py")


@dataclass(frozen=True, kw_only=True)
class ForecastWords:
    """Compares the forecasts of `seglab plan` with the runs that they are of."""

    pairs: tuple[str, ...] = setting("data sets, networks or pairs, such as [cubes,unet,slices/vnet]; all", default=())
    epochs: PositiveInt = setting("of each run", default=4)
    folder: tuple[str, ...] = setting("more data sets: <name>:<words of its data>, apart by spaces", default=())
    out: str = setting("folder of the results, the data and the runs", default="build/forecast")
    again: bool = setting("measure what was measured before too", default=False)


@dataclass(frozen=True)
class Pair:
    """What was foretold of a run, and what it took.

    Attributes:
        words: of the run, as `seglab train` takes them.
        memory_mb, seconds, step_seconds: foretold, the most that is held, from the start to the end, of a step.
        run_memory_mb, run_seconds, run_step_seconds: of the run.
        processor_seconds: that the run computed, on all cores together.
        load: cores that other programs kept busy meanwhile, on average.
    """

    words: Sequence[str]
    memory_mb: int
    seconds: float
    step_seconds: float
    run_memory_mb: int
    run_seconds: float
    run_step_seconds: float
    processor_seconds: float
    load: float

    @property
    def memory_error(self) -> float:
        """Foretold too much, as a share of what it took; negative: too little."""
        return self.memory_mb / self.run_memory_mb - 1

    @property
    def time_error(self) -> float:
        """The same of the whole run's time."""
        return self.seconds / self.run_seconds - 1

    @property
    def step_error(self) -> float:
        """The same of a training step's time."""
        return self.step_seconds / self.run_step_seconds - 1


def all_pairs(more: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """`<data set>/<network>` → words of the network, for the six data sets and `more`, of these ranks."""
    ranks = {**dict.fromkeys(IMAGES, 2), **dict.fromkeys(VOLUMES, 3), **more}
    return {f"{name}/{model}": words for name, rank in ranks.items() for model, words in MODELS[rank].items()}


def chosen(pairs: Mapping[str, Sequence[str]], asked: Sequence[str]) -> list[str]:
    """The names of pairs that were asked for, by whole names or either half; all where nothing was.

    Raises:
        ConfigError: a name that fits none.
    """
    known = dict.fromkeys(part for name in pairs for part in (name, *name.split("/")))
    for one in asked:
        if one not in known:
            raise ConfigError(
                "a pair that there is none of",
                code="unknown-choice",
                where="pairs",
                found=one,
                expected=", ".join(part for part in known if "/" not in part),
                remedy=nearest(one, list(known)) or "a data set, a network, or both with / between",
            )
    return [name for name in pairs if not asked or {name, *name.split("/")} & set(asked)]


def measure(words: Sequence[str], epochs: int, place: Path) -> Pair:
    """The dry run, then the run.

    Args:
        words: of the run.
        epochs: of it.
        place: where runs and prepared cases are kept.

    Raises:
        RuntimeError: the run did not come to its end, with what it said last.
        SeglabError: the words cannot work, or the dry run did not come to its end.
    """
    from seglab.command import composed_config
    from seglab.config.run_config import load_config
    from seglab.data.loading.training_data import gather
    from seglab.planning.dry_run import measured
    from seglab.run_record import StoreFile
    from seglab.tracking.store import open_store

    place.mkdir(parents=True, exist_ok=True)
    store = open_store(f"sqlite:///{place}/mlruns/{StoreFile.DATABASE}", place / "mlruns")  # made once, not by a run
    settings = [*words, f"data.cache_dir={place / 'cache'}"]
    config = load_config(composed_config(settings))
    gather(config)  # prepares the cases, as a plan does
    began, busy = time.monotonic(), _busy_elsewhere()
    foretold = measured(settings)
    taken = watched([sys.executable, "-m", "seglab", "train", *settings], place)
    load = max((_busy_elsewhere() - busy) / (time.monotonic() - began), 0.0)
    return Pair(
        words=list(words),
        memory_mb=foretold.memory_mb,
        seconds=round(foretold.run_seconds(epochs), 2),
        step_seconds=foretold.step_seconds,
        run_memory_mb=round(taken["memory_mb"]),
        run_seconds=round(taken["seconds"], 2),
        run_step_seconds=round(config.data_config.batch_size / _images_per_second(store), 4),
        processor_seconds=round(taken["processor_seconds"], 1),
        load=round(load, 1),
    )


def watched(run: Sequence[str], place: Path) -> dict[str, float]:
    """What a command takes, told by a process of a few megabytes that starts it: what the system counts as the most
    that a process held begins with what the process held that started it.

    Args:
        run: the command.
        place: folder that it runs in; `run.log` there gets what it says.

    Returns:
        `memory_mb`, `seconds` and `processor_seconds`.

    Raises:
        RuntimeError: it did not come to its end, with what it said last.
    """
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (place / "run.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [sys.executable, "-S", "-E", str(WATCH), *run],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    if done.returncode:
        raise RuntimeError("\n".join((place / "run.log").read_text(encoding="utf-8").splitlines()[-20:]))
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _busy_elsewhere() -> float:
    """Seconds for which the cores have worked for programs that this one did not start."""
    of_all = psutil.cpu_times()
    return float(of_all.user + of_all.nice + of_all.system) - sum(os.times()[:4])


def _images_per_second(store: Store) -> float:
    """Of the newest run, without its first epoch, which compiles."""
    from seglab.run_record import Metric

    run = store.all_runs("attributes.status = 'FINISHED'")[0]
    points = store.client.get_metric_history(run.info.run_id, Metric.IMAGES_PER_SECOND)
    later = [point.value for point in points if point.step > 1] or [point.value for point in points]
    return len(later) / sum(1 / value for value in later)


def table(found: Mapping[str, Pair], command: str) -> str:
    """All pairs in Markdown, and below it how many were foretold well enough."""
    titles = ("data / network", "memory, MB", "error", "run, s", "error", "step, s", "error", "processor, s", "load")
    rows = [titles, ("---",) * len(titles)]
    rows += [
        (
            name,
            f"{one.memory_mb} : {one.run_memory_mb}",
            f"{one.memory_error:+.0%}",
            f"{one.seconds:.1f} : {one.run_seconds:.1f}",
            f"{one.time_error:+.0%}",
            f"{one.step_seconds:.3f} : {one.run_step_seconds:.3f}",
            f"{one.step_error:+.0%}",
            f"{one.processor_seconds:.0f}",
            f"{one.load:.1f}",
        )
        for name, one in found.items()
    ]
    lines = [f"    {command}", "", "Foretold : taken.", "", *(f"| {' | '.join(row)} |" for row in rows), ""]
    for what, within, errors in (
        ("memory", MEMORY_WITHIN, [one.memory_error for one in found.values()]),
        ("time of the run", TIME_WITHIN, [one.time_error for one in found.values()]),
        ("time of a step", TIME_WITHIN, [one.step_error for one in found.values()]),
    ):
        near = sum(abs(error) <= within for error in errors)
        worst = max(errors, key=abs)
        lines.append(f"- {what}: {near} of {len(errors)} within ±{within:.0%}; the worst {worst:+.0%}")
    return "\n".join([*lines, ""])


def kept_in(file: Path) -> dict[str, Pair]:
    """What was measured before."""
    if not file.exists():
        return {}
    return {name: Pair(**one) for name, one in json.loads(file.read_text(encoding="utf-8")).items()}


def main(words: Sequence[str]) -> int:
    """Measure what is wanted and not there yet; 1 where a pair could not be measured."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = read(ForecastWords, words, "forecast")
    out = Path(settings.out).absolute()
    more = {name: text.split() for name, _, text in (one.partition(":") for one in settings.folder)}
    pairs = all_pairs({name: _rank(of_data) for name, of_data in more.items()})
    names = chosen(pairs, settings.pairs)
    file, failed = out / "forecast.json", []
    out.mkdir(parents=True, exist_ok=True)
    found = kept_in(file)
    for number, name in enumerate(names, start=1):
        data = name.partition("/")[0]
        asked = [*(more[data] if data in more else words_of(data, out / "data")), *pairs[name]]
        asked += ["trainer.patience_epochs=null", f"trainer.epochs={settings.epochs}"]
        if name in found and found[name].words == asked and not settings.again:
            continue
        print(f"[{number}/{len(names)}] {name}", flush=True)
        try:
            one = found[name] = measure(asked, settings.epochs, out / "runs")
        except (SeglabError, RuntimeError) as error:
            print(f"  failed: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        print(f"  {one.memory_mb} : {one.run_memory_mb} MB, {one.seconds:.1f} : {one.run_seconds:.1f} s", flush=True)
        write_text(file, json.dumps({name: asdict(one) for name, one in found.items()}, indent=1) + "\n")
    shown = {name: found[name] for name in pairs if name in found}
    if shown:
        page = table(shown, " ".join(["python -m benchmarks.forecast", *words]))
        write_text(out / "forecast.md", page)
        print(f"\n{page}\nkept in {out}/forecast.md and forecast.json")
    return 1 if failed else 0


def _rank(words: Sequence[str]) -> int:
    from seglab.command import composed_config, config_of_data

    return int(config_of_data(composed_config(words), words).data_config.rank)


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
