"""The document as one HTML file that needs nothing else: styles, script and pictures are in it."""

from __future__ import annotations

import re
from html import escape

from seglab.reports import html_document
from seglab.reports.document import Cell, Document, PageSection, Picture, TableBlock
from seglab.reports.html_document import address, image

_LONG = 24  # letters; what is longer may be broken into lines
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_STYLE = """
:root { --ink: #222f3e; --faint: #5d6d7e; --line: #dfe4ea; --ground: #ffffff; --wash: #f4f6f8; --best: #0b6b4f;
  --best-ground: #e3f4ec; --tied-ground: #fdf3dc; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1600px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 0 0 .6rem; }
.lead { color: var(--faint); margin: 0 0 1.2rem; max-width: 75ch; }
section { background: var(--ground); border: 1px solid var(--line); border-radius: 8px; padding: 1.1rem 1.2rem;
  margin: 0 0 1.1rem; }
section p { max-width: 95ch; margin: .4rem 0 .8rem; }
ul.notes { margin: .3rem 0 1rem; padding: .6rem .9rem .6rem 2rem; background: var(--tied-ground); border-radius: 6px; }
ul.notes li { margin: .15rem 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .4rem 0 .2rem; /* a shadow at the side where there is more to see */
  background: linear-gradient(to left, var(--ground) 40%, transparent) right / 3rem 100% no-repeat local,
    linear-gradient(to left, #222f3e33, transparent) right / 1rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: .38rem .65rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
th { white-space: normal; position: sticky; top: 0; background: var(--ground); border-bottom: 2px solid var(--ink);
  vertical-align: bottom; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #0072b2; outline-offset: 2px; }
th button::after { content: "\\2195"; color: #9aa7b4; padding-left: .3em; font-weight: 400; }
th[aria-sort=ascending] button::after { content: "\\2191"; color: var(--ink); }
th[aria-sort=descending] button::after { content: "\\2193"; color: var(--ink); }
th.number, td.number { text-align: right; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--ground); }
td.strong { font-weight: 700; }
td.long { white-space: normal; min-width: 17rem; }
code.id { display: inline-block; max-width: 8ch; overflow: hidden; vertical-align: bottom; white-space: nowrap;
  user-select: all; cursor: copy; }
code.id:hover, code.id:focus { max-width: none; }
.best { color: var(--best); background: var(--best-ground); border-radius: 4px; padding: .1rem .45rem; }
.tied { background: var(--tied-ground); border-radius: 4px; padding: .1rem .45rem; }
.worse { color: var(--faint); }
.caption, figcaption { color: var(--faint); font-size: .85rem; max-width: 115ch; margin: .2rem 0 1rem; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
pre { background: var(--wash); border-radius: 6px; padding: .6rem .9rem; font-size: .85rem; white-space: pre-wrap; }
summary { cursor: pointer; font-size: 1.2rem; font-weight: 700; }
@media (max-width: 640px) { section { padding: .9rem .8rem; } th:first-child,
  td:first-child { position: static; white-space: normal; overflow-wrap: anywhere; min-width: 10rem; } }
@media print { code.id { max-width: none; } body { background: #fff; } section { border: 0; break-inside: avoid; } }
"""

_SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0], column = head.cellIndex;
    const descending = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const order = (a, b) => {
      const x = key(a), y = key(b), p = parseFloat(x), q = parseFloat(y), number = head.classList.contains("number");
      if (number && (isNaN(p) || isNaN(q))) return isNaN(p) - isNaN(q);
      return (descending ? -1 : 1) * (number ? p - q : x.localeCompare(y));
    };
    body.append(...[...body.rows].sort(order));
  });
}
"""


def to_html(document: Document, style: str = "") -> str:
    """One page; it fetches nothing, and its tables sort by a click on a heading. `style` is CSS that goes last."""
    sections = "\n".join(_section(section) for section in document.sections)
    body = (
        f'<main>\n<h1>{escape(document.title)}</h1>\n<p class="lead">{escape(document.lead)}</p>\n{sections}\n</main>'
    )
    return html_document.document(document.title, body, style=_STYLE + style, script=_SCRIPT)


def _section(section: PageSection) -> str:
    parts = [f"<p>{escape(text)}</p>" for text in (*section.text, *section.written)]
    if section.code:
        parts.append(f"<pre>{escape(section.code)}</pre>")
    if section.notes:
        parts.append('<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in section.notes) + "</ul>")
    parts += [_grid(grid) for grid in section.grids]
    parts += [_picture(picture) for picture in section.pictures]
    body = "\n".join(parts)
    if section.folded:
        return f"<section><details><summary>{escape(section.title)}</summary>\n{body}\n</details></section>"
    return f"<section><h2>{escape(section.title)}</h2>\n{body}\n</section>"


def _grid(grid: TableBlock) -> str:
    numeric = [any(row[i].value is not None for row in grid.rows) for i in range(len(grid.columns))]
    head = "".join(
        f'<th scope="col"{" class=number" if right else ""}><button type="button">{escape(name)}</button></th>'
        for name, right in zip(grid.columns, numeric, strict=True)
    )
    rows = "".join(
        "<tr>" + "".join(_cell(cell, right) for cell, right in zip(row, numeric, strict=True)) + "</tr>\n"
        for row in grid.rows
    )
    caption = f'<p class="caption">{escape(grid.caption)}</p>' if grid.caption else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>{caption}'


def _cell(cell: Cell, right: bool) -> str:
    long = not right and len(cell.text) > _LONG
    run_id = _RUN_ID.fullmatch(cell.text) is not None
    marks = (("number", right), ("strong", cell.strong), ("long", long and not run_id))
    classes = " ".join(name for name, on in marks if on)
    value = "" if cell.value is None else f' data-value="{cell.value!r}"'
    words = escape(cell.text)
    if run_id:  # its beginning is shown, the whole is found, selected and copied
        words = f'<code class="id" title="{words}" tabindex="0">{words}</code>'
    elif long:
        words = words.replace("_", "_<wbr>")  # where a long name may be broken
    text = f'<span class="{cell.tone}">{words}</span>' if cell.tone else words
    kind = f' class="{classes}"' if classes else ""
    return f"<td{kind}{value}>{text}</td>"


def _picture(picture: Picture) -> str:
    shown = image(address(picture.png, picture.kind), picture.caption)
    return f"<figure>{shown}<figcaption>{escape(picture.caption)}</figcaption></figure>"
