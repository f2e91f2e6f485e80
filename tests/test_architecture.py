"""Data moves one way: a module imports only from stations to its left, or from its own package."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from seglab import errors

SOURCE = Path(__file__).parents[1] / "src" / "seglab"

# Stations from left to right. Those that share a line may not import one another.
STATIONS = [
    {"safety", "gc_pause", "version"},
    {"error_codes"},
    {"errors", "statistics", "run_record"},
    {"task", "metric_names", "number_format", "extras", "runtime"},
    {"config"},
    {"command"},
    {"data"},
    {"models", "schedules"},
    {"losses", "metrics", "optimizers"},
    {"training"},
    {"tracking"},
    {"inference"},
    {"viz"},
    {"evaluation"},
    {"comparison"},
    {"registry"},
    {"reports", "export"},
    {"monitoring"},
    {"serving"},
    {"interactive"},
    {"app"},
    {"experiment"},
    {"sweeping"},
    {"planning"},
    {"ensembling"},
    {"doctor"},
    {"api", "datasets"},
    {"cli"},
    {"__main__"},
]
# Rooms of a station that hand on from one to the next in the same way.
ROOMS = {
    "data": [
        {"randomness", "worker_processes", "mask_channels"},
        {"cases"},
        {"io"},
        {"digest"},
        {"labels", "previous_stage"},
        {"sources", "splits"},
        {"synthetic"},
        {"preprocessing"},
        {"augment", "labelled"},
        {"prompts", "nnunet"},
        {"cache"},
        {"check"},
        {"loading"},
    ],
}
LONGEST_FILE = 300
POSITION = {name: index for index, names in enumerate(STATIONS) for name in names}
# What may never be loaded before the config is known to be good.
HEAVY = {"tensorflow", "keras", "mlflow"}
LIGHT = {
    "safety",
    "gc_pause",
    "version",
    "error_codes",
    "errors",
    "extras",
    "run_record",
    "task",
    "metric_names",
    "config",
    "command",
    "runtime",
    "cli",
    "__main__",
}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.stem != "__init__")


def station(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top_level(tree: ast.Module) -> ast.Module:
    return ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_arrows_point_left(path: Path) -> None:
    here = station(path)
    assert here in POSITION, f"{here} has no station: add it to the order, or put the code where it belongs"
    for name in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "seglab" or len(parts) < 2 or parts[1] not in POSITION or parts[1] == here:
            continue
        assert POSITION[parts[1]] < POSITION[here], f"{path.name} ({here}) imports {name}: that arrow points back"


@pytest.mark.parametrize("package", sorted(ROOMS))
def test_rooms_of_a_station_hand_on_in_one_way(package: str) -> None:
    position = {name: index for index, names in enumerate(ROOMS[package]) for name in names}
    for path in (SOURCE / package).rglob("*.py"):
        here = path.relative_to(SOURCE / package).with_suffix("").parts[0]
        if here == "__init__":
            continue
        assert here in position, f"{path} stands in no room of {package}"
        for name in imports(ast.parse(path.read_text())):
            parts = name.split(".")
            if parts[:2] != ["seglab", package] or len(parts) < 3 or parts[2] not in position or parts[2] == here:
                continue
            assert position[parts[2]] < position[here], f"{path.name} ({here}) imports {name}: that arrow points back"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_light_modules_load_nothing_heavy(path: Path) -> None:
    here = station(path)
    if here not in LIGHT and not (here == "data" and path.stem != "batches"):
        return
    heavy = {name for name in imports(top_level(ast.parse(path.read_text()))) if name.split(".")[0] in HEAVY}
    assert not heavy, f"{path.name} loads {heavy} before the config is known to be good"


@pytest.mark.parametrize("forbidden", ["mlflow", "hydra"])
def test_training_knows_neither_tracker_nor_composer(forbidden: str) -> None:
    for path in (SOURCE / "training").rglob("*.py"):
        assert not any(name.split(".")[0] == forbidden for name in imports(ast.parse(path.read_text()))), path


def test_docstrings_name_the_parameters_that_there_are() -> None:
    """Under `Args:`, of functions and of classes with an `__init__` of their own; `*` takes any name."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            made = node
            if isinstance(node, ast.ClassDef):
                made = next((one for one in node.body if getattr(one, "name", "") == "__init__"), None)
            if not isinstance(made, (ast.FunctionDef, ast.AsyncFunctionDef)) or made.args.vararg:
                continue
            given = made.args
            known = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.kwarg) if one}
            args = re.search(r"^Args:\n((?: {4}.*\n?|\n)+)", ast.get_docstring(node) or "", re.MULTILINE)
            listed = re.findall(r"^ {4}([\w*, ]+):(?!//)", args[1] if args else "", re.MULTILINE)
            named = {name.strip(" *") for names in listed for name in names.split(",")}
            strange = sorted(name for name in named - known if name.isidentifier())
            assert not strange, f"{path.relative_to(SOURCE)}, {node.name}: {strange}"


def test_comparison_makes_neither_sentences_nor_pictures() -> None:
    """Those belong to reports: a sentence is text with a full stop, in no docstring and no error."""
    for path in (SOURCE / "comparison").rglob("*.py"):
        tree = ast.parse(path.read_text())
        drawing = {name for name in imports(tree) if name.split(".")[0] in {"matplotlib", "PIL"} or ".viz" in name}
        assert not drawing, f"{path.name} draws with {drawing}"
        apart = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, (ast.Raise, ast.Expr))
            for inner in ast.walk(node)
            if isinstance(node, ast.Raise) or inner is node.value
        }
        for node in ast.walk(tree):
            if node not in apart and isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"\w \w.*\.$", node.value), f"{path.name}, line {node.lineno}: {node.value}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_fits_in_one_reading(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{path.name} has {lines} lines: split it by what its parts own"


def test_entry_points_are_thin() -> None:
    root = SOURCE.parents[1]
    assert len((root / "train.py").read_text().splitlines()) < 40
    for path in (root / "scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) < 60, path


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_error_says_where_and_what_to_do(path: Path) -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
            given = {keyword.arg for keyword in node.keywords}
            missing = {"where", "remedy"} - given
            assert None in given or not missing, f"{path.name}, line {node.lineno}: an error without {sorted(missing)}"
