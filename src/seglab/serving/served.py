"""What a service tells of the model that it serves: plain facts, without the model."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from seglab.task import Region, Task


@dataclass(frozen=True)
class ServedModel:
    """A model that was loaded and tried.

    Attributes:
        name: in addresses.
        digest: of what was loaded, in hex.
        run: that trained it, as far as is told.
        version: in the register; empty for a model that was not named by it.
        task: channels and classes.
        size: spatial size of the network's input.
        resize_mode: how an image of another size is fitted to it.
        runtime: that runs it.
        precision: that is executed, read back from the runtime.
        threads: it computes with.
        members: networks that are averaged; 1 where there is one alone.
        stages: of a cascade 2, else 1.
        postprocessing: what is done to each mask, in words.
    """

    name: str
    digest: str
    run: str
    version: str
    task: Task
    size: tuple[int, ...]
    resize_mode: str
    runtime: str
    precision: str
    threads: int
    members: int = 1
    stages: int = 1
    postprocessing: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """`X-Bundle`."""
        version = f"@{self.version}" if self.version else ""
        return f"{self.name}{version}+{self.number}"

    @property
    def number(self) -> str:
        """Its version, as the Open Inference Protocol asks for it: the same files have the same."""
        return self.digest[:12]

    @property
    def values(self) -> tuple[int, ...]:
        """What a mask holds for each class id, as `seglab predict` writes it."""
        return self.task.label_values or tuple(range(self.task.classes))

    @property
    def bits(self) -> int:
        """Of each value in a mask."""
        return next(bits for bits in (8, 16, 32) if max(self.values) < 2**bits)

    def classes(self) -> list[dict[str, Any]]:
        """Id, value in a mask, name and colour of each class."""
        rows = zip(self.values, self.task.class_names, self.task.class_colors, strict=True)
        return [
            {"id": number, "value": value, "name": name, "color": list(color)}
            for number, (value, name, color) in enumerate(rows)
        ]

    def same_answers(self, other: ServedModel) -> bool:
        """Whether images go in and masks come out in the same form, so that clients notice no change."""
        mine, theirs = self.task, other.task
        return (mine.rank, mine.channels, mine.class_names, mine.regions, self.values) == (
            theirs.rank,
            theirs.channels,
            theirs.class_names,
            theirs.regions,
            other.values,
        )

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> ServedModel:
        """The inverse of `to_dict`."""
        task: dict[str, Any] = dict(fields["task"])
        task |= {key: tuple(value) for key, value in task.items() if isinstance(value, list)}
        task["class_colors"] = tuple(tuple(color) for color in task["class_colors"])
        task["regions"] = tuple(map(Region.from_dict, task["regions"]))
        return cls(
            **{
                **fields,
                "task": Task(**task),
                "size": tuple(fields["size"]),
                "postprocessing": tuple(fields["postprocessing"]),
            }
        )


def name_of(word: str) -> str:
    """A name that an address can hold."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-.")[:80] or "model"
