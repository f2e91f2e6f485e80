"""Each error has a stable code that the register explains."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from seglab import error_codes, errors
from seglab.errors import UNREGISTERED, ConfigError, DataError, naming

SOURCE = Path(error_codes.__file__).parent
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}


def raised() -> Iterator[tuple[str, ast.Call, ast.expr | None]]:
    """Every place that makes an error of ours, and its code."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                code = next((keyword.value for keyword in node.keywords if keyword.arg == "code"), None)
                yield f"{path.relative_to(SOURCE)}, line {node.lineno}", node, code


def texts(node: ast.expr) -> list[str]:
    """The texts that an expression can be; none where a name hands it on."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) + texts(node.orelse)
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)]
    return []


def test_every_error_has_a_code_of_the_register() -> None:
    known = error_codes.sentences()
    for place, _, code in raised():
        assert code is not None, f"{place}: an error without a code"
        unknown = [text for text in texts(code) if text not in known]
        assert not unknown, f"{place}: {unknown} is not in error_codes.yaml"


def test_a_title_has_one_code() -> None:
    codes: dict[str, set[str]] = defaultdict(set)
    for _, node, code in raised():
        title = texts(node.args[0])
        if code is not None and len(title) == 1:
            codes[title[0]] |= set(texts(code))
    assert {title: found for title, found in codes.items() if len(found) > 1} == {}


def test_no_code_is_left_over() -> None:
    codes = {
        node.value
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(error_codes.sentences()) - codes == set()


def test_codes_are_plain_and_stand_once() -> None:
    lines = re.findall(r"^  ([^ :]+):", error_codes.FILE.read_text(), re.MULTILINE)
    assert len(lines) == len(set(lines)) == len(error_codes.sentences()) > 200
    for code, sentence in error_codes.sentences().items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
        assert re.fullmatch(r"[A-Z].*\.", sentence), code


def test_the_code_ends_the_first_line_in_a_terminal() -> None:
    error = ConfigError("a title", code="fold-out-of-range", where="here", remedy="mend it")
    assert error.for_terminal().splitlines()[0] == "error: a title [fold-out-of-range]"
    assert str(error).splitlines() == ["a title", "  where:    here", "  remedy:   mend it"]
    assert ConfigError("of a component of your own").code == UNREGISTERED


def test_the_code_is_kept_where_a_file_is_named_afterwards() -> None:
    with pytest.raises(DataError) as caught, naming("a.png"):
        raise DataError("a title", code="file-missing", finding="image-without-mask", remedy="mend it")
    assert (caught.value.code, caught.value.where) == ("file-missing", "a.png")


def test_a_command_prints_the_code(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-c",
        'from seglab.errors import *; run_script(lambda: exec(\'raise ConfigError("t", code="no-room")\'))',
    ]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: t [no-room]\n")
