"""A part of the user's own whose signature or file is wrong is refused before TensorFlow, with what is wanted."""

from __future__ import annotations

import importlib
import textwrap
from pathlib import Path

import pytest

from seglab.config.targets import check_given, construct, parameters_of
from seglab.errors import ConfigError

# group, the file of the user's, the settings of the yaml, what the message must hold
WRONG = [
    ("loss", "class Mine:\n    def __init__(self, *, gamma=1.0): ...", ["gamma"],
     ["Mine(*, gamma=1.0)", "Mine(task, *, gamma)"]),
    ("loss", "class Mine:\n    def __init__(self, task, frequencies): ...", [], ["Mine(task, frequencies)", "line 2"]),
    ("loss", "class Mine:\n    def __init__(self, task, gamma=2.0): ...", ["gamma"],
     ["by position", "Mine(task, *, gamma)"]),
    ("loss", "class Mine:\n    pass", [], ["Mine()", "Mine(task, *, <settings>)"]),
    ("loss", "def Mine(): ...", [], ["Mine()", "Mine(task, *, <settings>)"]),
    ("model", "def Mine(task, *, width=3): ...", ["width"], ["Mine(task, *, width=3)", "Mine(task, size, *, width)"]),
    ("optimizer", "def Mine(*, learning_rate): ...", [], ["Mine(*, learning_rate)", "Mine(learning_rate, *"]),
    ("schedule", "def Mine(learning_rate): ...", [], ["Mine(learning_rate, epochs, steps_per_epoch"]),
    ("augment", "def Mine(image, mask, rng): ...", [], ["Mine(image, mask, rng)", "Mine(task, *"]),
    ("data", "class Mine:\n    def __init__(self, root): ...", ["root"], ["Mine(root)", "Mine(*, root)"]),
    ("loss", "Mine = 3", [], ["neither a function nor a class", "line 1"]),
    ("loss", "def other(task): ...", [], ["has no 'Mine'", "other"]),
    ("loss", "def Mine(task:\n", [], ["cannot be imported", "line 1", "def Mine(task:"]),
]  # fmt: skip
RIGHT = [
    ("loss", "class Mine:\n    def __init__(self, task, *, gamma=1.0): ...", ["gamma"]),
    ("loss", "class Mine:\n    def __init__(self, task, name='mine'): ...", []),
    ("loss", "class Mine:\n    def __init__(self, *given): ...", []),
    ("loss", "import keras\nclass Mine(keras.losses.Loss):\n    pass", []),
    ("schedule", "def Mine(learning_rate, epochs, steps_per_epoch): ...", []),
]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A package of the user's own, of another name in each test: what was read once is remembered."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / f"lab_{abs(hash(request.node.nodeid))}"
    package.mkdir()
    (package / "__init__.py").touch()
    importlib.invalidate_caches()
    return package


@pytest.mark.parametrize(("group", "text", "settings", "words"), WRONG)
def test_what_a_run_cannot_call_is_refused_with_the_signature_that_is_wanted(
    group: str, text: str, settings: list[str], words: list[str], lab: Path
) -> None:
    (lab / "parts.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        check_given(f"{lab.name}.parts.Mine", group, settings)
    for word in (*words, f"{group}._target_", "parts.py" if "has no" not in words[0] else lab.name):
        assert word in str(caught.value), f"{word!r} not in:\n{caught.value}"


@pytest.mark.parametrize(("group", "text", "settings"), RIGHT)
def test_what_a_run_can_call_is_let_through(group: str, text: str, settings: list[str], lab: Path) -> None:
    (lab / "parts.py").write_text(text)
    check_given(f"{lab.name}.parts.Mine", group, settings)


def test_settings_of_a_base_in_another_file_are_known(lab: Path) -> None:
    (lab / "base.py").write_text("class Base:\n    def __init__(self, task, *, gamma: float = 1.0): ...")
    (lab / "parts.py").write_text("from .base import Base\nclass Mine(Base):\n    pass")
    (lab / "__init__.py").write_text("from .parts import Mine as Ours")
    assert list(parameters_of(f"{lab.name}.Ours", "loss._target_")) == ["gamma"]
    check_given(f"{lab.name}.Ours", "loss", ["gamma"])


def test_a_module_that_there_is_not_and_one_that_imports_it(lab: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be found[\s\S]*PYTHONPATH"):
        check_given("labb.parts.Mine", "loss", [])
    (lab / "__init__.py").write_text("x = 1\nimport no_such_package\n")
    (lab / "parts.py").write_text("class Mine: ...")
    with pytest.raises(ConfigError) as caught:
        check_given(f"{lab.name}.parts.Mine", "loss", [])
    for word in ("No module named 'no_such_package'", "__init__.py, line 2: import no_such_package"):
        assert word in str(caught.value)


def test_what_fails_while_it_is_made_says_where(lab: Path) -> None:
    (lab / "parts.py").write_text(
        textwrap.dedent("""
        import functools
        def late(task):
            import no_such_package
        def Mine(task, *, width): ...
        """)
    )
    (lab / "broken.py").write_text("\nimport no_such_package\ndef Mine(task): ...")
    with pytest.raises(ConfigError, match=r"broken\.py, line 2: import no_such_package"):
        construct(f"{lab.name}.broken.Mine", ["task"], {})
    with pytest.raises(ConfigError, match=r"Mine\(task, \*, width\): missing a required argument: 'width'"):
        construct(f"{lab.name}.parts.Mine", ["task"], {})
    with pytest.raises(ModuleNotFoundError):  # its own mistake keeps its own traceback
        construct(f"{lab.name}.parts.late", ["task"], {})
