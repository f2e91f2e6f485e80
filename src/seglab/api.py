"""The laboratory from Python, in a script or a notebook: what the commands do, with objects for results.

Mistakes are raised as `SeglabError`; nothing leaves the process. Settings are the words of the command line, so that
`seglab train model=unet loss=dice` is `seglab.train("model=unet", "loss=dice")`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seglab.extras import check_extras
from seglab.metric_names import EVAL, TEST, MetricName
from seglab.run_record import RUNS, Artifact, Metric, RunRecord
from seglab.safety.shown_text import from_cell

if TYPE_CHECKING:
    import mlflow.entities
    import numpy as np
    import pandas as pd

    from seglab.inference.predictor import Predictor
    from seglab.reports.comparison.compare import Comparison
    from seglab.tracking.store import Store

_RUNS_SCHEME = "runs:/"
_EXTRAS = ("train",)  # of all but predicting from a folder


@dataclass(frozen=True)
class Run:
    """A recorded run.

    Attributes:
        id: its id in the store.
        store: where it is recorded.
    """

    id: str
    store: Store = field(repr=False)

    @property
    def name(self) -> str:
        """Such as `UNet_DiceLoss_Adam`."""
        return str(self._recorded.info.run_name)

    @property
    def status(self) -> str:
        """`FINISHED`, `FAILED`, `KILLED` or `RUNNING`."""
        return str(self._recorded.info.status)

    @property
    def params(self) -> dict[str, str]:
        """Every setting, by its dotted key."""
        return dict(self._recorded.data.params)

    @property
    def tags(self) -> dict[str, str]:
        """What is known of code, data, device and sweep; MLflow's own are left out."""
        return {key: value for key, value in self._recorded.data.tags.items() if not key.startswith("mlflow.")}

    @property
    def objective(self) -> float:
        """The best value of `trainer.monitor`; NaN when it was never defined."""
        return RunRecord.of(self._recorded).objective

    @property
    def scores(self) -> dict[str, float]:
        """The last value of every metric; those of the weights that are kept, on whole cases, begin with `test_`."""
        return dict(self._recorded.data.metrics)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row an epoch, one column a metric that was measured while training; NaN where one was not."""
        import pandas as pd

        measured = [name for name in sorted(self.scores) if not name.startswith(Metric.SYSTEM)]
        names = [name for name in measured if MetricName.parse(name).stage not in (TEST, EVAL)]
        columns = {name: self.store.client.get_metric_history(self.id, name) for name in names}
        series = {name: {point.step: point.value for point in points} for name, points in columns.items()}
        return pd.DataFrame(series).sort_index().rename_axis("epoch")

    @cached_property
    def cases(self) -> pd.DataFrame:
        """One row a case of the test split (without one, of validation or training): id, and every score.

        Raises:
            TrackingError: the run did not come to its end.
        """
        import pandas as pd

        from seglab.tracking.bundles import run_file

        split = next((one for one in ("val", "train") if self._has(Artifact.cases(one))), None)
        file = run_file(self.store, self._recorded, Artifact.cases(split) if split else Artifact.TEST_CASES)
        return pd.read_csv(file, converters={"id": from_cell})  # one may read NA

    @property
    def pictures(self) -> dict[str, Path]:
        """The pictures of the run on this machine, by their names without `.png`: curves, test cases and so on."""
        from seglab.tracking.bundles import run_file

        found = self.store.client.list_artifacts(self.id, "pictures")
        return {Path(one.path).stem: run_file(self.store, self._recorded, one.path) for one in found if not one.is_dir}

    @property
    def bundle(self) -> Path:
        """The folder of the run's model, with all that predicting needs.

        Raises:
            TrackingError: it has none, since it did not come to its end.
        """
        from seglab.tracking.bundles import find_bundle

        return find_bundle(self.id, self.store.uri, self.store.directory)

    def predict(self, image: np.ndarray, spacing: Sequence[float] | None = None) -> np.ndarray:
        """The mask of one image, see `seglab.inference.predictor.Predictor.predict`."""
        return self._predictor.predict(image, spacing)

    @cached_property
    def _predictor(self) -> Predictor:
        return load(self.bundle)

    @property
    def _recorded(self) -> mlflow.entities.Run:
        return self.store.run(self.id)

    def _has(self, path: str) -> bool:
        return any(one.path == path for one in self.store.client.list_artifacts(self.id))


def train(*words: str, once: bool = False) -> Run:
    """Train a model and record the run, as `seglab train` does; shows its progress as that does.

    Args:
        words: settings, such as `"model=unet"`, `"data.root=/scans"`; recorded in `mlruns/` without `"tracking.uri=…"`.
        once: give the finished run of these settings, data and code where there is one. Says which of both.

    Returns:
        The finished run.

    Raises:
        ConfigError, DataError: what cannot work; before TensorFlow is loaded.
        TrackingError: the run cannot be recorded.
        TrainingError: the loss is not finite, or the state cannot be written.
    """
    check_extras(_EXTRAS, "seglab.train")
    from seglab.command import composed_config

    cfg, tags = composed_config(words), dict[str, str]()
    if once:
        from seglab.config.run_config import load_config
        from seglab.sweeping.done_before import done_before

        tags, former = done_before(load_config(cfg), RUNS)
        if former:
            return open_run(former, tracking_uri=cfg.tracking.uri)
    from seglab.experiment.run import run

    ids: list[str] = []
    run(cfg, words, tags, began=ids.append)
    return open_run(ids[0], tracking_uri=cfg.tracking.uri)


def open_run(run_id: str, *, tracking_uri: str | None = None) -> Run:
    """A run that was recorded before.

    Raises:
        TrackingError: no such run, or no such store.
    """
    check_extras(_EXTRAS, "seglab.open_run")
    from seglab.tracking.store_lookup import open_existing

    store = open_existing(tracking_uri, RUNS)
    return Run(store.run(run_id.removeprefix(_RUNS_SCHEME)).info.run_id, store)


def load(
    reference: str | Path,
    *,
    tracking_uri: str | None = None,
    overlap: float | None = None,
    flips: Sequence[int] | None = None,
    postprocessing: bool = True,
) -> Predictor:
    """A trained model, ready to predict images of any size: `seglab.load("runs:/4f0c…").predict(image)`.

    Args:
        reference: a run's id, `runs:/<id>`, `models:/<name>@<alias>` or `/<version>`, or a bundle's folder (no store).
        tracking_uri: where the run is recorded; None for `mlruns/` of the current folder.
        overlap: share that neighbouring windows have in common; as the model has it when None.
        flips: axes that images are also flipped along; as the model has them when None.
        postprocessing: whether masks are finished as the model says.

    Raises:
        TrackingError, DataError: no such run, model or folder; or a bundle that cannot be used.
    """
    folder = Path(reference)
    check_extras(("keras",) if folder.exists() else _EXTRAS, "seglab.load")
    if not folder.exists():
        from seglab.tracking.bundles import find_bundle  # loads MLflow, which a folder does not need

        folder = find_bundle(str(reference).removeprefix(_RUNS_SCHEME), tracking_uri, RUNS)
    from seglab.runtime.reproducibility import load_tensorflow

    load_tensorflow()
    from seglab.inference.predictor import Predictor

    return Predictor.load(folder, overlap=overlap, flips=flips, postprocessing=postprocessing)


def evaluate(
    model: str | Path | Run,
    *,
    split: Literal["train", "val", "test", "all"] = "test",
    data: Sequence[str] = (),
    out: str | Path | None = None,
    save_masks: bool = False,
    tolerance_mm: float = 1.0,
    workers: int | None = None,
    tracking_uri: str | None = None,
) -> dict[str, float]:
    """Every score of a model on whole cases, as `seglab evaluate` does, which also adds them to the model's run.

    Args:
        model: a run, its id (`runs:/<id>` too), `models:/<name>@<alias>`, or the folder of a bundle.
        split: which cases.
        data: words for another data set or place, such as `("data.root=/elsewhere",)`.
        out: folder for tables and pictures; None for `mlruns/evaluations/…`.
        save_masks: also write every mask.
        tolerance_mm: of the surface Dice, in mm for volumes and in pixels for images.
        workers: processes that measure while this one predicts; None for one less than there are cores.
        tracking_uri: where the run is recorded; None for `mlruns/` of the current folder, or the store of a `Run`.

    Returns:
        The metrics by name; a score that is not defined is NaN. Raises what the command says.
    """
    check_extras(_EXTRAS, "seglab.evaluate")
    from seglab.evaluation.evaluate import EvaluationRequest
    from seglab.evaluation.evaluate import evaluate as score

    if isinstance(model, Run):
        tracking_uri = tracking_uri or model.store.uri
    word = model.id if isinstance(model, Run) else str(model).removeprefix(_RUNS_SCHEME)
    is_folder = Path(word).exists()
    request = EvaluationRequest(
        run=None if is_folder else word,
        bundle=word if is_folder else None,
        split=split,
        data=tuple(data),
        out=None if out is None else str(out),
        save_masks=save_masks,
        tolerance_mm=tolerance_mm,
        workers=workers,
        tracking_uri=tracking_uri,
    )
    return score(request, directory=RUNS)


def compare(
    *,
    runs: Sequence[str | Run] | None = None,
    study: str | None = None,
    filter: str | None = None,
    tracking_uri: str | None = None,
    **settings: Any,
) -> Comparison:
    """Compare runs with paired statistics over the same cases, as `seglab compare` does, without writing a page.

    Args:
        runs: runs or their ids; or
        study: the runs of a study; or
        filter: what an MLflow filter lets through; none of the three: every run of the store.
        tracking_uri: where the runs are recorded; None for `mlruns/` of the current folder.
        settings: further settings of `conf/compare.yaml`, such as `metric="test_iou"`, `unit="group"`.

    Returns:
        Tables `variants`, `scores`, `effects` and `runs` as data frames, one row each, and the `rankings`.

    Raises:
        ConfigError: settings that no run answers to.
        DataError: runs chosen by id that cannot be paired.
        TrackingError: too few finished runs.
    """
    check_extras(_EXTRAS, "seglab.compare")
    from seglab.command import composed_config
    from seglab.comparison.settings import load_settings
    from seglab.reports.comparison.compare import compare as ranked
    from seglab.reports.comparison.compare import open_runs

    ids = None if runs is None else [run.id if isinstance(run, Run) else run for run in runs]
    values: dict[str, Any] = {str(key): value for key, value in composed_config((), "compare").items()}
    values |= {"study": study, "runs": ids, "filter": filter, "tracking": {"uri": tracking_uri}, **settings}
    checked = load_settings(values)
    return ranked(checked, open_runs(checked, RUNS))
