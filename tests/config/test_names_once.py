"""A name stands once in a mapping, whoever reads the file: of two, YAML keeps the last without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.config.scalars import read_yaml
from seglab.config.value_checks import plain_values
from seglab.data.io.csv_files import read_csv
from seglab.data.labels.label_schema import read_schema
from seglab.errors import ConfigError, DataError
from seglab.registry.gate import load_gate


def test_a_number_and_a_text_that_are_one_name() -> None:
    with pytest.raises(ConfigError) as caught:
        plain_values(OmegaConf.create("data: {regions: {1: [1, 2], '1': 2}}"))
    assert (caught.value.where, caught.value.expected) == ("data.regions", "each name once")
    assert "'1'" in str(caught.value.found)
    assert plain_values(OmegaConf.create("{1: a, '2': b}")) == {"1": "a", "2": "b"}


def test_a_name_twice_in_a_file_of_texts() -> None:
    with pytest.raises(Exception, match="'id' stands twice"):
        read_yaml("- {id: 1, name: a, id: 2}")
    assert read_yaml("[{id: 1}, {id: 2}]") == [{"id": "1"}, {"id": "2"}]


def test_a_gate_and_a_table_of_labels_say_so(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("rules: []\nallowed_findings: false\nallowed_findings: true\n")
    with pytest.raises(ConfigError, match="'allowed_findings' stands twice") as caught:
        load_gate("mine", tmp_path)
    assert caught.value.code == "gate-invalid"
    (tmp_path / "labels.yaml").write_text("- {id: 0, name: a}\n- {id: 1, name: b, id: 2}\n")
    with pytest.raises(ConfigError, match="'id' stands twice") as caught:
        read_schema(tmp_path / "labels.yaml")
    assert caught.value.code == "label-table-unreadable"


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    """Of two columns called mask the last was read."""
    (tmp_path / "list.csv").write_text("image, mask ,mask\na.png,b.png,c.png\n")
    with pytest.raises(DataError, match="two columns named mask") as caught:
        read_csv(tmp_path / "list.csv")
    assert caught.value.code == "table-unreadable"
    assert caught.value.remedy == "rename or remove one of the columns named mask"
    (tmp_path / "labels.csv").write_text("id,name,name\n0,a,b\n1,c,d\n")
    with pytest.raises(ConfigError, match="two columns named name"):
        read_schema(tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("id,name,,\n0,a,,\n1,c,,\n")
    with pytest.raises(ConfigError, match="unknown column") as of_blanks:
        read_schema(tmp_path / "labels.csv")
    assert of_blanks.value.code != "label-table-unreadable"
    (tmp_path / "list.csv").write_text('image , mask,,\n"a\nb.png",c.png,,\n')
    assert read_csv(tmp_path / "list.csv").columns == {"image": ["a\nb.png"], "mask": ["c.png"]}
