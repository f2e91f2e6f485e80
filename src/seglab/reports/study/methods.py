"""The approaches of a study: what each is, where it comes from, and how its network is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from seglab.comparison.runs import StoredRun
from seglab.errors import SeglabError
from seglab.reports.comparison.plots import png
from seglab.reports.document import Cell, PageSection, Picture, TableBlock
from seglab.tracking.bundles import resolve_bundle
from seglab.tracking.store import Store

APPROACHES, ARCHITECTURES = "Approaches", "Architectures"
GROUPS = ("model", "loss", "optimizer")
_FACTS = Path(__file__).with_name("methods.yaml")
_DRAWN = 8


@cache
def known_approaches() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """For each group of the config and each `_target_` its idea, source and address."""
    return yaml.safe_load(_FACTS.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def approaches_section(runs: Sequence[StoredRun]) -> PageSection:
    """Every model, loss and optimizer of the runs with its source."""
    rows = []
    for group in GROUPS:
        used = dict.fromkeys(
            (run.params.get(f"{group}.name", "?"), run.params.get(f"{group}._target_", "")) for run in runs
        )
        for target in dict.fromkeys(target for _, target in used):
            fact = known_approaches()[group].get(target, {})
            source = f"{fact['source']}, {fact['address']}" if fact else "no source is known to seglab"
            names = ", ".join(name for name, of in used if of == target)
            rows.append([Cell(group), Cell(names), Cell(fact.get("idea", "–")), Cell(source)])
    return PageSection(APPROACHES, grids=[TableBlock(["part", "name", "idea", "source"], rows)])


def architectures_section(runs: Sequence[StoredRun], store: Store, say: Callable[[str], None]) -> PageSection:
    """A drawing of each network, read off the model that one of its runs has recorded."""
    from seglab.runtime.reproducibility import load_tensorflow

    load_tensorflow()
    from seglab.inference.bundle import load_bundle
    from seglab.reports.study.architecture_drawing import draw_architecture, read_stages

    chosen = list({_network(run): run for run in runs}.values())
    names = [run.params.get("model.name", run.name) for run in chosen]
    pictures, notes = [], []
    for number, (run, name) in enumerate(list(zip(chosen, names, strict=True))[:_DRAWN]):
        title = f"{name} (run {run.id[:8]})" if names.count(name) > 1 else name
        say(f"drawing {title}")
        try:
            model, _ = load_bundle(resolve_bundle(run.id, uri=store.uri, directory=store.directory).folder)
        except SeglabError as error:
            notes.append(f"{title} is not drawn: {error.what}.")
            continue
        caption = (
            f"{title}: each box is what the layers of one resolution give, size × channels; below it how many "
            "convolutions they hold."
        )
        pictures.append(Picture(_drawing(number), png(draw_architecture(read_stages(model), title)), caption))
    if len(chosen) > _DRAWN:
        notes.append(f"{_DRAWN} of {len(chosen)} networks are drawn.")
    return PageSection(ARCHITECTURES, notes=notes, pictures=pictures)


def drawing_of(run: StoredRun, runs: Sequence[StoredRun], section: PageSection) -> Picture | None:
    """The picture of a run's network among those that `architectures_section` has drawn of the runs; None without."""
    number = list(dict.fromkeys(map(_network, runs))).index(_network(run))
    return next((picture for picture in section.pictures if picture.name == _drawing(number)), None)


def _network(run: StoredRun) -> tuple[tuple[str, str], ...]:
    """The settings of its network."""
    return tuple(sorted((key, value) for key, value in run.params.items() if key.startswith("model.")))


def _drawing(number: int) -> str:
    return f"architecture_{number}"
