"""A name says what a thing is, and stands for one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "seglab"
TESTS = Path(__file__).parent
PRIVATE = {"told", "said"}  # no words for a name
# Names of such words that are left: the difference hash of a case is `look` in caches on users' disks.
STORED = {
    "src/seglab/data/check/leaks.py": {"look"},
    "src/seglab/data/preprocessing/case_fingerprint.py": {"look"},
    "tests/data/test_data_check_copies.py": {"look"},
}
# Folders whose files have the user's own words for names: verbs, and the addresses of pages.
USER_WORDS = {"cli", "app/pages"}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def names_of(tree: ast.AST) -> set[str]:
    """What a module calls its own: variables, attributes, parameters, functions, classes."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {node.arg for node in ast.walk(tree) if isinstance(node, (ast.arg, ast.keyword)) and node.arg}
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return found | {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_a_class_name_stands_for_one_class() -> None:
    """Of the classes that other files may import; a `_Name` is seen in its own file alone."""
    found = defaultdict(list)
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    twice = {name: places for name, places in found.items() if len(places) > 1}
    assert len(found) > 300
    assert not twice, f"{twice}: two meanings have two names, one meaning has one class"


def test_a_file_name_stands_for_one_thing() -> None:
    """What has one name has one meaning. Left out: verbs and addresses of pages, which name what they call; the rooms
    of `reports`, which have the names of what they report on; and the file of a room that has the room's name."""
    found = defaultdict(set)
    for path in modules():
        place = path.relative_to(SOURCE)
        if path.stem == "__init__" and place.parts[0] != "reports":
            found[path.parent.name].add(f"{place.parent.as_posix()}/")
        elif path.stem not in {"__init__", path.parent.name} and place.parent.as_posix() not in USER_WORDS:
            found[path.stem].add(place.as_posix())
    twice = {name: sorted(places) for name, places in found.items() if len(places) > 1}
    assert len(found) > 500
    assert not twice, f"{twice}: name each file after what it owns"


def test_names_say_what_they_hold() -> None:
    """A message, a reason or fields, and not what was told or said."""
    root = TESTS.parent
    rooms = ("src", "tests", "benchmarks", "scripts", "notebooks", "docs")
    private = set()
    for path in [*root.glob("*.py"), *(path for room in rooms for path in sorted((root / room).rglob("*.py")))]:
        place = path.relative_to(root).as_posix()
        names = names_of(ast.parse(path.read_text())) - STORED.get(place, set())
        private |= {
            f"{place}: {name}" for name in names if PRIVATE & set(name.lower().split("_")) or name in {"look", "bring"}
        }
    assert not private, f"{sorted(private)}: name each after what it holds"


def test_the_table_of_renames_names_what_there_is() -> None:
    """Modules of the CHANGELOG's table: a reader who follows a former name arrives."""
    table = (SOURCE.parents[1] / "CHANGELOG.md").read_text().split("### Names before and now")[1]
    modules_before_and_now = re.findall(r"^\| `[a-z_.]+` \| `([a-z_.]+)` \|$", table.partition("\nClasses")[0], re.M)
    assert len(modules_before_and_now) > 150
    for name in modules_before_and_now:
        place = SOURCE.joinpath(*name.split("."))
        assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), f"CHANGELOG: no module {name}"
