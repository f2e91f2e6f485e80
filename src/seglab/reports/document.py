"""A page as data: sections with notes, tables and pictures; and the same as Markdown."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from seglab.safety.shown_text import in_markdown, in_table, shown


@dataclass(frozen=True)
class Cell:
    """What stands in a field of a table.

    Attributes:
        text: as it is read.
        value: what a sort goes by; the text where it is None.
        strong: of the best.
        tone: how the row's verdict colours it.
    """

    text: str
    value: float | None = None
    strong: bool = False
    tone: Literal["", "best", "tied", "worse"] = ""


@dataclass(frozen=True)
class TableBlock:
    """A table: a caption, what the columns hold, and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG, or a JPEG where that is much smaller, with the words for those who do not see it."""

    name: str
    png: bytes
    caption: str

    @property
    def kind(self) -> Literal["png", "jpeg"]:
        """What the bytes are, and the suffix of a file of them."""
        return "jpeg" if self.png.startswith(b"\xff\xd8") else "png"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, bytes], dict[str, dict[str, str]]]:
        """What a notebook shows: the picture, with its words."""
        return {f"image/{self.kind}": self.png}, {f"image/{self.kind}": {"alt": self.caption}}


@dataclass(frozen=True)
class PageSection:
    """A heading with what stands below it, in this order.

    Names of files, classes and runs may stand in all of it but `written`, the Markdown of somebody who owns the page.
    """

    title: str
    text: Sequence[str] = ()
    written: Sequence[str] = ()
    code: str = ""
    notes: Sequence[str] = ()
    grids: Sequence[TableBlock] = ()
    pictures: Sequence[Picture] = ()
    folded: bool = False


@dataclass(frozen=True)
class Document:
    """The whole page."""

    title: str
    lead: str
    sections: Sequence[PageSection] = field(default_factory=tuple)


def to_dict(document: Document) -> dict[str, Any]:
    """In JSON's own types; pictures as base64."""
    fields = asdict(document)
    for section in fields["sections"]:
        for picture in section["pictures"]:
            picture["png"] = base64.b64encode(picture["png"]).decode("ascii")
    return fields


def from_dict(fields: Mapping[str, Any]) -> Document:
    """The inverse of `to_dict`."""
    return Document(fields["title"], fields["lead"], tuple(_section_from(one) for one in fields["sections"]))


def _section_from(fields: Mapping[str, Any]) -> PageSection:
    grids = [
        TableBlock(grid["columns"], [[Cell(**cell) for cell in row] for row in grid["rows"]], grid["caption"])
        for grid in fields["grids"]
    ]
    pictures = [Picture(one["name"], base64.b64decode(one["png"]), one["caption"]) for one in fields["pictures"]]
    return PageSection(**{**fields, "grids": grids, "pictures": pictures})


def to_markdown(document: Document, folder: str = "plots") -> str:
    """GitHub's Markdown; pictures are linked below `folder`."""
    lines = [f"# {_in_line(document.title)}", "", document.lead, ""]
    for section in document.sections:
        lines += [f"## {_in_line(section.title)}", ""]
        for text in (*map(in_markdown, section.text), *section.written):
            lines += [text, ""]
        lines += ["```", shown(section.code).replace("```", "~~~"), "```", ""] if section.code else []
        lines += [f"- {_in_line(note)}" for note in section.notes] + [""] * bool(section.notes)
        for grid in section.grids:
            lines += [*_markdown_rows(grid), ""]
            if grid.caption:
                lines += [in_markdown(grid.caption), ""]
        for picture in section.pictures:
            caption = in_markdown(picture.caption)
            lines += [f"![{in_table(picture.caption)}]({folder}/{picture.name}.{picture.kind})", "", caption, ""]
    return "\n".join(lines).rstrip() + "\n"


def _in_line(text: str) -> str:
    return in_markdown(text).replace("\n", " ")


def _markdown_rows(grid: TableBlock) -> list[str]:
    numeric = [any(row[i].value is not None for row in grid.rows) for i in range(len(grid.columns))]
    rows = [
        "| " + " | ".join(in_table(name) for name in grid.columns) + " |",
        "| " + " | ".join("---:" if right else "---" for right in numeric) + " |",
    ]
    for row in grid.rows:
        words = [f"**{in_table(cell.text)}**" if cell.strong and cell.text else in_table(cell.text) for cell in row]
        rows.append("| " + " | ".join(words) + " |")
    return rows
