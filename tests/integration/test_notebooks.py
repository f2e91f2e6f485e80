"""The notebooks: what stands in them exists, and they run, each in a kernel and a folder of its own."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import psutil
import pytest
from rich.console import Console
from rich.progress import Progress

import seglab
from benchmarks import notebooks as run_notebooks
from benchmarks.notebooks import NOTEBOOKS, ROOT, built, chosen, main, new_folder, run_notebook
from seglab.cli.main import main as command
from seglab.command import composed_config
from seglab.config.run_config import load_config
from seglab.runtime.terminal import Terminal

FILES = sorted(NOTEBOOKS.glob("*.py"))
NAMES = ["01_explore", "02_prepare", "03_train", "04_compare", "05_evaluate"]
SWITCH = "SETTINGS = [*BUILT_IN,"


def cells(file: Path, kind: str) -> list[str]:
    return [cell.source for cell in jupytext.read(file).cells if cell.cell_type == kind]


def switch(file: Path) -> str:
    (found,) = [cell for cell in cells(file, "code") if SWITCH in cell]
    return found


def shown(page: Path) -> Iterator[tuple[str, Any]]:
    """What each cell of a page has printed and shown, by its kind."""
    for cell in nbformat.read(page, 4).cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                yield output.name, output.text
            else:
                yield from output.get("data", {}).items()


def texts(page: Path, kind: str = "stdout") -> str:
    return "".join(text for found, text in shown(page) if found == kind)


def test_there_are_five_and_nothing_they_have_shown_is_kept() -> None:
    assert [file.stem for file in FILES] == NAMES
    tracked = subprocess.run(["git", "ls-files", "notebooks"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(tracked.stdout.split()) == [f"notebooks/{name}.py" for name in NAMES]
    for file in FILES:
        assert all(not cell.get("outputs") for cell in jupytext.read(file).cells)
        assert not re.search(r"data:image/|/(home|root|Users)/", file.read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_cell_compiles_and_every_name_of_seglab_exists(file: Path) -> None:
    codes = cells(file, "code")
    assert len(codes) >= 4
    names: set[str] = set()
    for code in codes:
        compile(code, file.name, "exec")
        names |= {ast.unparse(node) for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    named = re.findall(r"seglab(?:\.\w+)+", " ".join(cells(file, "markdown")))
    of_seglab = {name for name in [*names, *named] if re.fullmatch(r"seglab(\.\w+)+", name)}
    assert of_seglab
    for name in of_seglab:
        found: Any = seglab
        for part in name.split(".")[1:]:
            found = getattr(found, part)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_teaches_and_leads_on(file: Path, tmp_path: Path) -> None:
    words = "\n".join(cells(file, "markdown"))
    assert words.startswith("# ")
    assert "## Try it" in words
    assert re.search(r"## Try it\n(.*\n)*- .*\?", words), "a question to try"
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    notebook = built(file, folder)
    for other in NAMES:
        (folder / f"{other}.ipynb").touch()
    for text, place in ((words, NOTEBOOKS), ("\n".join(cell.source for cell in notebook.cells), folder)):
        targets = re.findall(r"\]\(([^)\s#]+)", text)
        assert targets
        assert all((place / target).resolve().is_file() for target in targets), targets
    assert not [target for target in targets if target.endswith(".py")], "from one built notebook to the next"


def test_the_switch_is_the_same_in_all_and_each_of_its_settings_can_be_trained() -> None:
    (text,) = {switch(file) for file in FILES}
    names: dict[str, Any] = {}
    exec(text, names)
    kinds = {"BUILT_IN": "Synthetic2D", "CITYSCAPES": "Cityscapes", "VOLUMES": "Nifti"}
    for name, data in kinds.items():
        words = [re.sub(r"<.*>", "somewhere", word) for word in names[name]]
        config = load_config(composed_config([*words, "data.split_seed=0", "loss=focal", "seed=2"]))
        assert config.data.name == data
    assert names["SETTINGS"] == [*names["BUILT_IN"], "data.split_seed=0"]


def test_a_placeholder_that_was_not_filled_in_is_refused() -> None:
    names: dict[str, Any] = {}
    exec(switch(FILES[0]), names)
    checked = seglab.datasets.check(*names["VOLUMES"])
    assert checked.report.errors
    with pytest.raises(seglab.SeglabError, match="folder with dataset"):
        seglab.datasets.explore(*names["VOLUMES"])


def test_a_notebook_is_shown_plain_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class ZMQInteractiveShell:
        pass

    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", builtins)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a kernel does
    assert Console().is_jupyter
    terminal = Terminal()
    assert not terminal.is_jupyter
    terminal.print("[bold]one[/bold] line")
    with Progress(console=terminal) as bar:
        bar.add_task("of work", total=1, completed=1)
    assert "one line\n" in (output := capsys.readouterr().out)
    assert "\x1b" not in output


def notebook_of(folder: Path, *codes: str) -> Path:
    file = folder / "made.py"
    file.write_text("\n".join(f"# %%\n{code}" for code in codes))
    return file


def test_a_cell_that_fails_is_named_with_what_it_printed(tmp_path: Path) -> None:
    file = notebook_of(tmp_path, "print('first')", "import sys\nprint('second \\x1b[2J')\n1 / 0", "print('never')")
    done = run_notebook(file, tmp_path)
    assert (done.ran, done.cells) == (1, 3)
    assert done.problem.startswith("ZeroDivisionError, in cell 2 of 3: print('second")
    assert r"| second \x1b[2J" in done.problem or "| second" in done.problem
    assert "\x1b" not in done.problem
    assert "first" in texts(done.pages[0]), "what ran is kept"


def test_a_kernel_that_is_killed_is_named_with_its_cell(tmp_path: Path) -> None:
    file = notebook_of(
        tmp_path, "print('all is well')\nimport os, time\ntime.sleep(1)\nos.kill(os.getpid(), 9)", "print('never')"
    )
    done = run_notebook(file, tmp_path)
    assert (done.ran, done.cells) == (0, 2)
    assert "kernel died" in done.problem
    assert "in cell 1 of 2: print('all is well'" in done.problem
    assert "| all is well" in done.problem


def works(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_a_kernel_that_hangs_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess, pathlib\nprint('waiting', flush=True)\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "pathlib.Path('pids').write_text(f'{os.getpid()} {child.pid}')\nos.kill(os.getpid(), signal.SIGSTOP)"
    )
    done = run_notebook(notebook_of(tmp_path, code), tmp_path, minutes=0.3)
    assert "stopped after 0.3 minutes (minutes=…), in cell 1 of 1: print('waiting'" in done.problem
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    waited = time.monotonic() + 60
    while any(map(works, pids)) and time.monotonic() < waited:
        time.sleep(0.1)
    assert not any(map(works, pids))


def test_the_command_says_what_it_made_and_never_writes_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_notebooks, "NOTEBOOKS", tmp_path)
    (tmp_path / "01_good.py").write_text("# %% [markdown]\n# [next](02_bad.py)\n# %%\n1 + 1\n")
    (tmp_path / "02_bad.py").write_text("# %%\nprint('no')\nraise KeyError('x')\n")
    assert main([f"out={tmp_path / 'out'}"]) == 1
    output = capsys.readouterr()
    (folder,) = (tmp_path / "out").iterdir()
    assert re.search(rf"01_good +1 of 1 cells +\d:\d\d +{folder}/01_good\.ipynb", output.out)
    assert "02_bad       0 of 1 cells" in output.out
    assert "error: 02_bad: KeyError, in cell 1 of 1: print('no')" in output.err
    assert "1 of 2 notebooks ran, in " in output.out
    assert not [one for one in psutil.Process().children(recursive=True) if "ipykernel" in " ".join(one.cmdline())]
    assert "[next](02_bad.ipynb)" in (folder / "01_good.ipynb").read_text()
    assert len({new_folder(tmp_path / "out") for _ in range(3)} | {folder}) == 4
    with pytest.raises(seglab.SeglabError, match="did you mean '02_bad'"):
        chosen(["02_bd"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All five, one after the other in one folder."""
    folder = tmp_path_factory.mktemp("pipeline")
    found = {}
    for file in FILES:
        done = run_notebook(file, folder, minutes=120)
        assert not done.problem, done.problem
        assert done.ran == done.cells
        found[done.name] = done.pages[0]
    return found


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_all_five_run_and_hand_over_their_runs(pages: dict[str, Path]) -> None:
    assert list(pages) == NAMES
    for page in pages.values():
        kinds = [kind for kind, _ in shown(page)]
        assert "image/png" in kinds, "each has a picture"
        assert "Warning" not in texts(page, "stderr")
        for cell in nbformat.read(page, 4).cells:
            for output in cell.get("outputs", ()):
                made = output.get("metadata", {}).get("image/png", {})
                assert "image/png" not in output.get("data", {}) or "plt.show()" in cell.source or made["alt"]
    trained = "no finished run of these settings is there: UNetMini_"
    assert texts(pages["03_train"], "stderr").count(trained) == 1
    assert texts(pages["04_compare"], "stderr").count(trained) == 5
    assert texts(pages["04_compare"], "stderr").count("nothing is trained") == 1
    assert texts(pages["05_evaluate"], "stderr").count("nothing is trained") == 1
    assert "did you mean: augment=strong" in texts(pages["02_prepare"])
    assert re.search(r"UNetMini_\w+Loss_Adam has the best test_dice, 0\.\d+ ± 0\.\d+", texts(pages["04_compare"]))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_dice_by_hand_is_that_of_the_table(pages: dict[str, Path]) -> None:
    page = pages["05_evaluate"]
    by_hand = dict(re.findall(r"^(object|background) +(\d\.\d{4})$", texts(page), re.MULTILINE))
    table = texts(page, "text/plain")
    for name, value in by_hand.items():
        of_table = re.search(rf"^dice/{name} +(\d\.\d+)", table, re.MULTILINE)
        assert of_table is not None
        assert float(of_table[1]) == pytest.approx(float(value), abs=1e-4)
    assert set(by_hand) == {"object", "background"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_last_works_alone_and_makes_what_it_lacks(tmp_path: Path) -> None:
    done = run_notebook(NOTEBOOKS / "05_evaluate.py", tmp_path, minutes=60)
    assert not done.problem, done.problem
    assert "no finished run of these settings is there: UNetMini_DiceLoss_Adam is trained" in texts(
        done.pages[0], "stderr"
    )
    assert (tmp_path / "evaluation" / "scores" / "metrics.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("kind", "name", "small"),
    [
        ("cityscapes", "CITYSCAPES", ["data.size=[32,64]", "model.width=4", "trainer.epochs=1"]),
        ("nifti", "VOLUMES", ["model.width=4", "trainer.epochs=1"]),
    ],
)
def test_other_data_needs_the_switch_alone(kind: str, name: str, small: list[str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    command(["synthetic-dataset", f"kind={kind}", f"out={data}"])
    for file in (FILES[0], FILES[1], FILES[2], FILES[4]):
        words = re.sub(r"<folder[^>]*>", str(data), file.read_text())
        words = words.replace("[*BUILT_IN, ", f"[*{name}, {', '.join(repr(word) for word in small)}, ")
        (tmp_path / file.name).write_text(words)
        done = run_notebook(tmp_path / file.name, tmp_path, minutes=60)
        assert not done.problem, done.problem
