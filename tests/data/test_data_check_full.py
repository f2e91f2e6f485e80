"""The check that reads every file: each bad input becomes a row of its own, in one go, and the command's exit code."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import hydra
import nibabel as nib
import numpy as np
import pytest
import tifffile

from seglab.config.places import CONF
from seglab.config.run_config import load_config
from seglab.data.cache.case_cache import Cache
from seglab.data.check.full_check import check_full, read_all
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


def folder(root, count=8):
    """Images of smooth noise with a box each; returns the root."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for n in range(count):
        rng = np.random.default_rng(n)
        mask = np.zeros((32, 40), np.uint8)
        mask[8:24, 8:30] = 1
        image = np.kron(rng.integers(0, 255, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"c{n}.png"), image)
        cv2.imwrite(str(root / "masks" / f"c{n}.png"), mask)
    return root


def config(*words):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return load_config(hydra.compose("train", overrides=list(words)))


def check(root, *words, **settings):
    return check_full(config("data=image_folder", f"data.root={root}", *words), processes=1, **settings)


def rows(checked):
    return {(finding.name, Path(finding.where).name) for finding in checked.report.findings}


def test_sound_files(tmp_path):
    seen = []
    checked = check(folder(tmp_path), progress=lambda done, total: seen.append((done, total)))
    assert checked.report.findings == ()
    assert sorted(checked.facts) == [f"c{n}" for n in range(8)]
    assert (len(checked.split.train), len(checked.split.val), len(checked.split.test)) == (6, 1, 1)
    assert seen[-1] == (8, 8)


def test_every_failure_is_collected_and_not_the_first(tmp_path):
    root = folder(tmp_path)
    (root / "images/c7.png").write_bytes((root / "images/c7.png").read_bytes()[:200])
    cv2.imwrite(str(root / "masks/c1.png"), np.full((32, 40), 300, np.uint16))
    cv2.imwrite(str(root / "masks/c2.png"), np.zeros((16, 40), np.uint8))
    cv2.imwrite(str(root / "masks/c3.png"), np.random.default_rng(0).integers(0, 255, (32, 40, 3)).astype(np.uint8))
    cv2.imwrite(str(root / "images/c4.png"), np.zeros((32, 40), np.uint8))
    (root / "images/c5.png").write_bytes(b"")
    cv2.imwrite(str(root / "masks/c6.png"), np.where(np.eye(32, 40) > 0, 255, 0).astype(np.uint8))
    checked = check(root)
    assert rows(checked) == {
        ("unreadable-file", "c7.png"),
        ("undeclared-label", "c1.png"),
        ("size-mismatch", "c2.png"),
        ("undeclared-label", "c3.png"),
        ("channel-mismatch", "c4.png"),
        ("unreadable-file", "c5.png"),
        ("undeclared-label", "c6.png"),
    }
    assert list(checked.facts) == ["c0"]
    by_file = {Path(finding.where).name: finding for finding in checked.report.findings}
    assert "300" in by_file["c1.png"].found
    # As c0 holds a 1, black and white is no way to read all; one declaration is of what all masks hold.
    assert "data.label_values=[0,1,255,300];" in by_file["c6.png"].remedy
    assert by_file["c1.png"].remedy == by_file["c6.png"].remedy
    assert len(checked.report.errors) == 7


@pytest.mark.parametrize("damaged", ["image", "mask", "pages"])
def test_a_damaged_tiff_hides_no_other_failure(tmp_path, damaged):
    """Nor does the first image, which says how many channels there are."""
    root = folder(tmp_path)
    (root / "images/c0.png").write_bytes(b"")
    (root / "masks/c4.png").write_bytes(b"")
    for name, pages in (("images", 3), ("masks", 2 if damaged == "pages" else 3)):
        (root / name / "c2.png").unlink()
        tifffile.imwrite(root / name / "c2.tif", np.zeros((pages, 32, 40), np.uint8), photometric="minisblack")
    if damaged != "pages":
        file = root / f"{damaged}s" / "c2.tif"
        file.write_bytes(file.read_bytes()[:100])
    checked = check(root)
    expected = "size-mismatch" if damaged == "pages" else "unreadable-file"
    assert rows(checked) == {("unreadable-file", "c0.png"), ("unreadable-file", "c4.png"), (expected, "c2.tif")}
    (row,) = [finding for finding in checked.report.findings if "c2" in finding.where]
    assert Path(row.where).parent.name == ("images" if damaged == "image" else "masks")
    assert sorted(checked.facts) == ["c1", "c3", "c5", "c6", "c7"]


def test_a_source_that_cannot_be_built_is_a_row(tmp_path):
    root = folder(tmp_path)
    for file in (root / "images").iterdir():
        file.write_bytes(b"")
    checked = check(root)
    assert rows(checked) == {("unreadable-file", "c0.png")}
    assert checked.source is None


def test_swapped_folders_are_suspected(tmp_path):
    checked = check(folder(tmp_path), "data.images=masks", "data.masks=images")
    assert {finding.name for finding in checked.report.findings} == {"undeclared-label"}


def test_an_image_that_is_alone_is_one_row(tmp_path):
    root = folder(tmp_path)
    (root / "masks/c3.png").unlink()
    assert rows(check(root)) == {("image-without-mask", "c3.png")}
    (root / "images/c3.png").unlink()
    (root / "images/c5.png").unlink()
    assert rows(check(root)) == {("mask-without-image", "c5.png")}


def test_no_case_and_one_case(tmp_path):
    root = folder(tmp_path, count=1)
    (finding,) = check(root).report.findings
    assert finding.name == "no-split"
    assert "1 cases in 1 groups" in finding.found
    (root / "images/c0.png").unlink()
    (root / "masks/c0.png").unlink()
    (finding,) = check(root).report.findings
    assert (finding.name, finding.severity) == ("unusable-source", "error")
    (finding,) = check(tmp_path / "nowhere").report.findings
    assert finding.name == "unusable-source"


def test_a_thin_class_is_weighed_at_the_size_of_the_config(tmp_path):
    root = folder(tmp_path)
    for n in range(8):
        mask = np.zeros((32, 40), np.uint8)
        mask[:, 3] = 1
        cv2.imwrite(str(root / "masks" / f"c{n}.png"), mask)
    small = check(root, "data.size=[16,16]", "data.resize_mode=resize", "model=unet_mini")
    (finding,) = small.report.findings
    assert finding.name == "thin-class-lost"
    assert "(8 masks looked at)" in finding.found
    assert check(root).report.findings == ()


def test_the_customary_split_of_camvid_is_caught_and_whole_sequences_are_not(tmp_path):
    frames = {"train": ["A_1", "A_2", "B_1"], "val": ["A_3", "C_1"], "test": ["B_2", "D_1"]}
    for part, names in frames.items():
        (tmp_path / part).mkdir()
        (tmp_path / f"{part}annot").mkdir()
        for name in names:
            rng = np.random.default_rng(ord(name[0]) * 10 + int(name[2]))
            image = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            mask = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4), 8, 1), 11, 0)[:32]
            cv2.imwrite(str(tmp_path / part / f"{name}.png"), image)
            cv2.imwrite(str(tmp_path / f"{part}annot" / f"{name}.png"), mask)
    words = ("data=camvid", f"data.root={tmp_path}", "data.customary_split=true", "data.size=[32,32]")
    checked = check_full(config(*words), processes=1)
    torn = [finding for finding in checked.report.findings if finding.name == "group-in-two-splits"]
    assert [finding.where for finding in torn] == ["group A", "group B"]
    assert "2 in train" in torn[0].found
    assert "1 in val" in torn[0].found
    assert "data.customary_split=false" in torn[0].remedy
    assert checked.report.errors == tuple(torn)
    let = check_full(config(*words, "data.allow=[group-in-two-splits]"), processes=1).report
    assert (let.errors, let.allowed) == ((), ("group-in-two-splits",))
    whole = check_full(config(*words[:2], "data.size=[32,32]"), processes=1)
    assert "group-in-two-splits" not in {finding.name for finding in whole.report.findings}


def test_what_may_pass_is_known_before_a_file_is_read(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown finding in data\.allow"):
        check(tmp_path / "nowhere", "data.allow=[thin]")


def test_one_process_or_two_find_the_same(tmp_path):
    root = folder(tmp_path, count=20)
    (root / "images/c11.png").write_bytes(b"no image")
    settings = config("data=image_folder", f"data.root={root}")
    source = settings.data.build()
    one, two = (read_all(source, settings.data_config, processes=n) for n in (1, 2))
    assert one.facts == two.facts
    assert one.failures == two.failures
    assert len(one.facts) == 19


class Killed:
    """Reading its case kills the process, as the system does when memory runs out."""

    def __init__(self, source):
        self.task, self.cases = source.task, source.cases

    def read(self, case):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_stated_and_nothing_hangs(tmp_path):
    settings = config("data=image_folder", f"data.root={folder(tmp_path, count=20)}")
    with pytest.raises(DataError, match="a process that read files was killed"):
        read_all(Killed(settings.data.build()), settings.data_config, processes=2)


def nifti(root):
    """Five cases in the layout of the Decathlon: a sound one, NaN, a label elsewhere, cut short, two voxel sizes."""
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    for n in range(5):
        image = np.random.default_rng(n).normal(size=(8, 10, 6)).astype(np.float32)
        label = np.zeros((8, 10, 6), np.uint8)
        label[2:6, 2:6, 2:4] = 1
        if n == 1:
            image[0, 0, 0] = np.nan
        moved = affine.copy()
        moved[0, 3] = 9 if n == 2 else 0
        volume = nib.Nifti1Image(image, affine)
        if n == 4:
            volume.set_qform(np.diag([2.0, 1.0, 5.0, 1.0]), code=1)
            volume.set_sform(affine, code=1)
        nib.save(volume, root / f"imagesTr/v{n}.nii.gz")
        nib.save(nib.Nifti1Image(label, moved), root / f"labelsTr/v{n}.nii.gz")
    whole = gzip.decompress((root / "imagesTr/v3.nii.gz").read_bytes())
    (root / "imagesTr/v3.nii.gz").write_bytes(gzip.compress(whole)[: len(whole) // 2])
    (root / "dataset.json").write_text(
        '{"name": "toy", "labels": {"0": "background", "1": "organ"}, "modality": {"0": "MRI"}, "training": ['
        + ",".join(f'{{"image": "imagesTr/v{n}.nii.gz", "label": "labelsTr/v{n}.nii.gz"}}' for n in range(5))
        + "]}"
    )
    return root


def test_volumes(tmp_path):
    checked = check_full(config("data=nifti", f"data.root={nifti(tmp_path)}", "model=unet3d"), processes=1)
    assert {
        ("image-not-finite", "v1.nii.gz"),
        ("grid-mismatch", "v2.nii.gz"),
        ("unreadable-file", "v3.nii.gz"),
        ("grid-mismatch", "v4.nii.gz"),
    } <= rows(checked)
    assert list(checked.facts) == ["v0"]


def test_rows_without_a_label_are_named_and_are_no_empty_masks(tmp_path):
    """In the check and in the cache that a training reads from, whichever split they are of."""
    root = nifti(tmp_path)
    rows = [f"imagesTr/v0.nii.gz,{label}" for label in ("labelsTr/v0.nii.gz", "", "labelsTr/v0.nii.gz")]
    names = ("train", "val", "test")
    table = ["image,label,id,split", *[f"{row},{name}-case,{name}" for row, name in zip(rows, names, strict=True)]]
    (root / "cases.csv").write_text("\n".join(table))
    settings = config("data=nifti", f"data.root={root}", "data.table=cases.csv", "model=unet3d")
    checked = check_full(settings, processes=1)
    found = {finding.name: finding for finding in checked.report.findings}
    assert found["image-without-mask"].where.endswith("cases.csv, line 3")
    assert "val-case" in found["image-without-mask"].found
    assert "empty-masks" not in found
    source, card = checked.source, settings.data_config
    cache = Cache(source, source.digest(), CasePreprocessing.of(card), tmp_path / "cache", 1.0)
    for whole, examined in ((source.cases, []), ([], source.cases)):
        with pytest.raises(DataError, match=r"an image without a mask[\s\S]*line 3"):
            cache.collect(whole, examined)


def run_script(*words):
    command = [sys.executable, str(ROOT / "scripts/check_data.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


def test_the_command_says_what_and_how_to_mend_it(tmp_path):
    root = folder(tmp_path, count=4)
    (root / "images/c2.png").write_bytes(b"")
    done = run_script("data=image_folder", f"data.root={root}")
    assert done.returncode == 2, done.stderr
    assert "unreadable-file" in done.stdout
    assert "c2.png" in done.stdout
    assert "1 error" in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stderr
    folder(tmp_path, count=4)
    done = run_script("data=image_folder", f"data.root={root}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "nothing found"
    assert "4 cases: 2 training, 1 validation, 1 test" in done.stdout
