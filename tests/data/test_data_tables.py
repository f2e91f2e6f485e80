"""Images listed in tables: splits, groups, paths, and the message for every way that a table can be wrong."""

from __future__ import annotations

import shutil
import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from seglab.data.io import listed_files
from seglab.data.io.csv_files import read_csv
from seglab.data.sources.csv_tables import Csv
from seglab.data.splits import make_split
from seglab.errors import ConfigError, DataError

SHARES = {"train": 0.5, "val": 0.25, "test": 0.25, "seed": 0}
MASK = np.array([[0, 1]], np.uint8).repeat(10, 0).repeat(10, 1)


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _grey(seed):
    return np.random.default_rng(seed).integers(0, 256, (10, 20), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Six pairs in two folders, and the three tables."""
    for n in range(6):
        _save(tmp_path / "scans" / f"p{n // 2}_{n}.png", _grey(n))
        _save(tmp_path / "truth" / f"p{n // 2}_{n}_mask.png", MASK)
    for name, numbers in (("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5))):
        _table(tmp_path / f"{name}_paths.csv", ["image,mask", *[_line(n) for n in numbers]])
    return tmp_path


def _line(n):
    return f"scans/p{n // 2}_{n}.png,truth/p{n // 2}_{n}_mask.png"


def _table(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_three_tables_are_the_split(folder):
    source = Csv(root=str(folder))
    assert source.split == {"train": ["p0_0", "p0_1"], "val": ["p1_2", "p1_3"], "test": ["p2_4", "p2_5"]}
    sample = source.read(source.cases[3])
    assert np.array_equal(sample.image[..., 0], _grey(3))
    assert np.array_equal(sample.mask, MASK)
    assert source.task.class_names == ("label_0", "label_1")
    split = make_split(source.cases, **SHARES, predefined=source.split)
    assert split.test == ("p2_4", "p2_5")


def test_an_absent_table_leaves_its_split_empty(folder):
    (folder / "val_paths.csv").unlink()
    assert Csv(root=str(folder)).split == {"train": ["p0_0", "p0_1"], "val": [], "test": ["p2_4", "p2_5"]}


def test_a_table_alone_is_no_split(folder):
    (folder / "val_paths.csv").unlink()
    (folder / "test_paths.csv").unlink()
    assert Csv(root=str(folder)).split is None


def test_one_table_is_split_by_its_column_or_by_shares(folder):
    rows = [f"{_line(n)},{split}" for n, split in enumerate(["train", "test", "train", "val", "train", "train"])]
    source = Csv(root=str(_table(folder / "all.csv", ["image,mask,part", *rows])), split_column="part")
    assert source.split == {"train": ["p0_0", "p1_2", "p2_4", "p2_5"], "val": ["p1_3"], "test": ["p0_1"]}
    assert source.name == "all"
    assert Csv(root=str(folder / "all.csv")).split is None


def test_groups_come_from_a_column_or_from_names(folder):
    rows = [f"{_line(n)},{'ab'[n % 2]}" for n in range(6)]
    table = str(_table(folder / "all.csv", ["image,mask,patient", *rows]))
    assert [case.group for case in Csv(root=table, group_column="patient").cases] == list("ababab")
    named = Csv(root=table, group_pattern=r"^(p\d)")
    assert [case.group for case in named.cases] == ["p0", "p0", "p1", "p1", "p2", "p2"]
    assert [case.group for case in Csv(root=table).cases] == [case.id for case in Csv(root=table).cases]
    with pytest.raises(ConfigError, match="two ways to group"):
        Csv(root=table, group_column="patient", group_pattern="p")


def test_columns_may_have_other_names_and_separators(folder):
    lines = ["nr;Bild;Maske", *[f"{n};" + _line(n).replace(",", ";") for n in range(4)]]
    path = folder / "all.csv"
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    source = Csv(root=str(path), image_column="Bild", mask_column="Maske")
    assert len(source.cases) == 4


def test_absolute_paths_spaces_accents_and_endings(folder):
    apart, whole = unicodedata.normalize("NFD", "coupe é 1"), unicodedata.normalize("NFC", "coupe é 1")
    assert apart != whole
    (folder / "scans" / f"{apart}.PNG").write_bytes((folder / "scans" / "p0_0.png").read_bytes())
    row = f"scans/{whole}.PNG,{folder / 'truth' / 'p0_0_mask.png'}"
    source = Csv(root=str(_table(folder / "all.csv", ["image,mask", row])))
    assert [case.id for case in source.cases] == [whole]
    assert np.array_equal(source.read(source.cases[0]).image[..., 0], _grey(0))


def test_equal_names_in_two_folders_keep_their_paths(folder):
    for place in ("a", "b"):
        _save(folder / place / "x.png", _grey(0))
        _save(folder / place / "x_mask.png", MASK)
    table = _table(folder / "all.csv", ["image,mask", "a/x.png,a/x_mask.png", "b/x.png,b/x_mask.png"])
    assert [case.id for case in Csv(root=str(table)).cases] == ["a/x", "b/x"]
    moved = folder / "moved"
    for place in ("a", "b"):
        shutil.copytree(folder / place, moved / place)
    shutil.copy(table, moved / "all.csv")
    assert Csv(root=str(moved / "all.csv")).digest() == Csv(root=str(table)).digest()


def test_pages_are_cases_of_one_group(folder):
    tifffile.imwrite(folder / "stack.tif", np.stack([_grey(0), _grey(1), _grey(2)]), photometric="minisblack")
    tifffile.imwrite(folder / "truth.tif", np.stack([MASK, 1 - MASK, MASK]), photometric="minisblack")
    rows = ["image,mask,split", "stack.tif,truth.tif,train", f"{_line(1)},val"]
    source = Csv(root=str(_table(folder / "all.csv", rows)))
    assert [case.id for case in source.cases] == ["p0_1", "stack#1", "stack#2", "stack#3"]
    assert [case.group for case in source.cases] == ["p0_1", "stack", "stack", "stack"]
    assert source.split == {"train": ["stack#1", "stack#2", "stack#3"], "val": ["p0_1"], "test": []}
    assert np.array_equal(source.read(source.cases[2]).image[..., 0], _grey(1))
    assert np.array_equal(source.read(source.cases[2]).mask, 1 - MASK)


@pytest.mark.parametrize(
    ("lines", "options", "what", "names"),
    [
        (["image,label", "scans/p0_0.png,x"], {}, "without a column", "expected: mask"),
        (["images,mask", "scans/p0_0.png,x"], {}, "without a column", "did you mean 'images'"),
        (["image,mask"], {}, "a table without rows", "all.csv"),
        ([""], {}, "without a column", "no header line"),
        (["image,mask", "scans/none.png,truth/p0_0_mask.png"], {}, "file not found", "all.csv, line 2"),
        (["image,mask", _line(0), "scans/p0_1.png,nowhere.png"], {}, "file not found", "line 3"),
        (["image,mask", "scans/p0_0.png,"], {}, "an empty cell", "column mask"),
        (["image,mask", "scans/p0_0.png"], {}, "an empty cell", "column mask"),
        (["image,mask,split", f"{_line(0)},trian"], {}, "a split that does not exist", "did you mean 'train'"),
        (["image,mask,split", f"{_line(0)},"], {}, "an empty cell", "column split"),
        (["image,mask", _line(0), _line(1), _line(0)], {}, "an image that is listed twice", "line 2 too"),
        (["image,mask", _line(0)], {"group_column": "patient"}, "without a column", "patient"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(folder, lines, options, what, names):
    with pytest.raises(DataError, match=what) as caught:
        Csv(root=str(_table(folder / "all.csv", lines)), **options)
    assert names in str(caught.value)
    assert "remedy" in str(caught.value)


def test_an_image_in_two_tables_is_refused(folder):
    _table(folder / "val_paths.csv", ["image,mask", _line(0)])
    with pytest.raises(DataError, match="listed twice") as caught:
        Csv(root=str(folder))
    assert "train_paths.csv" in str(caught.value)


def test_two_files_that_differ_in_the_ending_are_refused(folder):
    _save(folder / "scans" / "p0_0.bmp", MASK)
    table = _table(folder / "all.csv", ["image,mask", _line(0), "scans/p0_0.bmp,truth/p0_0_mask.png"])
    with pytest.raises(DataError, match="two images of one name"):
        Csv(root=str(table))


def test_no_table_at_all_is_refused(folder):
    with pytest.raises(DataError, match="no table of images"):
        Csv(root=str(folder / "scans"))
    with pytest.raises(DataError, match="which is not there"):
        Csv(root=str(folder / "nowhere"))
    (folder / "bad.csv").write_bytes(b"image,mask\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="cannot be read"):
        Csv(root=str(folder / "bad.csv"))


def test_swapped_columns_are_named(folder):
    _save(folder / "scans" / "rgb.png", np.dstack([_grey(0), _grey(1), _grey(2)]))
    table = _table(folder / "all.csv", ["mask,image", "scans/rgb.png,truth/p0_0_mask.png"])
    source = Csv(root=str(table))
    with pytest.raises(DataError, match="a mask in colours") as caught:
        source.read(source.cases[0])
    assert "swapped" in str(caught.value)


@pytest.mark.parametrize("spelling", ["a{n}/x.png", "./a{n}/x.png", "{root}/a{n}/x.png", "a9/../a{n}/x.png"])
def test_ids_and_digest_do_not_tell_where_the_data_lie_or_how_paths_are_written(tmp_path, spelling):
    made = []
    for place in ("one", "two/further"):
        root = tmp_path / place
        rows = []
        for n in range(3):
            _save(root / f"a{n}" / "x.png", _grey(n))
            _save(root / f"m{n}.png", MASK)
            rows.append(f"{spelling.format(n=n, root=root)},m{n}.png")
        (root / "a9").mkdir()
        source = Csv(root=str(_table(root / "list.csv", ["image,mask", *rows])))
        made.append(([case.id for case in source.cases], str(source.digest())))
    assert made[0] == made[1]
    assert made[0][0] == ["a0/x", "a1/x", "a2/x"]


def test_images_beside_the_folder_of_their_table_are_named_from_what_holds_them_all(tmp_path):
    for n in range(2):
        _save(tmp_path / "scans" / f"a{n}" / "x.png", _grey(n))
        _save(tmp_path / "tables" / f"m{n}.png", MASK)
    table = _table(tmp_path / "tables" / "list.csv", ["image,mask", *[f"../scans/a{n}/x.png,m{n}.png" for n in (0, 1)]])
    assert [case.id for case in Csv(root=str(table)).cases] == ["a0/x", "a1/x"]


def test_many_rows_are_looked_up_by_folder_with_the_same_answers(folder, monkeypatch):
    monkeypatch.setattr(listed_files, "_WORTH_LISTING", 1)
    (folder / "scans" / "link.png").symlink_to(folder / "scans" / "p0_0.png")
    apart = unicodedata.normalize("NFD", "é")
    (folder / "scans" / f"{apart}.png").write_bytes((folder / "scans" / "p0_0.png").read_bytes())
    lines = ["image,mask", *[_line(n) for n in range(6)], f"scans/é.png,{_line(0).partition(',')[2]}"]
    assert len(Csv(root=str(_table(folder / "all.csv", lines))).cases) == 7
    link = f"scans/link.png,{_line(0).partition(',')[2]}"
    with pytest.raises(DataError, match=r"listed twice[\s\S]*all\.csv, line 2 too"):
        Csv(root=str(_table(folder / "all.csv", [*lines, link])))
    with pytest.raises(DataError, match=r"file not found[\s\S]*line 9"):
        Csv(root=str(_table(folder / "all.csv", [*lines, "scans/no.png,scans/no.png"])))


def test_rows_keep_their_lines_past_quotes_empty_lines_and_short_rows(folder):
    text = f'image,mask,note\n{_line(0)},"one, two"\n\n{_line(1)}\n{_line(2)},x,further,cells\nscans/none.png,x\n'
    (folder / "all.csv").write_text(text)
    with pytest.raises(DataError, match=r"all\.csv, line 6"):
        Csv(root=str(folder / "all.csv"))
    table = read_csv(folder / "all.csv")
    assert table.columns["note"] == ["one, two", "", "x", ""]
    assert table.lines == [2, 4, 5, 6]
    assert table.rows()[0] == (2, {"image": "scans/p0_0.png", "mask": "truth/p0_0_mask.png", "note": "one, two"})
