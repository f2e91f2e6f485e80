"""Pages that are made from the code while the site is built, so that they cannot go stale."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from seglab.cli.verbs import VERBS
from seglab.error_codes import sections

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
# Groups in the order of conf/train.yaml; what it does not name comes after.
ORDER = (
    "data",
    "model",
    "loss",
    "optimizer",
    "schedule",
    "augment",
    "precision",
    "trainer",
    "tracking",
    "launcher",
    "search",
)
LINE = re.compile(r"^(?P<indent> *)(?P<key>[\w./ -]+|_target_):(?: (?P<value>[^#]*?))?(?: +# (?P<comment>.*))?$")
VERB = re.compile(r"^([a-z-]+):.*?## (.*)$", re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    files.append(File.generated(config, "settings.md", content=settings_page()))
    files.append(File.generated(config, "commands.md", content=commands_page()))
    files.append(File.generated(config, "errors.md", content=errors_page()))
    return files


def settings_page() -> str:
    """Every setting of every yaml in conf, with its default and its comment."""
    groups = [path for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "experiment")]
    groups.sort(key=lambda path: (ORDER.index(path.name) if path.name in ORDER else len(ORDER), path.name))
    parts = [
        "# Settings\n",
        "From the files in `conf/`: `group=option` chooses a file, `group.key=value` changes one setting.\n",
        "## Of every run\n",
        *_described(CONF / "train.yaml", ""),
    ]
    for group in groups:
        parts.append(f"\n## {group.name}\n")
        for path in sorted(group.glob("*.yaml")):
            parts += [f"\n### {group.name}={path.stem}\n", *_described(path, group.name)]
    return "\n".join(parts)


def _described(path: Path, group: str) -> Iterator[str]:
    lines = path.read_text().splitlines()
    top = next((n for n, line in enumerate(lines) if line and not line.startswith("#")), len(lines))
    comments = [line.lstrip("#").removeprefix(" ") for line in lines[:top] if not line.startswith("# @package")]
    yield "\n".join(f"    {line}" for line in comments if line)
    rows = list(_rows(lines[top:], group))
    if rows:
        yield "\n| setting | default | |\n| --- | --- | --- |"
        yield "\n".join(
            f"| `{key}` | {f'`{value}`' if value else ''} | {_cell(comment)} |" for key, value, comment in rows
        )


def _rows(lines: list[str], group: str) -> Iterator[tuple[str, str, str]]:
    """Dotted key, default and comment of each setting."""
    above: list[tuple[int, str]] = []
    rows: list[list[str]] = []
    for line in lines:
        if line.lstrip().startswith("#") and rows and line.startswith(" "):  # the comment goes on
            rows[-1][2] += " " + line.strip("# ")
        elif found := LINE.match(line):
            indent = len(found["indent"])
            above = [(depth, key) for depth, key in above if depth < indent] + [(indent, found["key"])]
            keys = [key for _, key in above]
            if keys[0] not in ("defaults", "hydra", "_target_") and keys[-1] != "_target_":
                rows.append(
                    [
                        ".".join([group, *keys] if group else keys),
                        (found["value"] or "").strip(),
                        found["comment"] or "",
                    ]
                )
    yield from ((key, value, comment) for key, value, comment in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def commands_page() -> str:
    """Every make target, and what each verb of `seglab` says of itself."""
    verbs = VERB.findall((ROOT / "Makefile").read_text())
    parts = ["# Commands\n", "## make\n", "| verb | |", "| --- | --- |"]
    parts += [f"| `make {name}` | {_cell(text)} |" for name, text in verbs]
    for words in [[], *([name] for name in VERBS)]:
        command = [sys.executable, "-m", "seglab", *words, "--help"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        title = " ".join(["seglab", *words])
        parts += [f"\n## {title}\n", "\n".join(f"    {line}".rstrip() for line in done.stdout.splitlines())]
    return "\n".join(parts)


def errors_page() -> str:
    """Every code that an error can have, with what it means."""
    parts = [
        "# Errors\n",
        "An error says what is wrong, where, what was found, what was expected and what to do. In brackets behind its"
        " first line stands its code, which stays the same when the words change. A command ends with exit code 2.\n",
    ]
    for title, codes in sections().items():
        parts += [f"## {title}\n", "| code | |", "| --- | --- |"]
        parts += [f"| `{code}` | {_cell(text)} |" for code, text in codes.items()]
        parts.append("")
    return "\n".join(parts)
