"""`seglab bench` and those beside it: speed and error rates, measured side by side in one run.

What they measure with stands in `benchmarks/` of a checkout; an installed seglab has not got it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from seglab.cli.conf_options import page_of
from seglab.cli.verbs import wants_help
from seglab.cli.words import read, setting, tracking_uri
from seglab.config.places import CONF, IN_CHECKOUT, ROOT
from seglab.config.types import PositiveInt
from seglab.errors import ConfigError, SeglabError, nearest
from seglab.extras import check_extras
from seglab.run_record import RUNS
from seglab.runtime.waiting import Waiting, step
from seglab.version import version

if TYPE_CHECKING:
    from omegaconf import DictConfig

TORCH = ".venv-bench/bin/python"
RESULTS = RUNS / "bench"
_SERVING = """examples:
  seglab bench-serving dist/roadseg
  seglab bench-serving dist/roadseg keras=bundle/ sizes=512x1024   against a bundle, with images of your size"""
_NEAR_DUPLICATES = """Error rates of the search for near-duplicates: seglab bench-near-duplicates data=camvid …

Takes the same settings as seglab train; a model is not needed. Prints how many images of validation and test look like
one of training (false alarms where the split is right), and how many cropped, mirrored … images are found."""


@dataclass(frozen=True, kw_only=True)
class BenchWords:
    """Measure seglab's training against its peers and print ratios with their targets."""

    only: tuple[str, ...] = setting("parts to measure, such as [step2d,step3d]; all by default", default=())
    rounds: PositiveInt = setting("measured pairs for each ratio; the median is reported", default=9)
    torch_python: str = setting("a Python that has PyTorch (see requirements-bench.txt)", default=TORCH)


@dataclass(frozen=True, kw_only=True)
class BenchDataWords:
    """Measure cache, batches and augmentation against their peers and print ratios with their targets."""

    only: tuple[str, ...] = setting("parts to measure, such as [cache,road]; all by default", default=())
    rounds: PositiveInt = setting("measured pairs for each ratio; the median is reported", default=5)
    scenes: PositiveInt | None = setting("PNGs of 1024×2048 that are written; null: as many as usual", default=None)
    volumes: PositiveInt | None = setting("volumes that are written; null: as many as usual", default=None)
    torch_python: str = setting("a Python that has PyTorch and MONAI (see requirements-bench.txt)", default=TORCH)


@dataclass(frozen=True, kw_only=True)
class BenchServingWords:
    """Measure every stage of an exported model with every runtime in its folder, each in a process of its own, against
    Keras in float32, and the service that answers with it against the bare runtime; print ratios with their targets."""

    folder: str = setting("the folder that seglab export made", positional=True)
    keras: str | None = setting(
        "the model itself, as the baseline: a run's id, models:/…, or the folder of a bundle; null: the run that the "
        "folder names, if it is here",
        default=None,
    )
    rounds: PositiveInt = setting("measurements of each; the median is reported", default=15)
    sizes: tuple[Annotated[str, Field(pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$")], ...] = setting(
        "height x width of the images that are sent to the service", default=("1024x2048", "128x128")
    )
    tracking_uri: str | None = tracking_uri()


def run(words: Sequence[str]) -> None:
    """Measure the parts that are asked for, print a table, and keep it."""
    settings = read(BenchWords, words, "bench")
    _find_benchmarks("bench")
    from benchmarks.speed.measure import PARTS
    from benchmarks.speed.workers import keep

    parts = _chosen(settings.only, PARTS)
    torch = settings.torch_python if Path(settings.torch_python).exists() else None
    if torch is None:
        place = Path(TORCH).parents[1]
        print(f"no PyTorch at {settings.torch_python}: measuring without it. To have it:")
        print(f"  python3.11 -m venv {place} && {place}/bin/pip install -r requirements-bench.txt")
    found = []
    for number, part in enumerate(parts, start=1):
        print(f"[{number}/{len(parts)}] {part}", flush=True)
        found += PARTS[part](settings.rounds, torch)
    keep(found, RESULTS, "bench")


def run_data(words: Sequence[str]) -> None:
    """Measure the parts of the data's way that are asked for, print a table, and keep it."""
    settings = read(BenchDataWords, words, "bench-data")
    _find_benchmarks("bench-data")
    from benchmarks.speed.data import PARTS, SCENES, VOLUMES, measure
    from benchmarks.speed.workers import keep

    parts = _chosen(settings.only, PARTS)
    torch = settings.torch_python if Path(settings.torch_python).exists() else None
    if torch is None:
        print(f"no PyTorch at {settings.torch_python}: road, mri and windows are left out (see requirements-bench.txt)")
    found = measure(parts, settings.rounds, torch, settings.scenes or SCENES, settings.volumes or VOLUMES)
    keep(found, RESULTS, "bench_data")


def run_serving(words: Sequence[str]) -> None:
    """Measure an exported folder, print tables, and keep them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = read(BenchServingWords, words, "bench-serving", _SERVING)
    _find_benchmarks("bench-serving")
    with step("loading what reads exported models"):
        from benchmarks.speed.serving import measure
        from benchmarks.speed.workers import keep
        from seglab.export.folder import read_folder, targets_below

    targets = [read_folder(place) for place in targets_below(settings.folder)]
    model = settings.keras or next((str(one.manifest["run"]["id"]) for one in targets if one.manifest.get("run")), None)
    keras = None
    if model is not None:
        with step(f"looking for {model}"):
            keras = _bundle_of(model, settings.tracking_uri, asked=settings.keras is not None)
    sizes = [(int(height), int(width)) for height, _, width in (one.partition("x") for one in settings.sizes)]
    with Waiting() as waiting:
        found = measure(Path(settings.folder), settings.rounds, keras, sizes, waiting.tell)
    keep(found.ratios, RESULTS, "bench_serving", found.table(), found.record())


def _bundle_of(model: str, tracking_uri: str | None, *, asked: bool) -> Path | None:
    """The folder of a bundle; None where it was not asked for and is not here."""
    if Path(model).exists():
        return Path(model)
    from seglab.tracking.bundles import find_bundle

    try:
        return find_bundle(model, tracking_uri)
    except SeglabError:
        if asked:
            raise
        return None


def _near_duplicates(cfg: DictConfig) -> None:
    """Measure on the composed config's data set and print a table."""
    from rich.console import Console

    from benchmarks.speed.near_duplicates import measure
    from seglab.command import data_settings_of

    Console(highlight=False).print(measure(data_settings_of(cfg)))


def run_near_duplicates(words: Sequence[str]) -> None:
    """The verb; its words are read by Hydra."""
    if wants_help(words):
        print(page_of(_NEAR_DUPLICATES))
        return
    _find_benchmarks("bench-near-duplicates")
    from seglab.command import command

    command(config_name="train")(_near_duplicates)()


def _find_benchmarks(verb: str) -> None:
    """Let `benchmarks` of the checkout be imported; raises `ConfigError` outside of one, or without what they need."""
    if not IN_CHECKOUT:
        raise ConfigError(
            "benchmarks are not part of an installed seglab",
            code="needs-checkout",
            where=f"seglab {verb}",
            found=f"seglab {version()} in {CONF.parent}",
            expected="a checkout of seglab's source, installed with: pip install -e .",
            remedy="run it in a checkout: git clone, make setup, make bench",
        )
    check_extras(("train",), f"seglab {verb}")
    sys.path.insert(0, str(ROOT))


def _chosen(only: Sequence[str], parts: dict[str, Any]) -> list[str]:
    unknown = [name for name in only if name not in parts]
    if unknown:
        raise ConfigError(
            "unknown part",
            code="unknown-choice",
            where="only",
            found=unknown[0],
            expected=", ".join(parts),
            remedy=nearest(unknown[0], parts),
        )
    return list(only or parts)
