"""What a text means is decided by what is wanted: in gates, label tables, and the words of commands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from seglab.cli.evaluate import read_words
from seglab.command import composed_config, kept
from seglab.comparison.settings import CompareSettings
from seglab.config.override_syntax import refuse_names_in_braces
from seglab.config.run_config import load_config
from seglab.config.scalars import meant, read_yaml
from seglab.config.targets import parameters_of
from seglab.config.value_checks import plain_values
from seglab.data.labels.label_schema import read_schema
from seglab.errors import ConfigError
from seglab.evaluation.subject import _changes
from seglab.registry.gate import load_gate

ODD = ["on", "010", "1_1_1", "2024", "5e-1", "null", "~", "2024-01-01", "12:30:00", "0x1F", "yes", "NaN", "true", ".5"]


@pytest.mark.parametrize("text", ODD)
def test_a_text_is_a_text(text: str) -> None:
    assert read_yaml(f"name: {text}") == {"name": text}
    assert meant(text, str) == text
    assert meant([text], Sequence[str]) == [text]


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("1e-3", float, 0.001),
        ("5e-1", float | None, 0.5),
        ("010", int, 10),
        ("null", float | None, None),
        ("true", bool, True),
        ("on", bool, True),
        ("No", bool | None, False),
        ("no", Any, "no"),
        ("on", bool | str, "on"),
        ("[1, 2]", Sequence[int], [1, 2]),
        ("[on, 010]", Sequence[str] | None, ["on", "010"]),
        ("{a: 1}", Mapping[str, float], {"a": 1.0}),
        ("3", Literal[2, 3], 3),
        ("010", Any, 10),
        # What a type cannot be stays for the check to name.
        ("1_000", int, "1_000"),
        ("2024", bool, "2024"),
        ("x", float, "x"),
        ("null", int, "null"),
    ],
)
def test_the_wanted_type_decides(text: str, wanted: Any, value: Any) -> None:
    found = meant(text, wanted)
    assert found == value
    assert type(found) is type(value)


def test_a_gate_has_numbers_where_it_needs_them_and_names_elsewhere(tmp_path: Path) -> None:
    rule = "{metric: test_dice/on, direction: higher, threshold: 1e-3, not_worse_than_champion: true}"
    (tmp_path / "mine.yaml").write_text(f"rules: [{rule}]\nallowed_findings: false\n")
    gate = load_gate("mine", tmp_path)
    assert (gate.rules[0].metric, gate.rules[0].threshold, gate.allowed_findings) == ("test_dice/on", 0.001, False)
    for bad in ("1_0", "nan"):
        (tmp_path / "bad.yaml").write_text(f"rules: [{rule.replace('1e-3', bad)}]\nallowed_findings: no\n")
        with pytest.raises(ConfigError, match=r"rules\.0\.threshold"):
            load_gate("bad", tmp_path)


@pytest.mark.parametrize("name", ["on", "off", "no", "null", "~", "010", "1_1_1", "5e-1", "2024-01-01", "1.0"])
def test_a_class_may_have_any_name_in_both_kinds_of_table(tmp_path: Path, name: str) -> None:
    rows = [("007", "background", ""), ("010", name, "#102030")]
    csv, yaml = tmp_path / "labels.csv", tmp_path / "labels.yaml"
    csv.write_text("\n".join(["id,name,color", *(",".join(row) for row in rows)]) + "\n")
    yaml.write_text("".join(f"- {{id: {i}, name: {n}, color: '{c}'}}\n" for i, n, c in rows))
    tables = [read_schema(path).labels for path in (csv, yaml)]
    assert tables[0] == tables[1]
    assert [(label.id, label.name) for label in tables[0]] == [(7, "background"), (10, name)]
    assert tables[0][1].color == (16, 32, 48)


def test_a_label_that_is_not_learnt_may_say_so_with_null(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(
        "- {id: 0, name: a, train_id: 0}\n- {id: 1, name: b, train_id: 1, ignored: yes}\n"
        "- {id: 2, name: c, train_id: null}\n"
    )
    assert [(label.train_id, label.ignored) for label in read_schema(path).labels] == [
        (0, False),
        (1, True),
        (None, True),
    ]


def test_the_words_of_an_evaluation() -> None:
    words = [
        "run=0123",
        "split=test",
        "tolerance_mm=5e-1",
        "workers=02",
        "save_masks=true",
        "out=1_1",
        "data.root=2024",
    ]
    request = read_words(words)
    assert (request.run, request.tolerance_mm, request.workers) == ("0123", 0.5, 2)
    assert (request.save_masks, request.out, request.data) == (True, "1_1", ("data.root=2024",))
    with pytest.raises(ConfigError, match="tolerance_mm"):
        read_words(["run=a", "tolerance_mm=1_0"])


def test_other_places_of_a_models_own_data_are_paths_and_numbers_numbers() -> None:
    target = "seglab.data.sources.image_folder.ImageFolder"
    arguments = dict.fromkeys(("root", "block_size", "label_values", "class_names", "ignore_value"))
    words = ["data.root=2024", "data.block_size=3", "data.label_values=[0,1]", "data.class_names=[on,010]"]
    found = _changes([*words, "data.ignore_value=null"], arguments, parameters_of(target, "data._target_"))
    assert found == {
        "root": "2024",
        "block_size": 3,
        "label_values": [0, 1],
        "class_names": ["on", "010"],
        "ignore_value": None,
    }


@pytest.mark.parametrize(
    ("word", "as_hydra_wants_it"),
    [
        ("run_name=1_1_1", "run_name='1_1_1'"),
        ("run_name=on", "run_name=on"),
        ("run_name=null", "run_name='null'"),
        ("resume=null", "resume=null"),
        ("resume=1234e5", "resume='1234e5'"),
        ("data.root=2024", "data.root='2024'"),
        ("data.root=2024,2025,x", "data.root='2024','2025',x"),
        ("data.root=runs/a&b=c", "data.root='runs/a&b=c'"),
        ("data.root=lab #1", "data.root='lab #1'"),
        ("data.root=Äpfel", "data.root='Äpfel'"),
        ("data.root='2024'", "data.root='2024'"),
        ("data.root=${oc.env:HOME}", "data.root=${oc.env:HOME}"),
        ("data.cache_dir=1e3", "data.cache_dir='1e3'"),
        ("data.class_names=[2024,1_1,a]", "data.class_names=['2024','1_1',a]"),
        ("data.label_schema=null", "data.label_schema=null"),
        ("data.label_values=[0,1]", "data.label_values=[0,1]"),
        ("data.size=[32,32]", "data.size=[32,32]"),
        ("data.split.train=0.5", "data.split.train=0.5"),
        ("seed=0,1", "seed=0,1"),
        ("model.width=8", "model.width=8"),
        ("model.nothing=8", "model.nothing=8"),
        ("optimizer.learning_rate=1e-3", "optimizer.learning_rate=1e-3"),
        ("tracking.experiment=2024", "tracking.experiment='2024'"),
        ("~data.allow", "~data.allow"),
        ("-m", "-m"),
    ],
)
def test_texts_that_hydra_takes_for_numbers_are_put_in_quotes(word: str, as_hydra_wants_it: str) -> None:
    assert kept(["data=image_folder", word], "train")[1] == as_hydra_wants_it


@pytest.mark.parametrize(
    "text", ["scans (1)", "a(b)", "Tom's", 'the "best"', "C:\\scans (1)", "it's (2)\\", "(.*)_1", r"^(p\d+)", r"a\'b"]
)
def test_signs_of_hydra_in_a_text_that_it_cannot_read_are_of_the_text(text: str) -> None:
    word = kept(["data=image_folder", f"data.root={text}"], "train")[1]
    assert OverridesParser.create().parse_override(word).value() == text


@pytest.mark.parametrize(
    "text", ["choice(a,b)", "glob(*)", "'a b'", "['a (1)',b]", r"a\,b", "${oc.env:HOME}/x (1)", "'a"]
)
def test_what_is_written_in_hydras_own_grammar_stays(text: str) -> None:
    assert kept(["data=image_folder", f"data.root={text}"], "train")[1] == f"data.root={text}"


def test_the_words_of_a_comparison() -> None:
    words = ["study=2024", "runs=[1234,12e4]", "out=1_1", "target=5e-1", "resamples=100", "study=null"]
    expected = ["study='2024'", "runs=['1234','12e4']", "out='1_1'", "target=5e-1", "resamples=100", "study=null"]
    assert kept(words, "compare", CompareSettings) == expected


def test_infinite_numbers() -> None:
    assert meant(".inf", float) == math.inf
    assert math.isnan(meant("nan", float))


def test_a_name_in_braces_is_a_text() -> None:
    words = ["data=nifti", "data.root=x", "data.regions={2024: [1, 2], 010: 2, on: 1}", "model=unet3d"]
    regions = load_config(composed_config([*words, "data.regions_class_order=[1,2,1]"])).data.arguments["regions"]
    assert regions == {"2024": [1, 2], "010": 2, "on": 1}


def test_names_with_backslashes_and_values_in_quotes_are_what_hydra_reads() -> None:
    refuse_names_in_braces(r"data.regions={core\(T1\): 1, whole\ tumour: [1, 2]}")
    refuse_names_in_braces("data.names={a: 'x, true: y, b: z', b: \"u, 1.5: v\", c: ['p, null: q']}")


@pytest.mark.parametrize("name", ["true", "1.5"])
def test_a_name_in_a_yaml_file_that_is_no_text(name: str) -> None:
    config = OmegaConf.create(f"data: {{regions: {{{name}: [1]}}}}")
    with pytest.raises(ConfigError, match=rf"no text\s+where:\s+data.regions[\s\S]*in quotes.*'{name}'"):
        plain_values(config, "data")


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        ("run_name: 1_1_1", "111, as YAML reads it", "as it is written there: run_name: '…'"),
        ("data: {class_names: [off, on]}", "[False, True], as YAML reads it", "as it is written there, each of them"),
    ],
)
def test_the_remedy_for_a_yaml_names_no_other_text(text: str, found: str, remedy: str) -> None:
    """`run_name: 1_1_1` is 111 to YAML; in quotes that would be another name."""
    cfg = OmegaConf.merge(composed_config(["data=image_folder", "data.root=."]), OmegaConf.create(text))
    with pytest.raises(ConfigError) as caught:
        load_config(cfg)
    assert caught.value.found == found
    assert caught.value.remedy.endswith(remedy)
