"""The page of a data set: self-contained, with the pictures, numbers and findings that it was given."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from seglab.data.cases import Case, Sample
from seglab.data.check.findings import DataReport, Finding
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.splits import Split
from seglab.errors import DataError
from seglab.reports.data.case_pictures import SIDE, case_pictures
from seglab.reports.data.charts import bar, histogram
from seglab.reports.data.data_page import build_page, page_name
from seglab.task import Task

ROOT = Path(__file__).parents[2]
RED = Task(2, 3, ("background", "object"), class_colors=((0, 0, 0), (255, 0, 0)))


def decoded(address):
    head, _, data = address.partition(",")
    assert head == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(int)


def test_the_mask_is_laid_over_its_own_place():
    # Left half dark blue, right half light blue; the object is the lower left quarter.
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :, 2] = 100
    image[:, 40:, 2] = 200
    mask = np.zeros((40, 80), np.uint8)
    mask[20:, :40] = 1
    ((caption, plain, laid_over),) = case_pictures(Sample(image, mask, (1.0, 1.0)), RED)
    plain, laid_over = decoded(plain), decoded(laid_over)
    assert caption == ""
    assert plain.shape == laid_over.shape == (SIDE // 2, SIDE, 3)
    redder = (laid_over - plain)[..., 0]
    quarter, rest = redder[SIDE // 4 + 8 :, : SIDE // 2 - 8], redder[: SIDE // 4 - 8]
    assert quarter.min() > 80
    assert abs(rest).max() < 12
    assert plain[5, 5, 2] < plain[5, -5, 2]


def test_ignored_pixels_are_grey_and_a_case_without_a_mask_too():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    ((_, plain, laid_over),) = case_pictures(Sample(image, None, (1.0, 1.0)), RED)
    spread = [np.ptp(decoded(picture), axis=-1).mean() for picture in (plain, laid_over)]
    assert spread[1] < 0.75 * spread[0]


def test_three_planes_of_a_volume_stand_as_they_are_looked_at():
    # x to the right, y to anterior, z to superior; bright where superior and anterior.
    image = np.zeros((20, 30, 10, 1), np.float32)
    image[:, 15:, 5:] = 100
    mask = np.zeros((20, 30, 10), np.uint8)
    mask[9:11, 14:16, 4:6] = 1
    task = Task(3, 1, ("background", "object"))
    drawn = case_pictures(Sample(image, mask, (1.0, 1.0, 3.0), np.eye(4), np.eye(4)), task)
    assert [caption.partition(",")[0] for caption, _, _ in drawn] == ["axial", "coronal", "sagittal"]
    assert drawn[2][0].endswith("P–A, I below, S above")
    sagittal = decoded(drawn[2][1])
    assert sagittal.shape[:2] == (SIDE, SIDE)  # 30 voxels of 1 mm, 10 of 3 mm
    assert sagittal[10, -10].min() > 240  # superior is up, anterior right
    assert sagittal[-10, -10].max() < 15
    assert sagittal[10, 10].max() < 15


def numbers_of(svg):
    root = ET.fromstring(svg)
    return [(float(r.get("x")), float(r.get("height")), r.get("fill")) for r in root.iter("rect")], [
        text.text for text in root.iter("text")
    ]


def test_bars_of_a_histogram_have_the_height_of_their_share():
    bars, texts = numbers_of(histogram({"train": [1, 1, 1, 5], "val": [5], "test": []}, "height, pixels"))
    assert len(bars) == 3
    (_, low, _), (_, high, _), (_, val, color) = bars
    assert low / high == pytest.approx(3, rel=0.01)
    assert low / val == pytest.approx(0.75, rel=0.01)
    assert color == "#f58518"
    assert {"height, pixels", "share of cases", "1", "5", "100%"} <= set(texts)


def test_skewed_values_have_a_logarithmic_axis_and_equal_ones_a_sentence():
    _, texts = numbers_of(histogram({"train": [0.0, 1, 2, 3, 10, 1e6]}, "mean"))
    assert "mean (logarithmic)" in texts
    assert {"1", "1e+06"} <= set(texts)
    assert histogram({"train": [3, 3], "val": [3]}, "width") == '<p class="plain">width: <b>3</b> in every case</p>'
    assert "nothing known" in histogram({"train": [float("nan")]}, "width")


def test_a_bar_says_its_number():
    assert "width:25.00%" in bar(0.25, "red")
    assert "25.0%" in bar(0.25, "red")
    assert "&lt;0.1%" in bar(0.0004, "red")
    assert "0.0%" in bar(0.0, "red")


class Held:
    """Forty images of two sizes, in groups of two, from memory; remembers what was read."""

    def __init__(self):
        self.name, self.split, self.task, self.read_ids = "held <b>", None, RED, []
        self.samples = {}
        for n in range(40):
            size = (16, 24) if n == 7 else (32, 24)
            mask = np.zeros(size, np.uint8)
            mask[: n % 5] = 1
            mask[-1] = 255
            image = np.random.default_rng(n).integers(0, 256, (*size, 3), np.uint8)
            self.samples[f"c{n}"] = Sample(image, mask, (1.0, 1.0))
        self.cases = [Case(i, (), None, f"g{int(i[1:]) // 2}") for i in self.samples]

    def read(self, case):
        self.read_ids.append(case.id)
        return self.samples[case.id]


def page_of(source, path, **settings):
    ids = list(source.samples)
    facts = {case.id: examine(source.samples[case.id], source.task) for case in source.cases}
    return build_page(source, Split(ids[:24], ids[24:32], ids[32:]), facts, path, **settings).read_text()


def test_a_page_holds_everything_and_nothing_from_elsewhere(tmp_path):
    source = Held()
    finding = Finding.of("group-in-two-splits", "group <g1>", "here and there", "one split", "move it")
    text = page_of(source, tmp_path / "new" / "page.html", report=DataReport.of([finding], ["group-in-two-splits"]))
    assert "24 training, 8 validation, 8 test (40 in 20 groups)" in text
    assert "held &lt;b&gt;" in text
    assert "group &lt;g1&gt;" in text
    assert ">allowed</b>" in text
    assert "16 × 24 to 32 × 24" in text
    assert "Emptiest masks" in text
    assert "8 of 40 masks hold no scored class." in text
    assert "c7</b>" in text.split("Smallest images")[1]
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert "<script" not in text
    assert len(source.read_ids) == len(set(source.read_ids)) <= 20


def test_where_every_class_is_scored_the_masks_with_the_fewest_are_shown(tmp_path):
    source = Held()
    source.task = replace(RED, unscored=())
    source.samples["c31"].mask[1:] = 255  # one class, and least of it
    text = page_of(source, tmp_path / "page.html")
    fewest = text.split("<h2>Masks with the fewest classes</h2>")[1].split("<h2>")[0]
    assert fewest.startswith("<p>1, 1, 1, 1 of 2 classes.</p>")
    assert re.findall(r"<b>(c\d+)</b>", fewest) == ["c31", "c0", "c5", "c10"]
    assert "Emptiest" not in text


def test_classes_are_counted_for_each_split(tmp_path):
    source = Held()
    text = page_of(source, tmp_path / "page.html")
    row = text.split("<h2>Classes</h2>")[1].split("<tr>")[3]
    assert "</span>object</th>" in row
    # 24 training cases are five rounds of 0 to 4 rows less the last: 19 hold the object.
    assert "19 of 24" in row
    labelled = sum(np.sum(s.mask < 255) for s in list(source.samples.values())[:24])
    objects = sum(np.sum(s.mask == 1) for s in list(source.samples.values())[:24])
    assert f"{objects / labelled:.1%}" in row


def test_the_same_cases_for_the_same_seed(tmp_path):
    pages = [page_of(Held(), tmp_path / f"{n}.html", seed=seed) for n, seed in enumerate((1, 1, 2))]
    assert pages[0] == pages[1] != pages[2]


def test_without_a_case_there_is_no_page(tmp_path):
    with pytest.raises(DataError, match="no case to show"):
        build_page(Held(), Split((), (), ()), {}, tmp_path / "page.html")


def test_sets_of_one_kind_have_pages_of_their_own(tmp_path):
    names = {page_name("ImageFolder", str(tmp_path / folder)) for folder in ("a/cells", "b/cells", "nerves")}
    assert len(names) == 3
    assert all(re.fullmatch(r"ImageFolder-(cells|nerves)-[0-9a-f]{8}\.html", name) for name in names)
    assert page_name("ImageFolder", str(tmp_path / "a/../a/cells")) in names
    assert page_name("Synthetic2D", None) == "Synthetic2D.html"


@pytest.mark.slow
def test_the_command_writes_a_page_that_a_browser_shows(tmp_path):
    words = ["data=synthetic2d", "data.count=12", "data.name=ExploreTest", "hydra.run.dir=" + str(tmp_path)]
    page = tmp_path / "mlruns/explore/ExploreTest.html"
    command = [sys.executable, str(ROOT / "scripts/explore.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert page.as_uri() in done.stdout
    if shutil.which("chromium") is None:
        return
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    browser += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    browser += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    shown = subprocess.run(browser, capture_output=True, text=True, timeout=120, check=False)
    assert "ExploreTest" in shown.stdout
    assert shown.stdout.count("<img") >= 20
