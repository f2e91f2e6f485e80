"""What the documentation says to type exists: every command of every page composes, every verb and script is there."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from seglab.cli.verbs import VERBS
from seglab.cli.words import read
from seglab.command import CONF, kept
from seglab.config.run_config import load_config

ROOT = CONF.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
PAGE_TEXTS = {page.name: page.read_text() for page in PAGES}
STANDS_FOR = {"<study>": "loss_study", "<run id>": "0" * 32, "<id>": "0" * 32}
ANY_VERB = f"seglab (?:{'|'.join(VERBS)})"
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(word: str) -> list[tuple[str, str]]:
    """Each command line that begins with a word, in indented or fenced blocks and within sentences, by its page."""
    found = []
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(rf"^(?:    |\| )?`?({word} .*)$", text, re.MULTILINE)
        lines += re.findall(rf"`({word} [^`]+)`", text.replace("\n", " "))
        found += [(page.name, re.split(r"  +#| #|`", line)[0].strip()) for line in lines]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "line"), commands("seglab train"))
def test_training_commands_compose(page: str, line: str) -> None:
    for sign, word in STANDS_FOR.items():
        line = line.replace(sign, word)
    line = re.sub(r"<[^>]*>", "somewhere", line)
    words = [word for word in shlex.split(line)[2:] if word not in ("…", "-m", "--cfg", "job", "--help")]
    shown = re.findall(r"# conf/(\w+)/(\w+)\.yaml", PAGE_TEXTS[page])
    if "--config-dir" in words or any(f"{group}={option}" in words for group, option in shown):
        return  # a part that the page itself shows how to add, and its own test runs
    parsed = OverridesParser.create().parse_overrides(kept(words, "train"))
    chosen = [_first(each) for each in parsed if each.key_or_group.split(".")[0] not in ("launcher", "search")]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        load_config(hydra.compose("train", overrides=[word for word in chosen if word]))


def _first(override: Override) -> str:
    """The first of several values; nothing for a range to draw from."""
    if not override.is_sweep_override():
        return str(override.input_line)
    enumerable = override.is_choice_sweep() or override.is_range_sweep()
    return f"{override.key_or_group}={next(iter(override.sweep_string_iterator()))}" if enumerable else ""


@pytest.mark.parametrize(("page", "line"), commands("make"))
def test_verbs_exist(page: str, line: str) -> None:
    verb = line.split()[1]
    assert verb in TARGETS, f"{page} says `{line}`"


@pytest.mark.parametrize(("page", "line"), commands(ANY_VERB))
def test_verbs_take_the_settings_that_the_page_names(page: str, line: str) -> None:
    _, name, *words = shlex.split(line.replace("port=…", "port=5001"))
    verb = VERBS[name]
    if verb.composes or name == "compare" or "--help" in words:
        return
    module = importlib.import_module(verb.target.partition(":")[0])
    kind = getattr(module, name.title().replace("-", "") + "Words")
    read(kind, [re.sub(r"<[^>]*>|(?<==)…", "somewhere", word) for word in words if word != "…"], name)


CHEAP = re.compile(
    r"seglab (synthetic-dataset|check-data data=image_folder data.root=<folder>$|train --(cfg job|help)$)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set as a reader of the pages might have one."""
    place = tmp_path_factory.mktemp("data") / "images"
    ran(["synthetic-dataset", "kind=image_folder", f"out={place}", "count=24"], place.parent)
    return place


def ran(words: list[str], where: Path, *codes: int) -> str:
    command = [sys.executable, "-m", "seglab", *words]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (codes or (0,)), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("line", sorted({line for _, line in commands(ANY_VERB) if CHEAP.match(line)}))
def test_commands_that_cost_little_run(line: str, folder: Path, tmp_path: Path) -> None:
    words = shlex.split(line.replace("<folder>", str(folder)))[1:]
    if words[0] == "check-data":  # its third class lies in one case alone, which is a finding
        output = ran([*words, f"data.label_schema={folder / 'labels.csv'}"], tmp_path, 2)
        assert "class-not-in-training" in output
    else:
        assert ran(words, tmp_path).strip()


def test_every_page_was_looked_at() -> None:
    assert len(commands("seglab train")) > 20
    assert len(commands("make")) > 15
    assert len(commands(ANY_VERB)) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    made = {"settings.md", "commands.md"}  # while the site is built
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http") and target not in made:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
