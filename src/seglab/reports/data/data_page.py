"""One self-contained HTML page that shows a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from seglab.data.cases import SPLIT_NAMES, Case, Sample, Source
from seglab.data.check.findings import DataReport
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.randomness import generator
from seglab.data.splits import Split
from seglab.errors import DataError
from seglab.reports.data.case_pictures import case_pictures
from seglab.reports.data.charts import SPLIT_COLORS, bar, histogram, swatch
from seglab.reports.html_document import document, image
from seglab.runtime.atomic_files import telling_unwritable, write_text
from seglab.safety.file_names import file_name
from seglab.viz.palette import IGNORED, drawn_colors

STYLE = (Path(__file__).parent / "data_page.css").read_text(encoding="utf-8")
LONG_NAMES = {"train": "training", "val": "validation", "test": "test"}
RANDOM_CASES = {"train": 6, "val": 3, "test": 3}
EXTREME_CASES = 4
MOST_CHANNELS = 4  # with histograms of their own
_PIXELS_COUNTED = 20_000  # of each case shown, for the histogram of intensities


def page_name(name: str, root: object) -> str:
    """The file of a data set's page: of its kind, its folder and the first letters of a digest of where that lies, so
    that no page of another set is replaced; of its name alone where it has no folder."""
    if not isinstance(root, (str, Path)):
        return f"{file_name(name)}.html"
    place = Path(root).resolve()
    return f"{file_name(f'{name}-{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}')}.html"


def build_page(
    source: Source,
    split: Split,
    facts: Mapping[str, CaseFingerprint],
    path: str | Path,
    *,
    report: DataReport | None = None,
    title: str = "",
    seed: int = 0,
) -> Path:
    """Write the page of a data set; reads at most 20 of its cases.

    Args:
        source: reads the cases.
        split: which case is for what; a case in no split is not shown.
        facts: of the cases, by id; a case without is left out.
        path: of the HTML file.
        report: what the data check found.
        title: above the page, when it is not the name of the source.
        seed: which cases are drawn at random.

    Returns:
        The path.

    Raises:
        DataError: no case to show, or a case that cannot be read.
    """
    parts = {name: [i for i in getattr(split, name) if i in facts] for name in SPLIT_NAMES}
    if split.train == split.val == split.test:
        parts = {"train": parts["train"]}
    parts = {name: ids for name, ids in parts.items() if ids}
    if not parts:
        raise DataError("no case to show", code="no-case", where=source.name, remedy="seglab check-data says why")
    reader = _Reader(source)
    sections = [
        _summary(source, parts, facts),
        _findings(report),
        "<h2>Cases drawn at random</h2>" + _legend(source, parts, facts) + _random_cases(reader, parts, facts, seed),
        "<h2>Classes</h2>" + _classes(source, parts, facts),
        "<h2>Sizes and intensities</h2>" + _splits_legend(parts) + _charts(source, parts, facts, reader),
        _extremes(reader, parts, facts),
    ]
    name = title or source.name
    page = document(name, f"<h1>{escape(name)}</h1>{''.join(sections)}", style=STYLE)
    path = Path(path)
    with telling_unwritable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page)
    return path


class _Reader:
    """Reads each case once and remembers a few of its pixels."""

    def __init__(self, source: Source):
        self.source = source
        self.by_id: dict[str, Case] = {case.id: case for case in source.cases}
        self.figures: dict[str, str] = {}
        self.pixels: dict[str, np.ndarray] = {}

    def figure(self, case_id: str, split: str, facts: CaseFingerprint) -> str:
        """The case as an HTML figure; planes side by side."""
        if case_id not in self.figures:
            sample = self.source.read(self.by_id[case_id])
            flat = sample.image.reshape(-1, sample.image.shape[-1])
            self.pixels[case_id] = flat[:: max(1, len(flat) // _PIXELS_COUNTED)]
            self.figures[case_id] = self._draw(sample)
        size = " × ".join(map(str, facts.shape))
        caption = f"<b>{escape(case_id)}</b> <span style='color:{SPLIT_COLORS[split]}'>{LONG_NAMES[split]}</span>"
        return f"<figure><figcaption>{caption}<br>{size}, {facts.dtype}</figcaption>{self.figures[case_id]}</figure>"

    def _draw(self, sample: Sample) -> str:
        rows = []
        for caption, plain, laid_over in case_pictures(sample, self.source.task):
            heading = f'<div class="plane">{escape(caption)}</div>' if caption else ""
            rows.append(f'<div class="pair">{heading}{image(plain, "image")}{image(laid_over, "with mask")}</div>')
        return "".join(rows)


def _summary(source: Source, parts: Mapping[str, Sequence[str]], facts: Mapping[str, CaseFingerprint]) -> str:
    task = source.task
    shapes = {facts[i].shape for ids in parts.values() for i in ids}
    smallest, largest = (choose(shapes, key=np.prod) for choose in (min, max))
    size = " × ".join(map(str, smallest)) + (f" to {' × '.join(map(str, largest))}" if len(shapes) > 1 else "")
    groups = {case.group for case in source.cases}
    rows = {
        "cases": ", ".join(f"{len(ids)} {LONG_NAMES[name]}" for name, ids in parts.items())
        + f" ({len(source.cases)} in {len(groups)} groups)",
        "images": f"{task.rank}D, {task.channels} channel{'s' if task.channels > 1 else ''}, {size}",
        "classes": ", ".join(task.class_names),
    }
    return (
        "<table class='facts'>"
        + "".join(f"<tr><th>{key}</th><td>{escape(value)}</td></tr>" for key, value in rows.items())
        + "</table>"
    )


def _findings(report: DataReport | None) -> str:
    if report is None:
        return ""
    if not report.findings:
        return "<h2>Data check</h2><p>Nothing found.</p>"
    rows = []
    for finding in report.findings[:100]:
        state = "allowed" if finding.name in report.allowed else finding.severity
        cells = "".join(
            f"<td>{escape(text)}</td>" for text in (finding.where, finding.found, finding.expected, finding.remedy)
        )
        rows.append(f'<tr><td><b class="{state}">{state}</b><br>{escape(finding.name)}</td>{cells}</tr>')
    more = len(report.findings) - len(rows)
    head = "<tr><th>finding</th><th>where</th><th>found</th><th>expected</th><th>remedy</th></tr>"
    rest = f"<p>… and {more} more: seglab check-data</p>" if more > 0 else ""
    return f"<h2>Data check: {escape(report.summary())}</h2><table class='findings'>{head}{''.join(rows)}</table>{rest}"


def _legend(source: Source, parts: Mapping[str, Sequence[str]], facts: Mapping[str, CaseFingerprint]) -> str:
    task = source.task
    colors = drawn_colors(task)
    items = [f"{swatch(colors[k])}{escape(task.class_names[k])}" for k in task.scored]
    items += [f"{escape(task.class_names[k])} (left clear)" for k in task.unscored]
    if any(facts[i].ignored for ids in parts.values() for i in ids):
        items.append(f"{swatch(IGNORED)}ignored")
    return f'<p class="legend">{" ".join(f"<span>{item}</span>" for item in items)}</p>'


def _splits_legend(parts: Mapping[str, Sequence[str]]) -> str:
    items = [
        f'<span><span class="swatch" style="background:{SPLIT_COLORS[n]}"></span>{LONG_NAMES[n]}</span>' for n in parts
    ]
    return f'<p class="legend">{" ".join(items)}</p>'


def _random_cases(
    reader: _Reader, parts: Mapping[str, Sequence[str]], facts: Mapping[str, CaseFingerprint], seed: int
) -> str:
    figures = []
    for name, ids in parts.items():
        order = generator(seed, "explore", name).permutation(len(ids))[: RANDOM_CASES[name]]
        figures += [reader.figure(ids[i], name, facts[ids[i]]) for i in order]
    return f'<div class="cases">{"".join(figures)}</div>'


def _classes(source: Source, parts: Mapping[str, Sequence[str]], facts: Mapping[str, CaseFingerprint]) -> str:
    task = source.task
    counts = {name: np.array([facts[i].class_pixels for i in ids], np.int64) for name, ids in parts.items()}
    what = "pixels" if task.rank == 2 else "voxels"
    head = "".join(f"<th>share of {LONG_NAMES[n]} {what}</th><th>in {LONG_NAMES[n]} cases</th>" for n in parts)
    rows = []
    for k, (label, color) in enumerate(zip(task.class_names, drawn_colors(task), strict=True)):
        cells = []
        for name, pixels in counts.items():
            share = pixels[:, k].sum() / max(pixels.sum(), 1)
            holders, total = int((pixels[:, k] > 0).sum()), len(pixels)
            cells.append(f"<td>{bar(share, SPLIT_COLORS[name])}</td>")
            cells.append(f"<td>{bar(holders / total, SPLIT_COLORS[name])} <small>{holders} of {total}</small></td>")
        note = " <small>(not in the mean score)</small>" if k in task.unscored else ""
        rows.append(f"<tr><th>{swatch(color)}{escape(label)}{note}</th>{''.join(cells)}</tr>")
    ignored = sum(facts[i].ignored for ids in parts.values() for i in ids)
    everything = sum(int(np.prod(facts[i].shape)) for ids in parts.values() for i in ids)
    note = f"<p>{ignored / everything:.1%} of all {what} are ignored. Shares are of the others.</p>" if ignored else ""
    return f"<table class='classes'><tr><th></th>{head}</tr>{''.join(rows)}</table>{note}"


def _charts(
    source: Source, parts: Mapping[str, Sequence[str]], facts: Mapping[str, CaseFingerprint], reader: _Reader
) -> str:
    task = source.task
    axes = ("height", "width") if task.rank == 2 else ("x", "y", "z")

    def of(pick: Callable[..., float]) -> dict[str, list[float]]:
        return {name: [pick(facts[i]) for i in ids] for name, ids in parts.items()}

    charts = [
        histogram(of(lambda f, a=a: f.shape[a]), f"{axis}, pixels" if task.rank == 2 else f"{axis}, voxels")
        for a, axis in enumerate(axes)
    ]
    if task.rank == 3:
        charts += [histogram(of(lambda f, a=a: f.spacing[a]), f"{axis} spacing, mm") for a, axis in enumerate(axes)]
    for c in range(min(task.channels, MOST_CHANNELS)):
        channel = f" of channel {c + 1}" if task.channels > 1 else ""
        charts.append(histogram(of(lambda f, c=c: f.intensity.mean[c]), f"mean intensity{channel} of each case"))
        pixels = {
            name: np.concatenate([shown[:, c] for i, shown in reader.pixels.items() if i in set(ids)] or [np.zeros(0)])
            for name, ids in parts.items()
        }
        low, high = np.percentile(np.concatenate(list(pixels.values())), (0.5, 99.5))
        clipped = {name: np.clip(values, low, high) for name, values in pixels.items()}
        charts.append(histogram(clipped, f"intensity{channel} in the cases above, middle 99%", "share of pixels"))
    if task.unscored:
        charts.append(histogram(of(lambda f: f.share_of(task.scored)), "share of scored classes in each case"))
    plain = [chart for chart in charts if not chart.startswith("<svg")]
    return f"{''.join(plain)}<div class='charts'>{''.join(chart for chart in charts if chart not in plain)}</div>"


def _extremes(reader: _Reader, parts: Mapping[str, Sequence[str]], facts: Mapping[str, CaseFingerprint]) -> str:
    task = reader.source.task
    cases = [(name, i) for name, ids in parts.items() for i in ids]
    labelled = [(name, i) for name, i in cases if sum(facts[i].class_pixels)]

    def foreground(place: tuple[str, str]) -> float:
        return facts[place[1]].share_of(task.scored)

    def classes(place: tuple[str, str]) -> tuple[int, int]:
        pixels = facts[place[1]].class_pixels
        return sum(count > 0 for count in pixels), sum(pixels)

    def figures(places: Sequence[tuple[str, str]]) -> str:
        return f'<div class="cases">{"".join(reader.figure(i, name, facts[i]) for name, i in places)}</div>'

    html = ""
    if task.unscored and labelled:
        empty = sum(foreground(place) == 0 for place in labelled)
        html += "<h2>Emptiest masks</h2>"
        html += f"<p>{empty} of {len(labelled)} masks hold no scored class.</p>" if empty else ""
        html += figures(sorted(labelled, key=foreground)[:EXTREME_CASES])
    elif len({classes(place)[0] for place in labelled}) > 1:
        fewest = sorted(labelled, key=classes)[:EXTREME_CASES]
        held = ", ".join(str(classes(place)[0]) for place in fewest)
        html += f"<h2>Masks with the fewest classes</h2><p>{held} of {task.classes} classes.</p>{figures(fewest)}"
    if len({facts[i].shape for _, i in cases}) > 1:
        small = sorted(cases, key=lambda place: int(np.prod(facts[place[1]].shape)))[:EXTREME_CASES]
        html += "<h2>Smallest images</h2>" + figures(small)
    return html
