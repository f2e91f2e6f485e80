"""Build the notebooks of this repository, run each in a kernel of its own, and say what was made: make notebooks.

Nothing is written over: each time a new folder is made, which holds the notebooks with what they show, the same as
HTML where nbconvert is installed, and the runs that they made.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from seglab.cli.words import read, setting
from seglab.errors import run_script
from seglab.runtime.waiting import Waiting
from seglab.safety.shown_text import shown

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
OUTPUT_LINES = 20  # of a cell that failed
LINK = re.compile(r"\]\(([^)\s#]+)([^)\s]*)\)")
COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, kw_only=True)
class NotebookWords:
    """Builds the notebooks and runs them, in a new folder below `out`."""

    only: tuple[str, ...] = setting("which notebooks, such as 03_train; all when nothing is said", default=())
    out: str = setting("the folder that a folder of this time is made in", default="build/notebooks")
    minutes: float = setting("after so many the kernel of a notebook is stopped", default=10.0)


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook: how many of its cells ran, in which time, the pages, and what went wrong."""

    name: str
    ran: int
    cells: int
    seconds: float
    pages: Sequence[Path]
    problem: str = ""


class ThisPython(KernelSpecManager):
    """Kernels of the Python that runs this, whatever else is installed under the name of a kernel."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


class Progress(NotebookClient):
    """Runs a notebook, and knows at which cell it is."""

    def __init__(self, notebook: nbformat.NotebookNode, name: str, folder: Path, sockets: Path, waiting: Waiting):
        # Sockets in a folder of its own: no ports that others could take or listen to.
        manager = AsyncKernelManager(kernel_spec_manager=ThisPython(), transport="ipc", ip=str(sockets / "kernel"))
        super().__init__(notebook, km=manager, resources={"metadata": {"path": str(folder)}}, timeout=None)
        self.manager = manager
        self.on_cell_start = self._tell
        places = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        self.codes = [notebook.cells[i] for i in places]
        self.current = -1
        self._numbers = {place: number for number, place in enumerate(places)}
        self._name, self._waiting = name, waiting

    def _tell(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell_index in self._numbers:
            self.current = self._numbers[cell_index]
            self._waiting.tell(f"{self._name}, cell {self.current + 1} of {len(self.codes)}: {first_line(cell)}")

    def at(self) -> str:
        """The cell that runs, or ran when it ended, with the last lines of what it printed."""
        if self.current < 0:
            return "before its first cell"
        cell = self.codes[self.current]
        texts = [output.get("text") or "\n".join(output.get("traceback", ())) for output in cell.outputs]
        lines = "\n".join(COLORS.sub("", text) for text in texts if text).strip().splitlines()[-OUTPUT_LINES:]
        printed = "".join(f"\n    | {shown(line)}" for line in lines) or "\n    (it printed nothing)"
        return f"in cell {self.current + 1} of {len(self.codes)}: {first_line(cell)}{printed}"


def first_line(cell: nbformat.NotebookNode) -> str:
    """Of a cell's code, without what it imports."""
    lines = [line for line in cell.source.splitlines() if line.strip() and not line.startswith(("import", "from", "#"))]
    return lines[0] if lines else cell.source.partition("\n")[0]


def built(file: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook of a file in the percent format, with links that lead from `folder` to where they led."""
    notebook = jupytext.read(file)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(lambda match: f"]({_link(file, folder, match[1])}{match[2]})", cell.source)
    return notebook


def _link(file: Path, folder: Path, target: str) -> str:
    if re.match(r"[a-z]+:", target):
        return target
    place = (file.parent / target).resolve()
    if place.parent == file.parent.resolve():
        return f"{place.stem}.ipynb"
    return Path(os.path.relpath(place, folder.resolve())).as_posix()


async def _executed(client: Progress, minutes: float, environment: Mapping[str, str]) -> str:
    """Runs it; what went wrong, empty when nothing did."""
    try:
        async with asyncio.timeout(minutes * 60) as limit:
            await client.async_execute(env=dict(environment))
    except TimeoutError:
        return f"it was stopped after {minutes:g} minutes (minutes=…), {client.at()}"
    except DeadKernelError:
        if limit.expired():
            return f"it was stopped after {minutes:g} minutes (minutes=…), {client.at()}"
        return f"its kernel died; the system does this when memory runs out, {client.at()}"
    except CellExecutionError as error:
        return f"{error.ename}, {client.at()}"
    except RuntimeError as error:  # the kernel did not start
        return f"its kernel did not start: {error}"
    finally:
        await client.manager.shutdown_kernel(now=True)  # with the processes that it started
    return ""


def run_notebook(file: Path, folder: Path, minutes: float = 10.0) -> Outcome:
    """Build a notebook into a folder and run it there, in a kernel that knows nothing of others.

    Args:
        file: in the percent format.
        folder: where the page goes and the kernel works.
        minutes: after which the kernel is stopped.
    """
    began = time.monotonic()
    notebook = built(file, folder)
    # Settings of the user's own, and the way pictures are drawn in a terminal, are none of the notebook's.
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    environment["PYTHONWARNINGS"] = "ignore:IProgress not found"  # a bar that some library would draw with widgets
    with Waiting() as waiting, tempfile.TemporaryDirectory() as own:
        waiting.tell(f"{file.stem}: starting a kernel")
        client = Progress(notebook, file.stem, folder, Path(own), waiting)
        problem = asyncio.run(_executed(client, minutes, {**environment, "IPYTHONDIR": own}))
        pages = [folder / f"{file.stem}.ipynb"]
        nbformat.write(notebook, pages[0])
        if importlib.util.find_spec("nbconvert") is not None:
            from nbconvert import HTMLExporter

            waiting.tell(f"{file.stem}: writing it as HTML")
            page, _ = HTMLExporter().from_notebook_node(notebook)
            pages.append(folder / f"{file.stem}.html")
            pages[1].write_text(re.sub(r'(href="\d\d_\w+)\.ipynb"', r'\1.html"', page), encoding="utf-8")
    ran = client.current + (not problem)
    return Outcome(file.stem, max(0, ran), len(client.codes), time.monotonic() - began, pages, problem)


def chosen(only: Sequence[str]) -> list[Path]:
    """The files of these notebooks, of all without a name.

    Raises:
        ConfigError: there is none of a name.
    """
    files = {file.stem: file for file in sorted(NOTEBOOKS.glob("[0-9]*.py"))}
    unknown = [name for name in only if name not in files]
    if unknown:
        from seglab.errors import ConfigError, nearest

        raise ConfigError(
            "an unknown notebook",
            code="value-not-allowed",
            where="only",
            found=unknown[0],
            expected="one of " + ", ".join(files),
            remedy=nearest(unknown[0], list(files)),
        )
    return [files[name] for name in only or files]


def new_folder(out: Path) -> Path:
    """A folder of this time below `out`, which is of nobody else."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    names = [stamp, *(f"{stamp}-{number}" for number in range(2, 100))]
    for name in names:
        try:
            (out / name).mkdir(parents=True)
        except FileExistsError:
            continue
        return out / name
    raise FileExistsError(out / stamp)


def main(words: Sequence[str]) -> int:
    """Build and run; 1 when a notebook did not run to its end."""
    settings = read(NotebookWords, words, "notebooks")
    files = chosen(settings.only)
    folder = new_folder(Path(settings.out))
    outcomes = []
    for file in files:
        outcomes.append(run_notebook(file, folder, settings.minutes))
        one = outcomes[-1]
        minutes, seconds = divmod(round(one.seconds), 60)
        pages = ", ".join(str(page) for page in one.pages)
        print(f"{one.name:<12} {one.ran} of {one.cells} cells  {minutes}:{seconds:02d}  {pages}", flush=True)
        if one.problem:
            print(f"error: {one.name}: {one.problem}", file=sys.stderr, flush=True)
    total = sum(one.seconds for one in outcomes)
    whole = sum(not one.problem for one in outcomes)
    print(f"{whole} of {len(outcomes)} notebooks ran, in {total / 60:.1f} minutes; their runs: {folder / 'mlruns'}")
    if len(outcomes[0].pages) == 1:
        print("no HTML: nbconvert is not installed; open the .ipynb in Jupyter or VS Code")
    return 0 if whole == len(outcomes) else 1


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
