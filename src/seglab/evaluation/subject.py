"""What is to be scored: which model, on which cases of which data. All of it is known before TensorFlow is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from seglab.config.former_names import current_section
from seglab.config.run_config import Component, load_config
from seglab.config.scalars import meant, unquoted
from seglab.config.sections import DataConfig
from seglab.config.targets import Parameter, parameters_of
from seglab.data.cases import ALL, SPLIT_NAMES, Case, Source
from seglab.data.check.palettes import check_palettes
from seglab.data.previous_stage import check_same_stage
from seglab.data.splits import Split, split_for
from seglab.errors import ConfigError, DataError, SeglabError, TrackingError, nearest
from seglab.evaluation.case_scores import check_same_classes
from seglab.inference.bundle import Bundle, read_bundle
from seglab.inference.public_config import WITHHELD
from seglab.metric_names import check_class_names
from seglab.run_record import RUNS, Artifact
from seglab.safety.file_names import file_name
from seglab.safety.untrusted_files import UnreadableFile, read_yaml

if TYPE_CHECKING:
    from seglab.tracking.bundles import FoundBundle


@dataclass(frozen=True)
class EvaluationSubject:
    """A model and the cases that it is scored on.

    Attributes:
        found: the bundle's folder, with its run where there is one.
        bundle: what travels with the model.
        source: reads the cases.
        cases: to score.
        validation: the cases that chose the model's epoch, for calibration; empty for other data than its own.
        name: of the cases: the split, with the data set's name before it where it is not the model's own.
    """

    found: FoundBundle
    bundle: Bundle
    source: Source
    cases: list[Case]
    validation: list[Case]
    name: str


def find_subject(
    reference: str | FoundBundle,
    split: str,
    data: Sequence[str] = (),
    *,
    uri: str | None = None,
    directory: Path = RUNS,
) -> EvaluationSubject:
    """The model that a word means and the cases of a split.

    Args:
        reference: run id, bundle folder or `models:/<name>@<alias>`; or what such a word led to.
        split: `train`, `val`, `test` or `all`.
        data: as on the command line of a training: `data=<name>` and `data.<key>=<value>` for another data set, or the
            latter alone for the model's own in another place. None for the model's own data and split.
        uri: the tracking store, None for the one in `directory`.
        directory: the local folder of runs.

    Raises:
        ConfigError: words that Hydra cannot compose.
        DataError: data that cannot be used, have other classes, or have no such split.
        TrackingError: a run, model or artifact that is not there.
    """
    from seglab.tracking.bundles import resolve_bundle

    found = resolve_bundle(reference, uri, directory) if isinstance(reference, str) else reference
    bundle = read_bundle(found.folder)
    other = any(word.startswith("data=") for word in data)
    if other:
        source, name, parts = _other_data(bundle, data, split)
    else:
        source, name = _own_data(bundle, data, found), ""
        parts = _own_split(found, bundle, source, split)
    check_same_classes(bundle.image_task, source.task)
    if bundle.previous_stage and not bundle.both_stages:
        check_same_stage(bundle.previous_stage, source)
    if found.run is not None:  # its scores are added to a run
        check_class_names(bundle.task.score_names, f"run {found.run.info.run_id}; bundle=<folder> adds to none")
    cases = list(source.cases) if split == ALL else _cases(source, getattr(parts, split))
    if other:  # which no training has checked
        check_palettes(source, cases)
    if not cases:
        sizes = {part: len(getattr(parts, part)) for part in SPLIT_NAMES} if parts else {}
        raise DataError(
            "no case to score",
            code="no-case",
            where=f"split={split}",
            found=", ".join(f"{part}: {size}" for part, size in sizes.items()) or "no case",
            expected="a split that holds cases",
            remedy="choose another: split=val, or split=all",
        )
    validation = _cases(source, parts.val) if parts and not other else []
    return EvaluationSubject(found, bundle, source, cases, validation, f"{file_name(name)}-{split}" if name else split)


def source_for(bundle: Bundle, words: Sequence[str], folder: Path) -> Source:
    """The data that words name for a model that lies in a folder: its own in another place, or others.

    Raises:
        ConfigError, DataError: as `find_subject`.
    """
    from seglab.tracking.bundles import FoundBundle

    if any(word.startswith("data=") for word in words):
        source = _other_data(bundle, words, ALL)[0]
    else:
        source = _own_data(bundle, words, FoundBundle(folder))
    check_same_classes(bundle.image_task, source.task)
    return source


def split_made_again(bundle: Bundle, source: Source) -> Split | None:
    """The split that a model was trained with, made again without its run; None where its digest is not the stored one:
    other data, some of them gone, or a split that was stratified."""
    try:
        return _made_again(bundle, source)[0]
    except (SeglabError, KeyError):  # of a bundle that tells nothing of its data, or data that cannot be split so
        return None


def _own_data(bundle: Bundle, words: Sequence[str], found: FoundBundle) -> Source:
    """The source that the model was trained on, with what the words say otherwise.

    Read from the config of its run, or of the bundle, which does not say where the data lie, without checking it anew:
    a run of an older version may lack keys of today.
    """
    section: dict[str, Any] = current_section("data", _recorded(bundle, found).get("data") or {})
    target = section.get("_target_")
    if not isinstance(target, str):
        raise DataError(
            "a bundle that does not know its data",
            code="bundle-data-unknown",
            where=str(found.folder),
            found="no data in its config",
            remedy="name them: data=<name> data.root=…",
        )
    _check_own(target, found)
    parameters = parameters_of(target, "data._target_")
    arguments = {key: value for key, value in section.items() if key in parameters}
    arguments |= _changes(words, arguments, parameters)
    untold = [key for key, value in arguments.items() if value == WITHHELD]
    if untold:
        raise DataError(
            "a bundle from elsewhere, which may not name the place of its data",
            code="bundle-data-unknown",
            where=str(found.folder),
            found=f"data.{untold[0]} is not recorded in it",
            expected="the run that recorded it, or the place of the data",
            remedy=" ".join(f"data.{key}=…" for key in untold),
        )
    return Component(str(section.get("name")), target, arguments).build()


def _recorded(bundle: Bundle, found: FoundBundle) -> Mapping[str, Any]:
    """The config of the run that made a bundle, where that is known and has kept it; else what the bundle tells."""
    if found.run is None or found.store is None:
        return bundle.config
    from seglab.tracking.bundles import run_file

    try:
        config = read_yaml(run_file(found.store, found.run, Artifact.CONFIG))
    except (TrackingError, OSError, UnreadableFile):  # of an older run, or a part of it that was not copied
        return bundle.config
    return config if isinstance(config, Mapping) else bundle.config


def _check_own(target: str, found: FoundBundle) -> None:
    """A bundle says what reads its data, and with which arguments: one from elsewhere may name known targets alone."""
    from seglab.tracking.consent import known_targets
    from seglab.tracking.imports import former_id

    if (found.run is not None and former_id(found.run) is None) or target in known_targets():
        return
    raise DataError(
        "a bundle from elsewhere that names code of its own to read its data",
        code="bundle-foreign-code",
        where=str(found.folder),
        found=f"data._target_: {target}",
        expected="a target that a yaml in conf/data names",
        remedy="name the data yourself: data=<name> data.root=…",
    )


def _changes(words: Sequence[str], arguments: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        name = key.removeprefix("data.")
        if name not in arguments:
            raise ConfigError(
                f"unknown setting '{key}' of the model's own data",
                code="unknown-setting",
                where=key,
                found=name,
                expected="one of " + ", ".join(arguments),
                remedy=nearest(name, arguments) or "for another data set, name it too: data=<name>",
            )
        changes[name] = meant(unquoted(text), parameters[name].annotation)
    return changes


def _own_split(found: FoundBundle, bundle: Bundle, source: Source, wanted: str) -> Split | None:
    """The split that the model was trained with, as its run recorded it; without a run made again and checked."""
    if found.run is not None and found.store is not None:
        from seglab.tracking.bundles import run_file

        return Split.from_json(run_file(found.store, found.run, Artifact.SPLIT).read_text(encoding="utf-8"))
    if wanted == ALL:
        return None
    split, made = _made_again(bundle, source)
    if split is not None:
        return split
    raise DataError(
        "the split that the model was trained with cannot be made again from its bundle alone",
        code="split-not-recoverable",
        where=f"split={wanted}",
        found=made,
        expected=f"split digest {bundle.split_digest[:16]}…",
        remedy="name its run, which recorded the split: run=<id>; or score every case: split=all",
    )


def _made_again(bundle: Bundle, source: Source) -> tuple[Split | None, str]:
    """The split of a bundle's config where its digest is the stored one, else None, and what was found."""
    try:
        section = current_section("data", bundle.config["data"])
        card = DataConfig.model_validate({k: v for k, v in section.items() if k in DataConfig.model_fields})
        plain = card.model_copy(update={"stratify": False})  # to stratify, all cases would have to be read
        split = split_for(source, plain, bundle.config.get("seed", 0))
        return (split if split.digest() == bundle.split_digest else None), f"split digest {split.digest()[:16]}…"
    except ValidationError as error:
        return None, f"a config of another version: {error.error_count()} settings of its data differ"


def _other_data(bundle: Bundle, words: Sequence[str], split: str) -> tuple[Source, str, Split | None]:
    """Another data set, composed as for a training; only its own split counts, since ours would mean nothing there."""
    from seglab.command import composed_config

    model = "unet" if bundle.task.rank == 2 else "unet3d"
    config = load_config(composed_config([f"model={model}", *words]))
    source = config.data.build()
    if split != ALL and source.split is None:
        raise DataError(
            "a data set without a split of its own",
            code="split-missing",
            where=f"split={split}",
            found=f"data={config.data.name}",
            expected="split=all: the model has seen none of these cases",
            remedy="split=all",
        )
    parts = None if source.split is None else Split(*(tuple(source.split.get(part, ())) for part in SPLIT_NAMES))
    return source, config.data.name, parts


def _cases(source: Source, ids: Sequence[str]) -> list[Case]:
    # Older runs call cases that share a file name by their absolute paths, where a table gave those.
    by_id = {str(Path(case.image[0]).with_suffix("")): case for case in source.cases if case.image}
    by_id |= {case.id: case for case in source.cases}
    missing = [case_id for case_id in ids if case_id not in by_id]
    if missing:
        raise DataError(
            "cases of the model's split that its data do not have any more",
            code="split-cases-gone",
            where=f"{len(missing)} of {len(ids)} cases",
            found=", ".join(missing[:5]),
            expected="the data that the run was trained on",
            remedy="say where they are now, data.root=…, or score other data: data=<name>",
        )
    return [by_id[case_id] for case_id in ids]
