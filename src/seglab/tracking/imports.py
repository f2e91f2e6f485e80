"""What an exported folder must be before anything of it comes into a store: its own files, of a size and form that are
known, whose models are loaded by seglab and whose config speaks of itself alone."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from mlflow.entities import Run
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from seglab.errors import TrackingError
from seglab.run_record import Artifact, RunRecord, Tag
from seglab.safety.untrusted_files import JSON_BYTES, MEBI, UnreadableFile, leaving, read_any_json, read_json, read_yaml
from seglab.tracking.carried_code import CODE_FOLDER, LOADER
from seglab.tracking.operations import MODEL_NAME

CARD_FILE, RUN_FILE, MODEL_FILE = "archive.json", "run.json", "MLmodel"
CONFIG_FILE = PurePosixPath(Artifact.CONFIG).name
# Of one export.
_RUNS, _FILES, _BYTES = 10_000, 1_000_000, 2**40
# Of one run.
_RUN_FILES, _RUN_BYTES, _POINTS = 20_000, 16 * 2**30, 2_000_000
_FLAVOR = "python_function"
_FLAVOR_KEYS = {"loader_module", "data", "env", "python_version"}
# With the code that the model's folder carries; before it did, the loader was a module of this package.
_LOADERS = {LOADER: CODE_FOLDER, "seglab.inference.pyfunc": None}

Id = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]
_Long = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Time = Annotated[int, Field(ge=0, lt=2**53)]


class ExportedDataset(BaseModel):
    """A data set that went into a run, as MLflow names it."""

    name: _Name
    digest: str
    source_type: str
    source: str
    profile: str | None = None
    tags: dict[str, str]


class ExportedRun(BaseModel):
    """`run.json`; of each metric its points `[step, time in ms, value]`."""

    run_id: Id
    name: _Name
    experiment: _Name
    status: str
    start_time: _Time
    end_time: _Time | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, list[tuple[_Long, _Time, float]]]
    datasets: list[ExportedDataset]


def former_id(run: Run) -> str | None:
    """The id that a run had where it was trained, None for one of this store's own."""
    return RunRecord.of(run).imported_run_id


def read_export(folder: Path, format_number: int, room: Path | None) -> list[tuple[ExportedRun, Path]]:
    """The runs of an exported folder with their places, all of it checked; nothing is written.

    Args:
        folder: that `seglab runs export` wrote, or somebody else.
        format_number: that is understood.
        room: a folder on the disk that is to take it, None where a server does.

    Raises:
        TrackingError: it is none, is damaged, or would do more than bring runs.
    """
    try:
        _check_files(folder, room)
    except OSError as error:
        raise _refused(
            Path(error.filename or folder), error.strerror or str(error), "files that can be read"
        ) from error
    card = _json(folder / CARD_FILE)
    if card.get("format") != format_number:
        raise TrackingError(
            "exported runs of another format",
            code="export-version",
            where=str(folder / CARD_FILE),
            found=card.get("format"),
            expected=str(format_number),
            remedy="use the seglab that wrote it, or a newer one",
        )
    ids = card.get("runs")
    if not isinstance(ids, list) or len(ids) > _RUNS:
        raise _refused(folder / CARD_FILE, f"runs: {str(ids)[:120]}", f"a list of at most {_RUNS} ids of runs")
    for one in ids:
        if not (isinstance(one, str) and _is_id(one)):
            raise _refused(folder / CARD_FILE, f"a run called {str(one)[:80]!r}", "ids of runs, 32 digits of hex")
    return [(_record(folder / run_id / RUN_FILE, run_id), folder / run_id) for run_id in dict.fromkeys(ids)]


def _is_id(word: str) -> bool:
    return len(word) == 32 and set(word) <= set("0123456789abcdef")


def _record(file: Path, run_id: str) -> ExportedRun:
    values = _json(file)
    try:
        record = ExportedRun.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _refused(file, f"{where}: {str(first['input'])[:80]!r}", first["msg"]) from error
    if record.run_id != run_id:
        raise _refused(file, f"run_id {record.run_id}", f"the id that its folder has, {run_id}")
    if Tag.PARENT_RUN_ID in record.tags and not _is_id(record.tags[Tag.PARENT_RUN_ID]):
        raise _refused(file, f"tag {Tag.PARENT_RUN_ID}: {record.tags[Tag.PARENT_RUN_ID][:80]!r}", "the id of a run")
    points = sum(map(len, record.metrics.values()))
    if points > _POINTS:
        raise _refused(file, f"{points:,} values of metrics", f"at most {_POINTS:,} a run")
    return record


def _check_files(folder: Path, room: Path | None) -> None:
    """Every file is a plain one within bounds, and what says how a model is loaded or a run is configured is known."""
    files, size = 0, 0
    per_run: dict[str, list[int]] = {}
    for path, found in _walk(folder):
        files, size = files + 1, size + found.st_size
        of_run = per_run.setdefault(path.relative_to(folder).parts[0], [0, 0])
        of_run[0] += 1
        of_run[1] += found.st_size
        if files > _FILES or size > _BYTES or of_run[0] > _RUN_FILES or of_run[1] > _RUN_BYTES:
            raise _refused(
                path,
                f"with this, {of_run[0]:,} files and {of_run[1] / 2**30:.1f} GiB of one run, {files:,} files in all",
                f"at most {_RUN_FILES:,} files and {_RUN_BYTES / 2**30:.0f} GiB a run",
            )
    free = shutil.disk_usage(room).free if room is not None else size
    if size > free:
        raise TrackingError(
            "exported runs that do not fit on the disk",
            code="export-too-large",
            where=str(folder),
            found=f"{size / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free in {room}",
            expected="room for all of their files",
            remedy="free some space, then import again",
        )
    for path, found in _walk(folder):
        inside, *names = path.relative_to(folder).parts[1:] or ("",)
        if inside == "artifacts" and (path.name == MODEL_FILE or names[:1] == [MODEL_NAME]):
            # MLflow lays artifacts of this name under the model that it loads, their code before the installed one.
            raise _refused(path, "a model among the artifacts", f"the model of a run in {MODEL_NAME}/ alone")
        if path.name == MODEL_FILE:
            check_model(path)
        elif path.suffix in (".yaml", ".yml"):
            settings = _yaml(path)
            for place in leaving(settings) if path.name == CONFIG_FILE else ():
                raise _refused(path, place, "settings that speak of nothing but one another")
        elif path.suffix == ".json" and found.st_size <= JSON_BYTES and path.name not in (CARD_FILE, RUN_FILE):
            _check_json(path)


def check_model(path: Path) -> None:
    """See that an MLmodel is of a bundle and is loaded by seglab, from its own folder.

    Raises:
        TrackingError: it names another loader, code of its own, or files elsewhere.
    """
    described = _yaml(path)
    flavors = described.get("flavors") if isinstance(described, dict) else None
    flavor = flavors.get(_FLAVOR) if isinstance(flavors, dict) and set(flavors) == {_FLAVOR} else None
    loader = flavor.get("loader_module") if isinstance(flavor, dict) else None
    if not isinstance(flavor, dict) or not isinstance(loader, str) or loader not in _LOADERS:
        expected = f"{_FLAVOR} alone, with loader_module {' or '.join(_LOADERS)}"
        raise _refused(path, f"flavors {str(flavors)[:200]}", expected)
    if flavor.get("code") != _LOADERS[loader]:
        raise _refused(path, f"code: {str(flavor.get('code'))[:200]}", f"{_LOADERS[loader]} for {loader}")
    known = _FLAVOR_KEYS | {"code"}
    more = {key: value for key, value in flavor.items() if key not in known and value not in (None, False)}
    if more:
        raise _refused(path, f"{_FLAVOR} with {str(more)[:200]}", "nothing but " + ", ".join(sorted(known)))
    env = flavor.get("env")
    for name in (flavor.get("data"), *(env.values() if isinstance(env, dict) else [env])):
        if name is not None and not _inside(name):
            raise _refused(path, str(name)[:200], "names of files beside it")


def _inside(name: Any) -> bool:
    place = PurePosixPath(name) if isinstance(name, str) and "\\" not in name and ":" not in name else None
    return place is not None and not place.is_absolute() and ".." not in place.parts


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file; raises `TrackingError` at what is neither a file nor a folder, without following it."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                path, found = Path(entry.path), entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    waiting.append(path)
                elif stat.S_ISREG(found.st_mode):
                    yield path, found
                else:
                    what = f"a link to {os.readlink(path)}" if entry.is_symlink() else "no file"
                    raise _refused(path, what, "files and folders alone: a link would import a file of this machine")
                if len(path.relative_to(folder).parts) > 40:
                    raise _refused(path, "folders in folders in folders", "at most 40")


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, UnreadableFile) as error:
        raise TrackingError(
            "a damaged export",
            code="export-damaged",
            where=str(path),
            found=str(error),
            remedy="copy the folder again from its origin",
        ) from error


def _check_json(path: Path) -> None:
    try:
        read_any_json(path)
    except UnreadableFile as error:
        raise _refused(path, str(error), f"JSON of at most {JSON_BYTES / MEBI:.0f} MiB") from error


def _yaml(path: Path) -> Any:
    try:
        return read_yaml(path)
    except (OSError, UnreadableFile) as error:
        raise _refused(path, str(error), "YAML as seglab writes it") from error


def _refused(path: Path, found: str, expected: str) -> TrackingError:
    return TrackingError(
        "an export that is not as seglab writes it, and is refused",
        code="export-refused",
        where=str(path),
        found=found,
        expected=expected,
        remedy="nothing was imported; ask who made it to export the runs again, and do not repair it by hand",
    )
