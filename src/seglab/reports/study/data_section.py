"""The data of a study as its runs have recorded them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from seglab.comparison.runs import StoredRun
from seglab.errors import SeglabError
from seglab.inference.bundle import Bundle, read_bundle
from seglab.reports.document import Cell, PageSection, Picture, TableBlock
from seglab.reports.study.run_facts import artifact, differing
from seglab.run_record import Artifact, Tag
from seglab.tracking.bundles import resolve_bundle
from seglab.tracking.store import Store

DATA, EXAMPLES = "Data", "Cases of the best run"
_EXAMPLES = {
    "test_cases": "The best, the median and the worst test case by Dice",
    "test_best": "The best test case by Dice, in three planes",
    "test_median": "The median test case by Dice, in three planes",
    "test_worst": "The worst test case by Dice, in three planes",
}
_PARTS = {"train": "training", "val": "validation", "test": "test"}


def data_section(runs: Sequence[StoredRun], store: Store) -> PageSection:
    """Cases, classes and their shares, what the check let pass, the split, and what a network is shown.

    Args:
        runs: on the same data; what one run is enough for is read from the first.
        store: where they are.
    """
    first = runs[0]
    bundle = _bundle(first, store)
    splits = differing(runs, Tag.SPLIT_DIGEST)
    allowed = differing(runs, Tag.DATA_ALLOWED)
    rows = [
        ("data set", first.params.get("data.name", "not recorded")),
        ("read by", first.params.get("data._target_", "not recorded")),
        ("cases", _counts(store, first)),
        ("splits", f"{len(splits)}, {', '.join(digest[:12] for digest in splits)}" if splits else "not recorded"),
        ("data digest", ", ".join(digest[:12] for digest in differing(runs, Tag.DATA_DIGEST)) or "not recorded"),
        ("findings that were allowed", "; ".join(allowed) or "none"),
    ]
    if bundle is not None:
        rows.insert(2, ("image", _image(bundle)))
    grids = [TableBlock(["what", "of these runs"], [[Cell(name), Cell(value)] for name, value in rows])]
    if bundle is not None:
        grids.append(_classes(bundle))
    text = [
        "Split over groups (patients, drives, sequences): no group is in two parts. The network never sees the test "
        "cases; the epoch that is kept is chosen by the validation cases."
    ]
    if allowed:
        text[0] = text[0].replace(": no group is in two parts", ", but for the findings that were allowed")
    samples = artifact(store, first.artifacts, Artifact.TRAINING_SAMPLES)
    caption = f"Training samples as a network is given them, augmentation included (run {first.id[:8]})."
    pictures, notes = _pictures({} if samples is None else {samples: ("training_samples", caption)}, first)
    return PageSection(DATA, text=text, notes=notes, grids=grids, pictures=pictures)


def examples_section(run: StoredRun, store: Store) -> PageSection | None:
    """The best, the median and the worst test case of a run, as it has drawn them itself."""
    folder = artifact(store, run.artifacts, Artifact.PICTURES)
    files: list[Path] = [] if folder is None else sorted(folder.glob("test_*.png"))
    if not files:
        return None
    named = {file: (f"best_run_{file.stem}", f"{_EXAMPLES.get(file.stem, file.stem)}; run {run.id}") for file in files}
    pictures, notes = _pictures(named, run)
    return PageSection(EXAMPLES, notes=notes, pictures=pictures)


def _pictures(files: Mapping[Path, tuple[str, str]], run: StoredRun) -> tuple[list[Picture], list[str]]:
    """Those of these files that are pictures, by their names and captions; and what is to be said of the others."""
    pictures, notes = [], []
    for file, (name, caption) in files.items():
        content = file.read_bytes()
        try:
            Image.open(io.BytesIO(content)).load()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            notes.append(f"{file.name} of run {run.id[:8]} is left out: it is damaged, or no picture.")
        else:
            pictures.append(Picture(name, content, caption))
    return pictures, notes


def _bundle(run: StoredRun, store: Store) -> Bundle | None:
    try:
        return read_bundle(resolve_bundle(run.id, uri=store.uri, directory=store.directory).folder)
    except SeglabError:
        return None


def _counts(store: Store, run: StoredRun) -> str:
    path = artifact(store, run.artifacts, Artifact.SPLIT)
    if path is None:
        return "not recorded"
    lists = json.loads(path.read_text(encoding="utf-8"))
    return ", ".join(f"{len(lists[part])} {name}" for part, name in _PARTS.items())


def _image(bundle: Bundle) -> str:
    unit = "pixels" if bundle.task.rank == 2 else "voxels"
    channels = f"{bundle.task.channels} channel" + ("s" if bundle.task.channels > 1 else "")
    size = " × ".join(map(str, bundle.size))
    return f"{channels}; the network is given {size} {unit} ({bundle.resize_mode})"


def _classes(bundle: Bundle) -> TableBlock:
    task = bundle.task
    shares = task.class_frequencies or [float("nan")] * task.classes
    rows = [
        [
            Cell(str(k), k),
            Cell(name),
            Cell("–" if share != share else f"{share:.1%}", None if share != share else share),
            Cell("yes" if k in task.scored else "no"),
        ]
        for k, (name, share) in enumerate(zip(task.class_names, shares, strict=True))
    ]
    unit = "pixels" if task.rank == 2 else "voxels"
    return TableBlock(["id", "class", f"share of the training {unit}", "part of the mean score"], rows)
