"""The environments that others install, from nothing: only the service's, and only the core's."""

from __future__ import annotations

import io
import os
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image
from served import ROAD, served_folder
from test_wheel import source, wheel  # noqa: F401  fixtures

from benchmarks.speed.live_service import LiveService
from seglab.cli.verbs import VERBS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PNG = {"Content-Type": "image/png"}
LARGEST = 700e6  # bytes, without pip, as `pip install --no-compile` makes it and once it has done its work
# None of these may be there, let alone be loaded.
NEVER = {"tensorflow", "keras", "mlflow", "hydra", "omegaconf", "pandas", "sklearn", "matplotlib", "skimage", "torch"}


# What each verb is asked that needs no extra as such; the others refuse before they read a word.
WORDS = {
    "predict": ("nothere", "a.png", "out=masks"),
    "verify": ("nothere",),
    "segment": ("image=a.png", "box=[2,2,30,20]", "out=cut"),
    "synthetic-dataset": ("kind=image_folder", "out=made"),
    "serve": ("nothere",),
    "app": ("nothere",),
}
WORKS = {"segment", "synthetic-dataset", "doctor"}  # in every environment
SOON = 2.0  # seconds of computing until a refusal


@pytest.fixture(autouse=True)
def bytecode_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the service is installed, whatever the machine of the tests wants."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


def call(words: Sequence[object], cwd: Path, code: int = 0) -> str:
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, env=variables, timeout=1500, check=False
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def installed(folder: Path, what: str, bytecode: str = "--no-compile") -> Path:
    """The Python of a new environment with what pip installs; skips where no package index can be reached."""
    call([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    python = folder / "bin" / "python"
    words = [sys.executable, "-m", "pip", "--python", python, "install", bytecode, "--quiet", what]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode and re.search("connection|resolve|No matching distribution", done.stderr, re.IGNORECASE):
        pytest.skip("no package index here")
    assert done.returncode == 0, done.stderr[-2000:]
    return python


def size_of(folder: Path) -> int:
    """Bytes of its files; prints them, and of these the bytecode, which Python has written of what it has imported."""
    sizes = {file: file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()}
    whole, bytecode = sum(sizes.values()), sum(size for file, size in sizes.items() if file.suffix == ".pyc")
    print(f"{whole / 1e6:.0f} MB, of which {bytecode / 1e6:.0f} MB of bytecode")
    return whole


def modules_of(python: Path) -> set[str]:
    found = "import pkgutil; print(*(one.name for one in pkgutil.iter_modules()))"
    return set(call([python, "-c", found], python.parent).split())


def test_the_environment_of_the_service(wheel: Path, tmp_path: Path) -> None:  # noqa: F811
    python = installed(tmp_path / "venv", f"{wheel}[serve]")
    assert not modules_of(python) & NEVER
    folder = served_folder(tmp_path / "road", ROAD, (32, 40))
    rows = np.random.default_rng(0).integers(0, 256, (77, 90, 3), np.uint8)
    images = tmp_path / "in"
    images.mkdir()
    cv2.imwrite(str(images / "street.png"), rows)
    content = (images / "street.png").read_bytes()
    answers = []
    for one in (str(python), sys.executable):
        with LiveService(folder, one) as service:
            asked = httpx.post(
                f"http://127.0.0.1:{service.port}/predict", content=content, headers=PNG, trust_env=False
            )
            assert asked.status_code == 200
            answers.append(asked.content)
    assert answers[0] == answers[1]
    seglab = python.with_name("seglab")
    call([seglab, "predict", folder, images, f"out={tmp_path / 'masks'}"], tmp_path)
    served = np.asarray(Image.open(io.BytesIO(answers[0])))  # OpenCV turns a palette into colours
    predicted = cv2.imread(str(tmp_path / "masks" / "street.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(served, predicted)
    assert "seglab[train]" in call([seglab, "train"], tmp_path, 2)
    assert size_of(tmp_path / "venv") <= LARGEST


@pytest.fixture(scope="module", params=["", "[serve]", "[app]", "[export]"], ids=["core", "serve", "app", "export"])
def environment(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The command of an environment with one extra or none."""
    folder = tmp_path_factory.mktemp("environment")
    return installed(folder / "venv", f"{wheel}{request.param}", "--compile").with_name("seglab")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_works_or_says_what_to_install(environment: Path, verb: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8))
    assert verb in call([environment, verb, "--help"], tmp_path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(environment), verb, *WORDS.get(verb, ())], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}, timeout=300,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Traceback" not in done.stderr, done.stderr
    if verb in WORKS:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2, done.stdout + done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= SOON
    if "package-missing" in done.stderr:
        (extra,) = re.findall(r"remedy: +pip install 'seglab\[([\w,]+)\]'\n", done.stderr)
        assert set(extra.split(",")) <= {"train", "keras", "serve", "app"}
    assert "remedy:" in done.stderr


def test_python_says_the_same(environment: Path, tmp_path: Path) -> None:
    python = environment.with_name("python")
    for asked, extra in (
        ("train('model=unet')", "train"), ("evaluate('x')", "train"), ("compare()", "train"), ("load('.')", "keras"),
        ("open_run('x')", "train"), ("datasets.check()", "train"),
    ):  # fmt: skip
        output = call([python, "-c", f"import seglab; seglab.{asked}"], tmp_path, 1)
        assert f"pip install 'seglab[{extra}]'" in output
        assert "ModuleNotFoundError" not in output


def test_the_core_alone_says_what_a_runtime_needs(wheel: Path, tmp_path: Path) -> None:  # noqa: F811
    python = installed(tmp_path / "venv", str(wheel))
    assert not modules_of(python) & (NEVER | {"openvino", "fastapi"})
    folder = served_folder(tmp_path / "road", ROAD, (32, 40))
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), np.zeros((32, 40, 3), np.uint8))
    seglab = python.with_name("seglab")
    assert "seglab 0" in call([seglab, "--version"], tmp_path)
    output = call([seglab, "predict", folder, tmp_path / "in", f"out={tmp_path / 'masks'}"], tmp_path, 2)
    assert "pip install openvino" in output
    assert "seglab[serve]" in call([seglab, "serve", folder], tmp_path, 2)
    assert size_of(tmp_path / "venv") <= LARGEST
