"""`seglab ensemble`: from the folds of a study to one bundle, chosen by cases that no network of theirs has seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from seglab.cli.words import read, setting, tracking_uri
from seglab.errors import ConfigError
from seglab.run_record import RUNS
from seglab.runtime.waiting import step
from seglab.safety.shown_text import in_line
from seglab.tracking.store_place import check_there

_EXAMPLES = """examples:
  seglab ensemble study=scans                       all configurations of a study, and what they are together
  seglab ensemble runs=[4f0c…,77aa…,91be…]          the folds of one configuration, by the ids of their runs
  seglab ensemble study=scans data.root=/other      where the data lie elsewhere now
  seglab ensemble study=scans_lowres masks=<folder>     keeps the masks for the second stage of a cascade
  seglab predict <id> scans/ out=masks              the run that it makes, as any other
  seglab predict <id> scans/ out=masks postprocessing=false"""


@dataclass(frozen=True, kw_only=True)
class EnsembleWords:
    """Choose among the configurations of a cross-validation and ensembles of them, by each case's Dice from networks
    that never saw it: the simplest that is not shown to be worse. Test-time flips and steps after the mask (largest
    part, least size, holes filled) are taken where they are shown to gain. The fold networks of what was chosen become
    one bundle, which averages their probabilities, recorded as a run with all these numbers."""

    study: str | None = setting("whose runs; or", default=None)
    runs: tuple[str, ...] = setting("ids of runs", default=())
    flips: tuple[int, ...] | None = setting(
        "axes of mirror images to try at prediction, such as [0,1]; []: none; null: those that training mirrored",
        default=None,
    )
    postprocessing: bool = setting("try steps after the mask", default=True)
    mixed: bool = setting(
        "also average configurations of different input, spacing or normalisation, which cannot be exported or served",
        default=False,
    )
    data: tuple[str, ...] = setting("data.root=…, where the data lie elsewhere now", default=(), prefix=True)
    masks: str | None = setting(
        "folder to keep the masks of the cases in, for data.previous_stage=<folder> of a second stage", default=None
    )
    tracking_uri: str | None = tracking_uri()


def read_words(words: Sequence[str]) -> EnsembleWords:
    """What the words of the command line say; a study or runs are among them."""
    settings = read(EnsembleWords, words, "ensemble", _EXAMPLES)
    if bool(settings.study) == bool(settings.runs):
        raise ConfigError(
            "one cross-validation is made an ensemble of",
            code="ensemble-folds",
            where="study, runs",
            found="both" if settings.study else "neither",
            expected="study=<name>, or runs=[<id>,<id>,…]",
            remedy="the study is the name of the folder in experiments/ that was trained",
        )
    return settings


def run(words: Sequence[str]) -> None:
    """Choose, write the bundle, and say what was made."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = read_words(words)
    check_there(settings.tracking_uri, RUNS)
    with step("loading MLflow and the statistics"):
        from seglab.ensembling.ensemble_printing import print_chosen, print_recorded
        from seglab.ensembling.ensemble_run import record
        from seglab.ensembling.ensembling import EnsembleRequest, choose_ensemble
        from seglab.ensembling.first_stage import make_first_stage
        from seglab.runtime.terminal import Terminal
        from seglab.tracking.store_lookup import open_existing

    request = EnsembleRequest(
        settings.study, settings.runs, settings.flips, settings.postprocessing, settings.mixed, settings.data
    )
    store = open_existing(settings.tracking_uri, RUNS)
    store.check_writable()
    console = Terminal(highlight=False, soft_wrap=True)
    with make_first_stage(settings.masks) if settings.masks else nullcontext() as first_stage:
        chosen = choose_ensemble(request, store, first_stage)
        print_chosen(chosen, console)
        with step("writing the bundle"):
            recorded = record(chosen, request, store)
            if first_stage is not None:
                first_stage.finish(chosen, recorded.bundle)
    print_recorded(chosen, recorded, console)
    if settings.masks:
        console.print(in_line(f"masks      data.previous_stage={settings.masks} of the second stage"), markup=False)
