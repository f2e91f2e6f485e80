"""Every verb of `seglab`. A further one is a row here: a name, a line, and the function that takes its words."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_HELP = ("-h", "--help", "help")
Run = Callable[[Sequence[str]], "int | None"]


def wants_help(words: Sequence[str]) -> bool:
    """Whether the words of a verb ask what it takes."""
    return any(word in _HELP for word in words if word != "help" or len(words) == 1)


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        name: as it is written.
        about: one line for the list of verbs.
        target: `module:function`, imported when the verb is called; it takes the words and returns the exit code.
        composes: its settings are those of a training run, read by Hydra from `conf/train.yaml`.
        extras: of pyproject.toml, without which it can do nothing; looked for before anything is imported. What only
            some of its settings need is found when they are used.
    """

    name: str
    about: str
    target: str
    composes: bool = False
    extras: tuple[str, ...] = ()

    def load(self) -> Run:
        """The function that does it."""
        module, _, function = self.target.partition(":")
        run: Run = getattr(importlib.import_module(module), function)
        return run


_TRAIN = ("train",)
_ROWS = (
    Verb(
        "train",
        "train a model and record the run; with -m a sweep",
        "seglab.cli.train:run",
        composes=True,
        extras=_TRAIN,
    ),
    Verb(
        "plan",
        "from a data set and a budget to a study, with reasons and a forecast",
        "seglab.cli.plan:run",
        extras=_TRAIN,
    ),
    Verb(
        "ensemble",
        "from the folds of a study to one bundle, chosen by cross-validation",
        "seglab.cli.ensemble:run",
        extras=_TRAIN,
    ),
    Verb(
        "evaluate",
        "score a run, a registered model or a bundle on whole cases",
        "seglab.cli.evaluate:run",
        extras=_TRAIN,
    ),
    Verb("predict", "write a mask for each image", "seglab.cli.predict:run"),
    Verb("compare", "which run is better: paired statistics and a page", "seglab.cli.compare:run", extras=_TRAIN),
    Verb(
        "sweep-status",
        "how far a study's sweeps are: done, failed, running, left",
        "seglab.cli.sweep_status:run",
        extras=_TRAIN,
    ),
    Verb("report", "write a study's README and technical note from its runs", "seglab.cli.report:run", extras=_TRAIN),
    Verb(
        "reproduce",
        "train a run again with its own code, config and data, and compare",
        "seglab.cli.reproduce:run",
        extras=_TRAIN,
    ),
    Verb("runs", "export runs to a folder, or import such a folder", "seglab.cli.runs:run", extras=_TRAIN),
    Verb(
        "promote",
        "pass a run through a gate and make it the champion; roll back; log",
        "seglab.cli.promote:run",
        extras=_TRAIN,
    ),
    Verb("export", "write a model for other runtimes, each proved equal", "seglab.cli.export:run", extras=_TRAIN),
    Verb("verify", "check an exported model: digests, signature, example", "seglab.cli.verify:run"),
    Verb(
        "convert-sam",
        "published weights of Segment Anything as one HDF5 file",
        "seglab.cli.convert_sam:run",
        extras=("keras",),
    ),
    Verb("serve", "answer images with masks over HTTP", "seglab.cli.serve:run", extras=("serve",)),
    Verb(
        "app",
        "pages in a browser: images and masks, models side by side, prompts, runs",
        "seglab.cli.app:run",
        extras=("app",),
    ),
    Verb("monitor", "report on a service: times, drift, predicted quality, alerts", "seglab.cli.monitor:run"),
    Verb("segment", "masks of the objects that boxes or clicks show", "seglab.cli.segment:run"),
    Verb("prompt-bench", "how many clicks does a promptable model need?", "seglab.cli.prompt_bench:run", extras=_TRAIN),
    Verb(
        "check-data",
        "read every file of a data set and list what is wrong",
        "seglab.cli.check_data:run",
        composes=True,
        extras=_TRAIN,
    ),
    Verb("explore", "write one HTML page about a data set", "seglab.cli.explore:run", composes=True, extras=_TRAIN),
    Verb(
        "model-summary",
        "layers, parameters, FLOPs and memory of a model",
        "seglab.cli.model_summary:run",
        composes=True,
        extras=_TRAIN,
    ),
    Verb("doctor", "is this machine ready, and is the store of runs healthy?", "seglab.cli.doctor:run"),
    Verb("sync", "deliver what runs kept on disk while their server was away", "seglab.cli.sync:run", extras=_TRAIN),
    Verb("backup", "copy the store of runs with its artifacts, while runs go on", "seglab.cli.backup:run"),
    Verb("restore", "put a backup in place, every digest checked", "seglab.cli.restore:run", extras=_TRAIN),
    Verb("ui", "show the runs in a browser", "seglab.cli.ui:run", extras=_TRAIN),
    Verb("bench", "measure training speed against peers, as ratios", "seglab.cli.bench:run"),
    Verb("bench-data", "measure reading, caching and augmenting against peers", "seglab.cli.bench:run_data"),
    Verb(
        "bench-serving", "measure an exported model with every runtime, and the service", "seglab.cli.bench:run_serving"
    ),
    Verb(
        "bench-near-duplicates",
        "error rates of the search for near-duplicates",
        "seglab.cli.bench:run_near_duplicates",
        composes=True,
    ),
    Verb(
        "nnunet-dataset",
        "write a data set as nnU-Net reads it",
        "seglab.cli.nnunet_dataset:run",
        extras=_TRAIN,
    ),
    Verb("synthetic-dataset", "write a generated data set in a real layout", "seglab.cli.synthetic_dataset:run"),
)
VERBS = {verb.name: verb for verb in _ROWS}
