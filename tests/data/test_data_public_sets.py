"""Data sets that lie as well-known ones do: refused as they are, with settings that read every case of them rightly."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from opened_sets import configured, in_quotes, opened, read_all, refused
from PIL import Image
from public_sets import SETS, draw, save, white

from seglab.command import kept
from seglab.data.cases import Case
from seglab.data.check.file_reading import find_left_out
from seglab.data.check.full_check import check_full
from seglab.data.check.two_sides import find_torn_sides
from seglab.data.sources.csv_tables import Csv
from seglab.data.sources.image_folder import ImageFolder
from seglab.data.splits import Split
from seglab.errors import ConfigError, DataError
from seglab.sweeping.job_identity import JobIdentity

MOST_SETTINGS = 3


IGNORED = 255


@pytest.mark.parametrize("name", SETS)
def test_a_public_set_is_refused_with_what_reads_it(tmp_path, name):
    made = SETS[name](tmp_path)
    offered = refused(tmp_path)
    reason, settings = offered[0]
    assert 0 < len(settings) <= MOST_SETTINGS
    assert name == "polyps" or reason.startswith(f"{len(made.masks)} pairs by this rule")
    if made.regions:
        settings += next(more for _, more in offered if more[0].startswith("data.roi="))
    source = opened(tmp_path, *settings)
    assert {case.id for case in source.cases} == set(made.masks)
    assert kept(["data=image_folder", *settings], "train")[1:] == [in_quotes(word) for word in settings]
    for case in source.cases:
        mask = source.read(case).mask
        inside = made.regions.get(case.id, np.ones(mask.shape, bool))
        assert (mask[~inside] == IGNORED).all()
        wrong = (mask[inside] != made.masks[case.id][inside]).mean()
        assert wrong == 0 if name not in ("polyps", "frames") else wrong < 0.005, case.id  # JPEG may move an edge


@pytest.mark.parametrize(
    ("held", "ignored"), [((0, 1, 2, 255), True), ((0, 1, 255), True), ((0, 255), False), ((0, 128, 255), False)]
)
def test_255_behind_numbered_classes_may_be_no_class(tmp_path, held, ignored):
    for n in range(3):
        save(tmp_path / "images" / f"{n}.png", draw(n)[0])
        save(tmp_path / "labels" / f"{n}.png", np.resize(np.array(held, np.uint8), (72, 96)))
    first, *others = refused(tmp_path)
    assert first[1] == ["data.masks=labels", f"data.label_values=[{','.join(map(str, held))}]"]
    if not ignored:
        assert not others
        return
    [(reason, settings)] = others
    assert reason == "if 255 marks pixels without a truth, this in the place of data.label_values"
    assert settings == [f"data.label_values=[{','.join(map(str, held[:-1]))}]", "data.ignore_value=255"]
    assert {0, IGNORED} < set(np.unique(read_all(opened(tmp_path, *first[1][:1], *settings))))


def test_the_mean_of_a_lossy_edge_is_the_threshold(tmp_path):
    save(tmp_path / "images" / "a.png", draw(0)[0])
    save(tmp_path / "masks" / "a.png", np.full((72, 96), 127, np.uint8) + (np.arange(96) > 40).astype(np.uint8))
    source = ImageFolder(root=str(tmp_path), mask_threshold=128)
    mask = source.read(source.cases[0]).mask
    assert not mask[:, :41].any()
    assert (mask[:, 41:] == 1).all()
    backwards = ImageFolder(root=str(tmp_path), mask_threshold=128, label_values=[255, 0])
    assert np.array_equal(backwards.read(backwards.cases[0]).mask, 1 - mask)


@pytest.mark.parametrize(
    "settings",
    [{"label_values": [0, 1, 2]}, {"ignore_value": 9}, {"label_colors": [[0, 0, 0], [255, 255, 255]]}],
    ids=["three classes", "an ignored value", "colours"],
)
def test_a_threshold_tells_two_classes_and_nothing_else(tmp_path, settings):
    SETS["polyps"](tmp_path, count=2)
    with pytest.raises(ConfigError, match=r"data\.mask_threshold"):
        ImageFolder(root=str(tmp_path), mask_threshold=128, **settings)


def test_masks_of_one_bit_palettes_16_bits_and_shares_are_thresholded_as_they_are_seen(tmp_path):
    mask = draw(0)[1]
    palette = Image.fromarray(mask.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    kinds = {
        "bit.png": (Image.fromarray(mask), 128),
        "palette.png": (palette, 128),
        "palette.gif": (palette, 128),
        "deep.png": (Image.fromarray(mask * np.uint16(65535)), 30000),
        "share.tif": (Image.fromarray(mask.astype(np.float32)), 0.5),
        "alpha.png": (Image.fromarray(np.dstack([white(mask)] * 3 + [np.full(mask.shape, 255, np.uint8)])), 128),
        "lossy.webp": (Image.fromarray(np.dstack([white(mask)] * 3)), 128),
    }
    for name, (image, threshold) in kinds.items():
        root = tmp_path / name
        save(root / "images" / "a.png", draw(0)[0])
        (root / "masks").mkdir()
        image.save(root / "masks" / f"a{Path(name).suffix}")
        source = ImageFolder(root=str(root), mask_threshold=threshold)
        assert (source.read(source.cases[0]).mask != mask).mean() < 0.005, name


def test_a_table_of_lossy_masks_takes_a_threshold_too(tmp_path):
    made = SETS["polyps"](tmp_path, count=3)
    rows = [f"images/{i}.jpg,masks/{i}.jpg" for i in made.masks]
    (tmp_path / "all.csv").write_text("\n".join(["image,mask", *rows]))
    plain = Csv(root=str(tmp_path / "all.csv"))
    with pytest.raises(DataError, match=r"data\.mask_threshold=128"):
        read_all(plain)
    source = Csv(root=str(tmp_path / "all.csv"), mask_threshold=128)
    assert all(
        (mask != made.masks[case.id]).mean() < 0.005 for case, mask in zip(source.cases, read_all(source), strict=True)
    )
    assert source.digest() != plain.digest()
    assert source.digest() == Csv(root=str(tmp_path / "all.csv"), mask_threshold=128.0).digest()


def test_a_photograph_or_colours_are_no_mask_for_a_threshold(tmp_path):
    for n in range(2):
        save(tmp_path / "images" / f"c{n}.jpg", draw(n)[0])
        save(tmp_path / "masks" / f"c{n}.jpg", np.dstack([white(draw(n)[1]), *[np.zeros((72, 96), np.uint8)] * 2]))
    source = ImageFolder(root=str(tmp_path), mask_threshold=128)
    with pytest.raises(DataError, match="a mask in colours"):  # red on black is dark to a threshold, and would be lost
        source.read(source.cases[0])
    swapped = ImageFolder(root=str(tmp_path), images="masks", masks="images")
    with pytest.raises(DataError, match=r"a mask in colours(?s:.*)are not swapped"):
        swapped.read(swapped.cases[0])


def test_the_check_says_that_masks_were_thresholded_and_warns_of_one_that_is_none(tmp_path):
    SETS["polyps"](tmp_path)
    rows = _checked(tmp_path)  # not one of the masks can be read
    assert len(rows) == 12
    assert {row.remedy.partition(",")[0] for row in rows} == {"if it is black and white with greys between"}
    assert all("data.mask_threshold=128" in row.remedy for row in rows)
    assert len({row.found for row in rows}) == 1  # so that one row of the table names the files
    assert re.fullmatch(r"12 masks with greys between black and white: \d+ to \d+ values each", rows[0].found)
    [note] = [f for f in _checked(tmp_path, "data.mask_threshold=128") if f.name == "mask-thresholded"]
    assert note.severity == "note"
    assert "12 masks are read as two classes, from a brightness of 128 on" in note.found
    name = next((tmp_path / "masks").iterdir())
    save(name, np.dstack([draw(0)[0][..., 0]] * 3))
    [warning] = [f for f in _checked(tmp_path, "data.mask_threshold=128") if f.name == "mask-thresholded"]
    assert (warning.severity, name.stem in warning.found) == ("warning", True)


def _checked(root, *words):
    return check_full(configured(root, *words), processes=1).report.findings


def test_the_full_check_says_what_to_paste_outside_of_its_table(tmp_path):
    SETS["skin"](tmp_path)
    report = check_full(configured(tmp_path), processes=1).report
    assert (
        "data.masks='ISIC-2017_Training_Part1_GroundTruth/{id}_segmentation' data.label_values=[0,255]"
        in report.paste()
    )


def test_another_observers_masks_are_left_out_aloud_and_can_be_chosen(tmp_path):
    made = SETS["two_observers"](tmp_path)
    offered = [settings for _, settings in refused(tmp_path)]
    assert offered == [["data.images={id}.jpg", f"data.masks={{id}}_{n}HO"] for n in ("1st", "2nd")]
    source = opened(tmp_path, *offered[1])
    assert np.array_equal(source.read(source.cases[3]).mask, made.others[source.cases[3].id])
    [note] = find_left_out(source)
    assert (note.severity, "12 files {id}_1stHO" in note.found) == ("note", True)
    # Where one ending is all there is, the names alone tell what is an image.
    for file in tmp_path.glob("*.jpg"):
        if not file.name.startswith("."):
            save(file.with_suffix(".png"), np.asarray(Image.open(file)))
            file.unlink()
    source = opened(tmp_path, "data.images=.", "data.masks={id}_1stHO")
    assert {case.id for case in source.cases} == set(made.masks)
    (tmp_path / "Image_01L_1stHO.png").unlink()
    with pytest.raises(DataError, match=r"an image without a mask(?s:.*)Image_01L\.png"):
        opened(tmp_path, "data.images=.", "data.masks={id}_1stHO")


def test_two_eyes_of_a_child_are_kept_in_one_split_by_what_is_pasted(tmp_path):
    SETS["two_observers"](tmp_path, count=14)
    words = ["data.images={id}.jpg", "data.masks={id}_1stHO"]
    report = check_full(configured(tmp_path, *words), processes=1).report
    [row] = [row for row in report.findings if row.name == "sides-in-two-splits"]
    assert (row.severity, "of 7 pairs lie in different splits" in row.found) == ("warning", True)
    assert "sides-in-two-splits" in report.allowed_findings  # the score says so
    [(reason, settings)] = row.paste
    assert reason == "7 pairs are kept together by"
    [pasted] = shlex.split(settings)
    handed = kept([pasted, *map(in_quotes, words), "data=image_folder"], "train")
    checked = check_full(configured(tmp_path, *handed[:1], *words), processes=1)
    assert "sides-in-two-splits" not in {row.name for row in checked.report.findings}
    assert {case.group for case in checked.source.cases} == {f"Image_{n:02d}" for n in range(1, 8)}


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        ("a_left a_right b_left b_right c_left d", r"^(.+?)[-_ .]?(?i:left|right)?$"),
        ("7_OD 7_OS 8_OD 8_OS 9_OS", "^(.+?)(_OD|_OS)?$"),
        ("12-l 12-r 13-l 13-r", "^(.+?)[-_ .]?[lr]?$"),
        ("p1L p1R p2L p2R norma normaL", r"^(.+?)(?:(?<=[0-9])[-_ .]?[LR]|[-_ .][LR])?$"),
        ("p1_L p1_R p1L p2_L p2_R", ""),  # three of one patient
        ("floor floon cellar cellal", ""),
        ("a b c d", ""),
        ("p1L p1R p2 p3 p4 p5", ""),  # one pair is no way to name a set
    ],
)
def test_sides_in_names(names, pattern):
    cases = [Case(name, (f"{name}.png",), None, name) for name in names.split()]
    ids = tuple(case.id for case in cases)
    found = list(find_torn_sides(Split(ids[::2], ids[1::2], ()), cases, own_split=False))
    assert [row.paste[0][1] for row in found] == ([f"'data.group_pattern={pattern}'"] if pattern else [])
    assert not list(find_torn_sides(Split(ids, (), ()), cases, own_split=False))
    assert not list(find_torn_sides(Split(ids[::2], ids[1::2], ()), cases, own_split=True))


def test_what_else_is_trained_is_another_identity(tmp_path):
    vessels, chase = tmp_path / "vessels", tmp_path / "chase"
    SETS["vessels"](vessels, count=4)
    SETS["two_observers"](chase, count=4)
    words = ["data.images={id}.jpg", "data.masks={id}_1stHO"]
    drive = ["data.images=training/images/{id}_training", "data.masks=training/1st_manual/{id}_manual1"]
    drive += ["data.label_values=[0,255]"]
    region = "data.roi=training/mask/{id}_training_mask"
    jobs = [
        configured(chase, *words),
        configured(chase, words[0], "data.masks={id}_2ndHO"),
        configured(chase, *words, "data.mask_threshold=128"),
        configured(chase, *words, "data.mask_threshold=100"),
        configured(vessels, *drive),
        configured(vessels, *drive, region),
    ]
    identities = [JobIdentity().of(job) for job in jobs]
    assert len(set(identities)) == len(jobs)
    assert len({job.data.build().digest() for job in jobs}) == len(jobs)
    assert JobIdentity().of(configured(chase, "data.images=./{id}.JPG", words[1])) == identities[0]
    file = next((vessels / "training" / "mask").glob("*.gif"))
    save(file, np.full((72, 96), 255, np.uint8))
    assert JobIdentity().of(jobs[-1]) != identities[-1]


def test_a_region_counts_in_the_cache(tmp_path):
    from seglab.data.cache.case_cache import Cache
    from seglab.data.preprocessing.case_preprocessing import CasePreprocessing

    made = SETS["vessels"](tmp_path / "set", count=4)
    words = ["data.images=training/images/{id}_training", "data.masks=training/1st_manual/{id}_manual1"]
    words += ["data.label_values=[0,255]", "data.roi=training/mask/{id}_training_mask"]

    def ignored() -> int:
        source = opened(tmp_path / "set", *words)
        cache = Cache(source, source.digest(), CasePreprocessing((), "patch", None), tmp_path / "cache", 1.0)
        _, arrays = cache.collect(source.cases)
        return int((arrays.read("21")[1] == IGNORED).sum())

    before = ignored()
    narrow = np.zeros((72, 96), np.uint8)
    narrow[:10] = 1  # black to the eye, but nothing else is in the file
    save(tmp_path / "set" / "training" / "mask" / "21_training_mask.gif", narrow)
    assert (before, ignored()) == ((~made.regions["21"]).sum(), 62 * 96)


@pytest.mark.parametrize("kind", ["absent", "small", "empty", "three greys"])
def test_a_region_that_cannot_be_used_is_refused(tmp_path, kind):
    SETS["vessels"](tmp_path, count=4)
    file = tmp_path / "training" / "mask" / "22_training_mask.gif"
    if kind == "absent":
        file.unlink()
    else:
        pixels = {"small": np.full((9, 9), 255), "empty": np.zeros((72, 96)), "three greys": np.full((72, 96), 40)}
        save(file.with_suffix(".png"), pixels[kind].astype(np.uint8))
        file.unlink()
    words = ["data.images=training/images/{id}_training", "data.masks=training/1st_manual/{id}_manual1"]
    words += ["data.label_values=[0,255]", "data.roi=training/mask/{id}_training_mask"]
    what = {"absent": "without a region", "small": "a region of another size"}.get(
        kind, "region of interest that holds"
    )
    with pytest.raises(DataError, match=f"{what}(?s:.*)22_training"):
        read_all(opened(tmp_path, *words))
