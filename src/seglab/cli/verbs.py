"""Every verb of `seglab`. A further one is a row here: a name, a line, and the function that takes its words."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Run = Callable[[Sequence[str]], "int | None"]


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        name: as it is written.
        about: one line for the list of verbs.
        target: `module:function`, imported when the verb is called; it takes the words and returns the exit code.
        composes: its settings are those of a training run, read by Hydra from `conf/train.yaml`.
    """

    name: str
    about: str
    target: str
    composes: bool = False

    def load(self) -> Run:
        """The function that does it."""
        module, _, function = self.target.partition(":")
        run: Run = getattr(importlib.import_module(module), function)
        return run


_ROWS = (
    Verb("train", "train a model and record the run; with -m a sweep", "seglab.cli.train:run", composes=True),
    Verb("evaluate", "score a run, a registered model or a bundle on whole cases", "seglab.cli.evaluate:run"),
    Verb("predict", "write a mask for each image", "seglab.cli.predict:run"),
    Verb("compare", "which run is better, with paired statistics and a page", "seglab.cli.compare:run"),
    Verb("sweep-status", "how far a study's sweeps are: done, failed, running, left", "seglab.cli.sweep_status:run"),
    Verb("report", "write a study's README and technical note from its runs", "seglab.cli.report:run"),
    Verb("reproduce", "train a run again with its own code, config and data, and compare", "seglab.cli.reproduce:run"),
    Verb("runs", "export runs to a folder, or import such a folder", "seglab.cli.runs:run"),
    Verb("promote", "pass a run through a gate and make it the champion; roll back; log", "seglab.cli.promote:run"),
    Verb("export", "write a model for other runtimes, each proved equal", "seglab.cli.export:run"),
    Verb("verify", "is an exported model what it says?", "seglab.cli.verify:run"),
    Verb("convert-sam", "published weights of Segment Anything as one HDF5 file", "seglab.cli.convert_sam:run"),
    Verb("serve", "answer images with masks over HTTP", "seglab.cli.serve:run"),
    Verb("app", "pages in a browser: images and masks, models side by side, prompts, runs", "seglab.cli.app:run"),
    Verb("monitor", "what a service has answered: times, drift, predicted quality, alerts", "seglab.cli.monitor:run"),
    Verb("segment", "a mask for what a box or clicks name, of an image or a folder", "seglab.cli.segment:run"),
    Verb("prompt-bench", "how many clicks does a promptable model need?", "seglab.cli.prompt_bench:run"),
    Verb("check-data", "read every file of a data set and list what is wrong", "seglab.cli.check_data:run", True),
    Verb("explore", "write one HTML page about a data set", "seglab.cli.explore:run", True),
    Verb("model-summary", "layers, parameters, FLOPs and memory of a model", "seglab.cli.model_summary:run", True),
    Verb("doctor", "is this machine ready, and is the store of runs healthy?", "seglab.cli.doctor:run"),
    Verb("sync", "deliver what runs kept on disk while their server was away", "seglab.cli.sync:run"),
    Verb("ui", "show the runs in a browser", "seglab.cli.ui:run"),
    Verb("bench", "measure training speed against peers, as ratios", "seglab.cli.bench:run"),
    Verb("bench-data", "measure reading, caching and augmenting against peers", "seglab.cli.bench:run_data"),
    Verb(
        "bench-serving", "measure an exported model with every runtime, and the service", "seglab.cli.bench:run_serving"
    ),
    Verb("bench-lookalikes", "error rates of the search for look-alikes", "seglab.cli.bench:run_lookalikes", True),
    Verb("synthetic-dataset", "write a generated data set in a real layout", "seglab.cli.synthetic_dataset:run"),
)
VERBS = {verb.name: verb for verb in _ROWS}
