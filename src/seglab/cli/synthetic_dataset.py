"""`seglab synthetic-dataset`: a generated data set in a real layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seglab.cli.words import read, setting
from seglab.config.types import PositiveInt, Seed
from seglab.runtime.waiting import step
from seglab.safety.shown_text import in_line


@dataclass(frozen=True, kw_only=True)
class SyntheticDatasetWords:
    """Write generated images and masks in the layout of a real data set, with its hard cases."""

    kind: str = setting("the layout: cityscapes, nifti or image_folder")
    out: str = setting("a new or empty folder for it")
    count: PositiveInt | None = setting("labelled cases; null: 16 volumes, 24 images", default=None)
    seed: Seed = setting("another seed is another data set", default=0)


def run(words: Sequence[str]) -> None:
    """Write it, and say how to train on it."""
    settings = read(SyntheticDatasetWords, words, "synthetic-dataset")
    with step(f"writing {settings.kind}") as done:
        from seglab.data.synthetic.layouts import write_dataset

        layout = write_dataset(settings.kind, settings.out, count=settings.count, seed=settings.seed, progress=done)
    print(in_line(f"written    {settings.count or layout.count} labelled files below {settings.out}"))
    print(f"hard cases {', '.join(layout.hard)}")
    print(in_line(f"train      {layout.train.format(out=settings.out)}"))
