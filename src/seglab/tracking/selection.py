"""Which runs are meant: by a filter of MLflow's, or by the study that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.entities import Run

from seglab.errors import ConfigError, TrackingError, nearest
from seglab.run_record import Tag
from seglab.tracking.mlflow_client import MlflowException
from seglab.tracking.reading import experiments_of, read_runs
from seglab.tracking.store import Store


def search(store: Store, filter_string: str, experiments: Sequence[str] | None = None) -> list[Run]:
    """Every run that the filter lets through, of these experiments or of all, newest first.

    Raises:
        ConfigError: MLflow does not understand the filter.
        TrackingError: the store does not answer.
    """
    try:
        return read_runs(store.client, filter_string, experiments)
    except MlflowException as error:
        if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise TrackingError(
                "the store does not answer",
                code="store-unreachable",
                where=store.place,
                found=error.message,
                remedy="seglab doctor checks the store; see that its server runs",
            ) from error
        raise ConfigError(
            "a filter that MLflow does not understand",
            code="filter-syntax",
            where="filter",
            found=filter_string,
            expected=str(error.message).splitlines()[0],
            remedy="for example filter=\"params.loss.name = 'DiceLoss' and tags.seed = '0'\"",
        ) from error


def runs_of_study(store: Store, name: str) -> list[Run]:
    """The runs with the tag `study`, and those of the MLflow experiment of that name.

    Raises:
        ConfigError: there is none; names the studies that the store has.
    """
    name = plain(name, "study")
    found = search(store, f"tags.study = '{name}'")
    experiment = store.client.get_experiment_by_name(name)
    if experiment is not None:
        known = {run.info.run_id for run in found}
        found += [run for run in search(store, "", [experiment.experiment_id]) if run.info.run_id not in known]
    if not found:
        tagged = {run.data.tags[Tag.STUDY] for run in search(store, "") if Tag.STUDY in run.data.tags}
        studies = sorted(tagged | {experiment.name for experiment in experiments_of(store.client)})
        raise ConfigError(
            "no run of this study",
            code="study-without-runs",
            where="study",
            found=name,
            expected="one of " + ", ".join(studies) if studies else "a study that has runs",
            remedy=nearest(name, studies) or "see all runs with: seglab ui",
        )
    return found


def plain(word: str, where: str) -> str:
    """The word, refused when it would break out of a filter's quotation marks."""
    if "'" in word or '"' in word:
        raise ConfigError(
            "a name with quotation marks",
            code="quotes-in-name",
            where=where,
            found=word,
            expected="none",
            remedy="use filter=… instead",
        )
    return word
