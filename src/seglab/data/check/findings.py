"""What a check of the data may find, under which name, how bad it is, and which of it a user may let through."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.table import Table
from rich.text import Text

from seglab.errors import ConfigError, DataError, nearest
from seglab.runtime.terminal import Terminal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
FILES_IN_MESSAGE = 5  # named in a row of what a training says


@dataclass(frozen=True)
class FindingKind:
    """A finding's severity, whether `data.allow` may let it through (what cannot be read cannot be trained on), and
    whether it ties two splits together, so that every score says so."""

    severity: Severity
    may_pass: bool = True
    leak: bool = False


KINDS: dict[str, FindingKind] = {
    # Raised by sources and splits, as DataError.finding.
    "unusable-source": FindingKind("error", may_pass=False),
    "unusable-case": FindingKind("error", may_pass=False),
    "unreadable-file": FindingKind("error", may_pass=False),
    "image-without-mask": FindingKind("error", may_pass=False),
    "mask-without-image": FindingKind("error", may_pass=False),
    "image-without-region": FindingKind("error", may_pass=False),
    "size-mismatch": FindingKind("error", may_pass=False),
    "grid-mismatch": FindingKind("error", may_pass=False),
    "channel-mismatch": FindingKind("error", may_pass=False),
    "undeclared-label": FindingKind("error", may_pass=False),
    "label-not-whole": FindingKind("error", may_pass=False),
    "label-channels": FindingKind("error", may_pass=False),
    "voxel-datatype": FindingKind("error", may_pass=False),
    "image-not-finite": FindingKind("error", may_pass=False),
    "spacing-mismatch": FindingKind("error", may_pass=False),
    "no-split": FindingKind("error", may_pass=False),
    # Leaks between splits.
    "group-in-two-splits": FindingKind("error", leak=True),
    "same-image-in-two-splits": FindingKind("error", leak=True),
    "similar-image-in-two-splits": FindingKind("warning", leak=True),
    "sequence-across-splits": FindingKind("warning", leak=True),
    "sides-in-two-splits": FindingKind("warning", leak=True),
    "near-duplicates-sampled": FindingKind("note"),
    "own-split-unused": FindingKind("note"),
    # Files and masks as they are taken.
    "files-left-out": FindingKind("warning"),
    "mask-thresholded": FindingKind("note"),
    # Contents.
    "class-not-in-training": FindingKind("error"),
    "class-not-in-split": FindingKind("warning"),
    "class-in-no-region": FindingKind("note"),
    "empty-masks": FindingKind("warning"),
    "monitor-undefined": FindingKind("warning"),
    "sides-mirrored": FindingKind("warning"),
    "constant-image": FindingKind("warning"),
    "palettes-differ": FindingKind("error"),
    "mixed-pixel-scales": FindingKind("error"),
    "other-modality": FindingKind("error"),
    "mixed-spacing": FindingKind("warning"),
    "implausible-spacing": FindingKind("warning"),
    "label-rounded": FindingKind("note"),
    # What the preparation would do.
    "thin-class-lost": FindingKind("warning"),
    "class-lost-in-augmentation": FindingKind("warning"),
}


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        name: one of `KINDS`.
        where: the file, case, group or split.
        found, expected, remedy: what is there, what should be, what to do.
        severity: as the name's, unless a check says otherwise.
        paste: what belongs to the remedy, as of `DataError`.
    """

    name: str
    where: str
    found: str
    expected: str
    remedy: str
    severity: Severity = "error"
    paste: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, name: str, where: str, found: str, expected: str, remedy: str, severity: Severity | None = None
    ) -> Finding:
        """A finding with the severity of its name, or another one."""
        return cls(name, where, found, expected, remedy, severity or KINDS[name].severity)

    @classmethod
    def from_error(cls, error: DataError, name: str | None = None) -> Finding:
        """The row of an error that a source or a split raised, under its own name or the one given."""
        found = error.what if error.found is None else f"{error.what}: {error.found}"
        row = cls.of(name or error.finding, error.where, found, error.expected, error.remedy)
        return replace(row, paste=error.paste)


@dataclass(frozen=True)
class DataReport:
    """What a check found, the worst first.

    Attributes:
        findings: in the order of severity, then as found.
        allowed: names of the findings that `data.allow` lets through and that were there, sorted.
    """

    findings: tuple[Finding, ...]
    allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding], allow: Sequence[str] = ()) -> DataReport:
        """Sort the findings and note which of them are let through.

        Raises:
            ConfigError: a name in `allow` that there is not, or that cannot be let through.
        """
        check_names(allow)
        ordered = sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
        return cls(tuple(ordered), tuple(sorted(set(allow) & {finding.name for finding in ordered})))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The errors that were not let through."""
        return tuple(f for f in self.findings if f.severity == "error" and f.name not in self.allowed)

    @property
    def allowed_findings(self) -> tuple[str, ...]:
        """What a score made on this data has to be read with: what was allowed, and leaks that only may be some."""
        leaks = {finding.name for finding in self.findings if KINDS[finding.name].leak}
        return tuple(sorted({*self.allowed, *leaks}))

    def counts(self) -> dict[str, int]:
        """How many findings of each severity, those let through apart as `allowed`."""
        kinds = Counter("allowed" if f.name in self.allowed else f.severity for f in self.findings)
        return {kind: kinds[kind] for kind in (*SEVERITIES, "allowed") if kinds[kind]}

    def summary(self) -> str:
        """`2 errors, 1 warning`, or `nothing found`."""
        parts = [
            f"{n} allowed" if kind == "allowed" else f"{n} {kind}{'s' if n > 1 else ''}"
            for kind, n in self.counts().items()
        ]
        return ", ".join(parts) or "nothing found"

    def table(self, files: int | None = None) -> Table:
        """A table for the terminal, which names every file, or `files` of each row."""
        return _table(self.findings, self.allowed, files)

    def paste(self) -> str:
        """The settings that remedies offer for a command line, each in a line of its own below what it does; a table
        would break them."""
        return "\n".join(f"{words}:\n  {settings}" for finding in self.findings for words, settings in finding.paste)

    def raise_unless_allowed(self) -> None:
        """Stop when there is an error that was not let through; raises `DataError` with the table."""
        if not self.errors:
            return
        remedy = "mend what the table says; seglab check-data with the same words lists everything"
        if all(KINDS[finding.name].may_pass for finding in self.errors):
            # What is let through already has to stay so.
            passing = sorted({*self.allowed, *(finding.name for finding in self.errors)})
            remedy += f"; or, if it has to be so, data.allow=[{','.join(passing)}]"
        raise DataError(
            f"the data check found {len(self.errors)} error{'s' if len(self.errors) > 1 else ''}",
            code="data-check-failed",
            where="data",
            found="\n" + _as_text(_table(self.errors, (), FILES_IN_MESSAGE)),
            remedy=remedy,
            paste=[line for finding in self.errors for line in finding.paste],
        )


def check_names(allow: Sequence[str]) -> None:
    """Refuse names in `data.allow` that mean nothing or cannot be let through; raises `ConfigError`."""
    passing = [name for name, kind in KINDS.items() if kind.may_pass]
    for name in allow:
        if name in passing:
            continue
        known = name in KINDS
        raise ConfigError(
            "a finding that data.allow cannot accept" if known else "unknown finding in data.allow",
            code="finding-not-allowable" if known else "unknown-finding",
            where="data.allow",
            found=name,
            expected="one of " + ", ".join(sorted(passing)),
            remedy="repair or remove the files; what cannot be read cannot be trained on"
            if known
            else nearest(name, passing) or "seglab check-data lists the findings of a data set",
        )


def _table(findings: Sequence[Finding], allowed: Sequence[str], files: int | None = None) -> Table:
    """Findings that differ in their file alone share a row, which names all or `files` of them."""
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.severity, finding.name, finding.expected, finding.remedy), []).append(finding)
    table = Table(show_header=False, show_lines=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for (severity, name, expected, remedy), group in alike.items():
        state = "allowed" if name in allowed else severity
        same = len({finding.found for finding in group}) == 1
        places = [f.where if same else f"{f.where}: {f.found}" for f in group[:files]]
        if len(group) > len(places):
            places.append(f"… and {len(group) - len(places)} more")
        row = Table.grid(padding=(0, 2))
        row.add_column(style="dim")
        row.add_column(overflow="fold")
        if same:
            row.add_row("where", Text("\n".join(places)))
            row.add_row("found", Text(group[0].found))
        else:
            row.add_row("found", Text("\n".join(places)))
        row.add_row("expected", Text(expected))
        row.add_row("remedy", Text(remedy))
        table.add_row(Text.assemble((state, _STYLES.get(state, "green")), "\n", name), row)
    return table


def _as_text(table: Table) -> str:
    written = io.StringIO()
    Terminal(file=written, width=120).print(table)
    return written.getvalue().rstrip()
