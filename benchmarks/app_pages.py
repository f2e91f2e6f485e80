"""How fast the pages are, in a real Chromium: make bench-app, or python -m benchmarks.app_pages [folder] [count].

The application is started on generated images of 1024 × 2048. It prints the seconds until it is ready, until the first
page is painted, and until another image is shown, picture and masks: one that the model has not seen, and one that it
has, of which the model's own part is nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.demo_model import exported
from seglab.export.folder import read_folder, targets_below

SIZE = (1024, 2048)
FLAGS = ["--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
HEAVY = ("tensorflow", "keras", "mlflow", "hydra")
TARGETS = {
    "ready s": 6.0,
    "first page s": 1.5,
    "seen image, p95 ms": 400.0,
    "new image without the model, p95 ms": 400.0,
}


def write_images(place: Path, folder: Path, count: int) -> list[str]:
    """Smooth images and masks for the model of a folder, and the words that name them."""
    task = read_folder(targets_below(folder)[0]).bundle.task
    generator = np.random.default_rng(0)
    for part in ("images", "masks"):
        (place / part).mkdir(parents=True)
    values = np.array(task.label_values or range(task.classes), np.uint8)
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 256, (32, 64, 3), np.uint8)).resize(SIZE[::-1], Image.BICUBIC)
        noise = generator.normal(0, 4, (*SIZE, 1))
        image = np.clip(np.asarray(small) + noise, 0, 255).astype(np.uint8)
        stored = image if task.channels == 3 else image[..., 0]
        Image.fromarray(stored).save(place / "images" / f"image{number:02}.png", compress_level=1)
        ids = np.minimum(np.asarray(small)[..., 0] // (256 // task.classes + 1), task.classes - 1)
        Image.fromarray(values[ids]).save(place / "masks" / f"image{number:02}.png")
    labels = [f"data.label_values=[{','.join(map(str, values))}]", f"data.class_names=[{','.join(task.class_names)}]"]
    return ["data=image_folder", f"data.root={place}", *labels]


def shown(page: Any, name: str) -> None:
    """Wait for it; Playwright's own waiting looks after 20, 70, 170, 270, 370 and then 870 ms, which would be told."""
    found, latest = page.locator(f'.viewer[data-shown$=" {name}"]'), time.monotonic() + 120
    while not found.count():
        if time.monotonic() > latest:
            raise TimeoutError(f"{name} is not shown")
        time.sleep(0.01)


def switches(page: Any, names: list[str]) -> list[float]:
    """Milliseconds from the key to all of the next image."""
    took = []
    for name in names:
        began = time.perf_counter()
        page.keyboard.press("n")
        shown(page, name)
        took.append((time.perf_counter() - began) * 1000)
    return took


def processor_seconds(pid: int) -> float:
    """Of a process and those below it: unlike the clock it does not say how busy the machine is."""
    own = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (own, *own.children(recursive=True)))


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def main(words: list[str]) -> int:
    from playwright.sync_api import sync_playwright

    folder = Path(words[0]) if words else exported([])
    count = int(words[1]) if len(words) > 1 else 24
    with tempfile.TemporaryDirectory() as place:
        arguments = [*write_images(Path(place) / "data", folder, count), "port=0", "drain_seconds=0", "rows="]
        began = time.perf_counter()
        command = [sys.executable, "-m", "seglab", "app", str(folder), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stderr is not None
        address = next((line.split()[-1] for line in process.stdout if line.startswith("the pages are at ")), "")
        if not address:
            sys.exit(process.stderr.read())
        found = {"ready s": time.perf_counter() - began, "ready, processor s": processor_seconds(process.pid)}
        log: list[str] = []
        threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            began = time.perf_counter()
            page.goto(address)
            page.locator("h3").wait_for()
            cold = time.perf_counter() - began
            shown(page, "image00")
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            began = time.perf_counter()
            page.goto(address)
            page.locator("h3").wait_for()
            found |= {"first page s": time.perf_counter() - began, "very first page of the process s": cold}
            shown(page, "image00")
            names = [f"image{number:02}" for number in (*range(1, count), 0)]
            new = switches(page, names[:-1])
            model = [json.loads(line)["stages_ms"]["predict"] for line in log if '"stages_ms"' in line][1:count]
            without = [all_of - own for all_of, own in zip(new, model, strict=False)]
            page.keyboard.press("n")
            shown(page, "image00")
            before = processor_seconds(os.getpid())
            seen = switches(page, names)
            spent = processor_seconds(os.getpid()) - before
            browser.close()
        own = psutil.Process(process.pid)
        found |= {"new image, p95 ms": p95(new), "of it the model, median ms": statistics.median(model)}
        found |= {"new image without the model, p95 ms": p95(without)}
        found |= {"new image without the model, median ms": statistics.median(without), "seen image, p95 ms": p95(seen)}
        found |= {"seen image, processor ms of all, browser too": spent / len(names) * 1000}
        found |= {"seen image, median ms": statistics.median(seen), "pages MB": own.memory_info().rss / 1e6}
        found["all processes MB"] = sum(one.memory_info().rss for one in (own, *own.children(recursive=True))) / 1e6
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        process.terminate()
        process.wait(30)
    for name, value in found.items():
        target = (
            f"   target ≤ {TARGETS[name]:g}: {'kept' if value <= TARGETS[name] else 'MISSED'}"
            if name in TARGETS
            else ""
        )
        print(f"{name:44} {value:8.2f}{target}")
    print("loaded in the process of the pages:", [name for name in HEAVY if f"/{name}/" in mapped] or "nothing heavy")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
