"""The labels of a data set in one table: what a mask value means, how it is trained, scored and drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from seglab.data.labels.label_map import LabelMap, class_names_for
from seglab.data.labels.label_table import COLUMNS, Color, bad_cell, color, optional_number, read_rows, truth
from seglab.errors import ConfigError, nearest
from seglab.task import DEFAULT_COLORS, Region, Task

IGNORE_LABEL = 255
Level = Literal["classes", "categories"]
Void = Literal["ignored", "class"]


@dataclass(frozen=True)
class Label:
    """One row of the table.

    Attributes:
        id: the value in the mask files.
        name: unique in its table.
        train_id: the class id that a model learns; None where pixels of this label are not learnt.
        category: a wider class that it belongs to; its own name when the table says nothing.
        ignored: the mean scores leave it out.
        color: RGB in 0..255.
    """

    id: int
    name: str
    train_id: int | None
    category: str
    ignored: bool
    color: Color


@dataclass(frozen=True)
class Classes:
    """What is learnt: how mask values become class ids, and what the classes are called.

    Attributes:
        label_map: from the values of a file to class ids.
        names, colors: of each class, in the order of the ids; no colours stand for the default palette.
        unscored: class ids that the mean scores leave out.
        table: the labels that the classes were made of, where there is a table of them.
        regions: unions of classes that are predicted and scored in their place, where there are such.
    """

    label_map: LabelMap
    names: tuple[str, ...]
    colors: tuple[Color, ...] = ()
    unscored: tuple[int, ...] = (0,)
    table: tuple[Label, ...] = ()
    regions: tuple[Region, ...] = ()

    def settings(self) -> dict[str, Any]:
        """What decides what is learnt of a mask, as JSON values for the digest of a data set."""
        regions = {"regions": [asdict(region) for region in self.regions]} if self.regions else {}
        return {**self.label_map.settings(), **regions}

    def follows(self, name: str) -> bool:
        """Whether the mask files hold the labels of a built-in table: its ids under its names."""
        official = built_in_schema(name).labels
        return {(label.id, label.name) for label in self.table} == {(label.id, label.name) for label in official}

    def task(self, rank: int, channels: int) -> Task:
        """The task of images or volumes with these classes."""
        return Task(
            rank=rank,
            channels=channels,
            class_names=self.names,
            class_colors=self.colors,
            ignore_label=self.label_map.ignore_label,
            unscored=self.unscored,
            label_values=self.label_map.first_values(),
            regions=self.regions,
        )


@dataclass(frozen=True)
class LabelSchema:
    """All labels of a data set, in the order of its table; `where` is the table, for messages.

    Raises:
        ConfigError: an id, name or train id twice, train ids with gaps, a scored label without a train id.
    """

    labels: tuple[Label, ...]
    where: str

    def __post_init__(self) -> None:
        self._refuse_twice("id", [label.id for label in self.labels])
        self._refuse_twice("name", [label.name for label in self.labels])
        train_ids = [label.train_id for label in self.labels if label.train_id is not None]
        self._refuse_twice("train_id", train_ids)
        if sorted(train_ids) != list(range(len(train_ids))) or len(train_ids) < 2:
            raise ConfigError(
                "train ids that do not count up from 0",
                code="train-ids-not-consecutive",
                where=self.where,
                found=sorted(train_ids),
                expected="0, 1, 2, … without a gap, two at least",
                remedy="number the classes that are learnt from 0; leave train_id empty for the others",
            )
        for label in self.labels:
            if label.train_id is None and not label.ignored:
                raise ConfigError(
                    "a label that is scored but never trained on",
                    code="label-scored-not-trained",
                    where=f"{self.where}, label {label.name}",
                    found="no train_id, ignored false",
                    expected="a train_id, or ignored true",
                    remedy="give it a train_id, or ignored=true",
                )

    def classes(self, level: Level = "classes", void: Void = "ignored") -> Classes:
        """The classes to learn.

        Args:
            level: `classes` are the labels with a train id, in its order; `categories` are the categories in the order
                of the table, of all their labels, less those in which no label has a train id.
            void: what becomes of every other label: the ignore label, or one further class, the last, that the mean
                scores leave out.
        """
        if level == "classes":
            groups = [[label] for label in sorted(self._learnt(self.labels), key=lambda label: label.train_id or 0)]
            names = [label.name for [label] in groups]
        else:
            by_category: dict[str, list[Label]] = {}
            for label in self.labels:
                by_category.setdefault(label.category, []).append(label)
            by_category = {name: group for name, group in by_category.items() if self._learnt(group)}
            groups, names = list(by_category.values()), list(by_category)
        unscored = [k for k, group in enumerate(groups) if all(label.ignored for label in self._learnt(group))]
        colors = [self._learnt(group)[0].color for group in groups]
        class_of = {label.id: k for k, group in enumerate(groups) for label in group}
        rest = IGNORE_LABEL
        if void == "class":
            rest = len(names)
            names, colors, unscored = [*names, "void"], [*colors, (0, 0, 0)], [*unscored, rest]
        values = tuple(label.id for label in self.labels)
        remedy = f"declare it in {self.where}, or correct the mask; a photograph in its place has many such values"
        label_map = LabelMap(values, remedy=remedy, class_ids=tuple(class_of.get(value, rest) for value in values))
        return Classes(label_map, tuple(names), tuple(colors), tuple(unscored), self.labels)

    def _learnt(self, labels: Iterable[Label]) -> list[Label]:
        return [label for label in labels if label.train_id is not None]

    def _refuse_twice(self, column: str, values: Sequence[Any]) -> None:
        twice = [value for n, value in enumerate(values) if value in values[:n]]
        if twice:
            raise ConfigError(
                f"a label {column} that stands twice",
                code="label-twice",
                where=self.where,
                found=twice[0],
                expected=f"each {column} once",
                remedy="correct the table; to merge labels into one class, change the mask files",
            )


def declared_classes(
    label_values: Sequence[int],
    class_names: Sequence[str] | None,
    ignore_value: int | None,
    label_schema: str | None,
    label_colors: Sequence[Sequence[int]] | None = None,
    mask_threshold: float | None = None,
) -> Classes:
    """The classes of a set of the user's own: of its schema file, or of values and names in the config.

    Args:
        label_values, class_names, ignore_value, label_schema: as of `seglab.data.sources.image_folder.ImageFolder`.
        label_colors: of each value, or of each row of the schema, and, last, of the ignored one; None for masks that
            are read by their values.
        mask_threshold: of masks of two classes, the brightness from which on a pixel is of the larger label value;
            None for masks that are read by values or colours.

    Raises:
        ConfigError: both a schema file and names or an ignored value; what `read_schema` or `LabelMap` refuse.
    """
    colors = tuple(tuple(color) for color in label_colors or ())
    threshold = None if mask_threshold is None else float(mask_threshold)  # 128 and 128.0 are one
    if label_schema is None:
        names = tuple(class_names_for(label_values, class_names))
        label_map = LabelMap(
            tuple(label_values),
            ignore_value,
            names=names if class_names else (),
            colors=colors,
            threshold=threshold,
        )
        return Classes(label_map, names)
    if class_names is not None or ignore_value is not None:
        raise ConfigError(
            "labels declared in two places",
            code="labels-declared-twice",
            where="data.label_schema",
            found=f"label_schema={label_schema}, class_names={class_names}, ignore_value={ignore_value}",
            expected="the schema file alone, or values and names without it",
            remedy="data.class_names=null data.ignore_value=null, or data.label_schema=null",
        )
    classes = read_schema(label_schema).classes()
    return replace(classes, label_map=replace(classes.label_map, colors=colors, threshold=threshold))


def built_in_schema(name: str) -> LabelSchema:
    """The table that comes with the package: `cityscapes` or `camvid`."""
    with resources.as_file(resources.files("seglab.data") / "schemas" / f"{name}.csv") as path:
        return read_schema(path, shown_as=f"the label table {name}.csv")


def read_schema(path: str | Path, shown_as: str | None = None) -> LabelSchema:
    """Read a table of labels, CSV or YAML (a list of rows).

    `id` and `name` are needed. Without the column `train_id` every label is learnt, in the order of the table;
    an empty one is not learnt. `category` falls back to the name, `ignored` to whether it is learnt, `color`
    (`#rrggbb`) to the default palette.

    Raises:
        ConfigError: a file that is missing or no such table; names the row.
    """
    path = Path(path)
    where = shown_as or str(path)
    rows = read_rows(path, where)
    known = {column for row in rows for column in row}
    for column in sorted(known - set(COLUMNS)):
        raise ConfigError(
            "an unknown column in a label table",
            code="label-table-column",
            where=where,
            found=column,
            expected=", ".join(COLUMNS),
            remedy=nearest(column, COLUMNS) or "remove the column",
        )
    labels = []
    for n, row in enumerate(rows):
        place = f"{where}, row {n + 1}"
        name = str(row.get("name") or "").strip()
        if not name:
            raise bad_cell(place, "name", row.get("name"), "a name")
        train_id = n if "train_id" not in known else optional_number(row.get("train_id"), place)
        label_id = optional_number(row.get("id"), place, column="id")
        if label_id is None:
            raise bad_cell(place, "id", row.get("id"), "the value in the mask files")
        labels.append(
            Label(
                id=label_id,
                name=name,
                train_id=train_id,
                category=str(row.get("category") or name).strip(),
                ignored=truth(row.get("ignored"), place, default=train_id is None),
                color=color(row.get("color"), place, default=DEFAULT_COLORS[n % len(DEFAULT_COLORS)]),
            )
        )
    return LabelSchema(tuple(labels), where)
