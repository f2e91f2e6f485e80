"""Settings of a verb, read from words: what they mean, what is refused, and what help says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from seglab.cli.words import help_page, read, setting, tracking_uri
from seglab.config.types import NonNegativeInt
from seglab.config.vocabulary import overrides_in, settings_first
from seglab.errors import ConfigError, run_script


@dataclass(frozen=True, kw_only=True)
class PaintWords:
    """Paint a wall."""

    wall: str = setting("which wall", positional=True, former=("place",))
    tins: tuple[str, ...] = setting("tins of paint", positional=True, default=())
    coats: NonNegativeInt = setting("how many", default=2)
    gloss: float | None = setting("how shiny", default=None)
    quick: bool = setting("do not wait", default=False)
    tool: Literal["brush", "roller"] = setting("what with", default="brush")
    shades: tuple[int, ...] = setting("numbers on the chart", default=())
    data: tuple[str, ...] = setting("about the room", default=(), prefix=True)
    tracking_uri: str | None = tracking_uri()


def paint(*words: str) -> PaintWords:
    return read(PaintWords, words, "paint")


def test_words_become_values_of_their_types() -> None:
    words = paint("wall=010", "coats=03", "gloss=5e-1", "quick=yes", "tool=roller", "shades=[0,255]", "tins=[a,b]")
    assert words == PaintWords(
        wall="010", coats=3, gloss=0.5, quick=True, tool="roller", shades=(0, 255), tins=("a", "b")
    )


def test_what_is_not_given_has_its_default() -> None:
    assert paint("wall=x") == PaintWords(wall="x")
    assert paint("wall=x", "gloss=null").gloss is None


def test_words_without_a_key_go_to_the_settings_that_take_them() -> None:
    assert (paint("north", "red", "blue").wall, paint("north", "red", "blue").tins) == ("north", ("red", "blue"))
    assert paint("red", "wall=north", "blue", "coats=1").tins == ("red", "blue")
    assert paint("north", "--", "coats=7", "-x").tins == ("coats=7", "-x")


def test_a_file_may_have_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=1.png").touch()
    assert paint("north", "a=1.png", "in/b=2.png").tins == ("a=1.png", "in/b=2.png")
    with pytest.raises(ConfigError, match=r"unknown setting 'b'"):
        paint("north", "b=1.png")


def test_the_store_is_called_by_one_word_and_by_those_of_before() -> None:
    for words in (
        ["tracking.uri=sqlite:///x"],
        ["tracking_uri=sqlite:///x"],
        ["--tracking-uri", "sqlite:///x"],
        ["--tracking-uri=sqlite:///x"],
        ["--uri", "sqlite:///x"],
    ):
        assert paint("north", *words).tracking_uri == "sqlite:///x", words


def test_flags_of_before_are_understood() -> None:
    words = paint("--shades", "0", "255", "--quick", "--coats", "4", "north", "--tool=roller")
    assert words == PaintWords(wall="north", shades=(0, 255), quick=True, coats=4, tool="roller")
    assert paint("north", "red", "--shades").shades == ()
    assert paint("north", "--shades", "0", "1", "coats=5").coats == 5
    assert paint("--place", "north").wall == "north"


def test_words_with_a_prefix_are_kept_whole() -> None:
    assert paint("north", "data=nifti", "data.root=2024").data == ("data=nifti", "data.root=2024")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["a missing setting", "wall", "give it: wall=…"]),
        (["wall=x", "caots=1"], ["unknown setting 'caots'", "did you mean 'coats'?", "tracking.uri=…"]),
        (["wall=x", "--quik"], ["unknown flag", "did you mean 'quick'?"]),
        (["wall=x", "--coats"], ["a setting without a value", "give it: coats=…"]),
        (["wall=x", "coats=two"], ["a value that is not allowed", "coats", "found:    two", "a whole number"]),
        (["wall=x", "coats=-1"], ["coats", "greater than or equal to 0"]),
        (["wall=x", "coats=1.5"], ["coats", "a whole number"]),
        (["wall=x", "quick=2"], ["quick", "true or false"]),
        (["wall=x", "gloss=much"], ["gloss", "a number"]),
        (["wall=x", "tool=rollr"], ["tool", "did you mean 'roller'?"]),
        (["wall=x", "shades=[0,red]"], ["shades", "a whole number"]),
        (["wall=x", "coats=1", "coats=2"], ["a setting with two values", "1, and 2"]),
        (["wall=x", "coats=1", "--coats", "2"], ["a setting with two values"]),
        (["wall=x", "data.root"], None),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(words: list[str], expected: list[str] | None) -> None:
    if expected is None:
        assert paint(*words).tins == ("data.root",)
        return
    with pytest.raises(ConfigError) as refused:
        paint(*words)
    for part in expected:
        assert part in str(refused.value)


def test_a_missing_word_is_shown_in_its_place() -> None:
    with pytest.raises(ConfigError, match=r"as in: seglab paint <wall> <tins> …"):
        paint()


def test_a_word_of_ten_thousand_letters_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run_script(lambda: int(Path("x" * 10_000).exists()))
    assert left.value.code == 2
    output = capsys.readouterr().err
    assert "[name-too-long]" in output
    assert "10000 characters" in output
    assert len(output) < 500


def test_a_word_too_many_is_named() -> None:
    @dataclass(frozen=True, kw_only=True)
    class One:
        study: str = setting("a study", positional=True)

    with pytest.raises(ConfigError, match="parse error: not a setting"):
        read(One, ["a", "b"], "one")


def test_help_names_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        paint("coats=wrong", "--help")
    assert left.value.code == 0
    output = capsys.readouterr().out
    assert output.startswith("seglab paint <wall> <tins> … [key=value …]\n\nPaint a wall.\n")
    for part in ("wall=…", "coats=2", "quick=false", "gloss=null", "shades=[]", "tracking.uri=null", "how many"):
        assert part in output
    assert max(map(len, help_page(PaintWords, "paint").splitlines())) <= 120


@pytest.mark.parametrize(
    ("typed", "settings", "flags"),
    [
        ("model=unet -m seed=0,1", "model=unet seed=0,1", "-m"),
        ("-m model=unet", "model=unet", "-m"),
        ("a=1 --cfg job b=2", "a=1 b=2", "--cfg job"),
        ("--cfg=job b=2", "b=2", "--cfg=job"),
        ("--info a=1", "a=1", "--info"),
        ("a=1 --info all b=2 -cd own", "a=1 b=2", "--info all -cd own"),
        ("--resolve ~a +b=[-1] -c job", "~a +b=[-1]", "--resolve -c job"),
    ],
)
def test_settings_are_read_on_either_side_of_a_flag(typed: str, settings: str, flags: str) -> None:
    """Hydra said: unrecognized arguments."""
    words = settings_first(typed.split())
    assert words == [*settings.split(), *flags.split()]
    assert overrides_in(words) == settings.split()
    assert settings_first(["a=1", "--epochs", "5", "b=2"]) == ["a=1", "--epochs", "5", "b=2"], "it is refused by name"
