"""What a written page remembers: the runs of its conclusion, its words as written, its pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from seglab.errors import ConfigError
from seglab.reports.study.keep_edits import check_no_less, check_unedited, pictures_linked
from seglab.reports.study.page_record import (
    BEGIN,
    END,
    STALE,
    TO_BE_WRITTEN,
    Basis,
    Former,
    Record,
    edited_by_hand,
    make_record,
    noting,
    read_former,
)

STUDIES = Path(__file__).parents[2] / "experiments"
OLD, NEW = Basis(("aaaaaaaa", "bbbbbbbb"), "test_dice", "1"), Basis(("bbbbbbbb", "cccccccc"), "test_dice", "2")


def write(path: Path, conclusion: str, record: Record | None) -> Former:
    """A page as a report writes it, read again."""
    page = f"# a\n\n## Conclusion\n\n{BEGIN}\n{conclusion}\n{END}\n\n## Runs\n\n"
    page += f"| {'a' * 32} | UNet | 0 | 0.6 | 4 | 40 s | CPU | float32 |\n| {'b' * 32} | UNet | 0 | FAILED |  |\n"
    path.write_bytes(noting(page, record) if record else page.encode())
    return read_former(path)


def test_a_conclusion_is_about_the_runs_of_the_page_on_which_it_was_written(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    former = write(page, TO_BE_WRITTEN, make_record(Former(None, None, Basis(())), OLD, 2, 2, confirmed=False))
    assert former.about() is None
    former = write(page, "it wins", former.record)
    assert former.about() == OLD
    record = make_record(former, NEW, 2, 2, confirmed=False)
    assert record.conclusion == OLD
    assert OLD.change(record.page) == "other runs (2 runs, aaaaaaaa, bbbbbbbb; 1 of them are among these 2)"
    former = write(page, "it wins", record)
    assert make_record(former, NEW, 2, 2, confirmed=False).conclusion == OLD  # not read again
    assert make_record(former, NEW, 2, 2, confirmed=True).conclusion == NEW
    assert write(page, "it wins twice", record).about() == NEW  # other words


def test_what_has_changed_is_reported() -> None:
    assert OLD.change(OLD) == ""
    assert OLD.change(Basis(OLD.runs, "test_iou", "1")) == "another score (test_dice)"
    assert OLD.change(Basis(OLD.runs, "test_dice", "9")) == "other scores or verdicts of the same runs"
    assert Basis(OLD.runs).change(OLD) == ""  # of a page of before: only its runs are known
    assert Basis(()).change(OLD) == "runs that are not named"


@pytest.mark.parametrize("damage", ["no record", "cut", "not JSON", "another form", "deep", "endless"])
def test_a_page_without_a_record_tells_its_finished_runs_by_its_table(tmp_path: Path, damage: str) -> None:
    page = tmp_path / "README.md"
    write(page, "it wins", Record(NEW, 2, 2, NEW, "x") if damage != "no record" else None)
    above, mark, noted = page.read_text().rpartition("<!-- scripts")
    damaged = {"cut": noted[:30], "not JSON": "/report.py: {]} -->", "another form": '/report.py: {"page":[]} -->'}
    damaged["deep"] = f"/report.py: {'[' * 100_000} -->"
    damaged["endless"] = noted.replace('"done":2', '"done":Infinity')
    if damage != "no record":
        page.write_text(above + mark + damaged[damage])
    former = read_former(page)
    assert former.record is None
    assert former.conclusion == "it wins"
    assert former.about() == Basis(("aaaaaaaa",))


@pytest.mark.parametrize("study", sorted(path.parent.name for path in STUDIES.glob("*/study.yaml")))
def test_the_pages_of_every_study_are_read(study: str) -> None:
    page = STUDIES / study / "README.md"
    former = read_former(page)
    (row,) = (line for line in page.read_text().splitlines() if line.startswith("| runs |"))
    assert len(former.listed.runs) == int(row.split()[3])
    assert former.conclusion


def test_an_edit_is_a_word_outside_of_the_conclusion(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    assert not edited_by_hand(page)
    former = write(page, "it wins", Record(OLD, 2, 2, OLD, "x"))
    written = page.read_text()
    for changed in (
        written,
        written.replace("it wins", "it loses"),
        written.replace("\n\n", " \n\n\n"),
        written.replace("\n", "\r\n"),
        written.replace(BEGIN, f"{STALE}other runs.**\n\n{BEGIN}"),
    ):
        page.write_text(changed, newline="")
        assert not edited_by_hand(page)
    assert former.record is not None
    for changed in (written.replace("## Runs", "## My runs"), written.rpartition("<!--")[0]):
        page.write_text(changed)
        with pytest.raises(ConfigError, match=r"README\.md"):
            check_unedited([page])


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        pytest.param((OLD, 2, 2), (NEW, 2, 2), False, id="a whole study again"),
        pytest.param((OLD, 2, 2), (NEW, 1, 2), True, id="fewer of the jobs"),
        pytest.param((OLD, 2, 2), (NEW, 0, 2), True, id="as many runs, none a job"),
        pytest.param((OLD, 2, 2), (OLD, 0, 2), False, id="the same runs, another study.yaml"),
        pytest.param((OLD, 0, 2), (NEW, 2, 2), False, id="a trial before"),
        pytest.param((OLD, 0, 2), (Basis(("dddddddd",)), 0, 2), True, id="fewer runs of a trial"),
        pytest.param((OLD, 0, 0), (Basis(("dddddddd",)), 0, 0), True, id="fewer runs of a search"),
        pytest.param((OLD, None, None), (NEW, 2, 2), False, id="no record, a whole study"),
        pytest.param((OLD, None, None), (NEW, 0, 2), True, id="no record, a trial"),
        pytest.param((Basis(()), None, None), (NEW, 0, 2), False, id="no page"),
    ],
)
def test_pages_of_more_are_not_replaced(
    before: tuple[Basis, int, int], now: tuple[Basis, int, int], kept: bool
) -> None:
    runs, done, jobs = before
    former = Former(None, None if done is None else Record(runs, done, jobs, None, ""), runs)
    record = Record(now[0], now[1], now[2], None, "")
    if not kept:
        check_no_less(former, record, Path("README.md"), [])
        return
    with pytest.raises(ConfigError, match="those of a trial"):
        check_no_less(former, record, Path("README.md"), [])


def test_pictures_of_the_report_are_those_that_it_shows_outside_of_the_conclusion(tmp_path: Path) -> None:
    page = f"![a](pictures/curves.png)\n{BEGIN}\n![b](pictures/b.png)\n{END}\n![b](pictures/b.png) ![c](../../c.png)\n"
    (tmp_path / "README.md").write_text(page)
    theirs = "![e](mine.png) ![f](pictures) ![g](pictures/../study.yaml) ![h](photos/h.png)"
    (tmp_path / "note.md").write_text(
        f"![d: e](pictures/1_cases.png) ![g](pictures/mine.png) ![](https://a.b/c.png) {theirs}"
    )
    found = pictures_linked(tmp_path, ["README.md", "note.md", "absent.md"])
    assert {path.relative_to(tmp_path).as_posix() for path in found if "https" not in str(path)} == {
        "pictures/curves.png",
        "pictures/1_cases.png",
    }
