"""From a word to a bundle: a run's id, a registered model, or a folder; also in a store that has been moved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion

from seglab.errors import TrackingError, nearest
from seglab.run_record import RUNS, BundleFile, StoreFile
from seglab.tracking.mlflow_client import MlflowException, first_line, mlflow
from seglab.tracking.store import Store
from seglab.tracking.store_lookup import open_existing

REGISTERED = "models:/"


@dataclass(frozen=True)
class FoundBundle:
    """A bundle on this machine, and the run that made it.

    Attributes:
        folder: the bundle.
        run: the run that recorded it; None for a folder that was named as such.
        store: where the run is recorded; None without a run.
    """

    folder: Path
    run: Run | None = None
    store: Store | None = None


def find_bundle(reference: str | Path, uri: str | None = None, directory: Path = RUNS) -> Path:
    """The folder of a bundle, as `resolve_bundle` finds it."""
    return resolve_bundle(reference, uri, directory).folder


def resolve_bundle(reference: str | Path, uri: str | None = None, directory: Path = RUNS) -> FoundBundle:
    """The bundle that a word means, brought to this machine if it lies elsewhere.

    Args:
        reference: a folder; `models:/<name>@<alias>` or `models:/<name>/<version>`; else the id of a run.
        uri: the tracking store, None for the one in `directory`.
        directory: the local folder of runs.

    Raises:
        TrackingError: no such run, model, alias or version; a run without a bundle; a bundle that was deleted.
    """
    word = str(reference)
    if Path(word).exists():
        return FoundBundle(Path(word))
    if "/" in word and not word.startswith(REGISTERED):
        raise TrackingError(
            "no such bundle",
            code="bundle-missing",
            where=word,
            expected="a folder that exists, the id of a run, or models:/<name>@<alias>",
            remedy="check the path; it is taken from the folder that the command was started in",
        )
    store = open_existing(uri, directory)
    run_id, location = word, None
    if word.startswith(REGISTERED):
        version = registered_version(store, word)
        run_id, location = str(version.run_id), version.source
    run = store.run(run_id)
    if location is None and not (run.outputs and run.outputs.model_outputs):
        raise TrackingError(
            "the run has no model bundle",
            code="bundle-missing",
            where=f"run {run_id} ({run.info.run_name})",
            found=f"status {run.info.status}",
            expected="a run that FINISHED: the bundle is recorded after the last epoch",
            remedy="resume it (seglab train resume=<id>), or choose another; seglab ui shows them",
        )
    try:
        folder = download_artifact(store, location or latest_model(store, run).artifact_location)
    except (MlflowException, OSError) as error:
        raise _gone(store, run, str(error)) from error
    cards = sorted(folder.rglob(BundleFile.CARD), key=lambda card: len(card.parts))  # those of members lie deeper
    card = cards[0] if cards else None
    if card is None:
        raise _gone(store, run, f"no {BundleFile.CARD} in {folder}")
    return FoundBundle(card.parent, run, store)


def latest_model(store: Store, run: Run) -> LoggedModel:
    """The model that the run recorded last, of at least one; MLflow lists them in the order of their random ids.

    Raises:
        MlflowException: the store does not know one of them.
    """
    assert run.outputs is not None
    models = [store.client.get_logged_model(output.model_id) for output in run.outputs.model_outputs]
    return max(models, key=lambda model: model.creation_timestamp)


def run_file(store: Store, run: Run, path: str) -> Path:
    """A file among the artifacts of a run, brought to this machine if it lies elsewhere.

    Raises:
        TrackingError: it is not there.
    """
    try:
        found = download_artifact(store, run.info.artifact_uri.rstrip("/") + "/" + path)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            "an artifact that is gone",
            code="artifact-missing",
            where=f"run {run.info.run_id} ({run.info.run_name})",
            found=f"no {path} in {run.info.artifact_uri}: {first_line(error)}",
            remedy="restore it from a copy of the folder of runs, or choose another run",
        ) from error
    return found


def download_artifact(store: Store, address: str) -> Path:
    """A file or folder of the store's artifacts on this machine, downloaded where a server keeps it.

    Recorded addresses are absolute. Of an embedded store that was moved or copied, what lies at the same place
    below its present folder is taken instead.

    Raises:
        OSError, MlflowException: it is not there.
    """
    local = local_path(store, address)
    if local is None:
        mlflow.set_tracking_uri(store.uri)
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=address))
    if not local.exists():
        raise FileNotFoundError(f"no such file or folder: {local}")
    return local


def local_path(store: Store, address: str) -> Path | None:
    """Where an address of an embedded store lies now, whether it exists or not; None for one that a server keeps.

    The store's own folder comes before the recorded place: that of a copied store is another store's.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("", "file"):
        return None
    recorded = Path(unquote(parts.path))
    for place, name in enumerate(recorded.parts):
        # …/artifacts/<experiment>/<run>/artifacts/…, or …/artifacts/<experiment>/models/<model>/artifacts/…
        if name == StoreFile.ARTIFACTS and StoreFile.ARTIFACTS in recorded.parts[place + 1 :]:
            here = store.directory.joinpath(*recorded.parts[place:])
            if here.exists() or here.parent.exists():
                return here
    return recorded


def registered_version(store: Store, word: str) -> ModelVersion:
    """The version that `models:/<name>@<alias>` or `models:/<name>/<version>` means now. Its `source` is where its
    model lies: not always the run's latest.

    Raises:
        TrackingError: no such model, alias or version, or one that no run recorded.
    """
    name, at, alias = word.removeprefix(REGISTERED).partition("@")
    version = ""
    if not at:
        name, _, version = name.partition("/")
    try:
        found = (
            store.client.get_model_version_by_alias(name, alias)
            if at
            else store.client.get_model_version(name, version)
        )
    except MlflowException as error:
        known = {model.name: sorted(model.aliases) for model in store.client.search_registered_models()}
        listed = ", ".join(f"{key} ({', '.join(f'@{a}' for a in value) or 'no alias'})" for key, value in known.items())
        raise TrackingError(
            "no such registered model",
            code="registered-model-missing",
            where=word,
            found=first_line(error),
            expected=f"one of: {listed}" if known else "any: no model is registered in this store",
            remedy=nearest(name, known) if name not in known else nearest(alias, known[name]),
        ) from error
    if not found.run_id:
        raise TrackingError(
            "a registered model without a run",
            code="registered-model-without-run",
            where=word,
            found=f"source {found.source}",
            expected="a version that a run recorded",
            remedy="give the bundle's folder: bundle=<path>",
        )
    return found


def _gone(store: Store, run: Run, found: str) -> TrackingError:
    return TrackingError(
        "a model bundle that is gone",
        code="bundle-missing",
        where=f"run {run.info.run_id} ({run.info.run_name})",
        found=found.splitlines()[0] if found else "",
        expected=f"the files that the run recorded, below {store.directory / StoreFile.ARTIFACTS} or on the server",
        remedy="restore them from a copy of the folder of runs, or train again",
    )
